/// The client's part of SOCKS5 (RFC 1928, RFC 1929) until the proxy's reply to one request.
///
/// One message goes out only when the answer to the one before has come, as most applications do.
struct SocksOpening {
    /// What the proxy is asked for.
    enum Command: UInt8 {
        /// A connection to the target.
        case connect = 1
        /// The target's address (Tor's RESOLVE); its port is 0.
        case resolve = 0xf0
    }

    /// What the proxy may keep streams apart by.
    struct Credentials {
        /// 1 to 255 bytes each; longer ones are cut.
        var user: String, password: String
    }

    /// Why the proxy does not do it.
    enum Refusal: Error, Equatable {
        /// It chose another method, or speaks no SOCKS5.
        case method(UInt8)
        /// It does not take the credentials.
        case password
        /// It answered with a code above 0, or speaks no SOCKS5.
        case reply(UInt8)
        /// Its reply names a place of a kind that is not known.
        case addressType(UInt8)
    }

    /// What to do after an answer.
    enum Step: Equatable {
        /// Wait for more.
        case wait
        /// Send these bytes.
        case send([UInt8])
        /// It is done; the address in the reply, 4 or 16 bytes, or a name's bytes.
        case done([UInt8])
        /// The connection is to be closed.
        case refused(Refusal)
    }

    private enum State { case method, password, reply }

    private let command: Command
    private let target: Target
    private let credentials: Credentials?
    private var state = State.method
    private var received: [UInt8] = []
    private var needed = 2

    /// Asks for `command`; with credentials RFC 1929 is offered, else no authentication.
    init(_ command: Command, to target: Target, credentials: Credentials?) {
        self.command = command
        self.target = target
        self.credentials = credentials
    }

    /// What to send first.
    var firstBytes: [UInt8] { [5, 1, method] }
    private var method: UInt8 { credentials == nil ? 0 : 2 }

    /// How many bytes of the next answer are missing.
    var missing: Int { needed - received.count }

    /// Takes bytes of the answer, at most ``missing``.
    mutating func take(_ bytes: [UInt8]) -> Step {
        received += bytes
        guard received.count == needed else { return .wait }
        switch state {
        case .method:
            guard received == [5, method] else { return .refused(.method(received[1])) }
            guard let credentials else { return request() }
            expect(2, .password)
            return .send([1] + Self.field(credentials.user) + Self.field(credentials.password))
        case .password:
            guard received[1] == 0 else { return .refused(.password) }
            return request()
        case .reply: return takeReply()
        }
    }

    private static func field(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8.prefix(255))
        return [UInt8(bytes.count)] + bytes
    }

    private mutating func expect(_ count: Int, _ next: State) {
        state = next
        needed = count
        received = []
    }

    private mutating func request() -> Step {
        expect(5, .reply)
        return .send([5, command.rawValue, 0] + target.socksBytes)
    }

    private mutating func takeReply() -> Step {
        guard received[0] == 5, received[1] == 0 else { return .refused(.reply(received[1])) }
        let place: Range<Int>
        switch received[3] {
        case 1: place = 4..<8
        case 3: place = 5..<5 + Int(received[4])
        case 4: place = 4..<20
        default: return .refused(.addressType(received[3]))
        }
        guard received.count == place.upperBound + 2 else {
            needed = place.upperBound + 2
            return .wait
        }
        return .done(Array(received[place]))
    }
}

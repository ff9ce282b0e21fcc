/// The client's steps of SOCKS5 (RFC 1928, RFC 1929) until the proxy's reply to one request.
///
/// Each message is sent only after the answer to the one before, as most applications do.
struct SocksOpening {
    /// The request to the proxy.
    enum Command: UInt8 {
        /// A connection to the target.
        case connect = 1
        /// The target's address (Tor's RESOLVE); its port is 0.
        case resolve = 0xf0
    }

    /// The user and password by which the proxy may isolate streams.
    struct Credentials {
        /// 1 to 255 bytes each.
        ///
        /// Longer ones are cut.
        var user: String, password: String
    }

    /// The reason why the proxy does not serve the request.
    enum Refusal: Error, Equatable {
        /// It chose another method, or does not speak SOCKS5.
        case method(UInt8)
        /// It rejected the credentials.
        case password
        /// It replied with a code above 0, or does not speak SOCKS5.
        case reply(UInt8)
        /// Its reply has an address of an unknown type.
        case addressType(UInt8)
    }

    /// The next step after an answer.
    enum Step: Equatable {
        /// Wait for more bytes.
        case wait
        /// Send these bytes.
        case send([UInt8])
        /// The reply has come.
        ///
        /// Gives the address in it: 4 or 16 bytes, or the bytes of a name.
        case done([UInt8])
        /// The connection must be closed.
        case refused(Refusal)
    }

    private enum State { case method, password, reply }

    private let command: Command
    private let target: ProxyTarget
    private let credentials: Credentials?
    private var state = State.method
    private var received: [UInt8] = []
    private var needed = 2

    /// Requests `command`.
    ///
    /// With credentials it offers RFC 1929, otherwise no authentication.
    init(_ command: Command, to target: ProxyTarget, credentials: Credentials?) {
        self.command = command
        self.target = target
        self.credentials = credentials
    }

    /// The first bytes to send.
    var firstBytes: [UInt8] { [5, 1, method] }
    private var method: UInt8 { credentials == nil ? 0 : 2 }

    /// The number of bytes that the next answer still lacks.
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

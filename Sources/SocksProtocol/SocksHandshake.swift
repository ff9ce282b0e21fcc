import Wire

/// The proxy's side of one app's connection until its request is read: SOCKS5 (RFC 1928, RFC 1929), SOCKS4, SOCKS4a, HTTP
/// CONNECT (RFC 9110, section 9.3.6) or a request for an http: URL, as the first byte says.
///
/// It is fed with bytes as they come, split anywhere, and says what to send. A client that sends ahead is served: what
/// comes behind the request is kept as early data for the destination. Of an unfinished message at most 520 bytes are held, of
/// the head of an HTTP request 16 KiB.
/// The caller sets a deadline for the whole, and reads no more than ``room`` bytes at once: what an app sends ahead beyond the
/// limit waits with the app.
///
/// Of the methods that a client offers, user/password is taken before none, as it tells applications apart; any
/// user and password will do.
public struct SocksHandshake: Sendable {
    /// What to do after bytes were received.
    public enum Action: Equatable, Sendable {
        /// Send `send`, which may be empty, and feed what comes next.
        case wait(send: [UInt8])
        /// Send `send`, which may be empty, then do as asked and answer with a `SocksReply`, encoded for what the app speaks.
        case request(SocksRequest, send: [UInt8])
        /// Send `send`, which may be empty, and close.
        case refuse(SocksError, send: [UInt8])
    }

    /// What is awaited.
    private enum State: Sendable {
        /// The first byte.
        case beginning
        case greeting
        case credentials
        case request(SocksCredentials?)
        case socks4Request
        /// The head of an HTTP request, of which so many bytes were looked at.
        case head(scanned: Int)
        /// The request is out; what comes is early data.
        case requested
        /// The early data is out too.
        case finished
        /// The connection is refused.
        case refused(SocksError)
    }

    /// The longest message of SOCKS: a request of SOCKS4a with user id and name of 255 bytes each.
    private static let longestMessage = 1 + 1 + 2 + 4 + 256 + 256

    private var state = State.beginning
    private var via = ProxyProtocol.socks5
    /// The unfinished message, then the early data.
    private var held: [UInt8] = []
    /// How many bytes of early data are kept.
    private let earlyDataLimit: Int

    /// Awaits the first byte; keeps up to `earlyDataLimit` bytes that come before the request is answered.
    public init(earlyDataLimit: Int = 16_384) { self.earlyDataLimit = earlyDataLimit }

    /// How many bytes it takes at once, whatever they are; 0 when no more early data is kept.
    public var room: Int {
        switch state {
        case .requested: earlyDataLimit - held.count
        case .finished, .refused: 0
        // Byte by byte the request is complete before there is early data.
        case .beginning, .greeting, .credentials, .request, .socks4Request, .head: max(earlyDataLimit, 1)
        }
    }

    /// Takes the next bytes of the connection.
    ///
    /// After the request it may still be called, until `takeEarlyData`: the bytes are early data. After a refusal it
    /// refuses again, with nothing to send.
    public mutating func receive(_ bytes: RawSpan) -> Action {
        var send: [UInt8] = []
        do throws(SocksError) {
            let request = try advance(bytes, &send)
            return if let request { .request(request, send: send) } else { .wait(send: send) }
        } catch {
            if case .refused = state { return .refuse(error, send: []) }
            state = .refused(error)
            held = []
            return .refuse(error, send: send + error.answer(via: via))
        }
    }

    /// Hands over what came behind the request, and is finished: all further bytes are the caller's to carry.
    ///
    /// Once, after the request; a second call, or one before the request, is a mistake of the caller's and traps.
    public mutating func takeEarlyData() -> [UInt8] {
        guard case .requested = state else { preconditionFailure("early data is taken once, after the request") }
        state = .finished
        let early = held
        held = []
        return early
    }

    /// Reads as many messages as there are; the request, where it is among them.
    private mutating func advance(_ bytes: RawSpan, _ send: inout [UInt8]) throws(SocksError) -> SocksRequest? {
        var request: SocksRequest?
        var offset = 0
        while true {
            switch state {
            case .beginning, .greeting, .credentials, .request, .socks4Request, .head: break
            case .requested:
                guard held.count + bytes.byteCount - offset <= earlyDataLimit else { throw .tooMuchEarlyData }
                held += [UInt8](copying: bytes.extracting(droppingFirst: offset))
                return request
            case .finished: preconditionFailure("bytes after the early data are the caller's to carry")
            case .refused(let error): throw error
            }
            // Enough to finish the message at hand, never more than the longest.
            let longest = if case .head = state { HTTPHead.maximumSize } else { Self.longestMessage }
            let taken = min(bytes.byteCount - offset, longest - held.count)
            held += [UInt8](copying: bytes.extracting(offset..<offset + taken))
            offset += taken
            guard let used = try step(&send, &request) else { return nil }
            held.removeFirst(used)
        }
    }

    /// Reads the awaited message from the front of `held`; `nil` while it is unfinished, else its length.
    ///
    /// Fields are read and judged in their order, so the outcome does not depend on how the bytes were split.
    private mutating func step(_ send: inout [UInt8], _ request: inout SocksRequest?) throws(SocksError) -> Int? {
        if case .beginning = state {
            guard let first = held.first else { return nil }
            guard let found = ProxyProtocol(firstByte: first) else { throw .unknownProtocol }
            via = found
            state =
                switch found {
                case .socks4: .socks4Request
                case .socks5: .greeting
                case .http: .head(scanned: 0)
                }
            return 0
        }
        if case .head(var scanned) = state {
            let end = try HTTPHead.end(in: held, scanned: &scanned)
            state = .head(scanned: scanned)
            guard let end else { return nil }
            request = try HTTPHead.request(held[..<end])
            state = .requested
            return end
        }
        let message = held
        var fields = unsafe SocksFields(message.span.bytes)
        do throws(SocksFields.Stop) {
            switch state {
            case .greeting:
                let method = try fields.greeting()
                send += [SocksMethod.version, method]
                state = method == SocksMethod.userPassword ? .credentials : .request(nil)
            case .credentials:
                let credentials = try fields.credentials()
                send += [SocksCredentials.version, 0]
                state = .request(credentials)
            case .request(let credentials):
                request = try fields.request(credentials)
                state = .requested
            case .socks4Request:
                request = try fields.socks4Request()
                state = .requested
            case .beginning, .head, .requested, .finished, .refused:
                preconditionFailure("no message is awaited")
            }
        } catch {
            switch error {
            case .unfinished: return nil
            case .bad(let reason): throw reason
            }
        }
        return fields.consumed
    }
}

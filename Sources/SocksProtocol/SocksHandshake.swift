import Wire

/// The proxy's side of one app's connection until its request is read.
///
/// The first byte determines the protocol: SOCKS5 (RFC 1928, RFC 1929), SOCKS4, SOCKS4a, HTTP CONNECT (RFC 9110,
/// section 9.3.6) or a request for an http: URL. Received bytes, split anywhere, go in, and the bytes to send come out.
/// A client may send ahead: bytes after the request are kept as early data for the destination. At most 520 bytes of an
/// unfinished message are held, or 16 KiB of the head of an HTTP request. The caller sets a deadline for the whole
/// handshake and reads at most ``room`` bytes at once, so that an app's data beyond the limit waits in the app.
///
/// If a client offers both methods, user/password is chosen, because it distinguishes applications; any user and
/// password are accepted.
public struct SocksHandshake: Sendable {
    /// The caller's step after bytes were received.
    public enum Action: Equatable, Sendable {
        /// Send `send`, which may be empty, and pass on the next bytes.
        case wait(send: [UInt8])
        /// Send `send`, which may be empty, then carry out the request and answer with a `SocksReply` in the app's
        /// protocol.
        case request(SocksRequest, send: [UInt8])
        /// Send `send`, which may be empty, and close.
        case refuse(SocksError, send: [UInt8])
    }

    /// The next expected message.
    private enum State: Sendable {
        /// The first byte.
        case beginning
        case greeting
        case credentials
        case request(SocksCredentials?)
        case socks4Request
        /// The head of an HTTP request, of which so many bytes were examined.
        case head(scanned: Int)
        /// The request was returned; further bytes are early data.
        case requested
        /// The early data was returned too.
        case finished
        /// The connection is refused.
        case refused(SocksError)
    }

    /// The longest SOCKS message: a SOCKS4a request with a user id and a name of 255 bytes each.
    private static let longestMessage = 1 + 1 + 2 + 4 + 256 + 256

    private var state = State.beginning
    private var via = ProxyProtocol.socks5
    /// The unfinished message, then the early data.
    private var held: [UInt8] = []
    /// The most bytes of early data.
    private let earlyDataLimit: Int

    /// A handshake before its first byte; keeps up to `earlyDataLimit` bytes that come before the request is answered.
    public init(earlyDataLimit: Int = 16_384) { self.earlyDataLimit = earlyDataLimit }

    /// How many bytes it accepts at once; 0 when the early data is full.
    public var room: Int {
        switch state {
        case .requested: earlyDataLimit - held.count
        case .finished, .refused: 0
        // At least 1: with a limit of 0 the caller reads byte by byte, and the request is complete before any early
        // data.
        case .beginning, .greeting, .credentials, .request, .socks4Request, .head: max(earlyDataLimit, 1)
        }
    }

    /// Handles the next bytes of the connection.
    ///
    /// After the request it may still be called until `takeEarlyData`; the bytes are early data. After a refusal it
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

    /// Returns the bytes after the request and finishes: the caller carries all further bytes.
    ///
    /// It must be called once, after the request; a second call, or one before the request, traps.
    public mutating func takeEarlyData() -> [UInt8] {
        guard case .requested = state else { preconditionFailure("early data is taken once, after the request") }
        state = .finished
        let early = held
        held = []
        return early
    }

    /// Reads as many messages as are complete; returns the request if it is among them.
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
            // Enough to finish the present message, never more than the longest.
            let longest = if case .head = state { HTTPHead.maximumSize } else { Self.longestMessage }
            let taken = min(bytes.byteCount - offset, longest - held.count)
            held += [UInt8](copying: bytes.extracting(offset..<offset + taken))
            offset += taken
            guard let used = try step(&send, &request) else { return nil }
            held.removeFirst(used)
        }
    }

    /// Reads the expected message from the front of `held`; nil while it is incomplete, else its length.
    ///
    /// Fields are read and checked in order, so the result does not depend on how the bytes were split.
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

import Wire

/// The server's side of one SOCKS5 connection until its request is read (RFC 1928, RFC 1929).
///
/// It is fed with bytes as they come, split anywhere, and says what to send. A client that sends ahead is served: what
/// comes behind the request is kept as early data for the destination. At most 513 bytes of an unfinished message are held.
/// The caller sets a deadline for the whole.
///
/// Of the methods that a client offers, user/password is taken before none, as it tells applications apart; any
/// user and password will do.
public struct SocksHandshake: Sendable {
    /// What to do after bytes were received.
    public enum Action: Equatable, Sendable {
        /// Send `send`, which may be empty, and feed what comes next.
        case wait(send: [UInt8])
        /// Send `send`, which may be empty, then do as asked and answer with a `SocksReply`.
        case request(SocksRequest, send: [UInt8])
        /// Send `send`, which may be empty, and close.
        case refuse(SocksError, send: [UInt8])
    }

    /// What is awaited.
    private enum State: Sendable {
        case greeting
        case credentials
        case request(SocksCredentials?)
        /// The request is out; what comes is early data.
        case requested
        /// The early data is out too.
        case finished
        /// The connection is refused.
        case refused(SocksError)
    }

    /// The longest message: user and password of 255 bytes each.
    private static let longestMessage = 1 + 1 + 255 + 1 + 255

    private var state = State.greeting
    /// The unfinished message, then the early data.
    private var held: [UInt8] = []
    /// How many bytes of early data are kept.
    private let earlyDataLimit: Int

    /// Awaits a greeting; keeps up to `earlyDataLimit` bytes that come before the request is answered.
    public init(earlyDataLimit: Int = 65_536) { self.earlyDataLimit = earlyDataLimit }

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
            return .refuse(error, send: send + error.answer)
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
            case .greeting, .credentials, .request: break
            case .requested:
                guard held.count + bytes.byteCount - offset <= earlyDataLimit else { throw .tooMuchEarlyData }
                held += [UInt8](copying: bytes.extracting(droppingFirst: offset))
                return request
            case .finished: preconditionFailure("bytes after the early data are the caller's to carry")
            case .refused(let error): throw error
            }
            // Enough to finish the message at hand, never more than the longest.
            let taken = min(bytes.byteCount - offset, Self.longestMessage - held.count)
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
            case .requested, .finished, .refused:
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

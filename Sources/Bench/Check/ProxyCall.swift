internal import EventLoop

/// One connection through a SOCKS5 proxy on this machine.
///
/// Its methods run the loop until their answer has arrived.
final class ProxyCall: ByteStreamDelegate {
    /// The longest wait for a next event, in seconds.
    private static let patience: UInt64 = 40

    private enum End { case closed, failed(UVError) }

    private let loop: Loop
    private let endpoint: ProxyEndpoint
    private let credentials: SocksOpening.Credentials
    private var stream: ByteStream?
    private var received: [UInt8] = []
    private var end: End?

    /// A call that has not begun.
    ///
    /// Each call has its own connection.
    init(on loop: Loop, through endpoint: ProxyEndpoint, as credentials: SocksOpening.Credentials) {
        self.loop = loop
        self.endpoint = endpoint
        self.credentials = credentials
    }

    /// Closes the connection; a second call does nothing.
    func close() { stream?.close() }

    /// Sends `command` to the proxy.
    ///
    /// Returns the address in the reply: 4 or 16 bytes, or the bytes of a name.
    func open(_ command: SocksOpening.Command, _ target: ProxyTarget) throws(CheckFault) -> [UInt8] {
        try connect()
        var opening = SocksOpening(command, to: target, credentials: credentials)
        try send(opening.firstBytes)
        while true {
            if received.isEmpty, !wait() || received.isEmpty {
                throw CheckFault(.unavailable, "the client gave no answer")
            }
            let piece = Array(received.prefix(opening.missing))
            received.removeFirst(piece.count)
            switch opening.take(piece) {
            case .wait: continue
            case .send(let bytes): try send(bytes)
            case .done(let address): return address
            case .refused(let refusal): throw fault(refusal, target)
            }
        }
    }

    private func connect() throws(CheckFault) {
        do throws(UVError) {
            stream =
                switch endpoint {
                case .tcp(let address): try ByteStream.connect(on: loop, to: address, delegate: self)
                case .unix(let path): try ByteStream.connect(on: loop, toUnixPath: path, delegate: self)
                }
        } catch {
            throw unreachable(error)
        }
        let isInTime = wait()
        if case .failed(let error) = end { throw unreachable(error) }
        guard isInTime else { throw CheckFault(.unavailable, "the client gave no answer") }
    }

    private func unreachable(_ error: UVError) -> CheckFault {
        CheckFault(.system(-error.code), "\(endpoint): the proxy does not answer")
    }

    private func fault(_ refusal: SocksOpening.Refusal, _ target: ProxyTarget) -> CheckFault {
        let message =
            switch refusal {
            case .method: "\(endpoint) is not a SOCKS5 proxy of Tunic"
            case .password: "\(endpoint) does not take credentials"
            case .reply(let code): "\(target.host): \(Self.words[Int(code)] ?? "refused with code \(code)")"
            case .addressType(let type): "\(target.host): the reply names a place of the unknown type \(type)"
            }
        return CheckFault(.unavailable, message)
    }

    /// The reply codes of SOCKS5 (RFC 1928, section 6).
    private static let words: [Int: String] = [
        1: "general failure", 2: "not allowed by the exit's policy", 3: "network unreachable",
        4: "the name is not known or the host unreachable", 5: "connection refused",
        6: "no path or no answer in time", 7: "command not supported", 8: "address type not supported",
    ]

    func send(_ bytes: [UInt8]) throws(CheckFault) {
        do throws(UVError) {
            try stream?.write(bytes)
        } catch {
            throw CheckFault(.closed, "the client has closed the connection")
        }
    }

    /// Receives until the end of the stream or at least `limit` bytes.
    ///
    /// Also returns the time of the first byte in nanoseconds.
    ///
    /// `host` is named in errors.
    func receive(limit: Int, from host: String) throws(CheckFault) -> (bytes: [UInt8], firstByte: UInt64?) {
        var first = received.isEmpty ? nil : loop.refreshNow()
        while received.count < limit, end == nil {
            let when = received.isEmpty ? "before it answered" : "in the middle of its answer"
            guard wait() else {
                throw CheckFault(.unavailable, "\(host) fell silent for \(Self.patience) s \(when)")
            }
            if first == nil, !received.isEmpty { first = loop.refreshNow() }
            if case .failed = end { throw CheckFault(.unavailable, "\(host): the connection broke \(when)") }
        }
        return (received, first)
    }

    /// Runs the loop until an event on the connection.
    ///
    /// Returns false if none happened within `patience`.
    private func wait() -> Bool {
        guard end == nil else { return true }
        var isInTime = true
        let timer = LoopTimer(on: loop) { [loop] in
            isInTime = false
            loop.stop()
        }
        timer.schedule(at: loop.refreshNow() + Self.patience * 1_000_000_000)
        loop.run()
        timer.close()
        return isInTime
    }

    // MARK: - Events

    func streamConnected(_ stream: ByteStream) {
        stream.startReading()
        loop.stop()
    }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        received += unsafe bytes.withUnsafeBytes { unsafe Array($0) }
        loop.stop()
    }

    func streamReachedEnd(_ stream: ByteStream) {
        end = .closed
        loop.stop()
    }

    func stream(_ stream: ByteStream, failed error: UVError) {
        end = .failed(error)
        loop.stop()
    }
}

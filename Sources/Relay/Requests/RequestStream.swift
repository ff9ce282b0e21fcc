internal import EventLoop
internal import Link
internal import Requests
internal import Sessions
internal import Transport
internal import Wire

/// A stream of a session that brings one onion request; the answer ends it (protocol.md, section 13.1).
final class RequestStream: StreamUser {
    /// The longest time for the whole stream.
    static let limit = TimeSpan.seconds(30)

    private enum State {
        /// The request is being received.
        case reading([UInt8])
        /// The service has the request.
        case waiting
        /// The session has not yet taken all of the answer.
        case answering([UInt8], sent: Int)
        case over
    }

    /// The service's number for the stream.
    let number: UInt64
    /// The host's number for the stream's session.
    let session: UInt64
    /// The source that the session counts for.
    var source: LinkSource { stream.share.source }
    private let stream: HostedStream
    private weak var service: RequestService?
    private var state = State.reading([])
    /// Whether the request is for this node itself.
    private var isOwn = false
    private var deadline: LoopTimer?

    /// The stream `stream` of the session with this number.
    ///
    /// `service` answers its request.
    init(_ stream: HostedStream, session: UInt64, on loop: Loop, for service: RequestService) {
        self.stream = stream
        self.session = session
        self.service = service
        number = service.newNumber()
        deadline = LoopTimer(on: loop) { [weak self] in self?.abandon() }
        deadline?.schedule(at: (Instant(nanoseconds: loop.now) + Self.limit).nanoseconds)
    }

    var heldBytes: Int {
        switch state {
        case .reading(let bytes): bytes.count
        case .answering(let bytes, let sent): bytes.count - sent
        case .waiting, .over: 0
        }
    }

    // MARK: The request

    func streamReadable() {
        guard case .reading(var bytes) = state, let session = stream.session else { return }
        // The local variable is now the only owner of the array, so that it grows in place.
        state = .reading([])
        var isTooLong = false
        var count = 1
        while count > 0, !isTooLong {
            count = session.connection.withReadable(stream.id) { span in
                isTooLong = span.byteCount > RequestOpen.maximumSize - bytes.count
                guard !isTooLong else { return 0 }
                bytes.append(contentsOf: [UInt8](copying: span))
                return span.byteCount
            }
        }
        session.touch()
        let held = bytes.count
        state = .reading(bytes)
        bytes = []
        guard !isTooLong, let service, service.isArriving(held, on: self) else { return abandon() }
        switch session.connection.readState(stream.id) {
        case .open: break
        case .finished, .unknown: ask()
        case .reset: abandon()
        }
    }

    private func ask() {
        guard let service, case .reading(let bytes) = state else { return abandon() }
        let request = try? RequestOpen(decoding: bytes.rawSpan)
        if case .own? = request { isOwn = true }
        state = .waiting
        service.ask(request, by: self)
    }

    // MARK: The answer

    /// Sends the answer.
    ///
    /// The stream ends when the session has taken all of it.
    func answer(_ answer: OuterAnswer) {
        guard case .waiting = state else { return }
        state = .answering(answer.encoded(for: isOwn ? .ownStream : .stream), sent: 0)
        write()
    }

    private func write() {
        guard case .answering(let bytes, var sent) = state, let session = stream.session else { return }
        sent += session.connection.write(stream.id, bytes.rawSpan.extracting(sent..<bytes.count))
        state = .answering(bytes, sent: sent)
        guard sent == bytes.count else { return session.touch() }
        stream.end()
        finish()
    }

    // MARK: Ends

    /// Abandons the stream without an answer.
    func abandon() {
        stream.abandon()
        finish()
    }

    private func finish() {
        switch state {
        case .reading, .waiting: service?.forget(number)
        case .answering, .over: break
        }
        state = .over
        deadline?.close()
        deadline = nil
        stream.finish()
    }

    func streamWritable() { write() }
    func streamReset(code: UInt64) { abandon() }
    func streamStopped(code: UInt64) { abandon() }
    func streamClosed() { abandon() }
    func sessionEnded() { abandon() }
}

internal import DNSProtocol
internal import EventLoop
internal import Sessions
internal import Transport
internal import Wire

/// A question to the exit for the records of a name, over a stream of its own.
final class RecordsLookup: SessionApp, StreamUser {
    /// How long an answer may take: as long as the exit's resolver, and a little for the way.
    static let limit = TimeSpan.seconds(12)

    /// What came of it.
    enum Outcome {
        /// The exit has answered.
        case answered(RecordsReply.Outcome)
        /// There is no exit, or it has not answered.
        case none
    }

    private let question: DNSQuestion
    /// Whether an app is told the address.
    private let mayTell: (IPAddress) -> Bool
    private let done: (Outcome) -> Void
    private weak var session: Session?
    private var stream: StreamID?
    private var deadline: LoopTimer?
    private(set) var isOver = false
    /// Asks for another turn at an exit, when one has refused the stream as one too many.
    var askAgain: () -> Void = {}

    /// Asks `question`; `done` is called once, never inside this call.
    ///
    /// Records with an address that `mayTell` refuses are left out.
    init(
        _ question: DNSQuestion, on loop: Loop, mayTell: @escaping (IPAddress) -> Bool,
        done: @escaping (Outcome) -> Void
    ) {
        self.question = question
        self.mayTell = mayTell
        self.done = done
        deadline = LoopTimer(on: loop) { [weak self] in self?.end(.none) }
        deadline?.schedule(at: (Instant(nanoseconds: loop.now) + Self.limit).nanoseconds)
    }

    func open(on session: Session) {
        guard !isOver, stream == nil else { return }
        guard let id = try? session.connection.openStream() else { return end(.none) }
        self.session = session
        stream = id
        session.attach(self, to: id)
        let destination = Destination(host: .name(question.name), port: question.type.rawValue)
        let request = OpenRequest(kind: .records, destination: destination).encoded()
        guard session.connection.write(id, request.rawSpan) == request.count else { return end(.none) }
        session.connection.finish(id)
        session.touch()
    }

    func fail(_ reason: NoSession) { end(.none) }

    func streamReadable() {
        guard !isOver, let session, let stream else { return }
        var reply: RecordsReply?
        var isBad = false
        session.connection.withReadable(stream) { bytes in
            do throws(WireError) { reply = try RecordsReply.decode(from: bytes) } catch { isBad = true }
            return reply == nil ? 0 : bytes.byteCount
        }
        session.touch()
        if case .failed(.tooManyStreams) = reply?.outcome {
            (session.owner as? ClientSession)?.streamRefused()
            session.abandon(stream, code: SessionError.cancelled)
            (self.session, self.stream) = (nil, nil)
            askAgain()
        } else if let reply {
            (session.owner as? ClientSession)?.streamTaken()
            end(.answered(checked(reply.outcome)))
        } else if isBad || session.connection.readState(stream) != .open {
            end(.none)
        }
    }

    /// No app gets what the type does not allow, or an address that it is not told.
    private func checked(_ outcome: RecordsReply.Outcome) -> RecordsReply.Outcome {
        guard case .found(let records) = outcome else { return outcome }
        let isGood = records.allSatisfy { RecordData.isValid($0.data, of: question.type) }
        guard isGood else { return .failed(.generalFailure) }
        let told = records.filter { RecordData.addresses($0.data, of: question.type).allSatisfy(mayTell) }
        return told.isEmpty && !records.isEmpty ? .failed(.notAllowed) : .found(told)
    }

    func streamWritable() {}
    func streamReset(code: UInt64) { end(.none) }
    func streamStopped(code: UInt64) {}
    func streamClosed() { end(.none) }
    func sessionEnded() { end(.none) }

    private func end(_ outcome: Outcome) {
        guard !isOver else { return }
        isOver = true
        deadline?.close()
        deadline = nil
        if let session, let stream { session.abandon(stream, code: SessionError.cancelled) }
        done(outcome)
    }
}

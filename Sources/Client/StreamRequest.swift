internal import EventLoop
internal import Sessions
internal import Transport
internal import Wire

/// Gives requests a turn at the session of their isolation key.
protocol SessionSource: AnyObject {
    /// Has `app` open a stream on the key's session, to an exit with `needs`, inside this call or when there is room.
    func connect(_ app: some SessionApp, isolation: IsolationKey, needs: Descriptor.ExitSummary)
    /// Whether an app of the key that has waited for long may wait on.
    func mayWaitOn(_ key: IsolationKey) -> Bool
}

/// Who asks an exit for a stream.
protocol StreamRequestOwner: AnyObject {
    /// The bytes that go right behind the request; called once, before the first exit is asked. Nil where the owner gives up: it
    /// hears nothing more.
    func takeEarlyBytes() -> [UInt8]?
    /// Whether nothing follows the early bytes.
    var endsEarly: Bool { get }
    /// The exit has a connection or UDP sockets: the stream is the owner's, who attaches itself to it.
    ///
    /// The session has not taken `unsent`, the last of the early bytes.
    func streamOpened(_ stream: StreamID, on session: Session, unsent: [UInt8])
    /// The exit has found what a look-up asks for.
    func streamFound(_ result: LookupResult)
    /// Nothing comes of it.
    func streamFailed(_ failure: StreamFailure)
}

/// What a look-up has found.
enum LookupResult {
    /// The address of a name, or the name of an address.
    case host(Destination.Host)
    /// The records of a name.
    case records([RecordsReply.Record])
}

/// Why nothing comes of a request.
enum StreamFailure {
    /// No session could be had.
    case noSession(NoSession)
    /// No exit has answered in time.
    case timedOut
    /// The exit has said so.
    case refused(OpenReply.Status)
    /// The stream has ended without an answer, or with one that breaks the rules.
    case broken
}

/// A request for a stream to an exit (protocol.md, section 7.2), from the wait for a session to the exit's answer.
///
/// An exit that takes no more streams has passed nothing on, so it or another one is asked again. One whose session ends before the
/// answer may have passed early bytes on: another is asked only where there were none, or where no packet has carried them.
final class StreamRequest: SessionApp, StreamUser {
    /// How long a request waits for an exit's answer.
    struct Patience {
        /// From when the first exit is asked.
        var limit: TimeSpan
        /// How many times as long before that, in a line that moves on.
        var waits: Int

        /// That of an app's connection.
        static let connection = Patience(limit: .seconds(28), waits: 4)
        /// That of a question for records: as long as the exit's resolver takes, and a little for the way.
        static let records = Patience(limit: .seconds(12), waits: 0)
    }

    /// What an exit has been asked on.
    private struct Asked {
        weak var session: Session?
        let stream: StreamID
    }

    private enum State {
        /// It has not begun.
        case idle
        /// It waits for a session.
        case waiting
        /// An exit has its request.
        case asked(Asked)
        /// The owner has heard, or wants nothing more.
        case over
    }

    private enum Answer {
        case opened
        case found(LookupResult)
        case failed(OpenReply.Status)
    }

    /// What the exit is asked for.
    let kind: OpenRequest.Kind
    private let destination: Destination
    private let isolation: IsolationKey
    private let patience: Patience
    private weak var source: (any SessionSource)?
    private weak var owner: (any StreamRequestOwner)?
    private var state = State.idle
    /// The owner's early bytes; nil as long as no exit has been asked.
    private var early: [UInt8]?
    /// Those that the session has not taken.
    private var unsent: [UInt8] = []
    /// How many times the deadline was put off.
    private var waits = 0
    private var deadline: LoopTimer?
    private let loop: Loop

    /// A request that ``begin()`` sends; the owner keeps it.
    init(
        _ kind: OpenRequest.Kind, _ destination: Destination, isolation: IsolationKey, patience: Patience = .connection,
        on loop: Loop, from source: any SessionSource, for owner: any StreamRequestOwner
    ) {
        self.kind = kind
        self.destination = destination
        self.isolation = isolation
        self.patience = patience
        self.loop = loop
        self.source = source
        self.owner = owner
    }

    var isOver: Bool { if case .over = state { true } else { false } }

    /// Whether it may wait on for an exit to be asked; one that was asked cannot prolong the wait by what it answers.
    var mayWaitOn: Bool { early == nil && waits < patience.waits }

    /// Asks for a session; the owner may hear inside this call.
    func begin() {
        deadline = LoopTimer(on: loop) { [weak self] in self?.timedOut() }
        setDeadline()
        askForSession()
    }

    private func setDeadline() {
        deadline?.schedule(at: (Instant(nanoseconds: loop.now) + patience.limit).nanoseconds)
    }

    private func timedOut() {
        if mayWaitOn, let source, source.mayWaitOn(isolation) {
            waits += 1
            return setDeadline()
        }
        fail(.timedOut)
    }

    private func askForSession() {
        guard let source else { return fail(.noSession(.noPath)) }
        state = .waiting
        unsent = []
        source.connect(self, isolation: isolation, needs: needs)
    }

    private var isLookup: Bool {
        switch kind {
        case .tcp, .udp: false
        case .resolve, .resolvePointer, .records: true
        }
    }

    /// What an exit must have beside TCP.
    private var needs: Descriptor.ExitSummary {
        switch (kind, destination.host) {
        case (.udp, _): .udp
        case (.tcp, .address(let address)) where address.v4 == nil: .ipv6
        case (.tcp, _), (.resolve, _), (.resolvePointer, _), (.records, _): []
        }
    }

    // MARK: Asking

    func open(on session: Session) {
        guard case .waiting = state else { return }
        if early == nil {
            guard let first = owner?.takeEarlyBytes() else { return cancel() }
            early = first
            if waits > 0 { setDeadline() }
        }
        let id: StreamID
        do throws(StreamError) { id = try session.connection.openStream() } catch { return fail(.broken) }
        state = .asked(Asked(session: session, stream: id))
        session.attach(self, to: id)
        let opening = OpenRequest(kind: kind, destination: destination).encoded()
        let bytes = opening + (early ?? [])
        let taken = session.connection.write(id, bytes.rawSpan)
        // An empty stream always takes a request, and of the early data what the session has room for.
        guard taken >= opening.count else { return fail(.broken) }
        unsent = Array(bytes.dropFirst(taken))
        // Behind a look-up nothing is sent.
        if isLookup || (owner?.endsEarly == true && unsent.isEmpty) { session.connection.finish(id) }
        session.touch()
    }

    func fail(_ reason: NoSession) { fail(.noSession(reason)) }

    // MARK: The exit's answer

    func streamReadable() {
        guard case .asked(let asked) = state, let session = asked.session else { return }
        var answer: Answer?
        var isBad = false
        session.connection.withReadable(asked.stream) { bytes in
            do throws(WireError) {
                guard let (found, consumed) = try Self.answer(in: bytes, to: kind) else { return 0 }
                answer = found
                return consumed
            } catch {
                isBad = true
                return 0
            }
        }
        session.touch()
        switch answer {
        case .opened:
            (session.owner as? ClientSession)?.streamTaken()
            guard let owner else { return cancel() }
            settle()
            owner.streamOpened(asked.stream, on: session, unsent: unsent)
        case .found(let result):
            (session.owner as? ClientSession)?.streamTaken()
            cancel()
            owner?.streamFound(result)
        case .failed(.tooManyStreams): askLater(asked)
        case .failed(let status):
            // A look-up that was tried was taken; of a connection only one that stands is known to be.
            if isLookup { (session.owner as? ClientSession)?.streamTaken() }
            fail(.refused(status))
        case nil: if isBad || session.connection.readState(asked.stream) != .open { fail(.broken) }
        }
    }

    /// The answer that `bytes` begin with, and how long it is; nil while more is needed.
    private static func answer(
        in bytes: RawSpan, to kind: OpenRequest.Kind
    ) throws(WireError) -> (Answer, consumed: Int)? {
        switch kind {
        case .tcp, .udp:
            guard let (reply, consumed) = try OpenReply.decode(from: bytes) else { return nil }
            return (reply.status == .ok ? .opened : .failed(reply.status), consumed)
        case .resolve, .resolvePointer:
            guard let reply = try LookupReply.decode(from: bytes, to: kind) else { return nil }
            switch reply.outcome {
            case .found(let host): return (.found(.host(host)), bytes.byteCount)
            case .failed(let status): return (.failed(status), bytes.byteCount)
            }
        case .records:
            guard let reply = try RecordsReply.decode(from: bytes) else { return nil }
            switch reply.outcome {
            case .found(let records): return (.found(.records(records)), bytes.byteCount)
            case .failed(let status): return (.failed(status), bytes.byteCount)
            }
        }
    }

    /// The exit takes no more streams now.
    private func askLater(_ asked: Asked) {
        (asked.session?.owner as? ClientSession)?.streamRefused()
        asked.session?.abandon(asked.stream, code: SessionError.cancelled)
        askForSession()
    }

    func streamWritable() {}
    func streamReset(code: UInt64) { fail(.broken) }
    /// It may answer all the same.
    func streamStopped(code: UInt64) {}
    func streamClosed() { fail(.broken) }

    func sessionEnded() {
        guard case .asked(let asked) = state else { return }
        let isUnsent = early?.isEmpty == true || asked.session?.connection.isUnsent(asked.stream) == true
        guard isUnsent else { return fail(.broken) }
        askForSession()
    }

    // MARK: Ends

    /// Gives the request up; the owner hears nothing more.
    func cancel() {
        if case .asked(let asked) = state { asked.session?.abandon(asked.stream, code: SessionError.cancelled) }
        settle()
    }

    private func fail(_ failure: StreamFailure) {
        guard !isOver else { return }
        cancel()
        owner?.streamFailed(failure)
    }

    private func settle() {
        state = .over
        early = []
        deadline?.close()
        deadline = nil
    }
}

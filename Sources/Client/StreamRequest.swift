internal import EventLoop
internal import Sessions
internal import Transport
internal import Wire

/// Gives stream requests the session of their isolation key.
protocol SessionSource: AnyObject {
    /// Makes `app` open a stream on the key's session, to an exit with `needs`, inside this call or when there is room.
    func connect(_ app: some SessionApp, isolation: IsolationKey, needs: Descriptor.ExitSummary)
    /// Whether an app of the key that has waited for long may keep waiting.
    func mayWaitOn(_ key: IsolationKey) -> Bool
}

/// The owner of a stream request.
protocol StreamRequestOwner: AnyObject {
    /// The bytes that directly follow the request; nil gives the request up, and the owner hears nothing more.
    ///
    /// Called once, before the first exit is asked.
    func takeEarlyBytes() -> [UInt8]?
    /// Whether nothing follows the early bytes.
    var endsEarly: Bool { get }
    /// The exit has a connection or UDP sockets; the owner takes over the stream and attaches itself to it.
    ///
    /// `unsent` is the rest of the early bytes, which the session has not accepted.
    func streamOpened(_ stream: StreamID, on session: Session, unsent: [UInt8])
    /// The exit has the result of a look-up.
    func streamFound(_ result: LookupResult)
    /// The request has failed.
    func streamFailed(_ failure: StreamFailure)
}

/// The result of a look-up.
enum LookupResult {
    /// The address of a name, or the name of an address.
    case host(Destination.Host)
    /// The records of a name.
    case records([RecordsReply.Record])
}

/// Why a request has failed.
enum StreamFailure {
    /// There was no session.
    case noSession(NoSession)
    /// No exit answered in time.
    case timedOut
    /// The exit refused with this status.
    case refused(OpenReply.Status)
    /// The stream has ended without an answer, or with one that breaks the rules.
    case broken
}

/// A request for a stream to an exit (protocol.md, section 7.1), from the wait for a session to the exit's answer.
///
/// An exit that accepts no more streams has passed nothing on, so this exit or another one is asked again. An exit
/// whose session ends before the answer may have passed on early bytes. Another exit is then asked only if there were
/// none, or if no packet has carried them.
final class StreamRequest: SessionApp, StreamUser {
    /// How long a request waits for an exit's answer.
    struct Patience {
        /// How long the exits have to answer.
        var limit: TimeSpan
        /// How many times the deadline may be put off before an exit is asked, as long as the queue advances.
        var waits: Int

        /// For an app's connection.
        static let connection = Patience(limit: .seconds(28), waits: 4)
        /// For a look-up of records: the time that the exit's resolver takes, and a little more for the path.
        static let records = Patience(limit: .seconds(12), waits: 0)
    }

    /// The stream on which an exit was asked.
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
        /// The owner was told the result, or has given the request up.
        case over
    }

    private enum Answer {
        case opened
        case found(LookupResult)
        case failed(OpenReply.Status)
    }

    /// The kind of the request.
    let kind: OpenRequest.Kind
    private let destination: Destination
    private let isolation: IsolationKey
    private let patience: Patience
    private weak var source: (any SessionSource)?
    private weak var owner: (any StreamRequestOwner)?
    private var state = State.idle
    /// The owner's early bytes; nil until an exit is asked.
    private var early: [UInt8]?
    /// The early bytes that the session has not accepted.
    private var unsent: [UInt8] = []
    /// How many times the deadline was put off.
    private var waits = 0
    private var deadline: LoopTimer?
    private let loop: Loop

    /// A request, which ``begin()`` sends; the owner keeps it.
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

    /// Whether the wait for an exit may be prolonged; an exit that was asked cannot prolong it by its answers.
    var mayWaitOn: Bool { early == nil && waits < patience.waits }

    /// Asks for a session; the owner may hear the result inside this call.
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

    /// The features beyond TCP that an exit must have.
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
        // A new stream always accepts a request, and as much of the early data as the session has room for.
        guard taken >= opening.count else { return fail(.broken) }
        unsent = Array(bytes.dropFirst(taken))
        // Nothing follows a look-up.
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
            (session.owner as? ClientSession)?.streamSucceeded()
            guard let owner else { return cancel() }
            settle()
            owner.streamOpened(asked.stream, on: session, unsent: unsent)
        case .found(let result):
            (session.owner as? ClientSession)?.streamSucceeded()
            cancel()
            owner?.streamFound(result)
        case .failed(.tooManyStreams): askLater(asked)
        case .failed(let status):
            // A failed look-up was accepted as a stream. Whether a connection was, is known only once it is open.
            let owner = session.owner as? ClientSession
            if isLookup { owner?.streamTaken() }
            owner?.streamFailed(to: destination.host)
            fail(.refused(status))
        case nil: if isBad || session.connection.readState(asked.stream) != .open { fail(.broken) }
        }
    }

    /// The answer at the beginning of `bytes`, and its length; nil if more bytes are needed.
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

    /// The exit accepts no more streams now: asks for a session again.
    private func askLater(_ asked: Asked) {
        (asked.session?.owner as? ClientSession)?.streamRefused()
        asked.session?.abandon(asked.stream, code: SessionError.cancelled)
        askForSession()
    }

    func streamWritable() {}
    func streamReset(code: UInt64) { fail(.broken) }
    /// The exit may still answer.
    func streamStopped(code: UInt64) {}
    func streamClosed() { fail(.broken) }

    func sessionEnded() {
        guard case .asked(let asked) = state else { return }
        let isUnsent = early?.isEmpty == true || asked.session?.connection.isUnsent(asked.stream) == true
        guard isUnsent else { return fail(.broken) }
        askForSession()
    }

    // MARK: Ends

    /// Gives up the request; the owner hears nothing more.
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

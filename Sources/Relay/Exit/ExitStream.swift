internal import DNSProtocol
internal import EventLoop
internal import Link
internal import Sessions
internal import Transport
internal import Wire

/// One stream of a session on its way to the outside: request, name, connection, then bytes both ways.
///
/// The request's destination is held only until the connection stands, and appears in no log.
final class ExitStream: StreamUser {
    /// How long resolving and connecting may take together.
    static let openLimit = TimeSpan.seconds(20)

    private let gate: ExitGate
    private weak var session: Session?
    private let id: StreamID
    private let ended: () -> Void
    private var query: ExitResolver.Query?
    private var race: ConnectionRace?
    private var pump: StreamPump?
    private var association: ExitAssociation?
    private var deadline: LoopTimer?
    private var hasRequest = false
    private var isOver = false

    /// Serves the stream `id`; `ended` is called once, when it holds nothing any more.
    init(session: Session, id: StreamID, gate: ExitGate, ended: @escaping () -> Void) {
        self.session = session
        self.id = id
        self.gate = gate
        self.ended = ended
    }

    // MARK: Request

    func streamReadable() {
        if let pump { return pump.toSocket() }
        if association != nil { return associationReadable() }
        guard !hasRequest, !isOver, let session else { return }
        var request: OpenRequest?
        var isBad = false
        session.connection.withReadable(id) { bytes in
            do throws(WireError) {
                guard let found = try OpenRequest.decode(from: bytes) else { return 0 }
                request = found.request
                return found.consumed
            } catch {
                isBad = true
                return 0
            }
        }
        if let request {
            hasRequest = true
            open(request)
        } else if isBad || session.connection.readState(id) != .open {
            refuse(.generalFailure)
        }
    }

    private func open(_ request: OpenRequest) {
        guard gate.isExit, let session else { return refuse(.notAllowed) }
        if request.kind == .udp { return associate() }
        deadline = LoopTimer(on: gate.loop) { [weak self] in self?.refuse(.timeout) }
        deadline?.schedule(at: (Instant(nanoseconds: gate.loop.now) + Self.openLimit).nanoseconds)
        let port = request.destination.port
        switch request.destination.host {
        case .address(let address) where request.kind == .resolvePointer: lookUpName(of: address)
        case .address(let address):
            let only = SocketAddress(high: address.high, low: address.low, port: port)
            connect(to: [only])
        case .name(let name) where request.kind == .records: ask(for: RecordType(rawValue: port), of: name)
        case .name(let name):
            wait(
                for: gate.resolver.resolve(name, port: port, for: session) { [weak self] answer in
                    guard let self, !isOver else { return }
                    query = nil
                    switch answer {
                    case .success(let addresses) where request.kind == .resolve: tell(addresses)
                    case .success(let addresses): connect(to: addresses)
                    case .failure(let error): refuse(Self.status(of: error))
                    }
                })
        }
    }

    /// Waits for an answer of the resolver, or refuses when the session has no query left.
    private func wait(for query: ExitResolver.Query?) {
        guard let query else { return refuse(.generalFailure) }
        self.query = query
    }

    private static func status(of error: ResolverError) -> OpenReply.Status {
        switch error {
        case .notFound, .invalidName: .hostNotFound
        case .timedOut: .timeout
        case .tooManyQueries, .failed: .generalFailure
        }
    }

    // MARK: Look-ups

    /// Tells the first address that the policy allows: names of the exit's own network stay there.
    private func tell(_ addresses: [SocketAddress]) {
        let found = addresses.lazy.map { IPAddress(high: $0.high, low: $0.low) }.first { self.gate.policy.answers($0) }
        guard let found else { return refuse(.notAllowed) }
        end(with: LookupReply.encoded(found: .address(found)))
    }

    private func lookUpName(of address: IPAddress) {
        guard let session, gate.policy.answers(address) else { return refuse(.notAllowed) }
        let asked = SocketAddress(high: address.high, low: address.low, port: 0)
        wait(
            for: gate.resolver.name(of: asked, for: session) { [weak self] answer in
                guard let self, !isOver else { return }
                query = nil
                switch answer {
                case .success(let text):
                    guard let name = HostName(text) else { return refuse(.hostNotFound) }
                    end(with: LookupReply.encoded(found: .name(name)))
                case .failure(let error): refuse(Self.status(of: error))
                }
            })
    }

    /// The times to live that clients hear of: what they keep tells nobody when it was asked for.
    private static let timesToLive: (short: UInt32, long: UInt32) = (60, 300)

    private func ask(for type: RecordType, of name: HostName) {
        guard let session, type.isCarried else { return refuse(.generalFailure) }
        if type == .ptr, let address = RecordData.address(named: name), !gate.policy.answers(address) {
            return refuse(.notAllowed)
        }
        wait(
            for: gate.resolver.records(of: name, type: type.rawValue, for: session) { [weak self] answer in
                guard let self, !isOver else { return }
                query = nil
                switch answer {
                case .success(let message):
                    guard let records = NameServerAnswer.records(of: name, type: type, in: message.rawSpan) else {
                        return refuse(.generalFailure)
                    }
                    tell(records, type)
                case .failure(let error): refuse(Self.status(of: error))
                }
            })
    }

    /// Tells the records but for addresses that the policy does not allow: names of the exit's own network stay there.
    private func tell(_ records: [RecordsReply.Record], _ type: RecordType) {
        let allowed = records.filter { record in
            RecordData.addresses(record.data, of: type).allSatisfy(gate.policy.answers)
        }
        guard !allowed.isEmpty || records.isEmpty else { return refuse(.notAllowed) }
        let (short, long) = Self.timesToLive
        let told = allowed.map {
            RecordsReply.Record(timeToLive: $0.timeToLive < long ? short : long, data: $0.data)
        }
        end(with: RecordsReply(.found(told)).encoded())
    }

    // MARK: UDP

    /// Opens a UDP association, which ends with the stream.
    private func associate() {
        guard let session else { return }
        guard gate.associations.enter(self, for: session) else { return refuse(.generalFailure) }
        guard gate.sockets.enter(self, for: session) else {
            gate.associations.leave(self)
            return refuse(.generalFailure)
        }
        let association = ExitAssociation(session: session, flow: id, gate: gate) { [weak self] in self?.leave() }
        guard association.open() else {
            association.close()
            gate.associations.leave(self)
            return refuse(.generalFailure)
        }
        association.onActivity = { [weak self] in
            if let self { gate.sockets.noteActivity(of: self) }
        }
        self.association = association
        _ = session.connection.write(id, OpenReply(status: .ok).encoded().rawSpan)
        session.touch()
    }

    func streamDatagram(_ bytes: [UInt8]) { association?.send(bytes) }

    /// Nothing comes on the stream but its end, which is the association's.
    private func associationReadable() {
        guard let session else { return }
        session.connection.withReadable(id) { $0.byteCount }
        if session.connection.readState(id) != .open { leave() }
    }

    /// Ends the stream, whose sockets another source needs: the client is told, and so is the destination.
    fileprivate func giveWay() {
        if let pump { return pump.fail() }
        if association != nil { return leave() }
        refuse(.generalFailure)
    }

    /// Ends an association of either side: the stream is done, and with it the sockets.
    fileprivate func leave() {
        guard !isOver, let session else { return }
        session.connection.finish(id)
        session.connection.stopSending(id, code: SessionError.cancelled)
        session.touch()
        finish()
    }

    // MARK: Connection

    /// Tries the addresses that the policy allows: it is asked about what is really connected to, behind every name.
    private func connect(to addresses: [SocketAddress]) {
        let allowed = addresses.filter {
            gate.policy.allows(IPAddress(high: $0.high, low: $0.low), port: $0.port, .tcp)
        }
        guard !allowed.isEmpty else { return refuse(addresses.isEmpty ? .hostNotFound : .notAllowed) }
        guard let session, gate.sockets.enter(self, for: session) else { return refuse(.generalFailure) }
        let race = ConnectionRace(on: gate.loop, to: allowed) { [weak self] result in
            switch result {
            case .success(let stream): if let self { connected(stream) } else { stream.close() }
            case .failure(let error): self?.refuse(Self.status(of: error))
            }
        }
        self.race = race
        race.start()
    }

    private func connected(_ stream: ByteStream) {
        guard let session, !isOver else { return stream.close() }
        race = nil
        deadline?.close()
        deadline = nil
        _ = session.connection.write(id, OpenReply(status: .ok).encoded().rawSpan)
        session.touch()
        // The session lets go of a stream that is done both ways, while the socket may have bytes yet to write.
        let pump = StreamPump(session: session, id: id, socket: stream) { self.finish() }
        pump.onActivity = { [weak self] in
            if let self { gate.sockets.noteActivity(of: self) }
        }
        self.pump = pump
        pump.start()
    }

    private static func status(of failure: UVError) -> OpenReply.Status {
        switch failure.kind {
        case .connectionRefused, .connectionReset: .refused
        case .timedOut: .timeout
        case .networkUnreachable: .networkUnreachable
        case .hostUnreachable: .hostUnreachable
        case .notPermitted: .notAllowed
        case .addressInUse, .noResources, .cancelled, .other: .generalFailure
        }
    }

    // MARK: Ends

    /// Tells the client why there is no connection, and takes no more.
    func refuse(_ status: OpenReply.Status) { end(with: OpenReply(status: status).encoded()) }

    /// Answers a stream for which nothing was made.
    static func refuse(_ id: StreamID, in session: Session, _ status: OpenReply.Status) {
        answer(id, in: session, OpenReply(status: status).encoded())
    }

    private static func answer(_ id: StreamID, in session: Session, _ answer: [UInt8]) {
        _ = session.connection.write(id, answer.rawSpan)
        session.connection.finish(id)
        session.connection.stopSending(id, code: SessionError.cancelled)
        session.touch()
    }

    /// Sends the whole of what the client gets here, and takes no more.
    private func end(with answer: [UInt8]) {
        guard !isOver, let session else { return }
        Self.answer(id, in: session, answer)
        finish()
    }

    private func finish() {
        guard !isOver else { return }
        isOver = true
        if let query { gate.resolver.cancel(query) }
        race?.cancel()
        race = nil
        deadline?.close()
        deadline = nil
        if let association {
            association.close()
            gate.associations.leave(self)
        }
        association = nil
        pump = nil
        gate.sockets.leave(self)
        ended()
    }

    var heldBytes: Int { pump?.heldBytes ?? association?.heldBytes ?? 0 }

    func streamWritable() { pump?.toSession() }

    func streamReset(code: UInt64) {
        if let pump { pump.fail() } else { abandon() }
    }

    func streamStopped(code: UInt64) {
        if let pump { pump.fail() } else { abandon() }
    }

    func streamClosed() {
        if let pump { pump.streamClosed() } else { abandon() }
    }

    func sessionEnded() {
        if let pump { pump.fail() } else { abandon() }
    }

    /// The client gave the stream up before there was a connection.
    private func abandon() {
        guard !isOver else { return }
        session?.abandon(id, code: SessionError.cancelled)
        finish()
    }
}

/// What all streams to the outside share.
final class ExitGate {
    let loop: Loop
    let resolver: ExitResolver
    /// Whether this node is an exit at all.
    let isExit: Bool
    var policy: ExitPolicy
    let shares: ExitShares
    let associations: ExitAssociations
    let sockets: ExitSockets
    /// Datagrams of all associations that went no further.
    var datagramDrops = DatagramDrops()

    init(loop: Loop, isExit: Bool, policy: ExitPolicy, resolvers: [String]? = nil) throws(UVError) {
        self.loop = loop
        self.isExit = isExit
        self.policy = policy
        var configuration = Resolver.Configuration()
        configuration.servers = resolvers
        shares = ExitShares()
        associations = ExitAssociations(shares: shares)
        sockets = ExitSockets(shares: shares) { loop.hasDescriptorsToSpare }
        resolver = ExitResolver(try Resolver(on: loop, configuration: configuration), shares: shares)
    }
}

/// Whom sessions count for in what they share: the source of their first path, and a session by itself where that is unknown.
final class ExitShares {
    enum Group: Hashable {
        case source(LinkSource)
        case session(ObjectIdentifier)
    }

    /// The source of a session's first path.
    var sourceOf: (Session) -> LinkSource? = { _ in nil }

    func group(of session: Session) -> Group {
        sourceOf(session).map { .source($0) } ?? .session(ObjectIdentifier(session))
    }
}

/// The streams and UDP associations that have sockets: without a descriptor to spare, each source has a share of the sockets, and
/// in it each session.
///
/// Streams that connect, and associations, may have a few sockets for the one that is counted.
final class ExitSockets {
    /// More than a process can have descriptors: what is bounded are these.
    private static let limit = 1 << 30

    private let shares: ExitShares
    /// Whether one more socket can be had.
    var hasRoom: () -> Bool
    private var places = SharedTable<ExitShares.Group, ObjectIdentifier, ObjectIdentifier>(capacity: limit, most: limit)
    private var streams: [ObjectIdentifier: ExitStream] = [:]

    init(shares: ExitShares, hasRoom: @escaping () -> Bool) {
        self.shares = shares
        self.hasRoom = hasRoom
    }

    var count: Int { places.count }

    /// Takes a place for a stream of `session`; false when there is none.
    ///
    /// Without a descriptor to spare the source with the most sockets gives one up to a source that has at least two fewer, or
    /// none: of its session with the most, that of the stream that was idle for longest.
    func enter(_ stream: ExitStream, for session: Session) -> Bool {
        let insertion = places.insert(
            ObjectIdentifier(stream), for: ObjectIdentifier(session), in: shares.group(of: session), isFull: !hasRoom())
        if case .refused = insertion { return false }
        streams[ObjectIdentifier(stream)] = stream
        if case .replaced(let other) = insertion { streams.removeValue(forKey: other)?.giveWay() }
        return true
    }

    /// Notes that bytes of the stream have moved; nothing happens when it has no place.
    func noteActivity(of stream: ExitStream) { places.setBusy(ObjectIdentifier(stream), false) }

    /// Gives the place back; nothing happens when it has none.
    func leave(_ stream: ExitStream) {
        places.remove(ObjectIdentifier(stream))
        streams[ObjectIdentifier(stream)] = nil
    }
}

/// The UDP associations of all sessions: each source has a share of them, and in it each session.
final class ExitAssociations {
    /// How many there may be.
    static let limit = 8_192

    private let shares: ExitShares
    private var places: SharedTable<ExitShares.Group, ObjectIdentifier, ObjectIdentifier>
    private var streams: [ObjectIdentifier: ExitStream] = [:]

    init(limit: Int = ExitAssociations.limit, shares: ExitShares = ExitShares()) {
        self.shares = shares
        places = SharedTable(capacity: limit, most: limit)
    }

    var count: Int { places.count }

    /// Takes a place for an association of `session`, for which that of another may end; false when there is none.
    func enter(_ stream: ExitStream, for session: Session) -> Bool {
        let insertion = places.insert(
            ObjectIdentifier(stream), for: ObjectIdentifier(session), in: shares.group(of: session))
        if case .refused = insertion { return false }
        streams[ObjectIdentifier(stream)] = stream
        if case .replaced(let other) = insertion { streams.removeValue(forKey: other)?.leave() }
        return true
    }

    /// Gives the place back; nothing happens when it has been given to another.
    func leave(_ stream: ExitStream) {
        places.remove(ObjectIdentifier(stream))
        streams[ObjectIdentifier(stream)] = nil
    }
}

internal import Directory
internal import Link
internal import OnionCrypto
internal import Sessions
internal import Transport
internal import Wire

/// A session that a client has begun with this node: its legs, and how many streams it has.
final class HostedSession: SessionOwner {
    /// After how long a session that holds memory and moves nothing of it counts as stalled.
    static let stalledAfter = TimeSpan.seconds(5)

    let id: [UInt8]
    /// The host's number for it, which no other session has.
    let number: UInt64
    let secret: Secret
    let session: Session
    /// Whom it counts for: the source of its first path.
    let source: LinkSource
    private unowned let host: SessionHost
    private(set) var legs: [LegID: SessionLeg] = [:]
    /// Since when it has no leg.
    private(set) var leglessSince: Instant?
    /// How many streams of the peer something is held for.
    private(set) var streams = 0
    private var newStreams: TokenBucket
    /// How much of its streams had moved when last looked at, and since when it is that.
    private var moved: UInt64 = 0
    private var movedAt: Instant
    /// Whether it stands in the line of the rate gate.
    private var isHeldBack = false

    /// A session of `host` without legs; `newStreams` is the rate of its streams.
    init(
        id: [UInt8], number: UInt64, secret: consuming Secret, session: Session, source: LinkSource,
        newStreams: TokenBucket,
        host: SessionHost, now: Instant
    ) {
        self.id = id
        self.number = number
        self.secret = secret
        self.session = session
        self.source = source
        self.newStreams = newStreams
        self.host = host
        movedAt = now
        session.owner = self
    }

    /// Whom its streams count for.
    var share: StreamShare { StreamShare(source: source, session: ObjectIdentifier(session)) }

    /// What it holds in memory; notes whether anything has moved.
    func holder(_ now: Instant) -> MemoryHolder<LinkSource> {
        let count = session.connection.movedBytes
        // Who has nothing to move, or datagrams alone, does not stall.
        if count != moved || !session.connection.hasWaitingBytes { (moved, movedAt) = (count, now) }
        return MemoryHolder(source: source, bytes: session.memoryUse, isStalled: now - movedAt >= Self.stalledAfter)
    }

    // MARK: Legs

    /// Takes a path as leg `id`; false when it has a leg of this number, or as many as it may.
    func add(_ leg: SessionLeg, as id: LegID, now: Instant) -> Bool {
        guard session.connection.addLeg(id, payloadSize: host.payloadSize, now: now) else { return false }
        legs[id] = leg
        leglessSince = nil
        return true
    }

    /// Lets go of a leg whose path is gone; it goes on over its other legs, at once on one of them.
    func remove(_ id: LegID) {
        guard legs.removeValue(forKey: id) != nil else { return }
        let now = session.turn.now
        session.connection.removeLeg(id, now: now)
        if legs.isEmpty { leglessSince = now }
        session.touch()
    }

    func transmit(_ session: Session, now: Instant) -> Bool {
        var hasSent = false
        for (id, leg) in legs {
            while session.connection.wantsToSend(leg: id, now: now) {
                guard host.rateGate.admits else {
                    if !isHeldBack { host.rateGate.hold(self, hasSent: hasSent) }
                    isHeldBack = true
                    return false
                }
                let isSent = leg.path.send(now: now) { number, payload in
                    session.connection.writePacket(leg: id, packetNumber: number, into: &payload, now: now)
                }
                if !isSent { break }
                hasSent = true
                for _ in 0..<session.connection.numbersToSkip() { leg.path.skipNumber() }
            }
        }
        return true
    }

    /// The rate lets sessions send again.
    func goOn() {
        isHeldBack = false
        session.touch()
    }

    // MARK: Streams

    func event(_ event: Event, in session: Session) {
        switch event {
        case .streamOpened(let id): opened(id)
        case .legClosed(let id): legs[id]?.path.end()
        case .datagram, .readable, .writable, .finished, .reset, .stopSending, .streamClosed, .streamsAvailable,
            .legValidated, .legSuspect, .legActivated, .pathChallenge, .pathResponse, .closed:
            break
        }
    }

    private func opened(_ id: StreamID) {
        // Charged before anything is made for it.
        guard streams < host.limits.streamsPerSession, newStreams.take(now: session.turn.now) else {
            return HostedStream.end(id, in: session, with: OpenReply(status: .tooManyStreams).encoded())
        }
        streams += 1
        if streams == 1 { host.setBusy(self, true) }
        session.attach(HostedStream(id, of: self, services: host.services), to: id)
    }

    /// A stream of the peer is over, and nothing is held for it.
    func streamEnded() {
        streams -= 1
        if streams == 0 { host.setBusy(self, false) }
    }

    // MARK: End

    func closed(_ session: Session) { host.end(self) }

    /// Ends the streams, and the paths of the legs.
    func end() {
        session.end()
        let ending = legs
        legs = [:]
        for leg in ending.values { leg.path.end() }
    }
}

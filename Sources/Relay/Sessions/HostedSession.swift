internal import Directory
internal import Link
internal import OnionCrypto
internal import Sessions
internal import Transport
internal import Wire

/// A session that a client has begun with this node, with its legs and the number of its streams.
final class HostedSession: SessionOwner {
    /// The memory of a session that may be without use and yet not give way before others.
    private static let unusedMemory = 64 << 10

    let id: [UInt8]
    /// The host's number for the session, which no other session has.
    let number: UInt64
    let secret: Secret
    let session: Session
    /// The source that the session counts for: that of its first path.
    let source: LinkSource
    private unowned let host: SessionHost
    private(set) var legs: [LegID: SessionLeg] = [:]
    /// Since when the session has had no leg; nil while it has one, and before its first.
    private(set) var leglessSince: Instant?
    /// The number of the peer's streams that hold resources here.
    private(set) var streams = 0
    /// How many of them a service has taken.
    private var served = 0
    private var newStreams: TokenBucket
    /// Whether it waits at the rate gate.
    private var isHeldBack = false

    /// A session of `host` without legs.
    ///
    /// `newStreams` limits the rate of new streams.
    init(
        id: [UInt8], number: UInt64, secret: consuming Secret, session: Session, source: LinkSource,
        newStreams: TokenBucket,
        host: SessionHost
    ) {
        self.id = id
        self.number = number
        self.secret = secret
        self.session = session
        self.source = source
        self.newStreams = newStreams
        self.host = host
        session.owner = self
    }

    /// The share that the session's streams count for.
    var share: StreamShare { StreamShare(source: source, session: ObjectIdentifier(session)) }

    /// The session as a holder of memory; also notes whether it has moved any bytes.
    ///
    /// A session with more than a little memory besides its buffers counts as stalled too if half of its streams have
    /// requested nothing: such streams cost a client a few bytes each.
    func holder(_ now: Instant) -> MemoryHolder<LinkSource.Group> {
        let bytes = session.memoryUse
        let isStalled = session.noteProgress(at: now)
        let others = bytes - session.connection.bufferedBytes
        let isUnused = others > Self.unusedMemory && served * 2 <= session.connection.openStreamCount
        return MemoryHolder(source: source.group, bytes: bytes, isStalled: isStalled || isUnused)
    }

    // MARK: Legs

    /// Adds a path as leg `id`; returns false if the session has this leg already or has its limit of legs.
    func add(_ leg: SessionLeg, as id: LegID, now: Instant) -> Bool {
        guard session.connection.addLeg(id, payloadSize: host.payloadSize, now: now) else { return false }
        legs[id] = leg
        leglessSince = nil
        return true
    }

    /// Removes a leg whose path has ended.
    ///
    /// The session continues over its other legs at once.
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
                if !isSent {
                    if !leg.path.hasRoom { session.waitForRoom() }
                    break
                }
                hasSent = true
                for _ in 0..<session.connection.numbersToSkip() { leg.path.skipNumber() }
            }
        }
        return true
    }

    /// Continues to send, when the rate gate allows it again.
    func goOn() {
        isHeldBack = false
        session.touch()
    }

    // MARK: Streams

    func event(_ event: ConnectionEvent, in session: Session) {
        switch event {
        case .streamOpened(let id): opened(id)
        case .legClosed(let id): legs[id]?.path.end()
        case .datagram, .readable, .writable, .finished, .reset, .stopSending, .streamClosed, .streamsAvailable,
            .legValidated, .legSuspect, .legActivated, .pathChallenge, .pathResponse, .closed:
            break
        }
    }

    private func opened(_ id: StreamID) {
        // The rate is charged before anything is allocated for the stream.
        guard streams < host.limits.streamsPerSession, newStreams.take(now: session.turn.now) else {
            return HostedStream.end(id, in: session, with: OpenReply(status: .tooManyStreams).encoded())
        }
        streams += 1
        session.attach(HostedStream(id, of: self, services: host.services), to: id)
    }

    /// To be called when a service has taken a stream of the peer.
    func streamServed() {
        served += 1
        if served == 1 { host.setBusy(self, true) }
    }

    /// To be called when a stream of the peer no longer holds resources; `wasServed` tells whether a service had taken
    /// it.
    func streamEnded(wasServed: Bool) {
        streams -= 1
        guard wasServed else { return }
        served -= 1
        if served == 0 { host.setBusy(self, false) }
    }

    // MARK: End

    func closed(_ session: Session) { host.end(self) }

    /// Ends the streams and the paths of the legs.
    func end() {
        session.end()
        let ending = legs
        legs = [:]
        for leg in ending.values { leg.path.end() }
    }
}

internal import EventLoop
internal import Sessions
internal import Transport
internal import Wire

/// A client's UDP association at the exit: sockets of its own, the hosts that it speaks to, and the names that stand for them.
///
/// What cannot be sent is dropped and counted, as UDP has it. Only hosts that were sent something are heard.
final class ExitAssociation: DatagramReceiver {
    /// How long it lives without a datagram in either direction.
    static let idleLimit = TimeSpan.seconds(300)
    /// The most names that are remembered; the one that was longest not used makes room.
    static let nameLimit = 64
    /// The most datagrams, and their bytes, that wait for names.
    static let waitingLimit = (count: 64, bytes: 256 << 10)
    /// How long a name that was not found is not asked for again.
    static let failureLimit = TimeSpan.seconds(5)
    /// What all hosts together may be sent, in bytes.
    private static let rate = TokenBucket.Rate(perSecond: 32_768 << 10, burst: 8_192 << 10)

    private struct Name {
        /// Nil while they are being looked up; none where the name has none.
        var addresses: [IPAddress]?
        var lastUsed: Instant
        var failed: Instant?
        var query: ExitResolver.Query?
    }

    private let gate: ExitGate
    private weak var session: Session?
    private let flow: StreamID
    private let ended: () -> Void
    private var v4: DatagramSocket?
    private var v6: DatagramSocket?
    private var peers: FlowPeers
    private var budget: TokenBucket
    private var names: [HostName: Name] = [:]
    private var waiting: [(name: HostName, port: UInt16, datagram: [UInt8], offset: Int)] = []
    private var waitingBytes = 0
    private var lastUsed: Instant
    /// Called when a datagram comes from either side, at most once in `StreamPump.activityInterval`.
    var onActivity: (() -> Void)?
    private var nextActivity = Instant(nanoseconds: 0)
    private var timer: LoopTimer?
    private var isOver = false

    /// An association without sockets yet; `ended` is called once, when it has been idle for too long.
    init(session: Session, flow: StreamID, gate: ExitGate, ended: @escaping () -> Void) {
        let now = Instant(nanoseconds: gate.loop.now)
        self.gate = gate
        self.session = session
        self.flow = flow
        self.ended = ended
        peers = FlowPeers(now: now)
        budget = TokenBucket(Self.rate, now: now)
        lastUsed = now
        timer = LoopTimer(on: gate.loop) { [weak self] in self?.timerFired() }
        timer?.schedule(at: (now + Self.idleLimit).nanoseconds)
    }

    /// Opens the socket for IPv4; false where none is to be had.
    func open() -> Bool {
        v4 = socket(at: .anyIPv4(port: 0))
        return v4 != nil
    }

    private func socket(at address: SocketAddress) -> DatagramSocket? {
        guard gate.loop.hasDescriptorsToSpare else { return nil }
        return try? DatagramSocket(on: gate.loop, bindTo: address, configuration: .small, receiver: self)
    }

    private func timerFired() {
        let end = lastUsed + Self.idleLimit
        if end.nanoseconds > gate.loop.now { timer?.schedule(at: end.nanoseconds) } else { ended() }
    }

    private func noteUse(_ now: Instant) {
        lastUsed = now
        guard now >= nextActivity else { return }
        nextActivity = now + StreamPump.activityInterval
        onActivity?()
    }

    /// Bytes that wait for names, and what the hosts' entries take.
    var heldBytes: Int { waitingBytes + peers.heldBytes }

    // MARK: To the outside

    /// Takes a datagram from the client.
    func send(_ datagram: [UInt8]) {
        guard !isOver else { return }
        guard let (peer, offset) = try? FlowDatagram.decode(from: datagram.rawSpan) else {
            return gate.datagramDrops.add(.udpUnreadable)
        }
        let now = Instant(nanoseconds: gate.loop.now)
        noteUse(now)
        switch peer.host {
        case .address(let address): send(datagram, offset, to: address, peer.port, as: peer.host, now)
        case .name(let name):
            if let failed = names[name]?.failed, now - failed > Self.failureLimit { names[name] = nil }
            if names[name] == nil { look(up: name, now) }
            names[name]?.lastUsed = now
            guard let addresses = names[name]?.addresses else {
                return wait(for: name, peer.port, datagram, offset)
            }
            send(datagram, offset, toFirstOf: addresses, peer.port, as: peer.host, now)
        }
    }

    private func send(
        _ datagram: [UInt8], _ offset: Int, toFirstOf addresses: [IPAddress], _ port: UInt16,
        as host: Destination.Host, _ now: Instant
    ) {
        guard let address = addresses.first(where: { gate.policy.allows($0, port: port, .udp) }) else {
            return gate.datagramDrops.add(addresses.isEmpty ? .udpName : .udpNotAllowed)
        }
        send(datagram, offset, to: address, port, as: host, now)
    }

    private func send(
        _ datagram: [UInt8], _ offset: Int, to address: IPAddress, _ port: UInt16, as host: Destination.Host,
        _ now: Instant
    ) {
        let count = datagram.count - offset
        guard gate.policy.allows(address, port: port, .udp), let socket = socket(for: address) else {
            return gate.datagramDrops.add(.udpNotAllowed)
        }
        guard budget.take(count + FlowPeers.datagramOverhead, now: now) else { return gate.datagramDrops.add(.udpRate) }
        if let reason = peers.send(count, to: address, port: port, as: host, now: now) {
            return gate.datagramDrops.add(reason)
        }
        let target = SocketAddress(high: address.high, low: address.low, port: port)
        socket.send(datagram.rawSpan.extracting(droppingFirst: offset), to: target)
    }

    /// The socket of the address' family; that of IPv6 is opened when it is first needed.
    private func socket(for address: IPAddress) -> DatagramSocket? {
        if address.v4 != nil { return v4 }
        if v6 == nil { v6 = socket(at: .anyIPv6(port: 0)) }
        return v6
    }

    // MARK: Names

    private func look(up name: HostName, _ now: Instant) {
        if names.count >= Self.nameLimit {
            guard
                let oldest = names.filter({ $0.value.query == nil }).min(by: { $0.value.lastUsed < $1.value.lastUsed })
            else { return }
            names[oldest.key] = nil
        }
        guard let session,
            let query = gate.resolver.resolve(
                name, port: 0, for: session,
                callback: { [weak self] answer in
                    self?.found(name, answer)
                })
        else { return }
        names[name] = Name(addresses: nil, lastUsed: now, query: query)
    }

    private func wait(for name: HostName, _ port: UInt16, _ datagram: [UInt8], _ offset: Int) {
        guard names[name] != nil, waiting.count < Self.waitingLimit.count,
            waitingBytes + datagram.count <= Self.waitingLimit.bytes
        else { return gate.datagramDrops.add(.udpName) }
        waitingBytes += datagram.count
        waiting.append((name, port, datagram, offset))
    }

    private func found(_ name: HostName, _ answer: Resolver.Answer) {
        guard !isOver, names[name] != nil else { return }
        let now = Instant(nanoseconds: gate.loop.now)
        names[name]?.query = nil
        switch answer {
        case .success(let addresses): names[name]?.addresses = addresses.map { IPAddress(high: $0.high, low: $0.low) }
        case .failure:
            names[name]?.addresses = []
            names[name]?.failed = now
        }
        let mine = waiting.filter { $0.name == name }
        waiting.removeAll { $0.name == name }
        for datagram in mine {
            waitingBytes -= datagram.datagram.count
            send(
                datagram.datagram, datagram.offset, toFirstOf: names[name]?.addresses ?? [], datagram.port,
                as: .name(name), now)
        }
    }

    // MARK: From the outside

    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        guard !isOver, let session, !session.connection.isClosed else { return }
        for index in 0..<batch.count {
            let source = batch.source(of: index)
            let address = IPAddress(high: source.high, low: source.low)
            guard let peer = peers.received(from: address, port: source.port) else { continue }
            let packet = batch.packet(index)
            guard let bytes = FlowDatagram.encoded(peer, packet.bytes) else { continue }
            noteUse(Instant(nanoseconds: gate.loop.now))
            if !session.connection.sendDatagram(flow: flow.value, bytes.rawSpan) {
                gate.datagramDrops.add(.udpQueue)
            }
        }
        session.touch()
    }

    // MARK: End

    /// Closes the sockets and forgets everything; a second call does nothing.
    func close() {
        guard !isOver else { return }
        isOver = true
        timer?.close()
        timer = nil
        for name in names.values { if let query = name.query { gate.resolver.cancel(query) } }
        names = [:]
        waiting = []
        waitingBytes = 0
        v4?.close()
        v6?.close()
        v4 = nil
        v6 = nil
    }
}

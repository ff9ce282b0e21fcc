internal import EventLoop
internal import Sessions
internal import Transport
internal import Wire

/// A client's UDP association at the exit, with its own sockets, the hosts that it speaks to, and their names.
///
/// Datagrams that cannot be sent are dropped and counted, as is usual for UDP. Only hosts that were sent a datagram are
/// heard.
final class ExitAssociation: DatagramReceiver, StreamUser, PlaceHolder {
    /// Opens UDP associations.
    struct Service: StreamService {
        let exit: Exit

        func open(_ request: OpenRequest, on stream: HostedStream) -> (any StreamUser)? {
            let association = ExitAssociation(stream, exit)
            association.open()
            return association
        }
    }

    /// The longest time without a datagram in either direction.
    static let idleLimit = TimeSpan.seconds(300)
    /// The most names that are remembered.
    ///
    /// The least recently used one makes room.
    static let nameLimit = 64
    /// The memory of a name with its addresses, and what a socket's queue has touched, in bytes.
    private static let (nameBytes, socketBytes) = (704, 10 << 10)
    /// The most datagrams that wait for names, and the most bytes of these.
    static let waitingLimit = (count: 64, bytes: 256 << 10)
    /// The time after which a name that was not found may be looked up again.
    static let failureLimit = TimeSpan.seconds(5)
    /// The rate at which all hosts together may be sent bytes.
    private static let rate = TokenBucket.Rate(perSecond: 32_768 << 10, burst: 8_192 << 10)

    private struct Name {
        /// Nil during the look-up; empty if the name was not found or has no addresses.
        var addresses: [IPAddress]?
        var lastUsed: Instant
        var failed: Instant?
        var query: ExitResolver.Query?
    }

    private let exit: Exit
    private let stream: HostedStream
    private var v4: DatagramSocket?
    private var v6: DatagramSocket?
    private var peers: FlowPeers
    private var budget: TokenBucket
    private var names: [HostName: Name] = [:]
    private var waiting: [(name: HostName, port: UInt16, datagram: [UInt8], offset: Int)] = []
    private var waitingBytes = 0
    private var lastUsed: Instant
    /// When the next datagram counts as activity again.
    private var nextActivity = Instant(nanoseconds: 0)
    private var timer: LoopTimer?
    private var isOver = false

    private init(_ stream: HostedStream, _ exit: Exit) {
        let now = Instant(nanoseconds: exit.loop.now)
        self.exit = exit
        self.stream = stream
        peers = FlowPeers(for: stream.share)
        budget = TokenBucket(Self.rate, now: now)
        lastUsed = now
    }

    /// Takes a place and opens the IPv4 socket.
    private func open() {
        guard exit.associations.enter(self, for: stream.share), exit.sockets.enter(self, for: stream.share) else {
            return refuse()
        }
        v4 = socket(at: .anyIPv4(port: 0))
        guard v4 != nil else { return refuse() }
        timer = LoopTimer(on: exit.loop) { [weak self] in self?.timerFired() }
        timer?.schedule(at: (lastUsed + Self.idleLimit).nanoseconds)
        stream.accept()
    }

    /// A socket of this association; nil if the system gives none, for example without that address family.
    private func socket(at address: SocketAddress) -> DatagramSocket? {
        guard exit.loop.hasDescriptorsToSpare else { return nil }
        return try? DatagramSocket(on: exit.loop, bindTo: address, configuration: .small, receiver: self)
    }

    private func timerFired() {
        let end = lastUsed + Self.idleLimit
        if end.nanoseconds > exit.loop.now { timer?.schedule(at: end.nanoseconds) } else { leave() }
    }

    private func noteUse(_ now: Instant) {
        lastUsed = now
        guard now >= nextActivity else { return }
        nextActivity = now + StreamPump.activityInterval
        exit.sockets.noteActivity(of: self)
    }

    /// The bytes that wait for names, and the approximate memory of the hosts' entries, the names and the sockets.
    var heldBytes: Int {
        let sockets = (v4 == nil ? 0 : 1) + (v6 == nil ? 0 : 1)
        return waitingBytes + peers.heldBytes + names.count * Self.nameBytes + sockets * Self.socketBytes
    }

    // MARK: To the outside

    /// Takes a datagram from the client.
    func send(_ datagram: [UInt8]) {
        guard !isOver else { return }
        guard let (peer, offset) = try? FlowDatagram.decode(from: datagram.rawSpan) else {
            return exit.datagramDrops.add(.udpUnreadable)
        }
        let now = Instant(nanoseconds: exit.loop.now)
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
        guard let address = addresses.first(where: { exit.policy.allows($0, port: port, .udp) }) else {
            return exit.datagramDrops.add(addresses.isEmpty ? .udpName : .udpNotAllowed)
        }
        send(datagram, offset, to: address, port, as: host, now)
    }

    private func send(
        _ datagram: [UInt8], _ offset: Int, to address: IPAddress, _ port: UInt16, as host: Destination.Host,
        _ now: Instant
    ) {
        let count = datagram.count - offset
        guard exit.policy.allows(address, port: port, .udp) else { return exit.datagramDrops.add(.udpNotAllowed) }
        guard let socket = socket(for: address) else { return exit.datagramDrops.add(.udpSocket) }
        guard budget.take(count + FlowPeers.datagramOverhead, now: now) else { return exit.datagramDrops.add(.udpRate) }
        if let reason = peers.send(count, to: address, port: port, as: host, &exit.hostRates, now: now) {
            return exit.datagramDrops.add(reason)
        }
        let target = SocketAddress(high: address.high, low: address.low, port: port)
        socket.send(datagram.rawSpan.extracting(droppingFirst: offset), to: target)
    }

    /// The socket of the address's family.
    ///
    /// The IPv6 socket is opened when it is first needed.
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
        let query = exit.resolver.resolve(name, port: 0, for: stream.share) { [weak self] answer in
            self?.found(name, answer)
        }
        guard let query else { return }
        names[name] = Name(addresses: nil, lastUsed: now, query: query)
    }

    private func wait(for name: HostName, _ port: UInt16, _ datagram: [UInt8], _ offset: Int) {
        guard names[name] != nil, waiting.count < Self.waitingLimit.count,
            waitingBytes + datagram.count <= Self.waitingLimit.bytes
        else { return exit.datagramDrops.add(.udpName) }
        waitingBytes += datagram.count
        waiting.append((name, port, datagram, offset))
    }

    private func found(_ name: HostName, _ answer: Resolver.Answer) {
        guard !isOver, names[name] != nil else { return }
        let now = Instant(nanoseconds: exit.loop.now)
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
        guard !isOver, let session = stream.session, !session.connection.isClosed else { return }
        for index in 0..<batch.count {
            let source = batch.source(of: index)
            let address = IPAddress(high: source.high, low: source.low)
            guard let peer = peers.received(from: address, port: source.port) else { continue }
            let packet = batch.packet(index)
            guard let bytes = FlowDatagram.encoded(peer, packet.bytes) else { continue }
            noteUse(Instant(nanoseconds: exit.loop.now))
            if !session.connection.sendDatagram(flow: stream.id.value, bytes.rawSpan) {
                exit.datagramDrops.add(.udpQueue)
            }
        }
        session.touch()
    }

    // MARK: Ends

    private func refuse() {
        stream.refuse(.generalFailure)
        close()
    }

    /// Ends the association and its stream: it was idle, had to give way, or the client closed the stream.
    private func leave() {
        guard !isOver else { return }
        stream.end()
        close()
    }

    /// Ends the association, because another source needs its place.
    func giveWay() { leave() }

    private func abandon() {
        guard !isOver else { return }
        stream.abandon()
        close()
    }

    private func close() {
        guard !isOver else { return }
        isOver = true
        timer?.close()
        timer = nil
        for name in names.values { if let query = name.query { exit.resolver.cancel(query) } }
        names = [:]
        waiting = []
        waitingBytes = 0
        v4?.close()
        v6?.close()
        v4 = nil
        v6 = nil
        exit.associations.leave(self)
        exit.sockets.leave(self)
        stream.finish()
    }

    // MARK: Events

    /// Only the end of the stream matters, which ends the association.
    ///
    /// Bytes on it are dropped.
    func streamReadable() {
        guard let session = stream.session else { return }
        session.connection.withReadable(stream.id) { $0.byteCount }
        if session.connection.readState(stream.id) != .open { leave() }
    }

    func streamDatagram(_ bytes: [UInt8]) { send(bytes) }
    func streamWritable() {}
    func streamReset(code: UInt64) { abandon() }
    func streamStopped(code: UInt64) { abandon() }
    func streamClosed() { abandon() }
    func sessionEnded() { abandon() }
}

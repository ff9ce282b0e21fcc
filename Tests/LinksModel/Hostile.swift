internal import EventLoop
internal import Link
internal import LinkModel
internal import Links
internal import OnionCrypto
internal import SeededRandom
internal import Wire

/// The hostile peer: a staked node, clients at several addresses, and an eavesdropper that sends from any address.
///
/// It hears what honest ends send, but keeps nothing from them. It has more members than most types: its handshakes in
/// both directions, and what it knows.
final class Hostile {
    /// A handshake that it has begun.
    private final class Attempt {
        var initiator: LinkInitiator
        let target: Int
        let source: SocketAddress

        init(_ initiator: consuming LinkInitiator, _ target: Int, _ source: SocketAddress) {
            self.initiator = initiator
            self.target = target
            self.source = source
        }
    }

    /// Where its node listens, and where nobody is.
    static let endpoint = SocketAddress(ipv4: 0x0a06_0001, port: 4_433)
    static let void = SocketAddress(ipv4: 0x0a07_0001, port: 4_433)
    /// The addresses of its clients: two of one network, and others.
    static let own = [0x0a06_0102, 0x0a06_0103, 0x0a06_0202, 0x0a06_0302, 0x0a06_0402].map {
        SocketAddress(ipv4: $0, port: 6_666)
    }

    /// An address of which only bytes come that must be dropped.
    private static func mute(_ number: Int) -> SocketAddress {
        SocketAddress(ipv4: 0x0a09_0000 | UInt32(number), port: 9)
    }
    static func isMute(_ address: SocketAddress) -> Bool { address.ipv4.map { $0 >> 16 == 0x0a09 } ?? false }
    /// An address of somebody who knows nothing of it.
    private static func spoofed(_ number: Int) -> SocketAddress {
        SocketAddress(ipv4: 0x0a08_0000 | UInt32(number), port: 8)
    }

    unowned let model: LinksModel
    var random: SeededGenerator
    private let identity = LinkIdentity(HonestEnd.key(LinksModel.nodeCount))
    private var responder: LinkResponder
    private var attempts: [Attempt] = []
    private var links: [HostileLink] = []
    /// The links by the receiver indices that they have had.
    private var byIndex: [UInt32: HostileLink] = [:]
    private var lastIndex: UInt32 = 1_000
    /// What waits while it stalls.
    private var inbox: [(bytes: [UInt8], from: Int, at: SocketAddress)] = []
    private var isStalled = false
    private var isGone = false
    /// The links that it has had.
    private(set) var linkCount = 0

    init(_ model: LinksModel, seed: UInt64) {
        self.model = model
        random = SeededGenerator(seed: seed)
        responder = LinkResponder(
            network: LinksModel.network, identity: identity, now: Instant(nanoseconds: model.world.now))
    }

    var now: Instant { Instant(nanoseconds: model.now) }

    func draw(_ bound: Int) -> Int { bound > 0 ? Int(random.next() % UInt64(bound)) : 0 }
    func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) } }

    func freshIndex() -> UInt32 {
        lastIndex += 1
        return lastIndex
    }

    func lead(_ index: UInt32, to link: HostileLink) { byIndex[index] = link }

    /// Forgets all, and does nothing more.
    func goAway() {
        isGone = true
        (attempts, links, byIndex, inbox) = ([], [], [:], [])
    }

    // MARK: Hearing

    /// A datagram of honest end `from` to one of its addresses, which it may handle later, twice or never.
    func hear(_ bytes: [UInt8], from: Int, at address: SocketAddress) {
        guard !isGone, address == Self.endpoint || Self.own.contains(address) else { return }
        if isStalled {
            if inbox.count < 100 { inbox.append((bytes, from, address)) }
            return
        }
        let chance = draw(20)
        guard chance > 0 else { return }
        for _ in 0..<(chance == 1 ? 2 : 1) {
            model.world.after(UInt64(1 + draw(30)) * 1_000_000) { [weak self] in
                self?.handle(bytes, from: from, at: address)
            }
        }
    }

    private func handle(_ bytes: [UInt8], from: Int, at address: SocketAddress) {
        guard !isGone, bytes.count == LinksModel.network.packetSize else { return }
        var reader = ByteReader(bytes.rawSpan)
        guard let index = try? reader.u32() else { return }
        switch index {
        case 1, 2: if address == Self.endpoint { answer(bytes, from: from) }
        case 3, 4: takeAnswer(bytes)
        default: byIndex[index]?.take(bytes, at: address)
        }
    }

    /// Works on what waits, and on what time has made due.
    func tick() {
        guard !isGone else { return }
        if !isStalled, !inbox.isEmpty {
            let waiting = inbox.shuffled(using: &random)
            inbox = []
            for item in waiting { handle(item.bytes, from: item.from, at: item.at) }
        }
        for attempt in attempts { poll(attempt) }
        for link in links { link.tick() }
        links.removeAll(where: \.isOver)
    }

    // MARK: Handshakes

    private func begin(_ choose: (Int) -> Int) {
        guard attempts.count < 8, links.count < 24 else { return }
        let isNode = choose(3) == 0
        let source = isNode ? Self.endpoint : Self.own[choose(Self.own.count)]
        let target = choose(LinksModel.nodeCount)
        guard
            let initiator = try? LinkInitiator(
                network: LinksModel.network, responder: model.ids[target].key, identity: isNode ? identity : nil,
                localIndex: freshIndex(), now: now)
        else { return }
        let attempt = Attempt(initiator, target, source)
        attempts.append(attempt)
        poll(attempt)
    }

    /// Mostly the right time, now and then another one.
    private var wallClock: UInt64 {
        switch draw(12) {
        case 0: .max
        case 1: random.next()
        default: 1_800_000_000_000_000_000 + model.now
        }
    }

    private func poll(_ attempt: Attempt) {
        switch attempt.initiator.poll(now: now, wallClock: wallClock) {
        case .send(let bytes): say(bytes, from: attempt.source, to: attempt.target)
        case .wait: break
        case .failed: attempts.removeAll { $0 === attempt }
        }
    }

    private func takeAnswer(_ bytes: [UInt8]) {
        for attempt in attempts {
            switch attempt.initiator.receive(bytes.rawSpan, now: now) {
            case .drop: continue
            case .cookie: poll(attempt)
            case .established(let link):
                attempts.removeAll { $0 === attempt }
                let index = attempt.initiator.localIndex
                establish(link, index: index, target: attempt.target, source: attempt.source, isInitiator: true)
            }
            return
        }
    }

    /// An honest end's initiation to its node.
    private func answer(_ bytes: [UInt8], from end: Int) {
        let source = Endpoint(model.ends[end].address)
        let clock = wallClock
        switch responder.receive(bytes.rawSpan, from: source, now: now, wallClock: clock, isStaked: { _ in true }) {
        case .drop: break
        case .cookie(let cookie): say(cookie, from: Self.endpoint, to: end)
        case .accepted(let initiation):
            let index = freshIndex()
            let time = UnixTime(seconds: clock / 1_000_000_000)
            guard links.count < 24 else { return }
            let response = initiation.respond(localIndex: index, time: time, now: now)
            guard let response else { return }
            say(response.bytes, from: Self.endpoint, to: end)
            establish(response.takeLink(), index: index, target: end, source: Self.endpoint, isInitiator: false)
        }
    }

    private func establish(
        _ link: consuming NewLink, index: UInt32, target: Int, source: SocketAddress, isInitiator: Bool
    ) {
        linkCount += 1
        let link = HostileLink(self, link, target: target, source: source, isInitiator: isInitiator)
        links.append(link)
        byIndex[index] = link
        model.proves(source)
        // Some links stay half-open.
        if draw(4) > 0 { link.begin() }
    }

    /// Sends a datagram; now and then it is changed, doubled, late, or from another address.
    func say(_ bytes: [UInt8], from source: SocketAddress, to end: Int) {
        var (bytes, source) = (bytes, source)
        switch draw(24) {
        case 0: bytes[draw(bytes.count)] ^= UInt8(1 << draw(8))
        case 1: model.inject(bytes, from: source, to: end, after: UInt64(5 + draw(3_000)) * 1_000_000)
        case 2: source = Self.own[draw(Self.own.count)]
        case 3: source = model.ends[draw(3)].address
        default: break
        }
        model.inject(bytes, from: source, to: end, after: UInt64(5 + draw(20)) * 1_000_000)
    }

    // MARK: Attacks

    /// One hostile act.
    func attack(_ choose: (Int) -> Int) {
        guard !isGone else { return }
        switch choose(16) {
        case 0, 1: for _ in 0...choose(4) { begin(choose) }
        case 2, 3: replay(choose)
        case 4, 5: spoil(choose)
        case 6: garbage(choose)
        case 7: reflect(choose)
        case 8: if choose(4) == 0 { isStalled.toggle() }
        case 9: persist(choose)
        default: if !links.isEmpty { links[choose(links.count)].attack(choose) }
        }
    }

    /// Repeats what it heard, from its source or from another address, to its target or to another end.
    private func replay(_ choose: (Int) -> Int) {
        let seen = model.seen
        guard !seen.isEmpty else { return }
        let datagram = seen[choose(seen.count)]
        guard let target = choose(4) == 0 ? choose(3) : model.target(of: datagram) else { return }
        let sources = [datagram.source, datagram.source, Self.spoofed(choose(4)), Self.own[choose(Self.own.count)]]
        for _ in 0...choose(3) {
            model.inject(
                datagram.bytes, from: sources[choose(sources.count)], to: target,
                after: UInt64(choose(40)) * 1_000_000)
        }
    }

    /// Changes a byte that a check covers, and sends the rest as it was: from its source, or from an address of which
    /// nothing else comes.
    private func spoil(_ choose: (Int) -> Int) {
        let seen = model.seen
        guard !seen.isEmpty else { return }
        let datagram = seen[choose(seen.count)]
        guard let target = model.target(of: datagram) else { return }
        var bytes = datagram.bytes
        var reader = ByteReader(datagram.bytes.rawSpan)
        guard let index = try? reader.u32() else { return }
        // An initiation with another second MAC gets a cookie; a cookie's padding says nothing. The sender index of a
        // response is not protected: a faster one with another index makes a link that dies.
        let covered =
            switch index {
            case 1, 2: 0..<bytes.count - 16
            case 3: 8..<bytes.count
            case 4: 0..<64
            default: 0..<Wire.Packet.payloadOffset
            }
        bytes[covered.lowerBound + choose(covered.count)] ^= UInt8(1 << choose(8))
        if choose(4) == 0 { bytes.removeLast(1 + choose(bytes.count - 1)) }
        let source = choose(2) == 0 ? datagram.source : Self.mute(choose(200))
        model.inject(bytes, from: source, to: target, after: UInt64(choose(30)) * 1_000_000)
    }

    /// Repeats one packet for up to 40 s, with a payload that fails its check, so that it is never committed.
    private func persist(_ choose: (Int) -> Int) {
        let seen = model.seen.filter { $0.bytes[1...3] != [0, 0, 0] }
        guard !seen.isEmpty else { return }
        let datagram = seen[choose(seen.count)]
        guard let target = model.target(of: datagram) else { return }
        var bytes = datagram.bytes
        bytes[Wire.Packet.payloadOffset + choose(bytes.count - Wire.Packet.payloadOffset)] ^= UInt8(1 << choose(8))
        send(bytes, from: datagram.source, to: target, times: choose(400))
    }

    private func send(_ bytes: [UInt8], from source: SocketAddress, to target: Int, times: Int) {
        guard times > 0, !isGone else { return }
        model.inject(bytes, from: source, to: target, after: 0)
        model.world.after(100_000_000) { [weak self] in
            self?.send(bytes, from: source, to: target, times: times - 1)
        }
    }

    private func garbage(_ choose: (Int) -> Int) {
        for _ in 0...choose(20) {
            var datagram = bytes(choose(4) == 0 ? choose(1_472) : LinksModel.network.packetSize)
            if choose(2) == 0, datagram.count >= 4 {
                datagram[0] = UInt8(choose(6))
                for place in 1...3 { datagram[place] = 0 }
            }
            model.inject(datagram, from: Self.mute(choose(200)), to: choose(3), after: UInt64(choose(30)) * 1_000_000)
        }
    }

    /// Initiations without a cookie, from addresses of others, which are to get no more than was sent.
    private func reflect(_ choose: (Int) -> Int) {
        let target = choose(LinksModel.nodeCount)
        for _ in 0...choose(10) {
            let source = choose(4) == 0 ? model.ends[choose(3)].address : Self.spoofed(choose(4))
            guard
                var initiator = try? LinkInitiator(
                    network: LinksModel.network, responder: model.ids[target].key, identity: nil,
                    localIndex: freshIndex(), now: now)
            else { return }
            guard case .send(let bytes) = initiator.poll(now: now, wallClock: 0) else { return }
            model.inject(bytes, from: source, to: target, after: UInt64(choose(30)) * 1_000_000)
        }
    }
}

// One file: the steps of the model share state that is private to it.

internal import Link
internal import OnionCrypto
internal import Wire

/// An honest client or node, an honest responder and a hostile one between them, on a network that loses, reorders, duplicates and replays.
///
/// The choices come from outside: a seed, or a fuzzer's input. A broken promise traps: every packet that is opened was sealed by
/// the peer and is opened once, no key seals two packets under one counter, an initiation makes one link, and tables keep their bounds.
///
/// It has more members than most types: two ends, a hostile one, the network, and what was promised.
public struct LinkModel: ~Copyable {
    /// What was reached, so that a test can tell that it tried something.
    public struct Reached: Sendable {
        /// Links that the honest initiator has had.
        public var links = 0
        /// Packets that were opened.
        public var opened = 0
        /// Renewals of keys.
        public var rekeys = 0
        /// Moves of a link to another address.
        public var moves = 0
        /// Links that the hostile one has had.
        public var hostileLinks = 0
    }

    private enum Kind: UInt8 { case data, rekey, rekeyAnswer, challenge, response }
    private enum End: Hashable { case initiator, responder }

    private struct Datagram {
        var bytes: [UInt8]
        var source: Endpoint
        var target: Endpoint
    }

    /// One end of a link.
    private final class Link {
        var keyring: LinkEnd
        var address: PeerAddress
        let isHonest: Bool
        let source: LinkSource
        var challenged: Set<Endpoint> = []

        init(_ keyring: consuming LinkEnd, _ address: PeerAddress, isHonest: Bool, source: LinkSource) {
            self.keyring = keyring
            self.address = address
            self.isHonest = isHonest
            self.source = source
        }
    }

    private struct Counter: Hashable {
        let link: ObjectIdentifier
        let index: UInt32
        let counter: UInt64
    }

    /// What was sealed, by its number.
    private struct Sealed {
        let end: End
        let isHonest: Bool
        let payload: [UInt8]
    }

    private static let capacity = 12
    private static let halfOpenLimit = 4
    private static let size = Packet.minimumSize
    private let network = LinkNetwork(id: Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan), packetSize: size)
    private let node = LinkIdentity(SigningKey(seed: Secret(copying: [UInt8](repeating: 1, count: 32).rawSpan)))
    private let peer = LinkIdentity(SigningKey(seed: Secret(copying: [UInt8](repeating: 2, count: 32).rawSpan)))
    private let isNode: Bool
    private let nodeAddress = Endpoint(address: IPAddress(v4: 0x0a00_0001), port: 1_090)
    private let hostileAddress = Endpoint(address: IPAddress(v4: 0x0a00_0066), port: 6)
    private var clientAddress = Endpoint(address: IPAddress(v4: 0x0a00_0002), port: 5_000)
    private var now = Instant(nanoseconds: 1_000_000_000_000)

    private var responder: LinkResponder
    private var places = LinkPlaces<UInt32>(capacity: capacity)
    private var halfOpen = HalfOpenLinks<UInt32, LinkSource>(limit: halfOpenLimit)
    /// The responder's links by a name, and the names by receiver index.
    private var links: [UInt32: Link] = [:]
    private var names: [UInt32: UInt32] = [:]
    /// The honest initiator's link and the handshake for one.
    private var near: Link?
    private var handshake: LinkInitiator?
    /// The hostile one's.
    private var far: Link?
    private var attack: LinkInitiator?
    private var nextIndex: UInt32 = 1_000

    private var flying: [Datagram] = []
    private var seen: [Datagram] = []
    private var sealed: [UInt64: Sealed] = [:]
    private var opened: Set<UInt64> = []
    /// Receiver index and link counter of every packet, by the link that sealed it: an index names its keys.
    private var counters: Set<Counter> = []
    private var kept: [Link] = []
    private var honestInitiations: Set<[UInt8]> = []
    private var accepted: Set<[UInt8]> = []
    private var nextNumber: UInt64 = 1
    /// What was reached so far.
    public private(set) var reached = Reached()

    /// The model with a client as initiator, or a node.
    public init(isNode: Bool) {
        self.isNode = isNode
        responder = LinkResponder(network: network, identity: node, now: now)
        handshake = nil
        attack = nil
    }

    /// One step; `choose` gives a number below its argument.
    public mutating func step(_ choose: (Int) -> Int) {
        switch choose(20) {
        case 0, 1: begin()
        case 2, 3: send(.data, from: .initiator, choose)
        case 4, 5: send(.data, from: .responder, choose)
        case 6...10: if !flying.isEmpty { deliver(flying.remove(at: choose(flying.count)), choose) }
        case 11: if !flying.isEmpty { flying.remove(at: choose(flying.count)) }
        case 12: if !flying.isEmpty { fly(flying[choose(flying.count)]) }
        case 13: if !seen.isEmpty { replay(seen[choose(seen.count)], choose) }
        case 14: if !seen.isEmpty { spoil(seen[choose(seen.count)], choose) }
        case 15: attackStep(choose)
        case 16: wait(.milliseconds(Int64(choose(400))))
        case 17: wait(.seconds(Int64(choose(40))))
        case 18: renew()
        default: if choose(8) == 0 { clientAddress.port = UInt16(5_000 + choose(8)) }
        }
        checkBounds()
    }

    private func checkBounds() {
        precondition(places.count == links.count && links.count <= Self.capacity, "a table beyond its bound")
        precondition(halfOpen.count <= Self.halfOpenLimit, "more half-open links than allowed")
        for link in links.values { precondition(link.keyring.localIndices().count <= 8, "indices pile up") }
        precondition(names.count <= 8 * Self.capacity, "indices are not given back")
    }

    // MARK: Time

    private mutating func wait(_ span: TimeSpan) {
        now = now + span
        while let name = halfOpen.popExpired(now: now) { remove(name) }
        for (name, link) in links.sorted(by: { $0.key < $1.key }) {
            if link.keyring.expire(now: now) { remove(name) } else { retire(link) }
        }
        if let link = near, link.keyring.expire(now: now) { near = nil }
        if let link = far, link.keyring.expire(now: now) { far = nil }
    }

    private mutating func retire(_ link: Link) { for index in link.keyring.takeRetired() { names[index] = nil } }

    private mutating func remove(_ name: UInt32) {
        guard let link = links.removeValue(forKey: name) else { return }
        for index in link.keyring.localIndices() { names[index] = nil }
        halfOpen.remove(name)
        places.remove(name)
    }

    // MARK: Handshakes

    private mutating func freshIndex() -> UInt32 {
        nextIndex += 1
        return nextIndex
    }

    private mutating func begin() {
        if handshake == nil, near == nil {
            handshake = try? LinkInitiator(
                network: network, responder: node.nodeID, identity: isNode ? peer : nil, localIndex: freshIndex(),
                now: now)
        }
        guard var initiator = handshake.take() else { return }
        switch initiator.poll(now: now, wallClock: wallClock) {
        case .send(let bytes):
            honestInitiations.insert(bytes)
            fly(Datagram(bytes: bytes, source: clientAddress, target: nodeAddress))
        case .wait: break
        case .failed: return
        }
        handshake = consume initiator
    }

    private var wallClock: UInt64 { 1_700_000_000_000_000_000 + now.nanoseconds }

    private mutating func initiation(_ bytes: [UInt8], from source: Endpoint) {
        let staked = peer.nodeID
        switch responder.receive(
            bytes.rawSpan, from: source, now: now, wallClock: wallClock, isStaked: { $0 == staked })
        {
        case .drop: break
        case .cookie(let cookie):
            precondition(cookie.count == bytes.count, "an answer of another length")
            fly(Datagram(bytes: cookie, source: nodeAddress, target: source))
        case .accepted(let initiation):
            precondition(accepted.insert(Array(bytes[8..<40])).inserted, "an initiation made two links")
            let isHonest = honestInitiations.contains(bytes)
            precondition(initiation.peer == nil || isHonest, "a node's initiation that the node did not make")
            let holder = initiation.peer.map { LinkSource.node($0) } ?? .client(AddressShare(source.address))
            let mayMove = initiation.peer == nil
            let links = links
            let room = places.room(for: holder, now: now) { Self.state(links[$0]) }
            switch room {
            case .free: break
            case .none: return
            case .after(let victim): remove(victim)
            }
            let index = freshIndex()
            let answer = initiation.respond(localIndex: index, time: UnixTime(seconds: 1), now: now)
            guard let answer else { return }
            fly(Datagram(bytes: answer.bytes, source: nodeAddress, target: source))
            let link = answer.takeLink()
            self.links[index] = Link(
                LinkEnd(link), PeerAddress(source, mayMove: mayMove), isHonest: isHonest, source: holder)
            names[index] = index
            places.insert(index, for: holder)
            if let victim = halfOpen.insert(index, of: holder, now: now) { remove(victim) }
        }
    }

    private static func state(_ link: Link?) -> LinkPlaces<UInt32>.State {
        LinkPlaces.State(
            paths: 0, quietSince: Instant(nanoseconds: 0), since: Instant(nanoseconds: 0), isUp: link?.isHonest ?? false
        )
    }

    /// A response or a cookie, to whoever waits for one.
    private mutating func answer(_ bytes: [UInt8], to target: Endpoint) {
        if var initiator = handshake.take() {
            switch initiator.receive(bytes.rawSpan, now: now) {
            case .drop: handshake = consume initiator
            case .cookie: handshake = consume initiator
            case .established(let link):
                near = Link(
                    LinkEnd(link), PeerAddress(nodeAddress, mayMove: false), isHonest: true,
                    source: .node(node.nodeID))
                reached.links += 1
                return
            }
        }
        if var initiator = attack.take() {
            switch initiator.receive(bytes.rawSpan, now: now) {
            case .drop: attack = consume initiator
            case .cookie: attack = consume initiator
            case .established(let link):
                far = Link(
                    LinkEnd(link), PeerAddress(nodeAddress, mayMove: false), isHonest: false,
                    source: .node(node.nodeID))
                reached.hostileLinks += 1
            }
        }
    }

    // MARK: Packets

    /// Keeps a link in memory, so that no other is taken for it.
    private mutating func keep(_ link: Link) { if kept.last !== link { kept.append(link) } }

    private mutating func send(_ kind: Kind, from end: End, _ choose: (Int) -> Int) {
        switch end {
        case .initiator:
            guard let near else { return }
            send(kind, body: [], on: near, from: end, to: nodeAddress, isData: choose(3) == 0)
        case .responder:
            guard let link = links.sorted(by: { $0.key < $1.key }).dropFirst(choose(max(1, links.count))).first?.value
            else { return }
            send(kind, body: [], on: link, from: end, to: link.address.endpoint, isData: choose(3) == 0)
        }
    }

    private mutating func send(
        _ kind: Kind, body: [UInt8], on link: Link, from end: End, to target: Endpoint, isData: Bool = false
    ) {
        let number = nextNumber
        nextNumber += 1
        var bytes = [UInt8](repeating: 0, count: Self.size)
        bytes[Packet.payloadOffset] = kind.rawValue
        for place in 0..<8 {
            bytes[Packet.payloadOffset + 1 + place] = UInt8(truncatingIfNeeded: number >> UInt64(8 * place))
        }
        bytes.replaceSubrange(Packet.payloadOffset + 9..<Packet.payloadOffset + 9 + body.count, with: body)
        let payload = Array(bytes[Packet.payloadOffset...])
        Self.seal(&bytes, &link.keyring, pathID: isData ? 5 : 0)
        var reader = ByteReader(bytes.rawSpan)
        guard let index = try? reader.u32(), let counter = try? reader.u64() else { preconditionFailure("a header") }
        let place = Counter(link: ObjectIdentifier(link), index: index, counter: counter)
        precondition(counters.insert(place).inserted, "a counter was used twice")
        keep(link)
        sealed[number] = Sealed(end: end, isHonest: link.isHonest, payload: payload)
        let source = end == .responder ? nodeAddress : link.isHonest ? clientAddress : hostileAddress
        fly(Datagram(bytes: bytes, source: source, target: target))
    }

    private static func seal(_ bytes: inout [UInt8], _ keyring: inout LinkEnd, pathID: UInt64) {
        var span = bytes.mutableRawSpan
        span.pathID = pathID
        let isSealed = pathID == 0 ? keyring.sealControl(&span) : keyring.sealHeader(&span)
        precondition(isSealed, "a packet is sealed")
    }

    /// Opens a packet as a link does, up to its commits; nil when it was dropped.
    private static func open(_ bytes: inout [UInt8], _ keyring: inout LinkEnd, now: Instant) -> Commit? {
        var span = bytes.mutableRawSpan
        let (index, counter) = (span.receiverIndex, span.linkCounter)
        guard keyring.openHeader(&span) == nil else { return nil }
        if span.pathID == 0 {
            guard case .opened(let number) = keyring.openControl(&span), keyring.commitControl(packetNumber: number)
            else { return nil }
        }
        let commit = keyring.commit(index: index, counter: counter, now: now)
        return commit == .duplicate ? nil : Commit(commit: commit, isControl: span.pathID == 0)
    }

    private struct Commit {
        let commit: LinkReceiver.Commit
        let isControl: Bool
    }

    private mutating func deliver(_ datagram: Datagram, _ choose: (Int) -> Int) {
        let index =
            UInt32(datagram.bytes[0]) | UInt32(datagram.bytes[1]) << 8 | UInt32(datagram.bytes[2]) << 16
            | UInt32(datagram.bytes[3]) << 24
        if datagram.target == nodeAddress {
            if index == 1 || index == 2 { return initiation(datagram.bytes, from: datagram.source) }
            guard let name = names[index], let link = links[name] else { return }
            take(datagram, on: link, at: .responder, name: name)
        } else {
            if index == 3 || index == 4 { return answer(datagram.bytes, to: datagram.target) }
            for case .some(let link) in [near, far] where link.keyring.localIndices().contains(index) {
                take(datagram, on: link, at: .initiator, name: 0)
            }
        }
    }

    private mutating func take(_ datagram: Datagram, on link: Link, at end: End, name: UInt32) {
        var bytes = datagram.bytes
        guard let commit = Self.open(&bytes, &link.keyring, now: now) else { return }
        let payload = Array(bytes[Packet.payloadOffset...])
        var number: UInt64 = 0
        for place in 0..<8 { number |= UInt64(payload[1 + place]) << UInt64(8 * place) }
        // The payload of a data packet is not the link's to protect, so that only its header was checked.
        if commit.isControl {
            guard let origin = sealed[number] else { preconditionFailure("a packet that nobody sealed") }
            precondition(origin.end != end && origin.isHonest == link.isHonest, "a packet of another link")
            precondition(origin.payload == payload, "a packet that was changed")
            precondition(opened.insert(number).inserted, "a packet was opened twice")
        }
        reached.opened += 1
        if commit.commit == .confirmed { halfOpen.remove(name) }
        retire(link)
        if end == .responder { strangers(datagram, link) }
        guard commit.isControl, let kind = Kind(rawValue: payload[0]) else { return }
        handle(kind, Array(payload[9..<9 + LinkKeyring.rekeyMessageSize]), datagram, on: link, at: end)
    }

    private mutating func handle(_ kind: Kind, _ body: [UInt8], _ datagram: Datagram, on link: Link, at end: End) {
        switch (kind, end) {
        case (.rekey, .responder):
            let index = freshIndex()
            guard let answer = link.keyring.answerRekey(body.rawSpan, localIndex: index, now: now) else { return }
            if let name = links.first(where: { $0.value === link })?.key { names[index] = name }
            retire(link)
            send(.rekeyAnswer, body: answer, on: link, from: .responder, to: link.address.endpoint)
        case (.rekeyAnswer, .initiator):
            guard link.keyring.finishRekey(body.rawSpan, now: now) else { return }
            reached.rekeys += 1
            send(.data, body: [], on: link, from: .initiator, to: nodeAddress)
        case (.challenge, .initiator): send(.response, body: body, on: link, from: .initiator, to: nodeAddress)
        case (.response, .responder):
            var reader = ByteReader(body.rawSpan)
            guard let data = try? reader.u64(), link.address.answered(data, from: datagram.source) else { return }
            precondition(link.challenged.contains(datagram.source), "a link moved to where no challenge went")
            reached.moves += 1
        case (.data, _), (.rekey, .initiator), (.rekeyAnswer, .responder), (.challenge, .responder),
            (.response, .initiator):
            break
        }
    }

    private mutating func strangers(_ datagram: Datagram, _ link: Link) {
        let random = nextNumber &* 0x9e37_79b9_7f4a_7c15
        let challenge = link.address.received(
            from: datagram.source, byteCount: Self.size, random: random, now: now)
        guard let challenge else { return }
        precondition(link.address.mayMove, "a node's link was asked to move")
        var body = ByteWriter()
        body.u64(challenge)
        link.challenged.insert(datagram.source)
        link.address.challengeSent(byteCount: Self.size, now: now)
        send(.challenge, body: body.bytes, on: link, from: .responder, to: datagram.source)
    }

    private mutating func renew() {
        guard let near else { return }
        if near.keyring.wantsRekey(now: now) {
            let body = near.keyring.startRekey(localIndex: freshIndex())
            send(.rekey, body: body, on: near, from: .initiator, to: nodeAddress)
        } else {
            near.keyring.rekeyFailed(now: now)
        }
        _ = near.keyring.takeRetired()
    }

    // MARK: The network

    private mutating func fly(_ datagram: Datagram) {
        if flying.count >= 64 { flying.removeFirst() }
        flying.append(datagram)
        if seen.count >= 128 { seen.removeFirst() }
        seen.append(datagram)
    }

    /// Sends what was seen again, from where it came or from elsewhere.
    private mutating func replay(_ datagram: Datagram, _ choose: (Int) -> Int) {
        var copy = datagram
        if choose(3) == 0, copy.target == nodeAddress { copy.source = hostileAddress }
        deliver(copy, choose)
    }

    /// Changes some bytes of what was seen; where it was an initiation, the first MAC is not made right again.
    private mutating func spoil(_ datagram: Datagram, _ choose: (Int) -> Int) {
        var copy = datagram
        for _ in 0...choose(3) {
            let place = choose(4) == 0 ? choose(Packet.payloadOffset) : choose(copy.bytes.count)
            copy.bytes[place] ^= UInt8(1 << choose(8))
        }
        guard copy.bytes != datagram.bytes else { return }
        deliver(copy, choose)
    }

    /// The hostile one links as a client, and says what it likes on its link.
    private mutating func attackStep(_ choose: (Int) -> Int) {
        if let far, choose(3) > 0 {
            let kinds: [Kind] = [.data, .rekey, .rekeyAnswer, .challenge, .response]
            let body = (0..<LinkKeyring.rekeyMessageSize).map { _ in UInt8(choose(256)) }
            send(kinds[choose(kinds.count)], body: body, on: far, from: .initiator, to: nodeAddress)
            return
        }
        if attack == nil {
            attack = try? LinkInitiator(
                network: network, responder: node.nodeID, identity: nil, localIndex: freshIndex(), now: now)
        }
        guard var initiator = attack.take() else { return }
        switch initiator.poll(now: now, wallClock: wallClock) {
        case .send(let bytes): fly(Datagram(bytes: bytes, source: hostileAddress, target: nodeAddress))
        case .wait: break
        case .failed: return
        }
        attack = consume initiator
    }
}

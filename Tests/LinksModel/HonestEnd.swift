internal import EventLoop
internal import Link
internal import Links
internal import OnionCrypto
internal import SeededRandom
internal import Wire

/// An honest node or client: its links on a simulated host, and all that it was told and promised.
///
/// It has more members than most types: one book for each promise.
final class HonestEnd {
    /// The other end of a link that is up.
    enum Peer: Equatable {
        /// An honest end.
        case honest(Int)
        case hostile
    }

    struct Question {
        let kind: Message
        let body: [UInt8]
        let to: Int?
        let deadline: UInt64
    }

    unowned let model: LinksModel
    let number: Int
    let host: SimulatedHost
    private(set) var links: Links!
    private(set) var loop: Loop!
    private var port: UInt16 = 0
    /// How often it has started or ended.
    private(set) var life = 0
    var peers: [LinkID: Peer] = [:]
    /// The ends of wishes for links, and of messages, by number.
    private var wishes: [UInt64: UInt64] = [:]
    private var questions: [UInt64: Question] = [:]
    var waiting: [(responder: ControlResponder, link: LinkID, kind: Message, body: [UInt8])] = []
    /// Links that this end was told to close.
    private var closing: Set<LinkID> = []
    /// When it last lost a link with each honest end, how many it closed, and how often it was told that the other did.
    var endings: [Int: (at: UInt64, closed: Int, told: Int)] = [:]
    private var lastWish: UInt64 = 0

    init(_ model: LinksModel, number: Int, host: SimulatedHost) {
        self.model = model
        self.number = number
        self.host = host
        start()
    }

    var isNode: Bool { number < LinksModel.nodeCount }
    /// The address that others send to.
    var address: SocketAddress { host.addresses[0].with(port: port) }
    static func key(_ number: Int) -> SigningKey {
        SigningKey(seed: Secret(copying: [UInt8](repeating: UInt8(1 + number), count: 32).rawSpan))
    }

    // MARK: Life

    private func start() {
        life += 1
        loop = Loop(simulated: host)
        let listen = SocketAddress.anyIPv4(port: isNode ? LinksModel.port : 0)
        let configuration = LinksModel.configuration(listen)
        let known = Set(model.ids)
        do throws(UVError) {
            links = try Links(
                on: loop, configuration: configuration, identity: isNode ? LinkIdentity(Self.key(number)) : nil,
                isStaked: { known.contains($0) },
                runningClock: { [unowned self] in host.world.now + model.slept[number] })
        } catch {
            preconditionFailure("a socket opens: \(error)")
        }
        port = links.localAddresses[0].port
        links.control = self
        links.relay = self
        links.client = self
    }

    /// Ends the process: with a word to all peers, or without one.
    func stop(tells: Bool) {
        host.isCut = !tells
        for entry in links.holdings.links {
            if case .honest(let other) = peer(entry.peer, entry.source) { note(other, closes: true) }
        }
        (peers, wishes, questions, waiting, closing) = ([:], [:], [:], [], [])
        life += 1
        links.closeAll()
        loop.close()
        weak let old: Links? = links
        links = nil
        precondition(old == nil, "links outlive their end")
        precondition(host.openCount == 0, "a handle outlives its loop")
        host.isCut = false
    }

    func restart(tells: Bool) {
        stop(tells: tells)
        start()
    }

    private func note(_ other: Int, closes: Bool) {
        var entry = endings[other] ?? (0, 0, 0)
        entry.at = host.world.now
        if closes { entry.closed += 1 }
        endings[other] = entry
    }

    // MARK: Asking

    /// Wants a link to a node; `done` runs once, unless this end restarts.
    func wish(
        for node: NodeID, at endpoint: Endpoint, source: LinkSource? = nil, done: @escaping (LinkID?) -> Void = { _ in }
    ) {
        lastWish += 1
        let (number, life) = (lastWish, life)
        wishes[number] = host.world.now + LinksModel.wishTime
        var hasReturned = false
        links.link(to: node, at: [endpoint], for: source) { [weak self] result in
            guard let self, self.life == life else { return }
            precondition(hasReturned, "a wish ends inside of the call")
            precondition(wishes.removeValue(forKey: number) != nil, "a wish ends twice")
            if case .success(let link) = result {
                precondition(links.peer(of: link) == .node(node), "another node's link")
            }
            done(try? result.get())
        }
        hasReturned = true
    }

    /// Sends a message over a link to an honest end, or to the hostile one if `to` is nil; `done` runs once.
    func ask(
        _ kind: Message, length: Int, to: Int?, on link: LinkID, timeout: TimeSpan = .seconds(8),
        done: @escaping (Bool) -> Void = { _ in }
    ) {
        let filling = (0..<min(length, kind.longestBody - Ledger.head)).map {
            UInt8(truncatingIfNeeded: $0 &* 7 &+ length)
        }
        let (number, body) = model.ledger.message(kind, from: self.number, to: to ?? -1, filling: filling)
        let deadline = host.world.now + UInt64(timeout.nanoseconds) + LinksModel.housekeeping
        questions[number] = Question(kind: kind, body: body, to: to, deadline: deadline)
        let life = life
        var hasReturned = false
        links.request(on: link, kind, body: body, timeout: timeout) { [weak self] result in
            guard let self, self.life == life else { return }
            precondition(hasReturned, "a message ends inside of the call")
            guard let question = questions.removeValue(forKey: number) else {
                preconditionFailure("a message ends twice")
            }
            if case .success(let answer) = result {
                precondition(answer.count <= kind.longestAnswer, "an answer is too long")
                if let to = question.to {
                    precondition(
                        answer == kind.reply(to: body, of: to), "an answer of another message, or a changed one")
                    precondition(model.ledger.messages[number]?.isDelivered == true, "an answer without a message")
                    model.reached.answers += 1
                }
            }
            done((try? result.get()) != nil)
        }
        hasReturned = true
    }

    /// Sends a data packet over `link`, the first one of `route`.
    func send(_ route: [Int], isClients: Bool, on link: LinkID) {
        let (pathID, payload) = model.ledger.packet(route, isClients: isClients)
        _ = links.withTable { table in
            table.send(on: link) { packet in
                packet.pathID = pathID
                packet.zeroSlots(1...4)
                for (place, byte) in payload.enumerated() {
                    packet.storeBytes(of: byte, toByteOffset: Wire.Packet.payloadOffset + place, as: UInt8.self)
                }
                return true
            }
        }
    }

    func close(_ link: LinkID) {
        closing.insert(link)
        links.close(link)
    }

    /// Closes all links, as before an end that is not in a hurry.
    func closeAll() {
        closing.formUnion(peers.keys)
        links.closeAll()
    }

    /// The links that are up with an honest end, in a fixed order.
    func upLinks(with other: Int) -> [LinkID] {
        peers.filter { $0.value == .honest(other) }.keys.sorted { $0.rawValue < $1.rawValue }
    }

    // MARK: Promises

    /// Checks that nothing waits longer than it may.
    func checkDeadlines() {
        let now = host.world.now
        precondition(wishes.values.allSatisfy { now <= $0 }, "a wish for a link does not end")
        precondition(questions.values.allSatisfy { now <= $0.deadline }, "a message does not end")
    }

    var isQuiet: Bool { wishes.isEmpty && questions.isEmpty }
    /// Wishes that have not ended.
    var wished: Int { wishes.count }
}

// MARK: - Control

extension HonestEnd: ControlHandler {
    func linkUp(_ link: LinkID, peer: LinkPeer) {
        precondition(peers[link] == nil, "a link comes up twice")
        let other = self.peer(peer, links.source(of: link))
        precondition(other != .honest(number), "a link to oneself")
        peers[link] = other
        model.reached.links += 1
        // The path keeps the link from being idle, and its place from going to others.
        if other != .hostile { links.addPath(on: link) }
    }

    /// Whose link it is: no hostile handshake can come from an address of the honest client.
    private func peer(_ peer: LinkPeer, _ source: LinkSource?) -> Peer {
        switch peer {
        case .node(let id):
            guard let other = model.ids.firstIndex(of: id) else { preconditionFailure("a node that does not exist") }
            return other < LinksModel.nodeCount ? .honest(other) : .hostile
        case .client:
            guard case .client(let share) = source, model.clientShares.contains(share) else { return .hostile }
            return .honest(LinksModel.client)
        }
    }

    func linkDown(_ link: LinkID, reason: LinkDownReason) {
        guard let peer = peers.removeValue(forKey: link) else { preconditionFailure("a link ends that was not up") }
        let isAsked = closing.remove(link) != nil
        precondition(reason != .closedHere || isAsked, "a link was closed that nobody closed")
        if reason == .gaveWay { model.reached.gaveWay += 1 }
        guard case .honest(let other) = peer else { return }
        check(reason, of: link, with: other)
        note(other, closes: [.closedHere, .idle, .gaveWay].contains(reason))
    }

    /// Checks that a link between honest ends has ended for a reason of their own.
    private func check(_ reason: LinkDownReason, of link: LinkID, with other: Int) {
        switch reason {
        case .closedHere: break
        case .closedByPeer:
            var entry = endings[other] ?? (0, 0, 0)
            entry.told += 1
            endings[other] = entry
            precondition(
                entry.told <= model.ends[other].endings[number]?.closed ?? 0, "an honest link was closed by neither end"
            )
        case .idle: preconditionFailure("a link with a path is idle")
        case .dead:
            let ending = model.ends[other].endings[number]?.at ?? 0
            precondition(
                model.now < max(model.troubleUntil, ending) + LinksModel.deadTime,
                "an honest link died on a good network")
            model.reached.dead += 1
        case .keysExpired:
            precondition(
                model.now < max(model.troubleUntil, model.ends[other].endings[number]?.at ?? 0) + LinksModel.keyTime,
                "keys were not renewed on a good network")
        case .gaveWay:
            let rivals = upLinks(with: other).count
            precondition(rivals >= (other < LinksModel.nodeCount ? 2 : 1), "an honest link gave way to a stranger's")
        case .violation: preconditionFailure("an honest end broke the protocol")
        case .memory: preconditionFailure("an honest link ended for the memory of others")
        }
    }

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        guard let peer = peers[link] else { preconditionFailure("a message on a link that is not up") }
        precondition(body.count <= message.longestBody, "a body is too long")
        guard let kind = Message(rawValue: message.raw) else {
            if case .honest(let from) = peer {
                var reader = ByteReader(body.rawSpan)
                guard let path = try? reader.u64() else { preconditionFailure("the end of a path that nobody ended") }
                model.ledger.destroyed(path, from: from, at: number)
            }
            return links.answer(responder, [])
        }
        model.reached.messages += 1
        switch peer {
        case .honest(let from): model.ledger.received(message.raw, body, from: from, at: number)
        case .hostile:
            precondition(body.first != Ledger.honest, "an honest message came over a hostile link")
            model.reached.hostileMessages += 1
            if model.random.happens(50) { links.addPath(on: link) }
        }
        switch model.random.next() % 8 {
        case 0 where waiting.count < 40 && !model.isProving: waiting.append((responder, link, kind, body))
        case 1 where peer == .hostile: links.refuse(responder)
        default: answer(responder, kind, body, isHostile: peer == .hostile)
        }
    }

    func answer(_ responder: ControlResponder, _ kind: Message, _ body: [UInt8], isHostile: Bool) {
        if isHostile, kind == .large {
            return links.answer(responder, LinksModel.longAnswer, part: 1..<LinksModel.longAnswer.count - 1)
        }
        links.answer(responder, kind.reply(to: body, of: number))
        // A second answer has no effect.
        links.answer(responder, [1, 2, 3])
    }
}

// MARK: - Packets

extension HonestEnd: PacketHandler {
    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        for number in 0..<packets.count {
            let arrival = packets[number]
            let bytes = packets.packet(number)
            let payload = bytes.bytes.payload
            guard let packet = model.ledger.packet(of: payload) else {
                // Hostile, or spoiled on its way: only the first is committed, as a layer decides it at a relay.
                if payload[0] == Ledger.hostile { _ = table.commit(arrival) }
                continue
            }
            guard table.commit(arrival) else { continue }
            var from: Int?
            if case .honest(let other) = peers[arrival.link] { from = other }
            precondition(peers[arrival.link] != .hostile, "a packet came from another end")
            let next = model.ledger.committed(packet, pathID: arrival.pathID, from: from, at: self.number)
            model.reached.packets += 1
            if let next, let link = upLinks(with: next).last {
                table.forward(&packets, number..<number + 1, on: link)
                model.reached.forwarded += 1
            }
        }
    }
}

extension RawSpan {
    fileprivate var payload: [UInt8] { [UInt8](copying: extracting(Wire.Packet.payloadOffset..<byteCount)) }
}

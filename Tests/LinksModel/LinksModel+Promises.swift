internal import CSimulation
internal import EventLoop
internal import Link
internal import Links
internal import SeededRandom
internal import Wire

/// What one honest end wants of another in ``LinksModel/prove()``.
private final class Goal {
    let end: HonestEnd
    let node: Int
    var isUnderWay = false
    var isReached = false

    init(_ end: HonestEnd, _ node: Int) { (self.end, self.node) = (end, node) }

    /// A link, and over it a message and its answer.
    func pursue() {
        guard !isUnderWay, !isReached else { return }
        isUnderWay = true
        let model = end.model
        end.wish(for: model.ids[node], at: Endpoint(model.ends[node].address)) { [self] link in
            guard let link, end.peers[link] == .honest(node) else { return isUnderWay = false }
            end.ask(.short, length: 20, to: node, on: link) { [self] isAnswered in
                isUnderWay = false
                isReached = isReached || isAnswered
            }
        }
    }
}

/// The promises that hold at each step, and at the end.
extension LinksModel {
    func check() {
        for end in ends {
            end.checkDeadlines()
            checkBounds(end.links.holdings, of: end)
        }
    }

    private func checkBounds(_ held: LinkHoldings, of end: HonestEnd) {
        precondition(held.count == held.links.count && held.count <= 16, "links beyond the table's bound")
        precondition(held.indices <= 8 * held.count + held.handshakes, "receiver indices are not freed")
        precondition(held.halfOpen <= 16, "more half-open links than may be")
        precondition(held.handshakes <= 16 + end.wished, "more handshakes than may be")
        precondition(held.strangersHandshakes <= 12, "strangers' handshakes take this end's own places")
        precondition(held.answerBytes <= 2 << 20, "answers hold more than they may")
        var sources: [LinkSource: (up: Int, waiting: Int)] = [:]
        var ofClients = 0
        for entry in held.links {
            guard let source = entry.source else { preconditionFailure("a link that counts for nobody") }
            precondition(entry.memory < 8 << 20, "a link's memory has no end")
            if case .client = source { ofClients += 1 }
            guard case .node = source, entry.isOpen else { continue }
            if entry.isUp {
                sources[source, default: (0, 0)].up += 1
            } else {
                sources[source, default: (0, 0)].waiting += 1
            }
        }
        precondition(ofClients <= 12 && held.count - ofClients <= 12, "one kind of links takes the other's part")
        precondition(sources.values.allSatisfy { $0.up <= 2 && $0.waiting <= 2 }, "a node has too many links")
        precondition(end.isNode || ofClients == 0, "a client accepted a link")
        precondition(
            held.links.allSatisfy { !$0.isUp || !$0.isOpen || end.peers[$0.link] != nil },
            "an end was not told of a link")
    }

    /// Makes the network well; then each honest end has a working link to each node in time, the hostile peer or not.
    func prove() {
        heal()
        isProving = true
        defer { isProving = false }
        let start = world.now
        let goals = [(0, 1), (1, 0), (2, 0), (2, 1)].map { Goal(ends[$0.0], $0.1) }
        while goals.contains(where: { !$0.isReached }) {
            precondition(world.now - start <= UInt64(Self.wellTime.nanoseconds), "no link on a network that is well")
            for goal in goals { goal.pursue() }
            world.run(for: 100_000_000) { goals.allSatisfy(\.isReached) }
            hostile.tick()
            if random.happens(50) { hostile.attack { hostile.draw($0) } }
            check()
        }
        reached.slowest = max(reached.slowest, TimeSpan(nanoseconds: Int64(world.now - start)))
    }

    // MARK: The end

    /// Lets the hostile peer go away; nothing is left of it, and honest ends work and end in order.
    public func finish() {
        prove()
        hostile.goAway()
        for _ in 0..<120 { run(.milliseconds(500)) }
        for end in ends {
            precondition(!end.peers.values.contains(.hostile), "a link to a peer that has gone stays")
            precondition(end.isQuiet, "a wish or a message stays")
            let held = end.links.holdings
            precondition(held.halfOpen == 0 && held.handshakes == 0, "handshakes with a peer that has gone stay")
            precondition(held.answerBytes == 0, "memory of answers is lost")
            // A connection keeps up to 1 MiB of buffers for its next streams.
            precondition(held.links.allSatisfy { $0.memory < 5 << 18 }, "memory of messages is lost")
        }
        prove()
        for end in ends {
            reached.rekeys += end.links.counters.rekeys
            reached.moves += end.links.counters.moves
        }
        reached.hostileLinks = hostile.linkCount
        ends[0].closeAll()
        run(.seconds(3))
        let rest = ends[1...].flatMap(\.peers.values)
        precondition(!rest.contains(.honest(0)), "the end of a node is not told")
        stop()
    }

    /// Ends all processes at once, and checks that nothing of them is left; what is under way is not waited for.
    public func stop() {
        for end in ends { end.stop(tells: true) }
        simulation_end()
    }
}

import EventLoop
import Testing
import Wire

@testable import Link
@testable import Links
@testable import Onion
@testable import Relay

/// The messages between the workers of a node, on simulated time: three workers, whose messages arrive in the order of a seed.
@Suite struct WorkersTests {
    private static let peers = 6
    private static let millisecond: UInt64 = 1_000_000

    /// A node with links to peers, two of each owner: one begun by the node, one by the peer.
    private func node(seed: UInt64) throws -> (node: WorkersNode, peers: [WorkersPeer]) {
        let node = try WorkersNode(seed: seed)
        let peers = try (0..<Self.peers).map { number in
            var line = SimulatedLine()
            line.jitter = 3 * Self.millisecond
            return try WorkersPeer(
                node.world.addHost(at: [SocketAddress(ipv4: 0x0a00_0100 + UInt32(number), port: 0)], line: line))
        }
        for (number, peer) in peers.enumerated() {
            _ = try node.addLink(peer, owner: UInt8(number % 3), isOurs: number < 3)
        }
        node.world.run(for: Self.millisecond)
        #expect(node.links.values.allSatisfy { $0.stands })
        for link in node.links.values { link.peer.greet(node.address(link.owner)) }
        node.world.run(for: 50 * Self.millisecond)
        return (node, peers)
    }

    private func sorted(_ node: WorkersNode) -> [WorkersLink] {
        node.links.values.sorted { $0.id.rawValue < $1.id.rawValue }
    }

    private func paths(_ node: WorkersNode) -> [WorkersPath] { node.paths.values.sorted { $0.nextID < $1.nextID } }

    /// Whether all packets over a path have arrived, each once.
    private func isComplete(_ path: WorkersPath) -> Bool { path.sent == path.arrived.map(\.count) }

    @Test(
        "no packet is lost and no counter repeats while paths and links come, change and go", arguments: UInt64(1)...12)
    func seeded(_ seed: UInt64) throws {
        let (node, peers) = try node(seed: seed)
        defer {
            node.close()
            for peer in peers { peer.close() }
        }
        var random = SimulatedRandom(seed: seed &* 77)
        func draw(_ bound: Int) -> Int { Int(random.below(UInt64(bound))) }
        var nextID: UInt64 = 1
        var (packets, misrouted, removed, replaced, rekeys) = (0, 0, 0, 0, 0)
        for _ in 0..<900 {
            switch draw(20) {
            case 6: node.zero.sweep()
            case 0...2 where node.paths.count < 30:
                let links = sorted(node).filter { $0.stands && !$0.isBusy }
                guard links.count > 1 else { break }
                let (previous, next) = (links[draw(links.count)], links[draw(links.count)])
                try node.addPath(previous, next, ids: (nextID, nextID + 1))
                nextID += 2
            case 3:
                let ready = paths(node).filter { $0.isReady && !$0.isClosing }
                guard !ready.isEmpty else { break }
                let path = ready[draw(ready.count)]
                path.isClosing = true
                node.world.after(100 * Self.millisecond) {
                    guard node.paths[path.handle] != nil else { return }
                    #expect(isComplete(path))
                    node.removePath(path)
                    removed += 1
                }
            case 4:
                // Peers refuse a rekey that comes too soon after the last one.
                let links = sorted(node).filter { $0.stands && !$0.isBusy && node.now >= $0.mayRekeyAt }
                guard !links.isEmpty else { break }
                let link = links[draw(links.count)]
                link.mayRekeyAt = node.now + .milliseconds(700)
                rekeys += 1
                node.rekey(link)
            case 5 where draw(6) == 0:
                let links = sorted(node).filter { $0.stands && !$0.isBusy }
                guard !links.isEmpty else { break }
                let link = links[draw(links.count)]
                link.isBusy = true
                for path in paths(node) where path.previous === link || path.next === link { path.isClosing = true }
                let (peer, owner, isOurs) = (link.peer, UInt8(draw(3)), draw(2) == 0)
                node.world.after(120 * Self.millisecond) {
                    for path in paths(node) where path.previous === link || path.next === link {
                        #expect(isComplete(path))
                    }
                    node.removeLink(link)
                    replaced += 1
                    // The old one may still be on its way out of the other workers.
                    _ = try? node.addLink(peer, owner: owner, isOurs: isOurs)
                }
                node.world.after(125 * Self.millisecond) {
                    guard let link = node.links.values.first(where: { $0.peer === peer }) else { return }
                    #expect(link.stands)
                    peer.greet(node.address(link.owner))
                }
            default:
                let ready = paths(node).filter { $0.isReady && !$0.isClosing }
                guard !ready.isEmpty else { break }
                let path = ready[draw(ready.count)]
                let isBack = draw(2) == 0
                for _ in 0...draw(5) {
                    let other = draw(12) == 0 ? UInt8(draw(3)) : nil
                    if let other, other != (isBack ? path.next : path.previous).owner { misrouted += 1 }
                    node.send(over: path, isBack: isBack, to: other)
                    packets += 1
                }
            }
            node.world.run(for: UInt64(draw(8)) * Self.millisecond)
        }
        node.world.run(for: 1_000 * Self.millisecond)
        for path in node.paths.values { #expect(isComplete(path)) }
        #expect(packets > 500 && misrouted > 5 && removed > 5 && replaced > 1 && rekeys > 5)
        #expect(node.links.values.map(\.rekeys).reduce(0, +) > 0)
        #expect(peers.allSatisfy { $0.repeated == 0 && $0.dropped == 0 && $0.received > 0 })
        #expect(node.counters.allSatisfy { $0.drops.total == 0 && $0.packetsNotHandedOn == 0 })
        #expect(node.counters.map(\.packetsHandedOn).reduce(0, +) == UInt64(misrouted))
        #expect(node.pathDrops == 0)
        #expect(node.halfCount == 2 * node.forwarding.count)
        // All goes, and nothing stays behind.
        for link in sorted(node) { node.removeLink(link) }
        node.world.run(for: 1_000 * Self.millisecond)
        #expect(node.halfCount == 0 && node.forwarding.count == 0)
        #expect(node.leftOver.allSatisfy { $0 == 0 }, "\(node.leftOver)")
    }

    @Test("a source that sends to the wrong worker fills its own lane alone") func misrouted() throws {
        let (node, peers) = try node(seed: 1)
        defer {
            node.close()
            for peer in peers { peer.close() }
        }
        let links = sorted(node)
        let from = try #require(links.first { $0.owner == 2 })
        try node.addPath(from, try #require(links.first { $0.owner == 1 }), ids: (1, 2))
        node.world.run(for: 50 * Self.millisecond)
        let path = try #require(node.paths.values.first)
        #expect(path.isReady)
        // Worker 2 takes nothing from worker 1 for a while.
        node.holds = { source, target in source == 1 && target == 2 }
        let sent = PacketLane.capacity + 500
        for _ in 0..<sent { node.send(over: path, isBack: false, to: 1) }
        for _ in 0..<10 { node.send(over: path, isBack: false, to: 0) }
        for _ in 0..<10 { node.send(over: path, isBack: false) }
        node.world.run(for: 500 * Self.millisecond)
        let counters = node.counters
        #expect(counters[1].packetsHandedOn <= UInt64(PacketLane.capacity))
        #expect(counters[1].packetsHandedOn + counters[1].packetsNotHandedOn == UInt64(sent))
        #expect(counters[1].packetsNotHandedOn >= 500)
        // What came from worker 0, and directly, has passed.
        #expect(counters[0].packetsHandedOn == 10 && counters[0].packetsNotHandedOn == 0)
        #expect(path.arrived[0].count == 20)
        // The others pass when worker 2 takes them, in the same memory.
        node.holds = { _, _ in false }
        node.release(to: 2)
        node.world.run(for: 500 * Self.millisecond)
        #expect(UInt64(path.arrived[0].count) == 20 + counters[1].packetsHandedOn)
        for _ in 0..<10 { node.send(over: path, isBack: false, to: 1) }
        node.world.run(for: 500 * Self.millisecond)
        #expect(UInt64(path.arrived[0].count) == 30 + counters[1].packetsHandedOn)
    }
}

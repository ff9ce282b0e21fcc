import SeededRandom
import Testing
import Wire

@testable import Directory

/// The few nodes from which second hops are drawn.
struct InnerSetTests {
    private func path(
        _ selector: PathSelector, _ guards: inout Guards, _ health: NodeHealth = NodeHealth(), at time: UnixTime = now,
        to terminal: TerminalRequirement = .exit([]), avoiding: [NodeID] = [], hops: Int = 3,
        using generator: inout SeededGenerator
    ) throws -> SelectedPath {
        try selector.select(
            hops: hops, terminal: terminal, avoiding: avoiding, guards: &guards, health: health, at: time,
            using: &generator)
    }

    @Test("s07: however many paths a client builds, its guards have four second hops, used evenly", arguments: [3, 4])
    func s07SecondHopsStayWithinFour(_ hops: Int) throws {
        let selector = Town(count: 200).selector()
        var generator = SeededGenerator(seed: 1)
        var guards = Guards()
        var uses: [NodeID: Int] = [:]
        for _ in 0..<2_000 {
            uses[try path(selector, &guards, hops: hops, using: &generator).hops[1], default: 0] += 1
        }
        #expect(Set(uses.keys) == Set(guards.inner.members.map(\.node)) && uses.count == InnerSet.size)
        #expect(uses.values.allSatisfy { 400...600 ~= $0 })
        #expect(guards.primaries.allSatisfy { !guards.inner.contains($0.node) })
    }

    @Test("s07: refusals that an exit can cause lead to no node outside of the set")
    func s07AnExitCannotWidenTheSet() throws {
        let selector = Town(count: 60).selector()
        for seed in 0..<20 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var guards = Guards()
            var health = NodeHealth()
            var seen: Set<NodeID> = []
            var time = now
            let exit = try path(selector, &guards, using: &generator).hops[2]
            for _ in 0..<200 {
                let hops = try path(
                    selector, &guards, health, at: time, to: .node(exit),
                    avoiding: Array(seen.shuffled(using: &generator).prefix(3)), using: &generator
                ).hops
                seen.insert(hops[1])
                let hop = Bool.random(using: &generator) ? 1 : 2
                let reason: NodeHealth.Reason? =
                    hop == 1
                    ? [.nextHopFailed, .nextHopUnreachable].randomElement(using: &generator)
                    : [nil, .overloaded, .draining, .wrongTime].randomElement(using: &generator)!
                health.refused(
                    by: hops[hop], next: hop == 1 ? hops[2] : nil, reason: reason ?? .overloaded, at: time)
                guards.inner.refused(hops, hop: hop, reason: reason, at: time)
                time.seconds += UInt64.random(in: 0...20, using: &generator)
            }
            #expect(seen.count <= InnerSet.size && guards.inner.members.count == InnerSet.size, "seed \(seed)")
        }
    }

    @Test("s07: a node that its guards do not reach rests; with too few others more are drawn, up to a bound")
    func s07NodesThatAreDown() throws {
        let selector = Town(count: 60).selector()
        var generator = SeededGenerator(seed: 2)
        var guards = Guards()
        _ = try path(selector, &guards, using: &generator)
        let first = guards.inner.members.map(\.node)
        var time = now
        func fail(_ node: NodeID) {
            for entry in guards.primaries {
                guards.inner.failed(node, by: entry.node, at: time)
                // Failures at the same moment count once.
                guards.inner.failed(node, by: entry.node, at: time)
                time.seconds += InnerSet.failureSpan
            }
        }
        // If two of four are down, the others are used and no further one is drawn.
        for node in first.prefix(2) { fail(node) }
        for _ in 0..<100 {
            let hops = try path(selector, &guards, at: time, using: &generator).hops
            #expect(first.suffix(2).contains(hops[1]))
        }
        #expect(guards.inner.members.count == InnerSet.size)
        // Each used node fails: the set grows to its maximum and no further, and a path is still found.
        var seen: Set<NodeID> = []
        for _ in 0..<300 {
            let hops = try path(selector, &guards, at: time, using: &generator).hops
            seen.insert(hops[1])
            fail(hops[1])
        }
        #expect(guards.inner.members.count == 8 && seen.isSubset(of: guards.inner.members.map(\.node)))
        // Nodes that work again are used again: the first four.
        for member in guards.inner.members { guards.inner.succeeded([first[0], member.node, first[1]]) }
        for _ in 0..<100 {
            #expect(first.contains(try path(selector, &guards, at: time, using: &generator).hops[1]))
        }
    }

    @Test("s07: a node is kept for 1 to 22 days that have passed, 15 on average")
    func s07Lifetimes() throws {
        #expect(InnerSet.lifetime == 86_400...22 * 86_400)
        let selector = Town(count: 60).selector()
        var total = 0.0
        var count = 0.0
        for seed in 0..<300 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var guards = Guards()
            _ = try path(selector, &guards, using: &generator)
            for member in guards.inner.members {
                #expect(InnerSet.lifetime ~= member.left)
                total += Double(member.left) / 86_400
                count += 1
            }
            let first = Set(guards.inner.members.map(\.node))
            guards.age(by: InnerSet.lifetime.lowerBound - 1)
            #expect(Set(guards.inner.members.map(\.node)) == first)
            guards.age(by: InnerSet.lifetime.upperBound - InnerSet.lifetime.lowerBound + 1)
            #expect(guards.inner.members.isEmpty)
        }
        #expect(14.0...16.0 ~= total / count)
    }

    @Test("s07: every exit finds two second hops in the set, behind each guard, and a node that is gone makes room")
    func s07EveryExitFindsTwo() throws {
        let town = Town(count: 120, perOperator: 6, perRange: 3)
        let selector = town.selector()
        for seed in 0..<20 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var guards = Guards()
            for exit in town.exits.sorted() where !guards.primaries.contains(where: { $0.node == exit }) {
                let first = try path(selector, &guards, to: .node(exit), using: &generator)
                let second = try path(
                    selector, &guards, to: .node(exit), avoiding: Array(first.hops.prefix(2)), using: &generator)
                guard guards.primaries.allSatisfy({ town.operators[$0.node] != town.operators[exit] }) else { continue }
                #expect(first.relaxation == .nothing && second.relaxation == .nothing)
                #expect(first.hops[1] != second.hops[1])
            }
            #expect(guards.inner.members.count <= InnerSet.size + 1)
        }
        // All nodes of the set have left the network.
        var generator = SeededGenerator(seed: 3)
        var guards = Guards()
        _ = try path(selector, &guards, using: &generator)
        let gone = Set(guards.inner.members.map(\.node))
        let rest = PathSelector(
            snapshot: town.snapshot, descriptors: town.descriptors.filter { !gone.contains($0.descriptor.node) },
            rules: PathSelector.Rules(), at: now)
        for _ in 0..<100 { #expect(!gone.contains(try path(rest, &guards, using: &generator).hops[1])) }
        #expect(guards.inner.members.count == InnerSet.maximum)
    }

    @Test("s07: the set survives a restart; rows that cannot be read are left out")
    func s07Rows() throws {
        var generator = SeededGenerator(seed: 4)
        var guards = Guards()
        _ = try path(Town(count: 60).selector(), &guards, using: &generator)
        let rows = guards.innerRows.shuffled(using: &generator)
        let bad = [
            NodeRow(node: NodeID(bytes32(2, 1_000)), bytes: [1, 2]), NodeRow(node: rows[0].node, bytes: rows[0].bytes),
        ]
        let restored = Guards(rows: guards.rows, inner: rows + bad)
        #expect(restored.inner.members == guards.inner.members)
        #expect(restored.sample.map(\.node) == guards.sample.map(\.node))
    }
}

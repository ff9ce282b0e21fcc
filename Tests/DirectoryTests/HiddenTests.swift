import Directory
import SeededRandom
import Testing
import Wire

/// Paths by which nodes test each other: they look to a middle or a first hop like a client's paths.
struct HiddenTests {
    /// Twelve nodes of different weights, two in each address range; four are exits.
    private let town = Town(
        count: 12, perRange: 2, exitEvery: 3,
        weight: { $0.isMultiple(of: 3) ? UInt32(4_000 + 500 * $0) : UInt32(1_000 + 500 * ($0 % 4)) })

    /// The pairs of other hops in clients' paths with the node at `place`, with their frequencies.
    private func clients(_ tested: NodeID, _ place: Int, _ selector: PathSelector, draws: Int) throws -> Pairs {
        var generator = SeededGenerator(seed: 3)
        var pairs = Pairs()
        for _ in 0..<draws {
            var guards = Guards()
            let hops = try selector.select(
                terminal: .exit([.tcp]), guards: &guards, health: NodeHealth(), at: now, using: &generator
            ).hops
            if hops[place] == tested { pairs.add(hops, place) }
        }
        return pairs
    }

    private func tests(_ tested: NodeID, _ place: Int, _ selector: PathSelector, draws: Int) throws -> Pairs {
        var generator = SeededGenerator(seed: 4)
        var pairs = Pairs()
        for _ in 0..<draws {
            let hops = selector.selectTest(
                of: tested, asMiddle: place == 1, terminal: .exit([.tcp]), health: NodeHealth(), at: now,
                using: &generator)
            guard let hops else { throw PathRefusal.tooFewNodes }
            #expect(hops.count == 3 && hops[place] == tested)
            pairs.add(hops, place)
        }
        return pairs
    }

    private struct Pairs {
        var counts: [[NodeID]: Int] = [:]
        var total = 0

        mutating func add(_ hops: [NodeID], _ place: Int) {
            counts[place == 1 ? [hops[0], hops[2]] : [hops[1], hops[2]], default: 0] += 1
            total += 1
        }

        /// The distance between two distributions of pairs: chi-square, and its degrees of freedom.
        func distance(to other: Pairs) -> (chiSquare: Double, freedom: Double) {
            let all = Set(counts.keys).union(other.counts.keys)
            let (one, two) = (Double(total), Double(other.total))
            var sum = 0.0
            for pair in all {
                let (a, b) = (Double(counts[pair] ?? 0), Double(other.counts[pair] ?? 0))
                let difference = a * (two / one).squareRoot() - b * (one / two).squareRoot()
                sum += difference * difference / (a + b)
            }
            return (sum, Double(all.count - 1))
        }
    }

    /// Nodes 2 and 3, of which 3 is an exit, each as the middle and as the first hop.
    @Test(arguments: [2, 3], [1, 0])
    func s21ATestedNodeSeesWhatAClientsPathShows(_ number: Int, _ place: Int) throws {
        let (selector, tested) = (town.selector(), town.node(number))
        let clients = try clients(tested, place, selector, draws: 1_500)
        let tests = try tests(tested, place, selector, draws: 300)
        #expect(clients.total > 50)
        let (chiSquare, freedom) = clients.distance(to: tests)
        #expect(chiSquare < freedom + 3.5 * (2 * freedom).squareRoot(), "\(chiSquare) of \(freedom)")
    }

    /// Nodes 0 to 5 with IPv4 alone, then `both` with both families, then one with IPv6 alone; every third is an exit.
    private func families(both: Int, suspended: Set<Int> = []) -> Town {
        var town = Town(count: 7 + both, suspended: suspended)
        for number in 6..<(7 + both) {
            let old = town.descriptors[number].descriptor
            let changed = descriptor(
                of: old.node, ipv4: number < 6 + both ? old.ipv4 : nil, ipv6: Endpoint("[26\(10 + number)::9]:1090"),
                exit: number.isMultiple(of: 3))
            town.descriptors[number] = SignedDescriptor(changed, signature: [UInt8](repeating: 0, count: 64))
        }
        return town
    }

    @Test("w3: a node that cannot be reached is tested between nodes with both families, staked or suspended")
    func w3BetweenBothFamilies() throws {
        for suspended in [[], [10]] as [Set<Int>] {
            let town = families(both: 4, suspended: suspended)
            let (selector, tested) = (town.selector(), town.node(10))
            let address = try #require(town.descriptors[10].descriptor.ipv6)
            var generator = SeededGenerator(seed: 5)
            var seen: Set<NodeID> = []
            for _ in 0..<60 {
                let hops = try #require(
                    selector.selectTest(
                        over: tested, at: [address], terminal: .exit([.tcp]), health: NodeHealth(), at: now,
                        using: &generator))
                #expect(hops.count == 3 && hops[1] == tested && hops[0] != hops[2])
                #expect(hops[2] == town.node(6) || hops[2] == town.node(9))
                seen.formUnion([hops[0], hops[2]])
            }
            #expect(seen == Set((6...9).map { town.node($0) }))
            let found = selector.neighbours(of: tested, terminal: .exit([.tcp]))
            #expect([found.nodes, found.operators] == (suspended.isEmpty ? [4, 2] : [0, 0]))
        }
    }

    @Test("w3: where one node has both families, none can be tested between two") func w3OneWithBothFamilies() throws {
        let town = families(both: 1)
        let address = try #require(town.descriptors[7].descriptor.ipv6)
        var generator = SeededGenerator(seed: 6)
        for terminal in [TerminalRequirement.exit([.tcp]), .any] {
            let hops = town.selector().selectTest(
                over: town.node(7), at: [address], terminal: terminal, health: NodeHealth(), at: now,
                using: &generator)
            #expect(hops == nil)
            #expect(town.selector().neighbours(of: town.node(7), terminal: terminal).nodes == 0)
        }
    }

    @Test func s21NoTestHasAPathThatNoClientCouldHave() throws {
        let (selector, own) = (town.selector { $0.own = [town.node(7)] }, town.node(7))
        for number in 0..<12 where number != 7 {
            let tested = town.node(number)
            for place in 0...1 {
                for pair in try tests(tested, place, selector, draws: 12).counts.keys {
                    let hops = place == 1 ? [pair[0], tested, pair[1]] : [tested] + pair
                    #expect(town.exits.contains(hops[2]) && !hops.contains(own))
                    #expect(Set(hops.map { town.operators[$0] }).count == 3)
                    #expect(Set(hops.map { town.ranges[$0] }).count == 3)
                }
            }
        }
        #expect(throws: PathRefusal.tooFewNodes) { try tests(own, 1, selector, draws: 1) }
    }

    @Test func aSuspendedNodeIsTestedAsFirstHopAlone() throws {
        let town = Town(count: 12, suspended: [5])
        let (selector, tested) = (town.selector(), town.node(5))
        _ = try tests(tested, 0, selector, draws: 20)
        #expect(throws: PathRefusal.tooFewNodes) { try tests(tested, 1, selector, draws: 1) }
    }

    @Test func whereNoClientHasAPathThereIsNoTest() {
        let town = Town(count: 2)
        var generator = SeededGenerator(seed: 1)
        for isMiddle in [true, false] {
            let hops = town.selector().selectTest(
                of: town.node(1), asMiddle: isMiddle, terminal: .exit([.tcp]), health: NodeHealth(), at: now,
                using: &generator)
            #expect(hops == nil)
        }
    }
}

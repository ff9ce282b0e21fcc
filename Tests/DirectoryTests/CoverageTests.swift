import Directory
import SeededRandom
import Testing
import Wire

/// The coverage of a network, and the nodes that a client asks for the rest.
struct CoverageTests {
    private static let ids = (0..<24).map { NodeID(bytes32(2, $0)) }

    /// `count` nodes, each of its own operator unless `owner` says otherwise, every `exitEvery`th an exit; a store has
    /// the descriptors of those for which `isKnown` is true.
    private func coverage(
        _ count: Int, exitEvery: Int = 3, down: Set<Int> = [], weight: (Int) -> UInt32 = { _ in 100 }, share: Int = 100,
        owner: (Int) -> UInt64 = { UInt64($0) }, isKnown: (Int) -> Bool
    ) throws -> Coverage {
        let ids = Self.ids.prefix(count)
        let entries = ids.enumerated().map {
            Snapshot.Entry(
                node: $0.element, operatorID: bytes32(1, owner($0.offset)), weight: weight($0.offset), placement: 0)
        }
        let snapshot = try #require(Snapshot(network: network, height: 1, time: now, entries: entries))
        var store = DescriptorStore(network: network, allowsPrivateAddresses: false, snapshot: snapshot)
        for place in 0..<count where isKnown(place) {
            let made = descriptor(of: ids[place], exit: place % exitEvery == 0)
            _ = store.insert(authentic: SignedDescriptor(made, signature: [UInt8](repeating: 0, count: 64)), at: now)
        }
        return Coverage(
            of: snapshot, descriptors: store, down: Set(down.map { ids[$0] }), operatorSharePercent: share, at: now)
    }

    @Test("s05: four fifths of the weight, and three fifths of what may be an exit")
    func thresholds() throws {
        #expect(try coverage(20, exitEvery: 4) { $0 < 16 }.isEnough == false)
        #expect(try coverage(20, exitEvery: 2) { $0 < 16 }.isEnough)
        #expect(try coverage(20, exitEvery: 2) { $0 < 15 }.isEnough == false)
        #expect(try coverage(20) { $0 < 18 }.isEnough)
        #expect(try coverage(20, exitEvery: 30) { $0 != 0 }.isEnough == false)
        #expect(try coverage(20) { _ in false }.isEnough == false)
        // The weight counts, not the number of nodes.
        let heavy = try coverage(20, exitEvery: 1, weight: { $0 == 0 ? 100_000 : 100 }) { $0 != 0 }
        #expect(!heavy.isEnough)
        // But no operator has more than its share, whatever its nodes weigh.
        let capped = try coverage(20, exitEvery: 1, weight: { $0 == 0 ? 100_000_000 : 100 }, share: 10) { $0 == 0 }
        #expect(capped.lacking == 19 && abs(capped.nodes - 10) < 1)
    }

    @Test("s05: what is down counts for nothing, as long as it has no descriptor")
    func down() throws {
        let some = try coverage(10, down: [0, 1, 2, 3]) { $0 > 3 }
        #expect(some.isEnough && some.lacking == 0 && some.missing.count == 4)
        #expect(try coverage(10, down: [0, 1, 2, 3]) { $0 > 6 }.isEnough == false)
    }

    // MARK: Whom to ask

    /// Hostile surroundings of an `Inquiry`: some nodes answer honestly, some return only colluding nodes, some stall,
    /// some are absent.
    private struct World {
        enum Kind: CaseIterable { case honest, hides, stalls, absent }
        var kinds: [Kind]
        var random: SeededGenerator
        var clock = Instant(nanoseconds: 1_000_000_000)
        var known: Set<Int> = []
        var asked: [Int: Instant] = [:]

        /// Runs the inquiry to its end; `known` has the known nodes afterwards.
        mutating func run(_ coverage: (Set<Int>) throws -> Coverage, bootstrap: [Int]) throws -> Inquiry.Outcome {
            var inquiry = Inquiry()
            func id(_ place: Int) -> NodeID { CoverageTests.ids[place] }
            func owner(_ place: Int) -> Bytes32 { bytes32(1, UInt64(place)) }
            for place in bootstrap { inquiry.offer(id(place), owner: owner(place)) }
            let places = Dictionary(uniqueKeysWithValues: kinds.indices.map { (id($0), $0) })
            var open: [(place: Int, at: Instant)] = []
            var seen: [Set<Int>: Coverage] = [:]
            for _ in 0..<10_000 {
                let now = try seen[known] ?? coverage(known)
                seen[known] = now
                let outcome = inquiry.outcome(now, operators: kinds.count, at: clock)
                guard case .open = outcome else { return outcome }
                while let node = inquiry.next(at: clock) {
                    let place = try #require(places[node])
                    // No node is asked twice in one inquiry.
                    #expect(asked.updateValue(clock, forKey: place) == nil)
                    guard kinds[place] != .stalls else { continue }
                    let wait = TimeSpan.milliseconds(.random(in: 1...4_000, using: &random))
                    open.append((place, clock + wait))
                }
                clock = clock + .milliseconds(200)
                for (place, at) in open where at <= clock {
                    switch kinds[place] {
                    case .honest:
                        known.formUnion(kinds.indices.filter { kinds[$0] != .absent && kinds[$0] != .stalls })
                    case .hides: known.formUnion(kinds.indices.filter { kinds[$0] == .hides })
                    case .stalls, .absent: break
                    }
                    if kinds[place] == .absent { inquiry.failed(id(place)) } else { inquiry.answered(id(place)) }
                    // A repeated answer has no effect.
                    inquiry.answered(id(place))
                    for learnt in known.sorted() { inquiry.offer(id(learnt), owner: owner(learnt)) }
                }
                open.removeAll { $0.at <= clock }
            }
            Issue.record("the inquiry does not end")
            return .open
        }
    }

    @Test(
        "s05: among sources that hide, stall and are not there an inquiry ends, and settles on nothing that friends made up",
        arguments: 0..<60)
    func s05Simulation(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let count = Int.random(in: 3...24, using: &random)
        // Less than a third of the operators lie, at most two; the others are random.
        let liars = min(2, (count - 1) / 3)
        var kinds = (0..<count).map { _ -> World.Kind in
            [.honest, .honest, .honest, .honest, .honest, .stalls, .absent].randomElement(using: &random)!
        }
        for place in 0..<liars { kinds[place] = .hides }
        let bootstrap = Array(0..<count).shuffled(using: &random)
        var world = World(kinds: kinds, random: random)
        let outcome = try world.run(
            { known in try self.coverage(count, exitEvery: 1) { known.contains($0) } }, bootstrap: bootstrap)
        let honest = kinds.indices.filter { kinds[$0] == .honest }
        switch outcome {
        case .settled:
            // Either an honest node has answered, or there was none, or the network has at most four nodes.
            #expect(world.known.isSuperset(of: honest) || honest.isEmpty || count <= 4)
        case .tooFew: #expect(honest.count < (count + 1) / 2)
        case .open: Issue.record("the inquiry does not end")
        }
        #expect(world.asked.count <= Inquiry.limit)
    }

    @Test("s05: no more nodes are asked than are needed: each learns the client's address")
    func noMoreThanNeeded() throws {
        var inquiry = Inquiry()
        let start = Instant(nanoseconds: 1_000_000_000)
        for place in 0..<10 { inquiry.offer(Self.ids[place], owner: bytes32(1, UInt64(place))) }
        func ask() -> [NodeID] {
            var asked: [NodeID] = []
            while let node = inquiry.next(at: start, goal: Inquiry.few) { asked.append(node) }
            return asked
        }
        let first = ask()
        #expect(first.count == 3)
        for node in first.prefix(2) { inquiry.answered(node) }
        #expect(ask() == [])
        // A failed node is replaced by one other.
        inquiry.failed(first[2])
        #expect(ask().count == 1 && inquiry.asked == 4)
    }

    @Test("s05: friends of one bootstrap node alone never settle it in a network of many")
    func friendsOnly() throws {
        for seed in 0..<20 as Range<UInt64> {
            let kinds = (0..<24).map { $0 < 6 ? World.Kind.hides : .honest }
            var world = World(kinds: kinds, random: SeededGenerator(seed: seed))
            let outcome = try world.run(
                { known in try self.coverage(24, exitEvery: 1) { known.contains($0) } }, bootstrap: [0])
            #expect({ if case .tooFew = outcome { true } else { false } }())
        }
    }
}

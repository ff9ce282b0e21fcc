import Directory
import Link
import OnionCrypto
import SeededRandom
import Testing
import Wire

/// The descriptors, time and choices of a client with hostile sources of the directory, without sockets.
@Suite struct SourcesSimulationTests {
    private static let count = 18
    private static let start = UnixTime(seconds: 1_800_000_000)
    private static let network = Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan)
    private static let nodes = (0..<count).map { number in
        NodeID(Bytes32(copying: ([UInt8](repeating: 1, count: 31) + [UInt8(number)]).rawSpan))
    }

    private func descriptor(_ number: Int, at time: UInt64) -> SignedDescriptor {
        let address = Endpoint(address: IPAddress(v4: UInt32(9 + number) << 24 | 1), port: 1_090)
        let value = Descriptor(
            node: Self.nodes[number], published: UnixTime(seconds: time),
            expires: UnixTime(seconds: time + DescriptorStore.lifetime),
            suites: .known, roles: number % 2 == 0 ? [.exit] : [], exit: number % 2 == 0 ? [.tcp, .ipv4] : [],
            bandwidth: 0,
            ipv4: address, ipv6: nil, onionKey: [UInt8](repeating: 5, count: Descriptor.onionKeySize), software: "t")
        return SignedDescriptor(value, signature: [UInt8](repeating: 0, count: 64))
    }

    /// Some days of a client that asks, restarts and sleeps.
    ///
    /// A sixth of the sources are friends: they hide the others, repeat old descriptors, stall, and lie about the time.
    @Test(
        "s05, s06: hostile sources choose neither guards, nor paths, nor the time", arguments: 0..<12 as Range<UInt64>)
    func life(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let friends = Self.count / 6
        let entries = Self.nodes.map { Snapshot.Entry(node: $0, operatorID: $0.key, weight: 100, placement: 0) }
        let snapshot = try #require(
            Snapshot(network: Self.network, height: 1, time: Self.start, entries: entries))
        let nothing = DescriptorStore(network: Self.network, allowsPrivateAddresses: false, snapshot: snapshot)
        var store = nothing
        var clock = ClockEstimate()
        clock.operators = Self.count
        var guards = Guards()
        var running = Instant(nanoseconds: 1_000_000_000)
        var elapsed: UInt64 = 0
        var down: Set<NodeID> = []
        var old: [[SignedDescriptor]] = []
        var drawn: [NodeID] = []
        for _ in 0..<24 {
            // Hours pass; the machine's clock is right.
            let hours = UInt64.random(in: 1...20, using: &random)
            elapsed += hours * 3_600
            running = running + .seconds(Int64(hours) * 3_600)
            guards.age(by: hours * 3_600)
            let own = UnixTime(seconds: Self.start.seconds + elapsed)
            let all = (0..<Self.count).map {
                descriptor($0, at: own.seconds - UInt64.random(in: 0...28_000, using: &random))
            }
            old.append(all)
            // A lie about the time makes the client ask more nodes, so friends do not always lie.
            let lies = [-90 * 86_400, -3_600, 1_200, 7_200, 61 * 86_400]
            let lie = Bool.random(using: &random) ? 0 : lies.randomElement(using: &random)!
            // The client starts, with or without its earlier state.
            if Bool.random(using: &random) { clock = ClockEstimate() }
            if Bool.random(using: &random) { store = nothing }

            var inquiry = Inquiry()
            var heard: Set<Int> = []
            for place in (0..<Self.count).shuffled(using: &random) {
                inquiry.offer(Self.nodes[place], owner: Self.nodes[place].key)
            }
            var moment = running
            var rounds = 0
            inquiring: while true {
                let time = clock.time(own: own, at: running)
                let raw = Coverage(of: snapshot, descriptors: store, at: time)
                let isDisputed = clock.isDisputed(own: own, at: running)
                switch inquiry.outcome(raw, operators: Self.count, wantsMany: isDisputed, at: moment) {
                case .settled:
                    down = raw.missing
                    break inquiring
                case .tooFew: break inquiring
                case .open: break
                }
                rounds += 1
                try #require(rounds < 1_000, "the inquiry does not end")
                moment = moment + .seconds(1)
                let goal = Inquiry.goal(raw, wantsMany: isDisputed)
                while let node = inquiry.next(at: moment, goal: goal) {
                    let place = try #require(Self.nodes.firstIndex(of: node))
                    let isFriend = place < friends
                    guard !isFriend || Int.random(in: 0..<4, using: &random) > 0 else { continue }
                    let said = UnixTime(seconds: UInt64(Int64(own.seconds) + (isFriend ? Int64(lie) : 0)))
                    clock.add(said, from: node.key, own: own, at: running)
                    let answer =
                        !isFriend
                        ? all
                        : Bool.random(using: &random)
                            ? (0..<friends).map { descriptor($0, at: said.seconds) }
                            : old.randomElement(using: &random)!
                    for descriptor in answer {
                        _ = store.insert(authentic: descriptor, at: clock.time(own: own, at: running))
                    }
                    inquiry.answered(node)
                    heard.insert(place)
                }
            }
            // Three operators that no other operator contradicts are believed.
            if heard == Set(0..<friends) { continue }
            #expect(clock.time(own: own, at: running) == own, "seed \(seed)")
            let coverage = Coverage(of: snapshot, descriptors: store, down: down, at: own)
            guard coverage.isEnough else { continue }
            let friendly = Set(Self.nodes.prefix(friends))
            #expect(!down.contains { !friendly.contains($0) }, "seed \(seed)")
            let selector = PathSelector(snapshot: snapshot, descriptors: store.all, rules: .init(), at: own)
            let captured = try (0..<12).count { _ in
                try selector.select(
                    terminal: .exit(.tcp), guards: &guards, health: NodeHealth(), at: own, using: &random
                ).hops.allSatisfy(friendly.contains)
            }
            #expect(captured < 6, "seed \(seed)")
            if drawn.isEmpty { drawn = guards.primaries.map(\.node) }
        }
        // At most twenty days have passed: the guards are the first ones drawn, whatever time the sources told.
        #expect(!drawn.isEmpty && guards.primaries.map(\.node) == drawn, "seed \(seed)")
        guards.ageWhileOff(upTo: UnixTime(seconds: Self.start.seconds + elapsed))
        #expect(guards.primaries.map(\.node) == drawn, "seed \(seed)")
    }
}

import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Registry

/// Attacks on the spreading of blocks, on clocks, and on the choice of quorums.
extension LedgerAttackTests {
    // MARK: Spreading

    /// Two neighbours announce a height of 2^63 ten times a second and deliver nothing.
    @Test func s03AnnouncementsWithoutBlocksDoNotStopTheChain() {
        let quiet = LedgerSimulation(Realm(), followers: 2, seed: 3)
        quiet.run(for: 60_000)
        let town = LedgerSimulation(Realm(), followers: 4, seed: 3, hostile: [5: .announcing, 6: .announcing])
        town.run(for: 60_000)
        #expect(town.height * 10 >= quiet.height * 9, "\(town.height) of \(quiet.height)")
        for index in town.honest { #expect(town.nodes[index]!.chain.height + 1 >= town.height, "node \(index)") }
    }

    private func source(_ number: UInt64) -> NodeID { NodeID(key(5000 + number).publicKey) }

    @Test func s03WhoAnnouncesAndDoesNotDeliverIsLeftAlone() throws {
        let realm = Realm()
        var node = LedgerNode(
            node: source(99), chain: LedgerChain(realm.rules), epochs: EpochSnapshots(seconds: 10), authority: nil)
        // A block is overdue.
        var now = (start + 10) * 1_000
        func question(_ actions: [LedgerNode.Action], to other: NodeID) -> UInt64? {
            for case .ask(.node(other), .blocks, let id) in actions { return id }
            return nil
        }
        // Silence, an empty answer and bytes that are not blocks have the same effect: a pause that doubles each time,
        // up to 16 minutes.
        var pause: UInt64 = 60_000
        for body in [nil, [], [1, 2, 3], nil, [], nil] as [[UInt8]?] {
            let id = try #require(question(node.announced(1 << 63, by: source(1), now: now), to: source(1)))
            // A random neighbour is asked at once; when it is silent too, another one is asked, as long as the block is
            // overdue.
            var actions = node.answered(id, body, from: source(1), now: now)
            for number in 10..<12 as Range<UInt64> {
                guard case .ask(.anyone(let avoided), .blocks, let poll)? = actions.last else {
                    Issue.record("nobody else is asked: \(actions)")
                    return
                }
                #expect(number == 10 || avoided.contains(source(10)))
                actions = node.answered(poll, number == 10 ? nil : [], from: source(number), now: now)
            }
            #expect(actions.isEmpty)
            #expect(node.announced(1 << 63, by: source(1), now: now + pause - 1).isEmpty)
            now += pause
            pause = min(pause * 2, 16 * 60_000)
        }
        // At most two announcing nodes are asked at a time; the third place is for an authority.
        let authority = realm.rules.authorities[0].node
        let first = try #require(question(node.announced(1 << 63, by: source(2), now: now), to: source(2)))
        #expect(question(node.announced(1 << 63, by: source(3), now: now), to: source(3)) != nil)
        #expect(node.announced(1 << 63, by: source(4), now: now).isEmpty)
        #expect(node.announced(1 << 63, by: source(2), now: now).isEmpty)
        let third = try #require(question(node.announced(1, by: authority, now: now), to: authority))
        // An honest node delivers and is asked again at once; an empty answer then is no failure, because it announced
        // no more.
        var chain = LedgerChain(realm.rules)
        let block = realm.sealed(chain.draft([], time: start))
        try chain.append(block, now: now / 1_000)
        let actions = node.answered(
            third, FinalBlock.encodeList([block.encoded()]), from: authority, now: now)
        #expect(node.chain.height == 1)
        let again = try #require(question(actions, to: authority))
        _ = node.answered(again, [], from: authority, now: now)
        #expect(question(node.announced(2, by: authority, now: now), to: authority) != nil)
        // A block that has arrived from another source meanwhile is no reason for a warning.
        _ = node.answered(first, FinalBlock.encodeList([block.encoded()]), from: source(2), now: now)
        #expect(node.problem == nil && node.chain.height == 1)
    }

    /// Neighbours that refuse at once, or answer with invalid bytes, are asked only a few times until the next poll.
    @Test(arguments: [nil, [1, 2, 3]] as [[UInt8]?]) func s03WhoRefusesAtOnceIsNotAskedWithoutEnd(_ body: [UInt8]?) {
        var node = LedgerNode(
            node: source(99), chain: LedgerChain(Realm().rules), epochs: EpochSnapshots(seconds: 10), authority: nil)
        // A block is overdue.
        let now = (start + 10) * 1_000
        var open: [UInt64] = []
        var asked = 0
        func take(_ actions: [LedgerNode.Action]) {
            for case .ask(.anyone, .blocks, let id) in actions {
                open.append(id)
                asked += 1
            }
        }
        take(node.tick(now: now))
        while let id = open.popLast(), asked < 100 {
            take(node.answered(id, body, from: source(UInt64(asked)), now: now))
        }
        #expect(asked > 1 && asked <= 1 + LedgerNode.repollLimit)
        take(node.tick(now: now + 20_000))
        #expect(!open.isEmpty)
    }

    @Test func s03TheMemoryOfFailuresIsBounded() {
        var table = FetchTable()
        for number in 0..<3_000 as Range<UInt64> { table.failed(NodeID(bytes32(8, number)), now: number) }
        #expect(table.failedCount == FetchTable.memory)
        #expect(table.isPaused(NodeID(bytes32(8, 2_999)), now: 3_000))
        table.failed(NodeID(bytes32(8, 2_999)), now: .max)
        #expect(table.failedCount == FetchTable.memory)
    }

    /// A final block is sent to the other authorities, whatever anybody announces.
    @Test func s03AFinalBlockGoesToTheOtherAuthorities() throws {
        let realm = Realm()
        var chain = LedgerChain(realm.rules)
        let block = realm.sealed(chain.draft([], time: start))
        var node = LedgerNode(
            node: realm.rules.authorities[1].node, chain: chain, epochs: EpochSnapshots(seconds: 10),
            authority: Authority(realm.rules, key: key(2001), kept: nil))
        let now = (start + 5) * 1_000
        #expect(node.received(block, from: source(1), now: now).isEmpty && node.chain.height == 0)
        let few = realm.sealed(block.block, by: [0, 2])
        _ = node.received(few, from: realm.rules.authorities[0].node, now: now)
        #expect(node.chain.height == 0 && node.problem != nil)
        // That sender's next block is not checked; another sender's is.
        #expect(node.received(block, from: realm.rules.authorities[0].node, now: now).isEmpty)
        let actions = node.received(block, from: realm.rules.authorities[2].node, now: now)
        #expect(node.chain.height == 1 && actions.contains(.announce(height: 1)))
    }

    // MARK: Clocks

    /// Two of four authorities have clocks that are 25 s off, in both directions: there is no block, and all four say
    /// why until one clock is set.
    @Test func s04ClocksThatDifferAreTold() {
        let realm = Realm(authorities: 4, threshold: 3, blockSeconds: 20, slotSeconds: 10)
        let town = LedgerSimulation(realm, followers: 0, seed: 8)
        town.skews = [25_000, -25_000, 0, 0]
        town.run(for: 300_000)
        #expect(town.height == 0)
        for index in 0..<4 {
            let node = town.nodes[index]!
            #expect(node.problem?.isOfClocks == true, "\(index): \(node.problem?.text ?? "nothing")")
            #expect(node.clockRefusals > 5)
        }
        // Each authority warns at most about the requests and the answers of three others, however often they come.
        #expect(town.warnings.count <= 24 && town.warnings.allSatisfy(\.isOfClocks))
        #expect(town.warnings.contains { if case .dateRefused(0, let ahead) = $0 { ahead > 0 } else { false } })
        #expect(town.warnings.contains { if case .dateRefused(1, let ahead) = $0 { ahead < 0 } else { false } })
        town.skews[1] = 0
        town.run(for: 200_000)
        #expect(town.height >= 4)
    }

    @Test func s04AWrongClockIsToldOnceInTenMinutes() throws {
        let realm = Realm(authorities: 4, threshold: 3, blockSeconds: 120, slotSeconds: 10)
        let nodes = realm.rules.authorities.map(\.node)
        var node = LedgerNode(
            node: nodes[0], chain: LedgerChain(realm.rules), epochs: EpochSnapshots(seconds: 10),
            authority: Authority(realm.rules, key: key(2000), kept: nil))
        var chain = LedgerChain(realm.rules)
        /// The warnings when the leader of a slot `ahead` slots in the future sends a request.
        func told(_ index: Int, ahead: UInt64, at now: UInt64) throws -> [LedgerWarning] {
            let slot = realm.slot(of: index, from: now / 10 + ahead, chain)
            let request = AuthorityRequest.prepare(height: 1, slot: slot)
            let received = node.received(request, from: nodes[index], now: now * 1_000)
            let (actions, answer) = try #require(received)
            #expect(answer == .refused(.wrongTime, height: 0))
            return actions.compactMap { if case .warn(let warning) = $0 { warning } else { nil } }
        }
        let now = start + 200
        #expect(try told(1, ahead: 2, at: now).count == 1)
        #expect(try told(2, ahead: 2, at: now + 1).count == 1)
        #expect(try told(1, ahead: 2, at: now + 10).isEmpty)
        #expect(try told(1, ahead: 2, at: now + 599).isEmpty)
        #expect(try told(1, ahead: 2, at: now + 600).count == 1)
        // This clock was set back.
        #expect(try told(1, ahead: 2, at: now - 10).count == 1)
        #expect(node.clockRefusals == 6)
        // A block's date shows the difference.
        let slot = realm.slot(of: 3, from: now / 10, chain)
        let block = chain.draft([], time: slot * 10 - 42, by: 3)
        let received = node.received(.propose(slot: slot, nil, block), from: nodes[3], now: slot * 10_000)
        let (actions, answer) = try #require(received)
        #expect(answer == .refused(.wrongTime, height: 0))
        #expect(actions.count == 1 && node.problem == .dateRefused(authority: 3, ahead: -42))
        // The greatest and the smallest numbers give a value as well.
        #expect(realm.rules.clockDifference(of: .prepare(height: 1, slot: .max), now: 0) == .max)
        #expect(realm.rules.clockDifference(of: .prepare(height: 1, slot: 0), now: .max) < 0)
    }

    // MARK: Quorums

    /// A chain with one node of each of the town's accounts.
    private func settled(_ realm: Realm) throws -> LedgerChain {
        var chain = LedgerChain(realm.rules)
        let registrations = (0..<30 as Range<UInt64>).map {
            RegistryOperation(
                registering: key(100 + $0), fee: 0, stake: full, network: networkID, nonce: 0, key: key($0))
        }
        try chain.append(realm.sealed(chain.draft(registrations, time: start)), now: start)
        #expect(chain.state.nodes.count == 30)
        return chain
    }

    /// The time, order and contents of a block change its hash, but neither its seed nor its quorum.
    @Test func s19ALeaderDoesNotChooseTheQuorum() throws {
        let realm = Realm()
        let chain = try settled(realm)
        let pays = (0..<6 as Range<UInt64>).map { realm.operation($0, 1, .pay(amount: 1 + $0)) }
        var quorums: Set<[NodeID]> = []
        var hashes: Set<Bytes32> = []
        for try_ in 0..<40 as Range<UInt64> {
            var random = SeededGenerator(seed: try_)
            var draft = chain
            let some = Array(pays.shuffled(using: &random).prefix(Int(try_ % 7)))
            let block = realm.sealed(draft.draft(some, time: start + try_), slot: 100 + try_)
            try draft.append(block, now: start + 100)
            hashes.insert(block.block.contentHash)
            quorums.insert(draft.state.quorums.last!.nodes)
        }
        #expect(hashes.count == 40 && quorums.count == 1)
        // Another maker gives another quorum. A proof by another maker, or for another height, is refused.
        var draft = chain
        try draft.append(realm.sealed(draft.draft([], time: start + 2, by: 1)), now: start + 100)
        #expect(!quorums.contains(draft.state.quorums.last!.nodes))
        let good = { (chain: LedgerChain) in
            var chain = chain
            return chain.draft([], time: start + 2, by: 1)
        }(chain)
        for (maker, proof) in [
            (UInt8(0), good.proof), (2, good.proof), (1, key(2001).prove(LedgerChain(realm.rules).proofInput.rawSpan)),
            (1, [UInt8](repeating: 0, count: 80)), (4, good.proof),
        ] {
            let forged = Block(
                network: networkID, height: 2, time: good.time, previous: good.previous, random: good.random,
                maker: maker,
                proof: proof, operations: [], stateDigest: good.stateDigest)
            var other = chain
            #expect(throws: LedgerRefusal.wrongMaker(Int(maker))) {
                try other.append(realm.sealed(forged), now: start + 100)
            }
        }
    }

    /// With t hostile leaders in a row, the quorum is the best of t known draws and one unknown.
    @Test func s19TurnsInARowAreWorthOneDrawEach() throws {
        let realm = Realm(authorities: 13, threshold: 9)
        let hostile = Set((0..<3).map { Town.nodeIDs[$0] })
        var seed = LedgerChain(realm.rules).state.seed
        let trials: UInt64 = 60
        var most = [Int](repeating: 0, count: 5)
        var sum = most
        for height in 1...trials {
            let seats = try (0..<5 as Range<UInt64>).map { maker in
                let proof = key(2000 + maker).prove(realm.rules.proofInput(height: height, after: seed).rawSpan)
                let next = try #require(realm.rules.seed(of: proof, maker: UInt8(maker), height: height, after: seed))
                let ranked = Town.nodeIDs.prefix(30).map {
                    (NodeID(RegistryState.rank(of: $0, network: networkID, height: height, seed: next)), $0)
                }.sorted { $0.0 < $1.0 }
                return ranked.prefix(10).count { hostile.contains($0.1) }
            }
            for turns in 0..<5 {
                let best = seats.prefix(turns + 1).max()!
                sum[turns] += best
                most[turns] = max(most[turns], best)
            }
            let proof = key(2004).prove(realm.rules.proofInput(height: height, after: seed).rawSpan)
            seed = try #require(realm.rules.seed(of: proof, maker: 4, height: height, after: seed))
        }
        // Three hostile nodes of thirty have one of ten seats on average; the best of five draws has less than 2.2.
        let means = sum.map { Double($0) / Double(trials) }
        #expect(
            abs(means[0] - 1) < 0.3 && means[4] < 2.2 && zip(means, means.dropFirst()).allSatisfy { $0 <= $1 },
            "\(means)")
    }

    /// The leaders of a height take turns; the seed selects the first.
    @Test func s19EveryAuthorityLeadsOnceInNSlots() {
        for count in 1...13 as ClosedRange<UInt64> {
            let rules = Realm(authorities: count, threshold: Int(count) / 2 + 1).rules
            var firsts: Set<Int> = []
            for number in 0..<100 as Range<UInt64> {
                let seed = Blake2b.digest([UInt8(number)].rawSpan)
                let leaders = (1_000..<1_000 + count).map { rules.leader(of: $0, after: seed) }
                #expect(Set(leaders).count == Int(count))
                firsts.insert(leaders[0])
            }
            #expect(firsts.count == Int(count))
            #expect((0..<Int(count)).contains(rules.leader(of: .max, after: Blake2b.digest([UInt8]().rawSpan))))
        }
    }
}

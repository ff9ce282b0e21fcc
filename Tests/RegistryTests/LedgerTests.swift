import Glibc
import OnionCrypto
import Registry
import SeededRandom
import Testing
import Wire

/// The number of seeds of the long simulation: LEDGER_RUNS, or 10.
private let runs = unsafe getenv("LEDGER_RUNS").flatMap { unsafe UInt64(String(cString: $0)) } ?? 10

/// Making blocks together: one block at each height, and new blocks as long as enough authorities are up.
@Suite struct LedgerTests {
    @Test func blocksComeInTimeAndEverybodyHasThem() {
        let town = LedgerSimulation(Realm(), seed: 1)
        town.run(for: 60_000)
        #expect(town.height >= 20 && town.height <= 30)
        let digests = Set(town.nodes.map { $0!.chain.state.digest })
        #expect(digests.count <= 2 && town.warnings.isEmpty)
    }

    @Test func oneAuthorityAloneMakesBlocks() {
        let town = LedgerSimulation(Realm(authorities: 1, threshold: 1), followers: 1, seed: 2)
        town.run(for: 20_000)
        #expect(town.height >= 8)
    }

    @Test func anOperationIsAppliedOrRefusedByName() {
        let realm = Realm()
        let town = LedgerSimulation(realm, seed: 3)
        let pay = town.submit(realm.operation(0, 0, .pay(amount: 5)), at: 5)
        let spent = town.submit(realm.operation(1, 0, .pay(amount: 200_000 * sesh)), at: 4)
        town.run(for: 10_000)
        #expect(town.results[spent] == .refused("overspent"))
        guard case .applied(let height) = town.results[pay] else { return #expect(Bool(false), "not applied") }
        #expect(height > 0 && town.nodes[5]!.chain.state.accounts[Town.ids[0]]?.nonce == 1)
        // The same operation again, at an authority.
        let again = town.submit(realm.operation(0, 0, .pay(amount: 5)), at: 0)
        town.run(for: 1_000)
        #expect(town.results[again] == .refused("replayed"))
    }

    @Test func deadAuthoritiesDoNotStopTheChainAsLongAsEnoughLive() {
        let town = LedgerSimulation(Realm(authorities: 5, threshold: 3), seed: 4)
        town.kill(0, for: nil)
        town.kill(3, for: nil)
        town.run(for: 60_000)
        #expect(town.height >= 10)
        town.kill(1, for: nil)
        let height = town.height
        town.run(for: 30_000)
        #expect(town.height <= height + 1)
        town.revive(0)
        town.run(for: 30_000)
        #expect(town.height >= height + 5)
    }

    /// With two authorities on each side and three needed, no block is made; after the split the chain continues.
    @Test(arguments: 10..<15 as Range<UInt64>)
    func aSplitHeals(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let town = LedgerSimulation(Realm(), followers: 0, seed: seed)
        town.run(for: 5_000 + UInt64.random(in: 0...3_000, using: &random))
        let height = town.height
        // The split begins in the middle of a block, which some authorities may have accepted or signed.
        town.conditions.side = [0: 1, 1: 1]
        town.run(for: 20_000)
        #expect(town.height <= height + 1)
        town.conditions.side = [:]
        town.run(for: 20_000)
        #expect(town.height >= height + 4)
    }

    /// Loss, delay, different clocks, and kills between any two actions; then a network that delivers.
    @Test(arguments: 100..<100 + runs)
    func thereIsOneBlockAtEachHeight(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let authorities = UInt64.random(in: 1...5, using: &random)
        let threshold = Int.random(in: Int(authorities) / 2 + 1...Int(authorities), using: &random)
        let realm = Realm(
            authorities: authorities, threshold: threshold, blockSeconds: UInt64.random(in: 1...3, using: &random))
        let town = LedgerSimulation(
            realm, followers: UInt64.random(in: 1...2, using: &random), seed: seed &* 77, skew: 300)
        var nonces = [UInt64](repeating: 0, count: 5)
        var submitted: [UInt64] = []
        var deadlyRounds = 0
        for _ in 0..<12 {
            town.conditions.loss = Int.random(in: 0...40, using: &random)
            town.conditions.delay = [5, 50, 400, 1_500].randomElement(using: &random)!
            town.conditions.kills = [0, 10, 50].randomElement(using: &random)!
            deadlyRounds += town.conditions.kills / 50
            if Bool.random(using: &random) {
                town.conditions.side = [Int.random(in: 0..<Int(authorities), using: &random): 1]
            } else {
                town.conditions.side = [:]
            }
            let payer = Int.random(in: 0..<5, using: &random)
            let operation = realm.operation(UInt64(payer), nonces[payer], .pay(amount: 1))
            nonces[payer] += 1
            submitted.append(town.submit(operation, at: Int.random(in: 0..<town.ids.count, using: &random)))
            town.run(for: 10_000)
        }
        town.conditions = .init()
        for index in town.ids.indices { town.revive(index) }
        let height = town.height
        town.run(for: 60_000)
        #expect(town.height >= height + 8, "the chain stands still")
        #expect(town.finals.count == Int(town.height))
        // Any other warning would be about a fork. Slots are one second, so a delayed message looks like a wrong clock.
        #expect(town.warnings.allSatisfy { $0 == .blockRefused(.fromTheFuture) || $0.isOfClocks }, "\(town.warnings)")
        for case .applied(let height) in submitted.compactMap({ town.results[$0] }) { #expect(height <= town.height) }
        #expect(town.killCount > 0 || deadlyRounds < 3)
        // Each payer's next operation is applied.
        let state = town.nodes.compactMap { $0?.chain }.max { $0.height < $1.height }!.state
        let paid = (0..<5).map { state.accounts[Town.ids[$0]]!.nonce }
        let last = (0..<5).map { payer in
            town.submit(realm.operation(UInt64(payer), paid[payer], .pay(amount: 1)), at: town.ids.count - 1)
        }
        town.run(for: 30_000)
        for id in last {
            guard case .applied = town.results[id] else {
                Issue.record("not applied: \(String(describing: town.results[id]))")
                continue
            }
        }
    }

    /// The second try of an operation goes to all authorities; answers to the first one that come late are not its.
    @Test func answersToAnEarlierTryDoNotCount() throws {
        let realm = Realm()
        var node = LedgerNode(
            node: NodeID(key(3009).publicKey), chain: LedgerChain(realm.rules), epochs: EpochSnapshots(seconds: 10),
            authority: nil)
        func asked(_ actions: [LedgerNode.Action]) -> [UInt64] {
            actions.compactMap { if case .ask(_, .submit, let id) = $0 { id } else { nil } }
        }
        func results(_ actions: [LedgerNode.Action]) -> [SubmitResult] {
            actions.compactMap { if case .submitted(_, let result) = $0 { result } else { nil } }
        }
        let now = start * 1_000
        let first = asked(node.submit(realm.operation(0, 0, .pay(amount: 5)), id: 1, now: now))
        let second = asked(node.tick(now: now + 6_000))
        #expect(first.count == 4 && second.count == 4)
        // Each refuses the first try, and nobody has answered the second.
        let refusal = SubmitAnswer(refusal: "blockFull", height: 0).encoded()
        for id in first { #expect(results(node.answered(id, refusal, from: nil, now: now + 6_100)) == []) }
        #expect(asked(node.tick(now: now + 7_200)) == [])
        // All four answers to the second try are heard.
        let waits = SubmitAnswer(refusal: nil, height: 0).encoded()
        for id in second.dropLast() { #expect(results(node.answered(id, refusal, from: nil, now: now + 7_300)) == []) }
        #expect(results(node.answered(second[3], waits, from: nil, now: now + 7_300)) == [])
        #expect(asked(node.tick(now: now + 8_400)) == [])
        // All refuse the third try, which ends it.
        let third = asked(node.tick(now: now + 12_000))
        #expect(third.count == 4)
        for id in third {
            let found = results(node.answered(id, refusal, from: nil, now: now + 12_100))
            #expect(found == (id == third[3] ? [.refused("blockFull")] : []))
        }
    }
}

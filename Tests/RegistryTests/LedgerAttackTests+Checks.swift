import OnionCrypto
import Testing
import Wire

@testable import Registry

/// Attacks of leaders that make the others work: each check of a block and each promise must be for a slot of the present.
extension LedgerAttackTests {
    private var slow: Realm { Realm(authorities: 4, threshold: 3, blockSeconds: 120, slotSeconds: 10) }

    /// The next block of `maker` with a state that does not follow, which only a whole check shows.
    private func bad(_ chain: LedgerChain, by maker: UInt64, time: UInt64) -> Block {
        var chain = chain
        let good = chain.draft([], time: time, by: maker)
        return Block(
            network: good.network, height: good.height, time: good.time, previous: good.previous, random: good.random,
            maker: good.maker, proof: good.proof, operations: good.operations, stateDigest: networkID)
    }

    @Test(arguments: [true, false])
    func s26BadBlocksForPastSlotsGetNoCheck(_ isBackwards: Bool) {
        let realm = slow
        var chain = LedgerChain(realm.rules)
        let slot = realm.slot(of: 1, from: (start + 2_000) / 10, chain)
        let block = bad(chain, by: 1, time: slot * 10)
        var authority = Authority(realm.rules, key: key(2000), kept: nil)!
        let past = (0..<20 as Range<UInt64>).map { slot - $0 * 4 }
        let answers = (isBackwards ? past : past.reversed()).map {
            authority.answer(.propose(slot: $0, nil, block), from: 1, &chain, now: slot * 10_000).answer
        }
        #expect(answers.count { $0 == .refused(.badBlock, height: 0) } == 1, "\(answers)")
        #expect(answers.count { $0 == .refused(.wrongSlot, height: 0) } == 19, "\(answers)")
    }

    /// A promise is written to disk.
    @Test func s26APastSlotGetsNoPromise() {
        let realm = slow
        var chain = LedgerChain(realm.rules)
        let slot = realm.slot(of: 1, from: (start + 2_000) / 10, chain)
        var authority = Authority(realm.rules, key: key(2000), kept: nil)!
        for back in (1..<20 as Range<UInt64>).reversed() {
            let (kept, answer) = authority.answer(
                .prepare(height: 1, slot: slot - back * 4), from: 1, &chain, now: slot * 10_000)
            #expect(kept == nil && answer == .refused(.wrongTime, height: 0))
        }
        #expect(
            authority.answer(.prepare(height: 1, slot: slot), from: 1, &chain, now: slot * 10_000).answer
                == .promise(nil))
    }

    /// Two leaders of slots that follow each other have one check each, in whatever order they ask.
    @Test func s26LeadersThatTakeTurnsGetOneCheckEach() {
        let realm = slow
        var chain = LedgerChain(realm.rules)
        let slot = realm.slot(of: 1, from: (start + 200) / 10, chain)
        let now = slot * 10_000
        var authority = Authority(realm.rules, key: key(2000), kept: nil)!
        let blocks = [bad(chain, by: 1, time: slot * 10), bad(chain, by: 2, time: slot * 10)]
        var checks = 0
        for turn in 0..<20 {
            let leader = turn % 2
            let request = AuthorityRequest.propose(slot: slot + UInt64(leader), nil, blocks[leader])
            let answer = authority.answer(request, from: leader + 1, &chain, now: now).answer
            if answer == .refused(.badBlock, height: 0) { checks += 1 }
        }
        #expect(checks == 2)

        // The same with certificates whose signatures are wrong.
        authority = Authority(realm.rules, key: key(2000), kept: nil)!
        let good = chain.draft([], time: slot * 10, by: 1)
        guard case .signature = authority.answer(.propose(slot: slot, nil, good), from: 1, &chain, now: now).answer
        else {
            Issue.record("the block is refused")
            return
        }
        let forged = Certificate(slot: slot, acceptances: realm.signatures(of: [1, 2, 3], over: [1]))
        checks = 0
        for _ in 0..<10 {
            let commit = AuthorityRequest.commit(height: 1, hash: good.hash, forged)
            if authority.answer(commit, from: 1, &chain, now: now).answer == .refused(.notAccepted, height: 0) {
                checks += 1
            }
            _ = authority.answer(.propose(slot: slot + 1, nil, blocks[1]), from: 2, &chain, now: now)
        }
        #expect(checks == 1)
    }

    /// The simulation records a second check of a slot.
    @Test func s26LeadersThatWasteChecksCostTheirSlots() {
        let town = LedgerSimulation(
            Realm(authorities: 7, threshold: 5), followers: 0, seed: 26, hostile: [2: .wasting, 3: .wasting])
        town.run(for: 60_000)
        #expect(town.height >= 60 / 8 && town.honest.allSatisfy { town.nodes[$0]!.chain.height + 1 >= town.height })
    }

    /// A leader's clock may be slow, and its messages late: its slot may be over, and it may end its round even later.
    @Test func s26ARoundMayEndAfterItsSlot() {
        let realm = slow
        var chain = LedgerChain(realm.rules)
        let slot = realm.slot(of: 1, from: (start + 200) / 10, chain)
        var authority = Authority(realm.rules, key: key(2000), kept: nil)!
        let late = (slot + 2) * 10_000 - 1
        let block = chain.draft([], time: slot * 10 + 10, by: 1)
        #expect(
            authority.answer(.prepare(height: 1, slot: slot), from: 1, &chain, now: late).answer == .promise(nil))
        let accepted = authority.answer(.propose(slot: slot, nil, block), from: 1, &chain, now: late)
        #expect(accepted.keep?.accepted == block)
        let certificate = realm.certificate(block, by: [0, 1, 2], slot: slot)
        let locked = authority.answer(
            .commit(height: 1, hash: block.hash, certificate), from: 1, &chain, now: late + 40_000)
        #expect(locked.keep?.lock == BlockLock(certificate, on: block))
    }
}

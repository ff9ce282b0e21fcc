import OnionCrypto
import Registry
import Testing
import Wire

/// What an authority's vote on disk is for.
@Suite struct AuthorityTests {
    private let realm = Realm(authorities: 3, threshold: 2)

    /// The moment of a slot in which `leader` leads, after the first block is due.
    private func moment(_ leader: UInt64, round: UInt64 = 0) -> UInt64 {
        let first = start + 10
        return (first + (3 - first % 3) + leader + 3 * round) * 1_000
    }

    /// Lets `leader` make a block together with `other`, as far as the votes of both allow; what they left on disk.
    private func make(
        _ leader: inout Authority, _ other: inout Authority, _ chain: inout LedgerChain, now: UInt64,
        paying amount: UInt64
    ) throws -> (final: FinalBlock?, vote: AuthorityVote?) {
        var pool = OperationPool()
        try pool.add(realm.operation(0, 0, .pay(amount: amount)), to: chain, now: now / 1_000)
        var otherChain = chain
        var kept: AuthorityVote?
        var steps = leader.tick(chain, now: now)
        while !steps.isEmpty {
            for step in steps {
                switch step {
                case .keep: break
                case .finish(let block): return (block, kept)
                case .ask(let request, _):
                    let (vote, answer) = other.answer(request, from: leader.index, &otherChain, now: now)
                    kept = vote ?? kept
                    leader.received(answer, to: request, from: other.index)
                }
            }
            steps = leader.advance(&chain, pool: pool, now: now)
        }
        return (nil, kept)
    }

    private func authority(_ index: UInt64, _ vote: AuthorityVote? = nil) -> Authority {
        Authority(realm.rules, key: key(2000 + index), kept: vote)!
    }

    /// Two sign a block, and the one that has both signatures is gone; the other restarts and meets the third.
    @Test func aRestartedAuthorityLeadsToTheSameBlock() throws {
        var chain = LedgerChain(realm.rules)
        var (a, b, c) = (authority(0), authority(1), authority(2))
        let first = try make(&a, &b, &chain, now: moment(0), paying: 1)
        let block = try #require(first.final)
        let vote = try #require(first.vote)
        #expect(vote.signed == block.block.hash)

        var restarted = authority(1, try AuthorityVote(decoding: vote.encoded().rawSpan))
        var other = LedgerChain(realm.rules)
        let second = try make(&c, &restarted, &other, now: moment(2), paying: 2)
        #expect(second.final?.block.hash == block.block.hash)

        // What the disk is for: without the vote there are two final blocks.
        var forgetful = authority(1)
        var third = authority(2)
        let fork = try make(&third, &forgetful, &other, now: moment(2), paying: 2)
        #expect(fork.final != nil && fork.final?.block.hash != block.block.hash)
    }

    @Test func aPromiseOutlivesTheProcess() {
        var chain = LedgerChain(realm.rules)
        var b = authority(1)
        let late = realm.rules.slotSeconds * (moment(2) / 1_000)
        let promise = b.answer(.prepare(height: 1, slot: late), from: 2, &chain, now: moment(2))
        var restarted = authority(1, promise.keep)
        let early = moment(0) / 1_000
        #expect(promise.keep?.promised == late)
        let answer = restarted.answer(.prepare(height: 1, slot: early), from: 0, &chain, now: moment(2)).answer
        #expect(answer == .refused(.wrongSlot, height: 0))
    }

    @Test func twoBlocksOfOneHeightAreNotSigned() throws {
        var chain = LedgerChain(realm.rules)
        var (a, b) = (authority(0), authority(1))
        _ = try make(&a, &b, &chain, now: moment(0), paying: 1)
        var other = LedgerChain(realm.rules)
        let rival = other.draft([], time: start + 20)
        let slot = moment(2) / 1_000
        let answer = b.answer(.propose(slot: slot, rival), from: 2, &chain, now: moment(2)).answer
        #expect(answer == .refused(.signedOther, height: 0))
    }
}

import OnionCrypto
import Testing
import Wire

@testable import Registry

/// Why an authority keeps its acceptor state on disk.
@Suite struct AuthorityTests {
    private let realm = Realm(authorities: 3, threshold: 2)

    /// A moment in a slot that `leader` leads, after the first block is due, in milliseconds.
    private func moment(_ leader: Int, after: UInt64 = start + 10) -> UInt64 {
        realm.slot(of: leader, from: after, LedgerChain(realm.rules)) * 1_000
    }

    /// Lets `leader` make a block with `other`, as far as their acceptor states allow; returns the block and the
    /// acceptor state that `other` kept on disk.
    private func make(
        _ leader: inout Authority, _ other: inout Authority, _ chain: inout LedgerChain, now: UInt64,
        paying amount: UInt64
    ) throws -> (final: FinalBlock?, acceptor: AcceptorState?) {
        var pool = OperationPool()
        try pool.add(realm.operation(0, 0, .pay(amount: amount)), to: chain, now: now / 1_000)
        var otherChain = chain
        var kept: AcceptorState?
        var steps = leader.tick(chain, now: now)
        while !steps.isEmpty {
            for step in steps {
                switch step {
                case .keep: break
                case .finish(let block): return (block, kept)
                case .ask(let request, _):
                    let (acceptor, answer) = other.answer(request, from: leader.index, &otherChain, now: now)
                    kept = acceptor ?? kept
                    leader.received(answer, to: request, from: other.index)
                }
            }
            // The third authority is silent, so the leader waits for its promise for a quarter of the slot.
            steps = leader.advance(&chain, pool: pool, now: now + 250)
        }
        return (nil, kept)
    }

    private func authority(_ index: UInt64, _ acceptor: AcceptorState? = nil) -> Authority {
        Authority(realm.rules, key: key(2000 + index), kept: acceptor)!
    }

    /// Two authorities sign a block, and the one with both signatures is lost; the other restarts and works with the
    /// third.
    @Test func aRestartedAuthorityLeadsToTheSameBlock() throws {
        var chain = LedgerChain(realm.rules)
        var (a, b, c) = (authority(0), authority(1), authority(2))
        let first = try make(&a, &b, &chain, now: moment(0), paying: 1)
        let block = try #require(first.final)
        let acceptor = try #require(first.acceptor)
        #expect(acceptor.lock?.block.hash == block.block.hash)

        var restarted = authority(1, try AcceptorState(decoding: acceptor.encoded().rawSpan))
        var other = LedgerChain(realm.rules)
        let second = try make(&c, &restarted, &other, now: moment(2, after: moment(0) / 1_000), paying: 2)
        #expect(second.final?.block.hash == block.block.hash)

        // Without the acceptor state on disk there would be two final blocks.
        var forgetful = authority(1)
        var third = authority(2)
        let fork = try make(&third, &forgetful, &other, now: moment(2), paying: 2)
        #expect(fork.final != nil && fork.final?.block.hash != block.block.hash)
    }

    @Test func aPromiseOutlivesTheProcess() {
        var chain = LedgerChain(realm.rules)
        var b = authority(1)
        let early = moment(0) / 1_000
        let late = moment(2, after: early) / 1_000
        let promise = b.answer(.prepare(height: 1, slot: late), from: 2, &chain, now: late * 1_000)
        var restarted = authority(1, promise.keep)
        #expect(promise.keep?.promised == late)
        let answer = restarted.answer(.prepare(height: 1, slot: early), from: 0, &chain, now: late * 1_000).answer
        #expect(answer == .refused(early + 1 < late ? .wrongTime : .wrongSlot, height: 0))
    }

    @Test func aLockedAuthorityAcceptsNoOtherBlock() throws {
        var chain = LedgerChain(realm.rules)
        var (a, b) = (authority(0), authority(1))
        let first = moment(0)
        _ = try make(&a, &b, &chain, now: first, paying: 1)
        var other = LedgerChain(realm.rules)
        let rival = other.draft([], time: start + 20, by: 2)
        let slot = moment(2, after: first / 1_000) / 1_000
        let answer = b.answer(.propose(slot: slot, nil, rival), from: 2, &other, now: slot * 1_000).answer
        #expect(answer == .refused(.locked, height: 0))
        // A certificate of the lock's slot or a lower one releases no lock; one of a higher slot does.
        let low = realm.certificate(rival, by: [0, 2], slot: first / 1_000)
        #expect(
            b.answer(.propose(slot: slot, low, rival), from: 2, &other, now: slot * 1_000).answer
                == .refused(.locked, height: 0))
        let next = moment(2, after: slot + 1) / 1_000
        let high = realm.certificate(rival, by: [0, 2], slot: slot)
        let freed = b.answer(.propose(slot: next, high, rival), from: 2, &other, now: next * 1_000)
        #expect(freed.keep?.lock == BlockLock(high, on: rival))
        // A certificate whose signatures are over other bytes is invalid.
        let forged = Certificate(slot: next, acceptances: realm.signatures(of: [0, 1], over: [1]))
        let last = moment(0, after: next + 1) / 1_000
        var third = authority(2)
        #expect(
            third.answer(.propose(slot: last, forged, rival), from: 0, &other, now: last * 1_000).answer
                == .refused(.badBlock, height: 0))
    }

    /// A block counts only in its maker's slot, unless a certificate shows that others accepted it there.
    @Test func aNewBlockIsItsLeadersOwn() throws {
        var chain = LedgerChain(realm.rules)
        var b = authority(1)
        let block = chain.draft([], time: start + 10, by: 0)
        let slot = moment(2) / 1_000
        #expect(
            b.answer(.propose(slot: slot, nil, block), from: 2, &chain, now: slot * 1_000).answer
                == .refused(.badBlock, height: 0))
        // The leader gets no second try in this slot.
        let own = chain.draft([], time: start + 10, by: 2)
        #expect(
            b.answer(.propose(slot: slot, nil, own), from: 2, &chain, now: slot * 1_000).answer
                == .refused(.wrongSlot, height: 0))
    }

    /// An authority does not sign a block that it accepted in a slot below its promised one.
    @Test func aLateCertificateLocksNobody() throws {
        var chain = LedgerChain(realm.rules)
        var b = authority(1)
        let slot = moment(0) / 1_000
        let block = chain.draft([], time: slot, by: 0)
        let accepted = b.answer(.propose(slot: slot, nil, block), from: 0, &chain, now: slot * 1_000)
        #expect(accepted.keep?.accepted == block)
        let next = moment(2, after: slot) / 1_000
        #expect(b.answer(.prepare(height: 1, slot: next), from: 2, &chain, now: next * 1_000).answer == .promise(nil))
        let certificate = realm.certificate(block, by: [0, 1], slot: slot)
        let late = b.answer(.commit(height: 1, hash: block.hash, certificate), from: 0, &chain, now: next * 1_000)
        #expect(late.answer == .refused(.wrongSlot, height: 0) && late.keep == nil)
    }
}

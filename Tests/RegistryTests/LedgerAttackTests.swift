import OnionCrypto
import Testing
import Wire

@testable import Registry

/// Attacks of one hostile party on the making and spreading of blocks, step by step.
@Suite struct LedgerAttackTests {
    // MARK: Two blocks that a few have signed each

    /// Authorities with one clock that hear each other at once, except those that are gone.
    private struct Council {
        let realm: Realm
        var chains: [LedgerChain]
        var authorities: [Authority]

        init(_ realm: Realm) {
            self.realm = realm
            chains = realm.rules.authorities.map { _ in LedgerChain(realm.rules) }
            authorities = realm.rules.authorities.indices.map {
                Authority(realm.rules, key: key(2000 + UInt64($0)), kept: nil)!
            }
        }

        mutating func ask(_ request: AuthorityRequest, _ index: Int, by leader: Int, now: UInt64) -> AuthorityAnswer {
            authorities[index].answer(request, from: leader, &chains[index], now: now).answer
        }

        /// Lets `leader` begin at `now`; only `others` answer.
        mutating func lead(_ leader: Int, with others: [Int], now: UInt64) -> FinalBlock? {
            let steps = authorities[leader].tick(chains[leader], now: now)
            return carryOut(steps, leader, with: others, now: now)
        }

        /// Lets `leader` continue after it has waited for the missing answers.
        mutating func goOn(_ leader: Int, with others: [Int], now: UInt64) -> FinalBlock? {
            let steps = authorities[leader].advance(&chains[leader], pool: OperationPool(), now: now)
            return carryOut(steps, leader, with: others, now: now)
        }

        private mutating func carryOut(
            _ steps: [Authority.Action], _ leader: Int, with others: [Int], now: UInt64
        ) -> FinalBlock? {
            var steps = steps
            while !steps.isEmpty {
                for step in steps {
                    switch step {
                    case .keep: break
                    case .finish(let block): return block
                    case .ask(let request, let asked):
                        for other in asked where others.contains(other) {
                            let answer = ask(request, other, by: leader, now: now)
                            authorities[leader].received(answer, to: request, from: other)
                        }
                    }
                }
                steps = authorities[leader].advance(&chains[leader], pool: OperationPool(), now: now)
            }
            return nil
        }
    }

    /// A hostile authority has two blocks signed by different others, then goes away; the rest make a block.
    @Test(arguments: [(4, 3), (7, 5), (10, 7), (13, 9)])
    func s02OneAuthorityThatHasTwoBlocksSignedDoesNotStopTheChain(_ count: Int, _ threshold: Int) throws {
        let realm = Realm(authorities: UInt64(count), threshold: threshold, blockSeconds: 120, slotSeconds: 10)
        var council = Council(realm)
        let hostile = count - 1
        let liars = (threshold..<count).map { UInt64($0) }
        var chain = LedgerChain(realm.rules)
        let rules = realm.rules

        /// In `slot`, the hostile leader has `block` accepted by k authorities, hostile ones among them, and signed by
        /// `victims`.
        func plot(_ block: Block, slot: UInt64, by honest: [Int], victims: [Int]) throws -> Certificate {
            let now = slot * 10_000
            for other in honest {
                let promise = council.ask(.prepare(height: 1, slot: slot), other, by: hostile, now: now)
                #expect(promise == .promise(nil))
                guard case .signature = council.ask(.propose(slot: slot, nil, block), other, by: hostile, now: now)
                else {
                    throw LedgerRefusal.unreadable
                }
            }
            let certificate = realm.certificate(
                block, by: (honest.map { UInt64($0) } + liars).sorted().prefix(threshold).map { $0 }, slot: slot)
            for victim in victims {
                let answer = council.ask(
                    .commit(height: 1, hash: block.hash, certificate), victim, by: hostile, now: now)
                guard case .signature = answer else { throw LedgerRefusal.unreadable }
            }
            return certificate
        }

        let first = realm.slot(of: hostile, from: rules.slot(at: (start + 130) * 1_000), chain)
        let block = chain.draft([], time: first * 10, by: UInt64(hostile))
        let honest = Array(0..<threshold)
        // Each block has as many victims as it takes to keep k authorities from signing the other.
        let few = count - threshold
        _ = try plot(block, slot: first, by: Array(honest.prefix(2 * threshold - count)), victims: Array(0..<few))
        let second = realm.slot(of: hostile, from: first + 1, chain)
        let rival = chain.draft([realm.operation(0, 0, .pay(amount: 1))], time: second * 10, by: UInt64(hostile))
        let rest = Array(honest.dropFirst(few))
        _ = try plot(rival, slot: second, by: Array(rest), victims: Array(rest.prefix(few)))

        // The hostile authorities are gone. The first honest leader sees every lock, and all sign the block of the
        // highest lock.
        let leader = ((second + 1)...).lazy.map { ($0, rules.leader(of: $0, after: chain.state.seed)) }.first {
            $0.1 < threshold
        }!
        let early = council.lead(leader.1, with: honest, now: leader.0 * 10_000)
        #expect(early == nil, "it waits for a quarter of its slot for those that have not answered")
        let final = council.goOn(leader.1, with: honest, now: leader.0 * 10_000 + 2_500)
        let made = try #require(final)
        #expect(made.block == rival && made.slot == leader.0)
        try chain.append(made, now: second * 10 + 20)
    }

    /// A leader that hides a lock gets no second block from the authorities that signed the first.
    @Test func s02ALockHoldsAgainstALeaderThatHidesIt() throws {
        let realm = Realm(authorities: 4, threshold: 3, blockSeconds: 120, slotSeconds: 10)
        var council = Council(realm)
        var chain = LedgerChain(realm.rules)
        let hostile = 3
        let first = realm.slot(of: hostile, from: realm.rules.slot(at: (start + 130) * 1_000), chain)
        let second = realm.slot(of: hostile, from: first + 1, chain)
        let block = chain.draft([], time: first * 10, by: 3)
        let rival = chain.draft([realm.operation(0, 0, .pay(amount: 1))], time: second * 10, by: 3)
        func isSigned(_ request: AuthorityRequest, by other: Int, in slot: UInt64) -> Bool {
            let answer = council.ask(request, other, by: hostile, now: slot * 10_000)
            if case .signature = answer { return true }
            return false
        }
        for other in 0..<2 { #expect(isSigned(.propose(slot: first, nil, block), by: other, in: first)) }
        let certificate = realm.certificate(block, by: [0, 1, 3], slot: first)
        let commit = AuthorityRequest.commit(height: 1, hash: block.hash, certificate)
        // With the leader's own seal the block is final.
        for other in 0..<2 { #expect(isSigned(commit, by: other, in: first)) }
        for other in 0..<3 {
            #expect(isSigned(.propose(slot: second, nil, rival), by: other, in: second) == (other == 2))
        }
    }

    /// A certificate with too few signatures, or of another slot, releases no lock and gets no signature.
    @Test func s02AFalseCertificateFreesNobodyAndLocksNobody() throws {
        let realm = Realm(authorities: 4, threshold: 3, blockSeconds: 120, slotSeconds: 10)
        var council = Council(realm)
        var chain = LedgerChain(realm.rules)
        let hostile = 3
        var slots = [realm.slot(of: hostile, from: realm.rules.slot(at: (start + 130) * 1_000), chain)]
        while slots.count < 4 { slots.append(realm.slot(of: hostile, from: slots[slots.count - 1] + 1, chain)) }
        let block = chain.draft([], time: slots[0] * 10, by: 3)
        let rival = chain.draft([realm.operation(0, 0, .pay(amount: 1))], time: slots[1] * 10, by: 3)
        let good = realm.certificate(block, by: [0, 1, 3], slot: slots[0])
        let few = realm.certificate(block, by: [2, 3], slot: slots[0])
        func isSigned(_ request: AuthorityRequest, by other: Int) -> Bool {
            if case .signature = council.ask(request, other, by: hostile, now: slots[0] * 10_000) { return true }
            return false
        }
        for other in 0..<3 {
            #expect(isSigned(.propose(slot: slots[0], nil, block), by: other))
            let certificate = other == 2 ? few : good
            #expect(isSigned(.commit(height: 1, hash: block.hash, certificate), by: other) == (other < 2))
        }
        let forged = [
            realm.certificate(rival, by: [2, 3], slot: slots[1]),
            Certificate(slot: slots[1], acceptances: good.acceptances),
        ]
        for (certificate, slot) in zip(forged, slots[2...]) {
            for other in 0..<3 {
                let answer = council.ask(
                    .propose(slot: slot, certificate, rival), other, by: hostile, now: slot * 10_000)
                #expect(answer == .refused(.badBlock, height: 0), "authority \(other)")
            }
        }
    }

    // MARK: Clocks

    /// A block dated ahead would delay the next block, one dated back would bring it forward.
    @Test func s04ALeaderDatesItsBlockByTheClock() throws {
        let realm = Realm(authorities: 4, threshold: 3, blockSeconds: 120, slotSeconds: 10)
        var chain = LedgerChain(realm.rules)
        let slot = realm.slot(of: 1, from: (start + 200) / 10, chain)
        let now = slot * 10
        for (time, isGood) in [
            (now, true), (now + 10, true), (now - 10, true), (now + 11, false), (now + 59, false), (now - 11, false),
            (start, false),
        ] {
            var authority = Authority(realm.rules, key: key(2000), kept: nil)!
            let block = chain.draft([], time: time, by: 1)
            let answer = authority.answer(.propose(slot: slot, nil, block), from: 1, &chain, now: now * 1_000).answer
            if case .signature = answer {
                #expect(isGood, "\(time) at \(now)")
            } else {
                #expect(!isGood && answer == .refused(.wrongTime, height: 0), "\(time) at \(now)")
            }
            // A block that others accepted in its slot is not too old later.
            let later = realm.slot(of: 2, from: slot + 1, chain)
            let certificate = realm.certificate(block, by: [1, 2, 3], slot: slot)
            let again = authority.answer(
                .propose(slot: later, certificate, block), from: 2, &chain, now: later * 10_000
            ).answer
            guard case .signature = again else {
                Issue.record("\(again)")
                return
            }
        }
        // The largest time is refused like any other wrong one.
        var authority = Authority(realm.rules, key: key(2000), kept: nil)!
        let proof = key(2001).prove(chain.proofInput.rawSpan)
        let last = Block(
            network: networkID, height: 1, time: .max, previous: chain.head, random: Bytes32(), maker: 1, proof: proof,
            operations: [], stateDigest: networkID)
        #expect(
            authority.answer(.propose(slot: slot, nil, last), from: 1, &chain, now: now * 1_000).answer
                == .refused(.wrongTime, height: 0))
    }

    /// A leader whose clock was a day ahead for a moment takes part again at once, although another authority is down.
    @Test(arguments: [(4, 3), (7, 5), (10, 7)])
    func s04AClockThatWasAheadBindsNobody(_ count: Int, _ threshold: Int) throws {
        let realm = Realm(authorities: UInt64(count), threshold: threshold, blockSeconds: 120, slotSeconds: 10)
        var council = Council(realm)
        let chain = LedgerChain(realm.rules)
        let slot = realm.slot(of: 1, from: (start + 130) / 10, chain)
        let far = realm.slot(of: 0, from: slot + 8_640, chain)
        let all = Array(0..<threshold)
        // The other clocks are right.
        let steps = council.authorities[0].tick(chain, now: far * 10_000)
        for case .ask(let request, let asked) in steps {
            for other in asked {
                let answer = council.ask(request, other, by: 0, now: slot * 10_000)
                #expect(answer == .refused(.wrongTime, height: 0))
                council.authorities[0].received(answer, to: request, from: other)
            }
        }
        #expect(council.authorities[0].advance(&council.chains[0], pool: OperationPool(), now: far * 10_000).isEmpty)
        // Its clock is right again, and some of the others are down: each remaining leader makes a block with it.
        #expect(council.lead(1, with: all, now: slot * 10_000) == nil)
        #expect(council.goOn(1, with: all, now: slot * 10_000 + 2_500)?.block.maker == 1)
        let own = realm.slot(of: 0, from: slot + 1, chain)
        #expect(council.lead(0, with: all, now: own * 10_000) == nil)
        #expect(council.goOn(0, with: all, now: own * 10_000 + 2_500) != nil)
    }

    /// If a leader gets a lock while it waits for promises, it proposes that lock's block.
    @Test func s02ALeaderProposesALockThatItGotMeanwhile() throws {
        let realm = Realm(blockSeconds: 120, slotSeconds: 10)
        var chain = LedgerChain(realm.rules)
        let before = realm.slot(of: 3, from: (start + 130) / 10, chain)
        let slot = before + 1
        var leader = Authority(realm.rules, key: key(2000), kept: nil)!
        let now = slot * 10_000
        guard case .ask(let request, _)? = leader.tick(chain, now: now).last else {
            Issue.record("not its turn")
            return
        }
        #expect(leader.acceptor.promised == 0, "its own promise comes last")
        let block = chain.draft([], time: slot * 10, by: 3)
        let locked = realm.certificate(block, by: [1, 2, 3], slot: before)
        guard case .signature = leader.answer(.propose(slot: before, nil, block), from: 3, &chain, now: now).answer,
            case .signature = leader.answer(
                .commit(height: 1, hash: block.hash, locked), from: 3, &chain, now: now
            ).answer
        else {
            Issue.record("it gave no promise yet, so it accepts and signs what is of a lower slot")
            return
        }
        for other in 1..<4 { leader.received(.promise(nil), to: request, from: other) }
        let steps = leader.advance(&chain, pool: OperationPool(), now: now + 100)
        guard case .keep(let acceptor)? = steps.first, case .ask(.propose(slot, locked, block), _)? = steps.last else {
            Issue.record("\(steps)")
            return
        }
        #expect(acceptor.promised == slot && acceptor.acceptedSlot == slot)
        #expect(acceptor.lock == BlockLock(locked, on: block))
        // From now on it signs nothing of a lower slot, and begins no second round in this slot.
        #expect(
            leader.answer(.commit(height: 1, hash: block.hash, locked), from: 3, &chain, now: now).answer
                == .refused(.wrongSlot, height: 0))
        #expect(leader.tick(chain, now: now + 200).isEmpty)
    }

    // MARK: Promises

    /// A leader that takes promises for all its slots, as far ahead as they are given, costs two of n slots.
    @Test(arguments: [(4, 3), (5, 4), (7, 5)])
    func s04PromisesAheadOfTimeDoNotStopTheChain(_ count: Int, _ threshold: Int) {
        let realm = Realm(authorities: UInt64(count), threshold: threshold, blockSeconds: 120, slotSeconds: 10)
        let town = LedgerSimulation(realm, followers: 0, seed: 4, hostile: [1: .ahead])
        town.run(for: 610_000)
        #expect(town.height >= 4 && town.honest.allSatisfy { town.nodes[$0]!.chain.height == town.height })
    }

    @Test func s04APromiseReachesOneSlotAhead() {
        let realm = Realm(authorities: 4, threshold: 3, blockSeconds: 120, slotSeconds: 10)
        var chain = LedgerChain(realm.rules)
        let slot = realm.slot(of: 1, from: (start + 200) / 10, chain)
        for (ahead, isGood) in [(UInt64(0), true), (1, true), (2, false), (4, false)] {
            var authority = Authority(realm.rules, key: key(2000), kept: nil)!
            let answer = authority.answer(
                .prepare(height: 1, slot: slot), from: 1, &chain, now: (slot - ahead) * 10_000)
            #expect((answer.answer == .promise(nil)) == isGood, "\(ahead) slots ahead")
        }
    }

    /// A promise with an invalid lock does not count, and the leader continues with the others.
    @Test func s26AGarbagePromiseIsIgnored() throws {
        let realm = Realm()
        var chain = LedgerChain(realm.rules)
        let slot = realm.slot(of: 0, from: start + 10, chain)
        let now = slot * 1_000
        let other = chain.draft([], time: start + 3, by: 3)
        let unfit = Block(
            network: networkID, height: 1, time: start, previous: networkID, random: Bytes32(), maker: 3,
            proof: other.proof, operations: [], stateDigest: networkID)
        let random = AuthoritySignature(authority: 0, bytes: [UInt8](repeating: 7, count: 64))
        let signed = realm.certificate(unfit, by: [1, 2, 3], slot: slot - 1)
        let lies = [
            BlockLock(Certificate(slot: slot - 1, acceptances: [random]), on: unfit),
            BlockLock(realm.certificate(unfit, by: [2, 3], slot: slot - 1), on: unfit),
            BlockLock(realm.certificate(unfit, by: [3], slot: slot - 1), on: unfit), BlockLock(signed, on: other),
            BlockLock(Certificate(slot: slot - 2, acceptances: signed.acceptances), on: unfit),
            BlockLock(realm.certificate(other, by: [0, 1, 2], slot: slot), on: other),
        ]
        for lie in lies {
            var leader = Authority(realm.rules, key: key(2000), kept: nil)!
            let steps = leader.tick(chain, now: now)
            guard case .ask(let request, _)? = steps.last else {
                Issue.record("not its turn")
                return
            }
            leader.received(.promise(lie), to: request, from: 3)
            leader.received(.promise(nil), to: request, from: 1)
            #expect(leader.advance(&chain, pool: OperationPool(), now: now + 900).isEmpty, "the lie counts")
            leader.received(.promise(nil), to: request, from: 2)
            let next = leader.advance(&chain, pool: OperationPool(), now: now + 100)
            guard case .ask(.propose(slot, nil, let block), _)? = next.last else {
                Issue.record("it gave up: \(next)")
                return
            }
            #expect(block.maker == 0)
        }
    }
}

import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Registry

/// The blocks that a chain appends and refuses, the names of the refusals, and that a refusal changes nothing.
@Suite struct LedgerChainTests {
    private let realm = Realm()

    /// A chain with `count` blocks, each with one payment.
    private func chain(_ count: UInt64) throws -> (chain: LedgerChain, blocks: [FinalBlock]) {
        var chain = LedgerChain(realm.rules)
        var blocks: [FinalBlock] = []
        for number in 0..<count {
            let pay = realm.operation(0, number, .pay(amount: number + 1))
            let block = realm.sealed(chain.draft([pay], time: start + number * 2))
            try chain.append(block, now: start + number * 2)
            blocks.append(block)
        }
        return (chain, blocks)
    }

    private func refuse(
        _ block: FinalBlock, _ refusal: LedgerRefusal, _ chain: LedgerChain, now: UInt64 = start + 100,
        _ place: SourceLocation = #_sourceLocation
    ) {
        var chain = chain
        let (height, head, digest) = (chain.height, chain.head, chain.state.digest)
        do {
            try chain.append(block, now: now)
            Issue.record("taken", sourceLocation: place)
        } catch {
            #expect(error == refusal, sourceLocation: place)
        }
        #expect(chain.height == height && chain.head == head && chain.state.digest == digest, sourceLocation: place)
    }

    @Test func blocksComeBackFromTheirBytes() throws {
        let (chain, blocks) = try chain(3)
        for block in blocks {
            let bytes = block.encoded()
            let read = try FinalBlock(decoding: bytes.rawSpan)
            #expect(read == block && read.block.hash == block.block.hash)
            for length in stride(from: 0, to: bytes.count, by: 3) {
                #expect(throws: WireError.self) { try FinalBlock(decoding: Array(bytes[..<length]).rawSpan) }
            }
            #expect(throws: WireError.trailingBytes) { try FinalBlock(decoding: (bytes + [0]).rawSpan) }
        }
        var other = LedgerChain(realm.rules)
        let list = FinalBlock.encodeList(blocks.map { $0.encoded() })
        for block in try FinalBlock.decodeList(list.rawSpan) { try other.append(block, now: start + 100) }
        #expect(other.head == chain.head && other.state == chain.state)
        let kept = try LedgerChain(realm.rules, block: blocks[2], state: chain.state)
        #expect(kept.head == chain.head)
        #expect(throws: LedgerRefusal.wrongState) {
            try LedgerChain(realm.rules, block: blocks[1], state: chain.state)
        }
    }

    @Test func p5AForkARollbackAndAGapAreRefusedByName() throws {
        let (chain, blocks) = try chain(3)
        refuse(blocks[2], .alreadyThere, chain)
        refuse(blocks[0], .rollback(to: 1), chain)
        var short = LedgerChain(realm.rules)
        refuse(blocks[1], .gap(expected: 1), short)
        try short.append(blocks[0], now: start)
        // Two other blocks at heights 2 and 3, signed by the same authorities.
        let second = realm.sealed(short.draft([], time: start + 3))
        try short.append(second, now: start + 3)
        refuse(second, .rollback(to: 2), chain)
        let third = realm.sealed(short.draft([], time: start + 4))
        refuse(third, .fork(height: 3), chain)
        try short.append(third, now: start + 4)
        refuse(realm.sealed(short.draft([], time: start + 5)), .fork(height: 4), chain)
    }

    @Test func p5EnoughAuthoritiesMustHaveSigned() throws {
        var (chain, _) = try chain(1)
        let block = chain.draft([], time: start + 2)
        refuse(realm.sealed(block, by: [0, 3]), .tooFewSignatures(found: 2, needed: 3), chain)
        refuse(realm.sealed(block, by: [0, 1, 4]), .unknownAuthority(4), chain)
        refuse(realm.sealed(block, by: [0, 1, 1]), .unknownAuthority(1), chain)
        var signatures = realm.sealed(block).signatures
        signatures[1] = AuthoritySignature(authority: 1, bytes: signatures[2].bytes)
        refuse(FinalBlock(block, slot: 5, signatures: signatures), .wrongSignature(authority: 1), chain)
        try chain.append(realm.sealed(block, by: [1, 2, 3]), now: start + 2)
    }

    @Test func aBlockKeepsToTheRules() throws {
        let (chain, _) = try chain(2)
        func block(
            time: UInt64 = start + 4, _ operations: [RegistryOperation] = [], digest: Bytes32? = nil,
            network: Bytes32 = networkID, maker: UInt8 = 0
        ) -> FinalBlock {
            var drafting = chain
            let good = drafting.draft(operations, time: time)
            return realm.sealed(
                Block(
                    network: network, height: 3, time: time, previous: chain.head, random: good.random, maker: maker,
                    proof: good.proof, operations: operations, stateDigest: digest ?? good.stateDigest))
        }
        refuse(block(digest: networkID), .wrongState, chain)
        refuse(block(network: bytes32(1, 1)), .otherNetwork, chain)
        refuse(block(maker: 1), .wrongMaker(1), chain)
        refuse(block(maker: 4), .wrongMaker(4), chain)
        refuse(block(time: start + 1), .timeWentBack, chain)
        refuse(block(time: start + 161), .fromTheFuture, chain)
        let replay = realm.operation(0, 1, .pay(amount: 2))
        let fine = realm.operation(0, 2, .pay(amount: 2))
        refuse(block([fine, replay]), .operation(1, .replayed(expected: 3)), chain)
        var accepted = chain
        try accepted.append(block([fine]), now: start + 4)
    }

    @Test func aDraftTakesWhatTheRulesAllowAndPaysWhatIsDue() throws {
        var chain = LedgerChain(realm.rules)
        let good = realm.operation(0, 0, .pay(amount: 5))
        let block = chain.draft(
            [realm.operation(1, 3, .claim), good, realm.operation(0, 0, .pay(amount: 6)), good], time: start + 125)
        let distribution = RegistryOperation(unsigned: .distribute, network: networkID)
        #expect(block.operations == [distribution, distribution, good])
        try chain.append(realm.sealed(block), now: start + 125)
        #expect(chain.state.distributedUntil == start + 120)
    }

    @Test func thePoolSaysWhichRuleStandsAgainstAnOperation() throws {
        var pool = OperationPool()
        var chain = LedgerChain(realm.rules)
        try pool.add(realm.operation(0, 0, .pay(amount: 5)), to: chain, now: start)
        try pool.add(realm.operation(0, 0, .pay(amount: 5)), to: chain, now: start)
        #expect(pool.count == 1)
        #expect(throws: RegistryRefusal.replayed(expected: 1)) {
            try pool.add(realm.operation(0, 0, .pay(amount: 6)), to: chain, now: start)
        }
        #expect(throws: RegistryRefusal.wrongSigner) {
            let forged = RegistryOperation(
                network: networkID, account: Town.ids[1], nonce: 0, until: .max, action: .claim,
                signature: [UInt8](repeating: 1, count: 64))
            try pool.add(forged, to: chain, now: start)
        }
        for nonce in 1..<64 as Range<UInt64> {
            try pool.add(realm.operation(0, nonce, .pay(amount: 5)), to: chain, now: start)
        }
        #expect(throws: RegistryRefusal.blockFull) {
            try pool.add(realm.operation(0, 64, .pay(amount: 5)), to: chain, now: start)
        }
        let block = realm.sealed(chain.draft(pool.waiting, time: start))
        #expect(block.block.operations.count == 64)
        try chain.append(block, now: start)
        pool.follow(chain, now: start)
        #expect(pool.count == 0)
    }

    @Test func changedBytesNeverTrap() throws {
        var random = SeededGenerator(seed: 5)
        let (_, blocks) = try chain(2)
        var chain = LedgerChain(realm.rules)
        try chain.append(blocks[0], now: start)
        let bytes = blocks[1].encoded()
        var stillRead = 0
        for _ in 0..<5_000 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<changed.count, using: &random)
                changed[place] = UInt8.random(in: 0...255, using: &random)
            }
            guard changed != bytes, let read = try? FinalBlock(decoding: changed.rawSpan) else { continue }
            #expect(read.encoded() == changed)
            stillRead += 1
            var other = chain
            #expect(throws: LedgerRefusal.self) { try other.append(read, now: start + 9) }
        }
        #expect(stillRead > 1_000)
    }

    @Test func acceptorStatesAndMessagesComeBackFromTheirBytes() throws {
        var chain = LedgerChain(realm.rules)
        let slot = realm.slot(of: 0, from: start + 10, chain)
        let block = chain.draft([realm.operation(0, 0, .pay(amount: 5))], time: slot)
        var authority = Authority(realm.rules, key: key(2001), kept: nil)!
        let now = slot * 1_000 + 500
        var acceptors: [AcceptorState] = []
        func ask(_ request: AuthorityRequest, now: UInt64) throws -> AuthorityAnswer {
            let bytes = request.encoded()
            let read: AuthorityRequest =
                switch request {
                case .prepare: try AuthorityRequest(decodingPrepare: bytes.rawSpan)
                case .propose: try AuthorityRequest(decodingPropose: bytes.rawSpan)
                case .commit: try AuthorityRequest(decodingCommit: bytes.rawSpan)
                }
            #expect(read == request)
            let (acceptor, answer) = authority.answer(read, from: 0, &chain, now: now)
            if let acceptor { acceptors.append(acceptor) }
            let back = try AuthorityAnswer(decoding: answer.encoded().rawSpan)
            #expect(back == answer)
            return answer
        }
        let certificate = realm.certificate(block, by: [0, 2, 3], slot: slot)
        let commit = AuthorityRequest.commit(height: 1, hash: block.hash, certificate)
        #expect(try ask(.prepare(height: 1, slot: slot), now: now) == .promise(nil))
        #expect(try ask(commit, now: now) == .refused(.notAccepted, height: 0))
        guard case .signature = try ask(.propose(slot: slot, nil, block), now: now) else {
            Issue.record("not accepted")
            return
        }
        guard case .signature = try ask(commit, now: now) else {
            Issue.record("not signed")
            return
        }
        let again = try ask(.prepare(height: 1, slot: slot + 4), now: now + 4_000)
        #expect(again == .promise(BlockLock(certificate, on: block)))
        #expect(acceptors.count == 4)
        for acceptor in acceptors {
            let bytes = acceptor.encoded()
            let read = try AcceptorState(decoding: bytes.rawSpan)
            #expect(read == acceptor)
        }
        let few = realm.certificate(block, by: [0, 2], slot: slot + 4)
        guard case .signature = try ask(.propose(slot: slot + 4, certificate, block), now: now + 4_000) else {
            Issue.record("not accepted again")
            return
        }
        #expect(
            try ask(.commit(height: 1, hash: block.hash, few), now: now + 4_000) == .refused(.notAccepted, height: 0))
        for answer in [SubmitAnswer(refusal: nil, height: 3), SubmitAnswer(refusal: "overspent", height: 9)] {
            let read = try SubmitAnswer(decoding: answer.encoded().rawSpan)
            #expect(read == answer)
        }
    }
}

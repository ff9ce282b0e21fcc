import Directory
import OnionCrypto
import Store
import Testing
import Wire

@testable import Links
@testable import Registry
@testable import Relay

/// A ledger whose file cannot be written for some time.
@Suite struct LedgerDiskTests {
    /// A disk in memory that refuses writes while it is full.
    private final class Disk: LedgerDisk {
        var isFull = false
        var kept: [[UInt8]] = []
        var keptAcceptor: [UInt8]?

        private func write() throws(StoreError) { if isFull { throw .diskFull(path: "ledger.sqlite") } }
        func state() throws(StoreError) -> (height: UInt64, bytes: [UInt8])? { nil }
        func blocks(above height: UInt64, limit: Int, byteLimit: Int) throws(StoreError) -> [[UInt8]] {
            Array(kept.dropFirst(Int(height)).prefix(limit))
        }
        func acceptor() throws(StoreError) -> [UInt8]? { keptAcceptor }
        func add(_ block: [UInt8], at height: UInt64, state: [UInt8]?) throws(StoreError) {
            try write()
            kept.append(block)
        }
        func setAcceptor(_ bytes: [UInt8]) throws(StoreError) {
            try write()
            keptAcceptor = bytes
        }
    }

    private static let start: UInt64 = 1_800_000_000
    private static func key(_ number: UInt8) -> SigningKey {
        SigningKey(seed: Secret(copying: [UInt8](repeating: number, count: 32).rawSpan))
    }
    private static func node(_ number: UInt8) -> NodeID { NodeID(key(number + 100).publicKey) }

    private let rules: LedgerRules = {
        let network = Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan)
        let treasury = Account(key(50).publicKey)
        let genesis = RegistryState(
            network: network, parameters: RegistryParameters(treasury: treasury), time: start, pool: 0,
            balances: [treasury: 1_000_000_000])!
        return LedgerRules(
            authorities: (0..<4).map { .init(key: key($0).publicKey, node: node($0)) }, threshold: 3,
            blockSeconds: 120, slotSeconds: 10, genesis: genesis)!
    }()

    private func slot(of leader: Int, after height: LedgerChain) -> UInt64 {
        (((Self.start + 130) / 10)...).first { rules.leader(of: $0, after: height.state.seed) == leader }!
    }

    @Test("a full disk: nothing that is not on it is signed, and the ledger goes on when it has room again")
    func nothingIsSignedThatIsNotOnDisk() throws {
        let disk = Disk()
        let worker = try LedgerWorker(
            rules: rules, first: [], epochSeconds: 3_600, node: Self.node(1), key: Self.key(1), store: disk,
            now: Self.start)
        let chain = LedgerChain(rules)
        let slot = slot(of: 0, after: chain)
        var now = slot * 10_000
        let responder = ControlResponder(link: LinkID(rawValue: 1), stream: 1)
        let prepare = AuthorityRequest.prepare(height: 1, slot: slot)
        let ask = LedgerWorker.Event.asked(.prepare, prepare.encoded(), Self.node(0), responder)
        func answers(_ effects: [LedgerWorker.Effect]) -> [[UInt8]?] {
            effects.compactMap { if case .answer(_, let body) = $0 { .some(body) } else { nil } }
        }
        func failures(_ effects: [LedgerWorker.Effect]) -> Int {
            effects.count { if case .fail = $0 { true } else { false } }
        }
        func recoveries(_ effects: [LedgerWorker.Effect]) -> Int {
            effects.count { if case .recovered = $0 { true } else { false } }
        }
        disk.isFull = true
        var effects = worker.handle([ask, .tick, ask], now: now)
        #expect(answers(effects) == [nil, nil] && failures(effects) == 1 && disk.keptAcceptor == nil)
        // The write is tried again after pauses that double, up to a minute; until then every question is refused.
        var pause = LedgerWorker.pause.first
        for _ in 0..<9 {
            effects = worker.handle([ask], now: now + pause - 1)
            #expect(answers(effects) == [nil] && failures(effects) == 0)
            now += pause
            effects = worker.handle([.tick, ask], now: now)
            #expect(answers(effects) == [nil] && failures(effects) == 1)
            pause = min(pause * 2, LedgerWorker.pause.longest)
        }
        // There is room again.
        disk.isFull = false
        let next = rules.slot(at: now + pause) + 1
        let late = (next...).first { rules.leader(of: $0, after: chain.state.seed) == 0 }!
        let again = AuthorityRequest.prepare(height: 1, slot: late)
        effects = worker.handle(
            [.asked(.prepare, again.encoded(), Self.node(0), responder)], now: late * 10_000)
        #expect(recoveries(effects) == 1)
        let promise = try #require(answers(effects).first ?? nil)
        #expect(try AuthorityAnswer(decoding: promise.rawSpan) == .promise(nil))
        let kept = try #require(disk.keptAcceptor)
        let acceptor = try AcceptorState(decoding: kept.rawSpan)
        #expect(acceptor.promised == late)
    }

    @Test("a promise that could not be written was not given, so another one of that slot is allowed")
    func aLostPromiseIsGivenAgain() throws {
        let disk = Disk()
        let worker = try LedgerWorker(
            rules: rules, first: [], epochSeconds: 3_600, node: Self.node(1), key: Self.key(1), store: disk,
            now: Self.start)
        let slot = slot(of: 0, after: LedgerChain(rules))
        let prepare = AuthorityRequest.prepare(height: 1, slot: slot)
        let responder = ControlResponder(link: LinkID(rawValue: 1), stream: 1)
        let ask = LedgerWorker.Event.asked(.prepare, prepare.encoded(), Self.node(0), responder)
        disk.isFull = true
        _ = worker.handle([ask], now: slot * 10_000)
        #expect(disk.keptAcceptor == nil)
        disk.isFull = false
        let effects = worker.handle([ask], now: slot * 10_000 + LedgerWorker.pause.first)
        let answers = effects.compactMap { if case .answer(_, let body?) = $0 { body } else { nil } }
        #expect(try answers.map { try AuthorityAnswer(decoding: $0.rawSpan) } == [.promise(nil)])
        let kept = try #require(disk.keptAcceptor)
        #expect(try AcceptorState(decoding: kept.rawSpan).promised == slot)
    }

    @Test("a disk that fails again soon after it took something is left alone for longer each time, up to a minute")
    func pausesGrowOverRecoveries() throws {
        let disk = Disk()
        let worker = try LedgerWorker(
            rules: rules, first: [], epochSeconds: 3_600, node: Self.node(1), key: Self.key(1), store: disk,
            now: Self.start)
        let chain = LedgerChain(rules)
        let responder = ControlResponder(link: LinkID(rawValue: 1), stream: 1)
        var slot = slot(of: 0, after: chain)
        var now = slot * 10_000
        /// Asks for a promise, which has to be kept on disk; whether that failed.
        func fails() -> Bool {
            slot = max(now / 10_000, slot + 1)
            while rules.leader(of: slot, after: chain.state.seed) != 0 { slot += 1 }
            now = max(now, slot * 10_000)
            let prepare = AuthorityRequest.prepare(height: 1, slot: slot)
            let ask = LedgerWorker.Event.asked(.prepare, prepare.encoded(), Self.node(0), responder)
            return worker.handle([ask], now: now).contains { if case .fail = $0 { true } else { false } }
        }
        /// The pause after which the next try succeeds, to the millisecond.
        func pause() -> UInt64? {
            let from = now
            disk.isFull = false
            for wait in (0...7).map({ min(LedgerWorker.pause.first << $0, LedgerWorker.pause.longest) }) {
                let early = worker.handle([.tick], now: from + wait - 1)
                if early.contains(where: { if case .recovered = $0 { true } else { false } }) { return nil }
                now = from + wait
                let effects = worker.handle([.tick], now: now)
                if effects.contains(where: { if case .recovered = $0 { true } else { false } }) { return wait }
            }
            return nil
        }
        for expected in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] as [UInt64] {
            disk.isFull = true
            #expect(fails())
            #expect(pause() == expected)
        }
        // After two minutes without a failure the first pause is short again.
        now += 2 * LedgerWorker.pause.longest + 1
        disk.isFull = true
        #expect(fails())
        #expect(pause() == 1_000)
        // A clock that is set back by more than the longest pause delays no try.
        disk.isFull = true
        #expect(fails())
        disk.isFull = false
        let effects = worker.handle([.tick], now: now - 600_000)
        #expect(effects.contains { if case .recovered = $0 { true } else { false } })
    }

    @Test("a block that could not be kept is fetched again")
    func aLostBlockComesAgain() throws {
        let disk = Disk()
        let worker = try LedgerWorker(
            rules: rules, first: [], epochSeconds: 3_600, node: Self.node(1), key: Self.key(1), store: disk,
            now: Self.start)
        var chain = LedgerChain(rules)
        let slot = slot(of: 0, after: chain)
        let now = slot * 10_000
        let block = chain.draft(
            [], time: slot * 10, maker: 0, proof: Self.key(0).prove(chain.proofInput.rawSpan), random: Bytes32())
        let message = rules.seal(height: 1, slot: slot, hash: block.hash)
        let final = FinalBlock(
            block, slot: slot,
            signatures: (0..<3).map {
                AuthoritySignature(authority: $0, bytes: Self.key($0).sign(message.rawSpan))
            })
        let responder = ControlResponder(link: LinkID(rawValue: 1), stream: 1)
        let bring = LedgerWorker.Event.asked(.final, final.encoded(), Self.node(0), responder)
        disk.isFull = true
        _ = worker.handle([bring], now: now)
        #expect(disk.kept.isEmpty)
        disk.isFull = false
        let effects = worker.handle([bring], now: now + LedgerWorker.pause.first)
        #expect(disk.kept == [final.encoded()] && worker.state.height == 1)
        let grew = effects.contains { if case .grew(let state, _, _, _) = $0 { state.height == 1 } else { false } }
        #expect(grew)
    }
}

import Glibc
import OnionCrypto
import Registry
import Store
import Testing
import Wire

@testable import Relay

/// A node's ledger, as it is restored from its file.
@Suite struct LedgerWorkerTests {
    private static let start: UInt64 = 1_800_000_000

    /// The rules of one authority, which is also the only account.
    private func rules(_ key: borrowing SigningKey) throws -> LedgerRules {
        let account = Account(key.publicKey)
        let state = try #require(
            RegistryState(
                network: Blake2b.digest([1].rawSpan), parameters: RegistryParameters(treasury: account),
                time: Self.start, pool: 1_000, balances: [account: 1_000]))
        let authority = LedgerRules.Member(key: key.publicKey, node: NodeID(key.publicKey))
        return try #require(
            LedgerRules(authorities: [authority], threshold: 1, blockSeconds: 2, slotSeconds: 1, genesis: state))
    }

    /// Gives `use` a new file for the ledger of `rules`.
    private func withStore(_ rules: LedgerRules, _ use: (LedgerStore) throws -> Void) throws {
        var template = Array("/tmp/tunic-worker-XXXXXX".utf8CString)
        #expect(unsafe mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer {
            for suffix in ["", "-wal", "-shm"] { unsafe unlink("\(folder)/\(LedgerStore.fileName)\(suffix)") }
            unsafe rmdir(folder)
        }
        try use(try LedgerStore(folder: folder, genesis: rules.genesisHash))
    }

    private func worker(_ rules: LedgerRules, _ store: LedgerStore, now: UInt64) throws -> LedgerWorker {
        try LedgerWorker(
            rules: rules, first: [], epochSeconds: 3_600, node: NodeID(rules.authorities[0].key), key: nil,
            store: store, now: now)
    }

    @Test("a clock that is slow at the start does not pass for a damaged ledger") func slowClock() throws {
        let key = SigningKey()
        let rules = try rules(key)
        try withStore(rules) { store in
            var chain = LedgerChain(rules)
            let block = chain.draft(
                [], time: Self.start + 5, maker: 0, proof: key.prove(chain.proofInput.rawSpan), random: Bytes32())
            let seal = rules.seal(height: 1, slot: 7, hash: block.hash)
            let final = FinalBlock(
                block, slot: 7, signatures: [AuthoritySignature(authority: 0, bytes: key.sign(seal.rawSpan))])
            try store.add(final.encoded(), at: 1, state: nil)
            #expect(try worker(rules, store, now: Self.start - 1_000_000).state.height == 1)
        }
    }

    @Test("a kept state before the first block is told") func stateOfHeightZero() throws {
        let rules = try rules(SigningKey())
        try withStore(rules) { store in
            try store.add([1], at: 0, state: [2])
            #expect(throws: LedgerError.self) { try worker(rules, store, now: Self.start) }
        }
    }
}

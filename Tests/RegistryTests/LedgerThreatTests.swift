import OnionCrypto
import Testing
import Wire

@testable import Registry

/// Hostile sources of blocks, and an authority with an old backup: the chain is unchanged, and the operator is warned.
@Suite struct LedgerThreatTests {
    private let realm = Realm()

    /// A follower with `count` blocks, and the blocks.
    private func follower(_ count: Int) throws -> (node: LedgerNode, blocks: [FinalBlock]) {
        var chain = LedgerChain(realm.rules)
        var blocks: [FinalBlock] = []
        for number in 0..<UInt64(count) {
            let block = realm.sealed(chain.draft([], time: start + number * 2))
            try chain.append(block, now: start + 100)
            blocks.append(block)
        }
        let node = LedgerNode(
            node: NodeID(key(4000).publicKey), chain: chain, epochs: EpochSnapshots(seconds: 10), authority: nil)
        return (node, blocks)
    }

    /// Another chain by the same authorities, as 2k − n of them could make it by signing twice.
    private func branch(after blocks: ArraySlice<FinalBlock>, count: Int) throws -> [FinalBlock] {
        var chain = LedgerChain(realm.rules)
        for block in blocks { try chain.append(block, now: start + 100) }
        return try (0..<UInt64(count)).map { number in
            let block = realm.sealed(chain.draft([], time: chain.state.time + 3 + number))
            try chain.append(block, now: start + 100)
            return block
        }
    }

    /// Lets `node` ask `source`, and answers with `body`; returns the resulting actions without requests to other
    /// nodes.
    private func feed(
        _ body: [UInt8], to node: inout LedgerNode, from source: UInt64, now: UInt64 = start + 100
    ) -> [LedgerNode.Action] {
        let source = NodeID(key(5000 + source).publicKey)
        let asked = node.announced(node.chain.height + 1, by: source, now: now * 1_000)
        guard case .ask(.node(source), .blocks(let above), let question)? = asked.last else {
            Issue.record("it did not ask")
            return []
        }
        #expect(above == node.chain.height)
        return node.answered(question, body, from: source, now: now * 1_000).filter {
            if case .ask(_, _, let id) = $0 {
                !node.answered(id, [], from: nil, now: now * 1_000).isEmpty
            } else {
                true
            }
        }
    }

    @Test func p5WhatALyingSourceSendsIsRefusedAndSaid() throws {
        let (good, blocks) = try follower(4)
        let fork = try branch(after: blocks[..<2], count: 3)
        let sealed = try branch(after: blocks[...], count: 1)[0]
        var signatures = sealed.signatures
        signatures[1] = AuthoritySignature(authority: 1, bytes: signatures[0].bytes)
        let spoiled = FinalBlock(sealed.block, slot: 5, signatures: signatures)
        let next = try branch(after: blocks[...], count: 2)
        var ahead = LedgerChain(realm.rules)
        for block in blocks { try ahead.append(block, now: start + 100) }
        let future = realm.sealed(ahead.draft([], time: start + 500))
        let cases: [(answer: [UInt8], name: String)] = [
            (FinalBlock.encodeList([fork[2].encoded()]), "fork"),
            (FinalBlock.encodeList([fork[1].encoded()]), "fork"),
            (FinalBlock.encodeList([blocks[0].encoded()]), "rollback"),
            (FinalBlock.encodeList([fork[0].encoded()]), "rollback"),
            (FinalBlock.encodeList([next[1].encoded()]), "gap"),
            (FinalBlock.encodeList([spoiled.encoded()]), "wrongSignature"),
            (FinalBlock.encodeList([realm.sealed(next[0].block, by: [0, 1]).encoded()]), "tooFewSignatures"),
            (FinalBlock.encodeList([future.encoded()]), "fromTheFuture"),
            ([UInt8](repeating: 0x5b, count: 300), "unreadable"),
        ]
        for (answer, name) in cases {
            var node = good
            let (head, digest) = (node.chain.head, node.chain.state.digest)
            let actions = feed(answer, to: &node, from: 1)
            // The warning goes to the log once and to `tunic status` as long as it applies; nothing goes to disk or to
            // others.
            #expect(actions.count == 1, "\(name): \(actions)")
            guard case .warn(let said)? = actions.first else {
                Issue.record("\(name) is not said")
                continue
            }
            guard case .blockRefused(let refusal) = said else {
                Issue.record("\(name): \(said)")
                continue
            }
            #expect(refusal.name == name && node.problem == said, "\(said)")
            #expect(node.chain.head == head && node.chain.state.digest == digest, "\(name)")
            // A repetition adds no second line to the log; the true next block ends the warning.
            #expect(feed(answer, to: &node, from: 2).isEmpty, "\(name)")
            let taken = feed(FinalBlock.encodeList([next[0].encoded()]), to: &node, from: 3)
            #expect(node.problem == nil && node.chain.height == 5 && !taken.isEmpty, "\(name)")
        }
    }

    @Test func p5ASilentSourceChangesNothingAndAnotherIsAsked() throws {
        var (node, _) = try follower(2)
        let head = node.chain.head
        var questions = 0
        var silent: [NodeID] = []
        for second in 0..<20 as Range<UInt64> {
            for action in node.tick(now: (start + 10 + second) * 1_000) {
                guard case .ask(.anyone(let avoided), .blocks, let id) = action else {
                    Issue.record("\(action)")
                    continue
                }
                // The neighbour that was silent last is avoided.
                #expect(avoided == Set(silent.suffix(1)))
                silent.append(NodeID(key(5000 + second).publicKey))
                // Another neighbour is asked at once.
                let next = node.answered(id, nil, from: silent.last, now: (start + 10 + second) * 1_000)
                guard case .ask(.anyone([silent.last!]), .blocks, let again)? = next.last, next.count == 1 else {
                    Issue.record("\(next)")
                    continue
                }
                questions += 1
                #expect(node.answered(again, nil, from: nil, now: (start + 10 + second) * 1_000).isEmpty)
            }
        }
        #expect(questions >= 8 && node.chain.head == head && node.problem == nil)
    }

    /// An authority that is put back to a backup of earlier blocks fetches the rest, and no height gets two blocks.
    @Test(arguments: 1...3 as ClosedRange<UInt64>) func anAuthorityComesBackFromABackup(_ seed: UInt64) {
        let town = LedgerSimulation(realm, followers: 1, seed: seed)
        town.run(for: 15_000)
        let backup = town.disks[1]
        let kept = backup.blocks.count
        town.run(for: 21_000 + seed * 700)
        town.kill(1, for: nil)
        town.disks[1] = backup
        town.run(for: 4_000)
        town.revive(1)
        #expect(town.nodes[1]!.chain.height == UInt64(kept))
        town.run(for: 20_000)
        #expect(town.nodes[1]!.chain.height > UInt64(kept) + 15)
        #expect(town.warnings.isEmpty, "\(town.warnings)")
        // The simulation records an issue if two blocks of one height are final.
        #expect(town.finals.count == Int(town.height))
    }
}

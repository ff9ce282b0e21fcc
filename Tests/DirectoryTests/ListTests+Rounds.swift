import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Directory

/// The rounds of which a node has signed a list.
extension ListTests {
    /// Its signature of a round of the future keeps it from signing again in that round alone, also after a restart.
    @Test("s27: a node that proposed a list while its clock was ahead signs those of the rounds before")
    func s27ClockThatWasAhead() throws {
        let store = try store()
        func proposer(at time: UnixTime) -> NodeID {
            snap.voters[ListSchedule.proposer(of: schedule.round(at: time), snapshot: snap.digest, count: 6)]
        }
        func sign(_ message: [UInt8], as node: NodeID) -> [UInt8] {
            let number = (0..<6).first { NodeID(key($0).publicKey) == node }!
            return key(number).sign(message.rawSpan)
        }
        let right = UnixTime(seconds: start.seconds + 40)
        let leader = proposer(at: right)
        let ahead = try #require(
            (5..<20).lazy.map { UnixTime(seconds: right.seconds + $0 * schedule.period) }
                .first { proposer(at: $0) != leader })
        let node = proposer(at: ahead)
        var fast = ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
        fast.advance(to: ahead)
        #expect(fast.isTurn(of: node, at: ahead))
        let early = fast.propose(store, as: node, at: ahead) { sign($0, as: node) }
        #expect(early != nil)
        let kept = fast.signed.encoded()
        let restarted = ListSigning(
            network: network, schedule: schedule, snapshot: snap, digest: snap.digest,
            signed: try ListSigning.Signed(decoding: kept.rawSpan))
        var other = ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
        other.advance(to: right)
        let made = other.propose(store, as: leader, at: right) { sign($0, as: leader) }
        let digest = try #require(made)
        let proposal = try #require(other.proposal(digest))
        for var voter in [fast, restarted] {
            voter.advance(to: right)
            try voter.take(proposal, digest: digest, from: leader)
            voter.judged(digest, store.byDigest)
            #expect(voter.due(node, at: right) == digest)
            let item = voter.sign(digest, as: node) { sign($0, as: node) }
            #expect(item != nil && voter.due(node, at: right) == nil)
            // When its clock comes to the other round again, it proposes no second list.
            voter.advance(to: ahead)
            #expect(!voter.isTurn(of: node, at: ahead))
            let second = voter.propose(store, as: node, at: ahead) { sign($0, as: node) }
            #expect(second == nil)
        }
    }

    @Test("s27: no round is allowed twice, whatever the clock does") func s27NoRoundTwice() {
        for seed in 1...20 as ClosedRange<UInt64> {
            var random = SeededGenerator(seed: seed)
            var (signed, rounds) = (ListSigning.Signed(), Set<UInt64>())
            for _ in 0..<2_000 {
                let round = UInt64.random(in: 0..<400, using: &random)
                guard signed.allows(round) else { continue }
                // Nor was a later round of the cycle signed.
                #expect((round..<round / 4 * 4 + 4).allSatisfy { !rounds.contains($0) })
                #expect(round > 0 && rounds.insert(round).inserted)
                signed.add(round)
                #expect(signed.rounds.count <= ListSigning.Signed.limit)
            }
        }
    }

    @Test("s27: of the signed rounds the earliest go, and with them all before") func s27EarliestRoundsGo() throws {
        var signed = ListSigning.Signed()
        signed.add(4_002)
        #expect(([4_000, 4_001, 4_002] as [UInt64]).allSatisfy { !signed.allows($0) })
        #expect(([1, 3_999, 4_003, 4_004] as [UInt64]).allSatisfy { signed.allows($0) })
        // A round of the future stays; those of each cycle go in turn.
        for cycle in 1...100 as ClosedRange<UInt64> {
            #expect(signed.allows(cycle * 4))
            signed.add(cycle * 4)
        }
        #expect(signed.rounds.count == 64 && signed.floor == 37 * 4 && !signed.allows(37 * 4) && !signed.allows(3))
        #expect(signed.allows(37 * 4 + 1) && !signed.allows(38 * 4) && !signed.allows(4_002))
        let bytes = signed.encoded()
        #expect(try ListSigning.Signed(decoding: bytes.rawSpan) == signed)
        // More rounds than the limit, and rounds out of order.
        for (place, value) in [(9, UInt8(65)), (18, 255)] {
            var changed = bytes
            changed[place] = value
            #expect(throws: WireError.self) { try ListSigning.Signed(decoding: changed.rawSpan) }
        }
        // The form before has the last round, and the digest of its list.
        var writer = ByteWriter()
        writer.u64(41)
        writer.bytes32(bytes32(1, 1))
        let before = try ListSigning.Signed(decoding: writer.bytes.rawSpan)
        #expect(!before.allows(40) && !before.allows(41) && before.allows(42))
    }
}

import OnionCrypto
import Testing
import Wire

@testable import Registry

/// A node's placement is decided by the block in which its stake became full, not by anything that its operator
/// chooses.
@Suite struct PlacementTests {
    private func expected(_ number: Int, _ height: UInt64) -> UInt64 {
        Town.nodeIDs[number].placement(block: bytes32(5, height), network: networkID)
    }

    @Test func sw1ItIsSetWhenTheStakeBecomesFullAndNeverChanges() throws {
        var town = Town { $0.leaveDelay = 100 }
        town.settle(0..<12)
        town.run(town.registration(12, 12, stake: full / 2))
        #expect(town.node(12)?.placement == 0 && town.node(3)?.placement == expected(3, 1))
        town.next(after: 1)
        town.run(13, .contribute(node: Town.nodeIDs[12], amount: full / 2))
        #expect(town.node(12)?.placement == expected(12, 2))
        town.next(after: 1)
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
        town.run(town.maintenance(4, 60))
        #expect(town.node(3)?.standing == .decommissioned && town.node(4)?.standing == .decommissioned)
        town.next(after: 70)
        town.run(0, town.verdict(.recommission, 3, places: 0..<7))
        #expect(town.node(3)?.standing == .active && town.node(4)?.standing == .active)
        for number in [3, 4] { #expect(town.node(number)?.placement == expected(number, 1)) }
        // The encoded state contains the placement, so its digest covers it.
        let bytes = town.state.encoded()
        #expect(try RegistryState(decoding: bytes.rawSpan) == town.state)
        // A node that registers again gets another placement.
        town.run(3, .leave(node: Town.nodeIDs[3]))
        town.next(after: 200)
        #expect(town.node(3) == nil)
        town.run(town.registration(3, 3, stake: full))
        #expect(town.node(3)?.placement == expected(3, town.state.height) && expected(3, 1) != expected(3, 5))
    }

    @Test func aPlacementOfAnOpenNodeIsNotRead() throws {
        var town = Town()
        town.run(town.registration(0, 0, stake: full / 2))
        let bytes = town.state.encoded()
        let id = Town.nodeIDs[0].key.array
        let place = try #require((0..<bytes.count - 32).first { Array(bytes[$0..<$0 + 32]) == id })
        // The id is followed by the standing (1 byte), the fee (2) and six numbers of 8 bytes.
        var changed = bytes
        changed[place + 32 + 3 + 48] = 1
        #expect(throws: WireError.outOfRange) { try RegistryState(decoding: changed.rawSpan) }
    }

    @Test func aBlockDecidesThePlacementsOfItsNodes() throws {
        let realm = Realm()
        let registration = RegistryOperation(
            registering: key(100), fee: 0, stake: full, network: networkID, nonce: 0, key: key(0))
        var placements: Set<UInt64> = []
        for drawn in 0..<3 as Range<UInt64> {
            var chain = LedgerChain(realm.rules)
            let block = chain.draft([registration], time: start, drawn: drawn)
            try chain.append(realm.sealed(block), now: start)
            let node = try #require(chain.state.nodes[Town.nodeIDs[0]])
            #expect(node.placement == Town.nodeIDs[0].placement(block: block.contentHash, network: networkID))
            placements.insert(node.placement)
        }
        #expect(placements.count == 3)
    }

    /// The random bytes of the leader are part of the block that the authorities sign.
    @Test func sw1OtherRandomBytesAreAnotherBlock() throws {
        let realm = Realm()
        let chain = LedgerChain(realm.rules)
        var drafting = chain
        let good = drafting.draft([], time: start)
        let other = Block(
            network: networkID, height: 1, time: start, previous: good.previous, random: bytes32(79, 1),
            maker: good.maker, proof: good.proof, operations: [], stateDigest: good.stateDigest)
        #expect(other.contentHash != good.contentHash && other.hash != good.hash)
        let signatures = realm.sealed(good).signatures
        var follower = chain
        #expect(throws: LedgerRefusal.wrongSignature(authority: 0)) {
            try follower.append(FinalBlock(other, slot: 5, signatures: signatures), now: start)
        }
        // It is refused with valid signatures too, because the state contains the content hash.
        #expect(throws: LedgerRefusal.wrongState) { try follower.append(realm.sealed(other), now: start) }
        try follower.append(realm.sealed(good), now: start)
    }

    /// The sixteenth of the number range in which this placement lies.
    private func bin(_ placement: UInt64) -> Int { Int(placement >> 60) }

    /// Pearson's statistic of 16 equally likely bins; it exceeds 44.3 by chance once in 10,000 times.
    private func chiSquare(_ bins: [Int]) -> Double {
        let mean = Double(bins.reduce(0, +)) / Double(bins.count)
        return bins.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) / mean }
    }

    /// An operator that knows everything of a block but the random bytes tries keys and fees for the lowest bin.
    ///
    /// The result is as even as without trying. If it knows the random bytes, it nearly always gets the lowest bin.
    @Test(arguments: [false, true])
    func sw1GroundOperationsAndKeysChooseNoPlace(_ knows: Bool) throws {
        let realm = Realm()
        let chain = LedgerChain(realm.rules)
        let proof = key(2000).prove(chain.proofInput.rawSpan)
        func content(_ operation: RegistryOperation, drawn: UInt64) -> Bytes32 {
            Block.contentHash(
                network: networkID, height: 1, time: start, previous: chain.head, random: bytes32(78, drawn), maker: 0,
                proof: proof, operations: [operation])
        }
        // Eight keys, each with eight fees.
        let candidates = (0..<64 as Range<UInt64>).map { number -> (NodeID, RegistryOperation) in
            let node = key(5_000 + number / 8)
            return (
                NodeID(node.publicKey),
                RegistryOperation(
                    registering: node, fee: UInt16(number % 8), stake: full, network: networkID, nonce: 0, key: key(0))
            )
        }
        var bins = [Int](repeating: 0, count: 16)
        for trial in 0..<480 as Range<UInt64> {
            let guess = knows ? trial : 1_000_000 + trial
            let best = try #require(
                candidates.min {
                    $0.0.placement(block: content($0.1, drawn: guess), network: networkID)
                        < $1.0.placement(block: content($1.1, drawn: guess), network: networkID)
                })
            bins[bin(best.0.placement(block: content(best.1, drawn: trial), network: networkID))] += 1
        }
        if knows {
            // A leader that tries values for its own node can still do this.
            #expect(bins[0] > 450, "\(bins)")
        } else {
            #expect(chiSquare(bins) < 44.3, "\(bins)")
        }
    }
}

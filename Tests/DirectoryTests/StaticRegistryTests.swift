import Directory
import OnionCrypto
import Testing
import Wire

/// The registry as a file that authorities sign.
struct StaticRegistryTests {
    let start = UnixTime(seconds: 1_800_000_000 / 3_600 * 3_600)

    func registry(authorities: Range<UInt64> = 50..<53) -> StaticRegistry {
        var file = NetworkFile(
            name: "test", id: network, bootstrap: [],
            snapshot: signed(snapshot(keys: 0..<6, height: 1, time: start), by: 0..<6))
        file.authorities = authorities.map {
            NetworkFile.AuthorityEntry(key: key($0).publicKey, node: NodeID(key($0).publicKey))
        }
        file.authorityThreshold = 2
        return StaticRegistry(file)
    }

    func file(_ height: UInt64, keys: Range<UInt64> = 0..<7, by signers: Range<UInt64> = 50..<52, after: UInt64 = 60)
        -> [UInt8]
    {
        let time = UnixTime(seconds: start.seconds + after)
        return signed(snapshot(keys: keys, height: height, time: time), by: signers).encoded()
    }

    @Test func eachEpochHasASnapshotOfTheNewestFile() throws {
        var registry = registry()
        let soon = UnixTime(seconds: start.seconds + 100)
        let one = try #require(registry.snapshot(above: 1, at: soon)?.snapshot)
        #expect(one.time == start && one.height == 1 << 32 && one.entries.count == 6)
        #expect(registry.snapshot(above: one.height, at: UnixTime(seconds: start.seconds + 3_599)) == nil)
        #expect(try registry.read(file(2), at: soon))
        #expect(try !registry.read(file(2), at: soon))
        // The new file counts from the first epoch after its time.
        #expect(registry.snapshot(above: 1, at: soon)?.snapshot == one)
        let next = try #require(
            registry.snapshot(above: one.height, at: UnixTime(seconds: start.seconds + 3_700))?.snapshot)
        #expect(next.entries.count == 7 && next.height == 2 << 32 | 1 && next.time.seconds == start.seconds + 3_600)
        // At the same height every node has the same snapshot.
        var other = self.registry()
        _ = try other.read(file(2), at: UnixTime(seconds: start.seconds + 7_000))
        #expect(other.snapshot(above: 1, at: UnixTime(seconds: start.seconds + 7_100))?.snapshot == next)
    }

    @Test func p5OlderOrWrongFilesAreRefusedAndTheLastGoodOneKept() throws {
        var registry = registry()
        let soon = UnixTime(seconds: start.seconds + 100)
        #expect(try registry.read(file(5), at: soon))
        let held = registry.snapshot(above: 1, at: UnixTime(seconds: start.seconds + 3_700))
        #expect(throws: StaticRegistryError.older(height: 4, held: 5)) { try registry.read(file(4), at: soon) }
        #expect(throws: StaticRegistryError.tooHigh(height: 1 << 31)) { try registry.read(file(1 << 31), at: soon) }
        #expect(throws: StaticRegistryError.timeWentBack(height: 6, held: 5)) {
            try registry.read(file(6, after: 59), at: soon)
        }
        #expect(throws: StaticRegistryError.empty) { try registry.read(file(6, keys: 0..<0), at: soon) }
        #expect(throws: StaticRegistryError.conflicting(height: 5)) {
            try registry.read(file(5, keys: 0..<8), at: soon)
        }
        #expect(throws: StaticRegistryError.tooFewSignatures(signatures: 1, needed: 2)) {
            try registry.read(file(6, by: 50..<51), at: soon)
        }
        // Nodes are not authorities.
        #expect(throws: StaticRegistryError.tooFewSignatures(signatures: 0, needed: 2)) {
            try registry.read(file(6, by: 0..<6), at: soon)
        }
        #expect(throws: StaticRegistryError.fromTheFuture) { try registry.read(file(6, after: 5_000), at: soon) }
        #expect(throws: StaticRegistryError.unreadable(.truncated)) { try registry.read([2, 2], at: soon) }
        let foreign = Snapshot(network: bytes32(5, 5), height: 6, time: start, entries: [])!
        #expect(throws: StaticRegistryError.otherNetwork) {
            try registry.read(signed(foreign, by: 50..<53).encoded(), at: soon)
        }
        #expect(registry.snapshot(above: 1, at: UnixTime(seconds: start.seconds + 3_700)) == held)
        #expect(try registry.read(file(6), at: soon))
        var alone = self.registry(authorities: 50..<50)
        #expect(throws: StaticRegistryError.noAuthorities) { try alone.read(file(5), at: soon) }
    }

    @Test func theFileThatCountsIsKeptHoweverManyFollow() throws {
        var registry = registry()
        func count(_ after: UInt64) throws -> Int {
            let time = UnixTime(seconds: start.seconds + after)
            return try #require(registry.snapshot(above: 1, at: time)?.snapshot, "after \(after) s").entries.count
        }
        // Several files in one epoch: the last of them counts in the next one, and until then the one before.
        for (height, after) in [(2, 60), (3, 100), (4, 3_000)] as [(UInt64, UInt64)] {
            let bytes = file(height, keys: 0..<5 + height, after: after)
            _ = try registry.read(bytes, at: UnixTime(seconds: start.seconds + 3_050))
            #expect(try count(3_100) == 6)
        }
        // One dated in the next epoch counts only in the one after that.
        _ = try registry.read(file(5, keys: 0..<10, after: 3_700), at: UnixTime(seconds: start.seconds + 3_200))
        #expect(try count(3_300) == 6 && count(3_600) == 9 && count(7_199) == 9 && count(7_200) == 10)
    }
}

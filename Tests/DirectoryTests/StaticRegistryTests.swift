import Directory
import OnionCrypto
import Testing
import Wire

/// The registry as a file that authorities sign.
struct StaticRegistryTests {
    let start = UnixTime(seconds: 1_800_000_000 / 3_600 * 3_600)

    func registry() -> StaticRegistry {
        var file = NetworkFile(
            name: "test", id: network, bootstrap: [],
            snapshot: signed(snapshot(keys: 0..<6, height: 1, time: start), by: 0..<6))
        file.authorities = (50..<53 as Range<UInt64>).map {
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
        // At the same height every node has the same.
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
        #expect(registry.problem != nil)
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
        #expect(try registry.read(file(6), at: soon) && registry.problem == nil)
    }
}

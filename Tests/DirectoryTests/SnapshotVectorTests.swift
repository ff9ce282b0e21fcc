import OnionCrypto
import Testing
import VectorFiles
import Wire

@testable import Directory

/// The bytes of `Tests/Vectors/snapshot.py`: what the model writes is read here, and what is written here are the model's bytes.
@Suite struct SnapshotVectorTests {
    private let vectors: VectorFile
    private let network: Bytes32

    init() throws {
        vectors = try VectorFile("snapshot")
        network = try vectors.bytes32("network")
    }

    private func key(_ number: Int) throws -> SigningKey {
        let seed = Array(try vectors("keys")[number * 32..<number * 32 + 32])
        return SigningKey(seed: Secret(copying: seed.rawSpan))
    }

    private func owner(_ number: UInt8) -> Bytes32 { Blake2b.digest(([UInt8]("owner".utf8) + [number]).rawSpan) }

    private func entry(
        _ number: Int, weight: UInt32, owner: UInt8? = nil, state: Snapshot.State = .staked, change: UInt64 = 0
    ) throws -> Snapshot.Entry {
        let node = NodeID(try key(number).publicKey)
        let block = Bytes32(Array(try vectors("blocks")[number * 32..<number * 32 + 32]))!
        let placement = node.placement(block: block, network: network)
        var writer = ByteWriter()
        writer.u64(placement)
        #expect(try vectors("placements")[number * 8..<number * 8 + 8] == writer.bytes[...])
        return Snapshot.Entry(
            node: node, operatorID: self.owner(owner ?? UInt8(number)), state: state, weight: weight,
            placement: placement ^ change)
    }

    private func first() throws -> SignedSnapshot {
        let entries = try (0..<5).map { try entry($0, weight: UInt32($0) * 100, state: $0 == 3 ? .suspended : .staked) }
        var signed = SignedSnapshot(
            try #require(
                Snapshot(network: network, height: 1, time: now, entries: entries)))
        for number in [4, 2, 1, 0] { signed.sign(with: try key(number)) }
        return signed
    }

    private func preface() throws -> SnapshotPreface {
        var writer = ByteWriter()
        for (kind, bytes) in [(UInt8(3), Array(0..<100)), (7, []), (255, [UInt8]("end".utf8))] {
            writer.u8(kind)
            writer.u16(UInt16(bytes.count))
            writer.raw(bytes)
        }
        return try #require(
            SnapshotPreface(
                namesRoot: Blake2b.digest([UInt8]("names".utf8).rawSpan), namesCount: 70_000,
                extensionBytes: writer.bytes))
    }

    private func second() throws -> Snapshot {
        let entries = [
            try entry(0, weight: 0), try entry(1, weight: 100, change: 1), try entry(2, weight: 200, owner: 7),
            try entry(3, weight: 333), try entry(5, weight: 500),
        ]
        return try #require(
            Snapshot(
                network: network, height: 2, time: UnixTime(seconds: now.seconds + 3_600),
                previous: try first().snapshot.digest, preface: try preface(), entries: entries))
    }

    @Test func snapshotsAreTheModels() throws {
        let first = try first()
        #expect(try vectors("first") == first.snapshot.encoded())
        #expect(try vectors("first signed") == first.encoded())
        #expect(try vectors.bytes32("first digest") == first.snapshot.digest)
        let bytes = try vectors("first signed")
        #expect(try SignedSnapshot(decoding: bytes.rawSpan) == first)
        _ = try SnapshotChain(network: network, first: first)
        let second = try second()
        var writer = ByteWriter()
        second.preface.encode(to: &writer)
        #expect(try vectors("preface") == writer.bytes)
        #expect(try vectors("second") == second.encoded())
        #expect(try vectors.bytes32("second digest") == second.digest)
    }

    @Test func updatesAreTheModels() throws {
        let (first, second) = (try first(), try second())
        var history = SnapshotHistory(first: first.snapshot, digest: first.snapshot.digest)
        history.append(second, digest: second.digest)
        let message = Snapshot.message(digest: second.digest, network: network, height: 2)
        for number in [0, 1, 2, 4] {
            let key = try key(number)
            history.add(key.sign(message.rawSpan), of: NodeID(key.publicKey), height: 2)
        }
        // A node signs with the votes that are needed; the model with all.
        let made = try #require(history.update(from: 1, digest: first.snapshot.digest))
        for name in ["update whole", "update difference"] {
            let bytes = try vectors(name)
            var update = try SnapshotUpdate(decoding: bytes.rawSpan)
            #expect(update.encoded() == bytes && update.preface == second.preface)
            var chain = try SnapshotChain(network: network, first: first)
            #expect(try chain.accept(update, at: second.time))
            #expect(chain.snapshot == second)
            #expect(update.headers == made.headers && Set(made.votes).isSubset(of: update.votes))
            if name == "update difference" {
                update.votes = made.votes
                #expect(update == made)
            }
        }
    }
}

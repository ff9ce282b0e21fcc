import OnionCrypto
import SwarmModel
import Testing
import VectorFiles
import Wire

@testable import Swarm

/// The vectors of `Tests/Vectors/swarm.py`: the model's bytes are read, and the same bytes are written.
@Suite struct VectorTests {
    private let vectors: VectorFile
    private let network: Bytes32
    private let owner: Key
    private let writer: Key
    private let certified: Key
    private let minute: UInt32 = 28_800_000

    init() throws {
        vectors = try VectorFile("swarm")
        network = try vectors.bytes32("network")
        owner = Key(seed: try vectors("box seed"))
        writer = Key(seed: try vectors("writer seed"))
        certified = Key(seed: try vectors("certified seed"))
    }

    private func item(_ name: String) throws -> StoredItem {
        let bytes = try vectors("item.\(name)")
        return try StoredItem(decoding: bytes.rawSpan, network: network)
    }

    private func filled(_ text: String, _ kind: ItemKind) throws -> [UInt8] {
        try #require(ItemBody.filled(Array(text.utf8), kind: kind))
    }

    @Test func items() throws {
        let grant = try #require(try item("grant").version?.grant)
        let key = owner.publicKey
        let certificate = NamedVersion.Certificate(
            key: certified.publicKey,
            signature: owner.sign(
                NamedVersion.Certificate.message(
                    box: key, kind: .descriptor, name: name("web"), key: certified.publicKey, network: network)))
        let records = (0..<2_560).map { UInt8($0 % 256) }
        func body(_ kind: ItemKind, _ title: String, _ counter: UInt8, _ content: [UInt8]) -> [UInt8]? {
            NamedVersion.body(
                kind: kind, name: name(title), counter: counter, certificate: kind == .descriptor ? certificate : nil,
                content: content)
        }
        func header(_ kind: ItemKind) -> ItemHeader { ItemHeader(kind: kind, box: key, created: minute) }
        let token = try #require(Bytes16(try vectors("token")))
        let message = ItemHeader(
            kind: .message, box: key, created: minute + 10, lock: DeleteProof.lock(of: token),
            hint: Box.hint(of: writer))
        let contact = ItemHeader(kind: .contact, box: key, created: minute, hint: 0x0001_0203_0405_0607)
        let made: [(String, ItemHeader, [UInt8]?, Key)] = [
            ("descriptor", header(.descriptor), body(.descriptor, "web", 3, Array("content".utf8)), certified),
            ("account", header(.account), body(.account, "face", 9, Array("hello".utf8)), owner),
            ("record", header(.record), body(.record, "notes", 0, records), owner),
            ("grant", header(.record), body(.record, "grant", 0, grant.content), owner),
            ("purge", header(.record), body(.record, "purge", 0, Purge(before: minute - 60).content), owner),
            ("message", message, try filled("a message", .message), writer),
            ("contact", contact, try filled("a request", .contact), owner),
        ]
        for (name, header, body, author) in made {
            let read = try item(name)
            let own = StoredItem(header, body: try #require(body), network: network, signature: author.sign)
            #expect(own == read, "\(name)")
            #expect(read.id == (try vectors.bytes32("id.\(name)")))
            #expect(read.isAuthentic(network: network, writers: WriteKeys(box: key, grant: grant)), "\(name)")
        }
        #expect([try item("contact").effort] == (try vectors("effort")))
    }

    @Test func tombstonesAndReceipts() throws {
        let message = try item("message")
        let writers = WriteKeys(box: owner.publicKey, grant: try item("grant").version?.grant)
        let token = try #require(Bytes16(try vectors("token")))
        let proofs: [(String, DeleteProof)] = [
            ("token", .token(token)),
            ("owner", .signature(owner.sign(DeleteProof.message(id: message.id, network: network)))),
        ]
        for (name, proof) in proofs {
            let bytes = try vectors("tombstone.\(name)")
            let read = try Tombstone(decoding: bytes.rawSpan, network: network)
            #expect(read == Tombstone(of: message, proof: proof) && read.encoded() == bytes)
            #expect(read.isAuthentic(network: network, writers: writers))
        }
        let receipt = writer.sign(StoreReceipt.message(height: 77, id: message.id, network: network))
        #expect(receipt == (try vectors("receipt")))
    }

    @Test func requests() throws {
        let message = try item("message")
        let binding = try vectors.bytes32("binding")
        let read = owner.sign(BoxRead.message(box: owner.publicKey, binding: binding, network: network))
        let box = owner.publicKey
        let proof = DeleteProof.signature(owner.sign(DeleteProof.message(id: message.id, network: network)))
        let token = DeleteProof.token(try #require(Bytes16(try vectors("token"))))
        let kinds = try #require(ItemKinds(bits: 0x10))
        let requests: [(String, StoreRequest)] = [
            ("store", .store(height: 77, message)),
            ("delete", .delete(box: box, [.init(id: message.id, proof: token), .init(id: message.id, proof: proof)])),
            ("list", .list(BoxRead(box, log: 5, after: 6, signature: read), kinds: .all)),
            ("fetch", .fetch(BoxRead(box, log: 5, signature: read), offsets: [1, 2, 9])),
            ("lookup", .lookup(box: box, kind: .account, most: 4, name: name("face"))),
        ]
        for (name, request) in requests {
            let bytes = try vectors(name)
            #expect(request.arguments() == bytes, "\(name)")
            #expect(try StoreRequest(method: request.method, arguments: bytes.rawSpan, network: network) == request)
        }
        let open = SubscriptionOpen(BoxRead(box, log: 5, after: 6, signature: read), kinds: kinds)
        #expect(open.encoded() == (try vectors("subscription")))
    }

    @Test func comparisons() throws {
        let names = ["descriptor", "account", "record", "grant", "purge", "message", "contact"]
        let ids = try names.map { try item($0).id }.sorted()
        let key = try #require(Bytes16(try vectors("comparison key")))
        let message = try item("message")
        let shortID = ShortID.of(message.id, key: key)
        #expect(shortID.bigEndianBytes == (try vectors("short id")))
        let other = ShortID.of(message.id, binding: try vectors.bytes32("binding"))
        #expect(other.bigEndianBytes == (try vectors("short id of a request")))
        let digest = RangeDigests.range(ids.enumerated().map { ($1, $0 % 2 == 1) })
        #expect(digest == (try vectors.bytes32("range digest")))
        let day = RangeDigests.day([Bytes32(), digest] + [Bytes32](repeating: Bytes32(), count: 142))
        #expect(day == (try vectors.bytes32("day digest")))
        let days: [CompareAnswer.DayDigest] = [
            .init(kind: .account, day: 100, digest: day), .init(kind: .message, day: 7, digest: digest),
        ]
        #expect(CompareAnswer.days(days).encoded() == (try vectors("days")))
        #expect(RangeDigests.shard(days) == (try vectors.bytes32("shard digest")))

        let tombstone = Tombstone(of: message, proof: .token(try #require(Bytes16(try vectors("token")))))
        let replicate = Replicate(height: 77, copies: [.item(message), .tombstone(tombstone)])
        #expect(replicate.encoded() == (try vectors("replicate")))
        let range = RangeKey(shard: 5, kind: .message, number: minute / 10)
        let questions: [Compare.Question] = [
            .shards([.init(shard: 5, digest: digest), .init(shard: 9, digest: day)]), .days(shard: 5),
            .ranges(shard: 5, kind: .message, day: 7), .ids(range, after: shortID),
        ]
        for (index, question) in questions.enumerated() {
            let bytes = try vectors("compare.\(index + 1)")
            let compare = Compare(key: key, cut: minute, question)
            #expect(compare.encoded() == bytes)
            #expect(try Compare(decoding: bytes.rawSpan) == compare)
        }
        #expect(FetchCopies(key: key, range: range, shortIDs: [shortID]).encoded() == (try vectors("fetch copies")))
    }

    @Test func map() throws {
        let bytes = try vectors("map nodes")
        let blocks = try vectors("map blocks")
        var reader = ByteReader(bytes.rawSpan)
        var blockReader = ByteReader(blocks.rawSpan)
        var nodes: [PlacedNode] = []
        for _ in 0..<12 {
            let placed = PlacedNode(
                node: try reader.nodeID(), operatorID: try reader.bytes32(), placement: try reader.u64())
            let block = try blockReader.bytes32()
            #expect(placed.node.placement(block: block, network: network) == placed.placement)
            nodes.append(placed)
        }
        let map = try #require(SwarmMap(network: network, shards: 64, swarmSize: 7, nodes: nodes))
        let swarms = (0..<64 as Range<UInt16>).flatMap { map.swarm($0) }.flatMap(\.key.array)
        #expect(swarms == (try vectors("map")))
        #expect([UInt8(map.shard(of: owner.publicKey))] == (try vectors("shard of 64")))
        let large = try #require(
            SwarmMap(network: network, shards: 1_024, swarmSize: 3, nodes: Array(nodes.prefix(1))))
        let shard = large.shard(of: owner.publicKey)
        #expect([UInt8(shard & 255), UInt8(shard >> 8)] == (try vectors("shard of 1024")))
    }
}

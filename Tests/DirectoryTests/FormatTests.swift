import Directory
import OnionCrypto
import SeededRandom
import Testing
import Wire

struct FormatTests {
    @Test(arguments: 0..<200 as Range<UInt64>) func nodeIDsSurviveText(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let bytes = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let node = NodeID(Bytes32(bytes)!)
        #expect(node.description.utf8.count == 58)
        #expect(NodeID(node.description) == node)
    }

    @Test func nodeIDTextIsZBase32() {
        #expect(NodeID(Bytes32()).description == String(repeating: "y", count: 52) + ".snode")
        var bytes = [UInt8](repeating: 0xff, count: 32)
        #expect(NodeID(Bytes32(bytes)!).description == String(repeating: "9", count: 51) + "o.snode")
        bytes[0] = 0
        #expect(NodeID(Bytes32(bytes)!).description.hasPrefix("yd99"))
    }

    @Test func nodeIDTextIsStrict() {
        let good = NodeID(bytes32(1, 2)).description
        #expect(NodeID(good) != nil)
        #expect(NodeID(good.uppercased()) == nil)
        #expect(NodeID(String(good.dropLast(6))) == nil)
        #expect(NodeID("y" + good) == nil)
        #expect(NodeID(good + ".") == nil)
        #expect(NodeID(String(repeating: "y", count: 51) + "b.snode") == nil)
        #expect(NodeID(String(repeating: "y", count: 51) + "l.snode") == nil)
        #expect(NodeID("") == nil)
    }

    @Test func nodeIDsOrderByTheirBytes() {
        var low = [UInt8](repeating: 0, count: 32)
        var high = low
        low[1] = 0xff
        high[0] = 1
        #expect(NodeID(Bytes32(low)!) < NodeID(Bytes32(high)!))
        #expect(!(NodeID(Bytes32(high)!) < NodeID(Bytes32(high)!)))
    }

    @Test func descriptorsSurviveEncoding() throws {
        let node = NodeID(key(1).publicKey)
        var value = descriptor(of: node, ipv6: Endpoint("[2a00::1]:9")!, bandwidth: 77)
        value.extensions = [1, 2, 3]
        value.versions = 1...4
        let signed = value.signed(with: key(1), network: network)
        let read = try SignedDescriptor(decoding: signed.bytes.rawSpan)
        #expect(read == signed)
        #expect(read.isAuthentic(network: network))
        #expect(!read.isAuthentic(network: bytes32(8, 8)))
        #expect(read.descriptor.encoded() + Array(read.signature) == signed.bytes)
        #expect(
            try SignedDescriptor.decodeList(SignedDescriptor.encodeList([signed, signed]).rawSpan) == [signed, signed])
    }

    @Test func aCutOrChangedDescriptorIsRefusedAndNeverTraps() {
        let bytes = descriptor(of: NodeID(key(1).publicKey), ipv6: Endpoint("[2a00::1]:9")!)
            .signed(with: key(1), network: network).bytes
        for length in 0..<bytes.count {
            #expect(throws: WireError.self) { try SignedDescriptor(decoding: Array(bytes.prefix(length)).rawSpan) }
        }
        #expect(throws: WireError.trailingBytes) { try SignedDescriptor(decoding: (bytes + [0]).rawSpan) }
        var generator = SeededGenerator(seed: 3)
        var stillRead = 0
        for _ in 0..<2_000 {
            var changed = bytes
            let place =
                Bool.random(using: &generator)
                ? Int.random(in: 0..<60, using: &generator)
                : Int.random(in: 0..<bytes.count, using: &generator)
            changed[place] ^= UInt8.random(in: 1...255, using: &generator)
            if let read = try? SignedDescriptor(decoding: changed.rawSpan) {
                #expect(!read.isAuthentic(network: network))
                #expect(read.descriptor.encoded() + Array(read.signature) == changed, "one encoding for each value")
                stillRead += 1
            }
        }
        #expect(stillRead > 1_000)
    }

    @Test func theLargestDescriptorFits() {
        var value = descriptor(
            of: NodeID(key(1).publicKey), ipv6: Endpoint("[2a00::1]:9")!, software: String(repeating: "x", count: 32))
        value.extensions = [UInt8](repeating: 1, count: Descriptor.maximumExtension)
        #expect(value.signed(with: key(1), network: network).bytes.count <= Descriptor.maximumSize)
    }

    @Test func snapshotsSurviveEncoding() throws {
        let value = signed(snapshot(keys: 0..<5), by: 0..<4)
        let bytes = value.encoded()
        #expect(try SignedSnapshot(decoding: bytes.rawSpan) == value)
        for length in 0..<bytes.count {
            #expect(throws: WireError.self) { try SignedSnapshot(decoding: Array(bytes.prefix(length)).rawSpan) }
        }
        #expect(throws: WireError.trailingBytes) { try SignedSnapshot(decoding: (bytes + [0]).rawSpan) }
        var generator = SeededGenerator(seed: 4)
        var stillRead = 0
        for _ in 0..<2_000 {
            var changed = bytes
            changed[Int.random(in: 0..<bytes.count, using: &generator)] ^= UInt8.random(in: 1...255, using: &generator)
            guard let read = try? SignedSnapshot(decoding: changed.rawSpan) else { continue }
            #expect(read.encoded() == changed)
            stillRead += 1
        }
        #expect(stillRead > 1_000)
    }

    @Test func aNodeStandsOnceInASnapshot() {
        let entry = Snapshot.Entry(node: NodeID(bytes32(1, 1)), operatorID: bytes32(1, 1), weight: 1, placement: 0)
        #expect(Snapshot(network: network, height: 1, time: now, entries: [entry, entry]) == nil)
    }
}

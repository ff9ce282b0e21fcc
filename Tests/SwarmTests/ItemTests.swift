import OnionCrypto
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// The bytes of items and tombstones: each has one form, and no other form is read.
@Suite struct ItemTests {
    private let box = Box(Key(1))
    private let now = firstMinute

    private func read(_ bytes: [UInt8]) throws(WireError) -> StoredItem {
        try StoredItem(decoding: bytes.rawSpan, network: network)
    }

    /// Items of each kind, with and without optional parts.
    private func samples() -> [StoredItem] {
        [
            box.named(.descriptor, name("web"), created: now, content: [1, 2, 3], certified: Key(2)),
            box.named(.account, name("face"), created: now, counter: 7, content: [4], certified: nil),
            box.named(
                .account, name("face"), created: now, content: [UInt8](repeating: 5, count: 9_000), certified: Key(3)),
            box.record(name("notes"), created: now, content: [UInt8](repeating: 6, count: 40_000)),
            box.grant([.init(key: Key(4).publicKey), .init(key: Key(5).publicKey, until: now + 5)], created: now),
            box.purge(before: now - 60, created: now),
            box.message(1, created: now), box.message(2, created: now, sizeClass: 5),
            box.contact(3, created: now),
        ]
    }

    @Test func itemsComeBack() throws {
        for item in samples() {
            let again = try read(item.bytes)
            #expect(again == item)
            #expect(again.isAuthentic(network: network, writers: WriteKeys(box: box.id, grant: nil)))
            #expect(item.header.kind.sizes.contains(item.bytes.count))
        }
        #expect(samples().map(\.sizeClass) == [1, 0, 3, 5, 0, 0, 0, 5, 1])
    }

    @Test func noOtherLengthIsRead() throws {
        for item in samples() {
            for length in [0, 1, 63, 64, item.bytes.count - 1] {
                #expect(throws: WireError.self) { try read(Array(item.bytes.prefix(length))) }
            }
            #expect(throws: WireError.self) { try read(item.bytes + [0]) }
        }
    }

    @Test("SW15: every changed bit of an item is refused, makes another item, or breaks its signature")
    func sw15EveryBit() throws {
        for item in samples() where item.bytes.count == 2_048 {
            let places = Array(0..<200) + Array(item.bytes.count - 64..<item.bytes.count)
            for place in places {
                var bytes = item.bytes
                bytes[place] ^= 1 << UInt8(place % 8)
                guard let other = try? read(bytes) else { continue }
                #expect(other.bytes == bytes)
                #expect(
                    !other.isAuthentic(network: network, writers: WriteKeys(box: box.id, grant: nil)),
                    "byte \(place) of kind \(item.header.kind)")
            }
        }
    }

    @Test("SW15: what is not the one form of a header or a body is refused")
    func sw15OneForm() throws {
        func refused(_ item: StoredItem, _ change: (inout [UInt8]) -> Void) {
            var bytes = item.bytes
            change(&bytes)
            #expect(throws: WireError.self) { try read(bytes) }
        }
        let message = box.message(1, created: now)
        refused(message) { $0[0] = 2 }
        for kind: UInt8 in [0, 6, 7, 255] { refused(message) { $0[1] = kind } }
        refused(message) { $0[34] += 1 }
        refused(message) { $0[37] = 255 }
        refused(message) { $0[62] = 1 }
        refused(message) { $0[63] = 1 }
        // A kind with other sizes, and a kind with a signature of zeros.
        refused(message) { $0[1] = 1 }
        refused(message) { $0[1] = 5 }
        refused(box.contact(1, created: now)) { $0[4_095] = 1 }
        let record = box.record(name("notes"), created: now, content: [1])
        refused(record) { $0[38] = 1 }
        refused(record) { $0[54] = 1 }
        refused(record) { $0[64 + 17] = 1 }
        refused(record) { $0[64 + 17] = 2 }
        let account = box.named(.account, name("face"), created: now, content: [4], certified: Key(3))
        refused(account) { $0[64 + 18] = 1 }
        let descriptor = box.named(.descriptor, name("web"), created: now, content: [], certified: Key(2))
        refused(descriptor) { $0[64 + 17] = 0 }
    }

    @Test("SW5, SW15: grants and purges of another form are refused")
    func sw15GrantForm() throws {
        let (a, b) = (Key(4), Key(5))
        func grant(_ content: [UInt8]) -> StoredItem? {
            NamedVersion.body(kind: .record, name: NamedVersion.grantName, counter: 0, content: content).flatMap {
                StoredItem(
                    ItemHeader(kind: .record, box: box.id, created: now), body: $0, network: network,
                    signature: box.key.sign)
            }
        }
        let good = try #require(Grant([.init(key: a.publicKey), .init(key: b.publicKey, until: 9)]))
        #expect(grant(good.content)?.grant == good)
        #expect(grant([0]) == nil)
        #expect(grant([9] + [UInt8](repeating: 1, count: 9 * 36)) == nil)
        let swapped = [2] + Array(good.content[37..<73]) + Array(good.content[1..<37])
        #expect(grant(swapped) == nil)
        #expect(grant([2] + Array(good.content[1..<37]) + Array(good.content[1..<37])) == nil)
        #expect(grant(good.content + [1]) == nil)
        #expect(grant(good.content + [UInt8](repeating: 0, count: 4_000)) == nil)
        #expect(Grant([]) == nil)
        #expect(Grant((0..<9).map { .init(key: Key($0 + 10).publicKey) }) == nil)

        func purge(_ before: UInt32) -> StoredItem? {
            var writer = ByteWriter()
            writer.u32(before)
            return NamedVersion.body(
                kind: .record, name: NamedVersion.purgeName, counter: 0, content: writer.bytes
            ).flatMap {
                StoredItem(
                    ItemHeader(kind: .record, box: box.id, created: now), body: $0, network: network,
                    signature: box.key.sign)
            }
        }
        #expect(purge(now - 60)?.purge == Purge(before: now - 60))
        for before in [now - 50, now, now + 10, .max, now - 61] { #expect(purge(before) == nil) }
    }

    @Test("SW5: a tombstone needs the item's signature, and a proof of who may")
    func sw5Tombstones() throws {
        let writers = WriteKeys(box: box.id, grant: nil)
        let item = box.message(1, created: now)
        for good in [box.tombstone(of: item, token: 1), box.tombstone(of: item)] {
            let bytes = good.encoded()
            #expect(bytes.count == Tombstone.size)
            #expect(try Tombstone(decoding: bytes.rawSpan, network: network) == good)
            #expect(good.id == item.id && good.isAuthentic(network: network, writers: writers))
            for place in bytes.indices {
                var other = bytes
                other[place] ^= 1 << UInt8(place % 8)
                guard let read = try? Tombstone(decoding: other.rawSpan, network: network) else { continue }
                #expect(!read.isAuthentic(network: network, writers: writers), "byte \(place)")
            }
            for length in [0, 64, 224, 226] {
                let other = Array((bytes + [0]).prefix(length))
                #expect(throws: WireError.self) { try Tombstone(decoding: other.rawSpan, network: network) }
            }
        }
        #expect(!box.tombstone(of: item, token: 2).isAuthentic(network: network, writers: writers))
        let stranger = Box(Key(8))
        #expect(
            !Tombstone(of: item, proof: stranger.proof(of: item.id)).isAuthentic(network: network, writers: writers))
        // A forged item: its author never signed the header of the message.
        let forged = StoredItem(
            ItemHeader(
                kind: .message, box: box.id, created: now, lock: DeleteProof.lock(of: Box.token(5)),
                hint: Box.hint(of: box.key)),
            body: [UInt8](repeating: 0, count: 1_920), network: network
        ) { _ in [UInt8](repeating: 7, count: 64) }
        let tombstone = box.tombstone(of: try #require(forged), token: 5)
        #expect(!tombstone.isAuthentic(network: network, writers: writers))
        // No token opens a lock of zeros.
        let open = StoredItem(
            ItemHeader(kind: .contact, box: box.id, created: now, hint: 1), body: [UInt8](repeating: 0, count: 3_968),
            network: network, signature: box.key.sign)
        #expect(!box.tombstone(of: try #require(open), token: 0).isAuthentic(network: network, writers: writers))
    }

    @Test("SW6: a message counts by the newest grant, up to the end of its writer")
    func sw6Grants() throws {
        let (a, b) = (Key(4), Key(5))
        let grant = try #require(Grant([.init(key: a.publicKey), .init(key: b.publicKey, until: now)]))
        let writers = WriteKeys(box: box.id, grant: grant)
        func isGood(_ author: Key, _ created: UInt32, _ writers: WriteKeys) -> Bool {
            box.message(1, created: created, by: author).isAuthentic(network: network, writers: writers)
        }
        #expect(isGood(a, now + 10, writers) && isGood(b, now, writers))
        #expect(!isGood(b, now + 10, writers))
        #expect(!isGood(box.key, now, writers), "with a grant the owner's key is one as the others")
        #expect(!isGood(a, now, WriteKeys(box: box.id, grant: nil)))
        #expect(isGood(box.key, now, WriteKeys(box: box.id, grant: nil)))
    }

    @Test("SW15: keys and signatures of low order, and numbers that are not reduced, prove nothing")
    func sw15LowOrder() throws {
        var neutral = [UInt8](repeating: 0, count: 32)
        neutral[0] = 1
        let low: [[UInt8]] = [
            neutral, [UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 31) + [0x80],
            [0xec] + [UInt8](repeating: 0xff, count: 30) + [0x7f],
            try bytes("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            try bytes("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
            // Not reduced: p + 1, and the same with the sign bit.
            [0xee] + [UInt8](repeating: 0xff, count: 30) + [0x7f], [0xee] + [UInt8](repeating: 0xff, count: 31),
        ]
        for key in low {
            let lowBox = try #require(Bytes32(key))
            for first in low {
                let signature = first + [UInt8](repeating: 0, count: 32)
                let item = StoredItem(
                    ItemHeader(
                        kind: .message, box: lowBox, created: now,
                        hint: key.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }),
                    body: [UInt8](repeating: 0, count: 1_920), network: network
                ) { _ in signature }
                let read = try #require(item)
                #expect(!read.isAuthentic(network: network, writers: WriteKeys(box: lowBox, grant: nil)))
            }
        }
        // S + L is the same scalar with another encoding, and therefore another signature.
        let order = try bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        let good = box.message(1, created: now)
        var other = good.bytes
        var carry = 0
        for index in 0..<32 {
            let place = other.count - 32 + index
            carry += Int(other[place]) + Int(order[index])
            other[place] = UInt8(truncatingIfNeeded: carry)
            carry >>= 8
        }
        let item = try read(other)
        #expect(item.id == good.id)
        #expect(!item.isAuthentic(network: network, writers: WriteKeys(box: box.id, grant: nil)))
    }

    @Test("SW14: of two versions the same one counts in either order")
    func sw14Order() {
        func version(_ created: UInt32, _ counter: UInt8, _ content: UInt8 = 0) -> StoredItem {
            box.record(name("notes"), created: created, counter: counter, content: [content])
        }
        #expect(version(now + 10, 0).isNewer(than: version(now, 9)))
        #expect(version(now, 9).isNewer(than: version(now, 8)))
        let (one, other) = (version(now, 1, 1), version(now, 1, 2))
        #expect(one.isNewer(than: other) == (one.id < other.id))
        #expect(other.isNewer(than: one) == (other.id < one.id))
        #expect(!one.isNewer(than: one))
        // The reach of a purge can only grow.
        let (far, late) = (box.purge(before: now - 60, created: now), box.purge(before: now - 70, created: now + 30))
        #expect(far.isNewer(than: late) && !late.isNewer(than: far))
    }

    @Test("SW3: a receipt counts for its node, height, item and network alone")
    func sw3Receipts() {
        let (node, id) = (Key(70), box.message(1, created: now).id)
        let receipt = node.sign(StoreReceipt.message(height: 5, id: id, network: network))
        func isGood(_ key: Key, _ height: UInt64, _ id: ItemID, _ network: Bytes32) -> Bool {
            StoreReceipt.isGood(receipt, of: key.node, height: height, id: id, network: network)
        }
        #expect(isGood(node, 5, id, network))
        #expect(!isGood(node, 6, id, network) && !isGood(Key(71), 5, id, network))
        #expect(!isGood(node, 5, network, network) && !isGood(node, 5, id, id))
    }

    @Test func noPrefixServesForAnother() {
        let texts = Prefix.allCases.map(\.rawValue)
        #expect(Set(texts).count == texts.count)
        for text in texts { #expect(text.utf8.allSatisfy { $0 != 0 && $0 < 128 } && text.hasPrefix("tunic ")) }
    }

    @Test func effortCountsLeadingZeros() {
        let efforts = (0..<400 as Range<UInt64>).map { box.contact($0, created: now).effort }
        #expect((150...250).contains(efforts.count { $0 == 0 }))
        #expect((20...80).contains(efforts.count { $0 >= 3 }))
        let item = box.contact(1, created: now)
        #expect(Tombstone(of: item, proof: box.proof(of: item.id)).effort == item.effort)
    }
}

/// The bytes of hexadecimal digits.
func bytes(_ hex: String) throws -> [UInt8] {
    let digits = try hex.map { try #require($0.hexDigitValue) }
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

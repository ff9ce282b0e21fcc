import OnionCrypto
import ServicesModel
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Services

/// Restricted services.
@Suite struct ClientKeyTests {
    private let service = Service(1)
    private let keys = (0..<33).map { _ in ClientKey() }

    /// The outer plain part of an item.
    private func plain(of item: StoredItem) throws -> DescriptorForm.Plain {
        let bytes = item.bytes
        let salt = Array(bytes[DescriptorForm.saltOffset..<DescriptorForm.sealedOffset])
        let key = SealedPlace(box: item.header.box, salt: salt).sealKey(of: service.identity, network: network)
        let head = bytes.rawSpan.extracting(first: DescriptorForm.sealedOffset)
        let sealed = bytes.rawSpan.extracting(
            DescriptorForm.sealedOffset..<DescriptorForm.sealedOffset + DescriptorForm.sealedSize)
        let opened = key.open(sealed, associated: head, counter: 0)
        return try DescriptorForm.Plain(try #require(opened))
    }

    /// Whether `key` finds a cookie in `entries`.
    private func opens(_ entries: [UInt8], _ key: ClientKey, in place: SealedPlace) -> Bool {
        guard let cookie = key.cookie(from: entries, in: place) else { return false }
        return cookie.bytes.byteCount == 32
    }

    private func entries(_ plain: DescriptorForm.Plain) -> [[UInt8]] {
        stride(from: 0, to: plain.entries.count, by: 56).map { Array(plain.entries[$0..<$0 + 56]) }
    }

    @Test("SV19: each client of 0, 1 or 32 opens a restricted descriptor, and nobody else does")
    func sv19_clients() throws {
        let descriptor = service.descriptor()
        for count in [0, 1, 32] {
            let item = service.item(of: descriptor, clients: Array(keys[..<count]))
            for key in keys[..<count] {
                #expect(try open(item.bytes, of: service, keys: [key]).descriptor == descriptor)
                #expect(try open(item.bytes, of: service, keys: [keys[32], key]).descriptor == descriptor)
            }
            for key in keys[count...] { #expect(fault(item.bytes, of: service, keys: [key]) == .clientKeyWrong) }
            #expect(fault(item.bytes, of: service) == .clientKeyMissing)
        }
        #expect(throws: DescriptorFault.bounds) {
            _ = try service.signer().item(
                of: descriptor, DescriptorStamp(created: firstMinute, counter: 0), clients: keys)
        }
        // Keys do not matter to a service that is not restricted.
        #expect(fault(service.item().bytes, of: service, keys: [keys[0]]) == nil)
    }

    @Test("SV19: a holder of the address cannot tell how many clients there are, nor open the content")
    func sv19_form() throws {
        var runs: Set<[UInt8]> = []
        for clients in [nil, [], Array(keys[..<1]), Array(keys[..<32])] as [[ClientKey]?] {
            let item = service.item(clients: clients)
            let plain = try plain(of: item)
            #expect(plain.isRestricted == (clients != nil))
            #expect(entries(plain).count == 32)
            // All bytes of all entries look drawn: some 1,792 / 256 of each value, and no part twice.
            let counts = plain.entries.reduce(into: [UInt8: Int]()) { $0[$1, default: 0] += 1 }
            let chiSquare = (0...255 as ClosedRange<UInt8>).reduce(0.0) { sum, value in
                let difference = Double(counts[value] ?? 0) - 7
                return sum + difference * difference / 7
            }
            // 255 degrees of freedom: a mean of 255 and a deviation of 23.
            #expect(chiSquare < 255 + 7 * 23)
            for entry in entries(plain) {
                let isNew = [entry[..<8], entry[8..<24]].allSatisfy { runs.insert(Array($0)).inserted }
                #expect(isNew)
            }
            let salt = Array(item.bytes[DescriptorForm.saltOffset..<DescriptorForm.sealedOffset])
            let key = AEADKey(
                .chacha20poly1305,
                SealedPlace(box: item.header.box, salt: salt).openCookie(of: service.identity))
            let opens = key.open(plain.sealedContent.rawSpan, associated: RawSpan(), counter: 0) != nil
            #expect(opens == (clients == nil))
        }
    }

    @Test("SV19: a client finds its entry at any place, so that the place tells nothing of the others")
    func sv19_order() throws {
        var places: Set<Int> = []
        for _ in 0..<200 {
            let item = service.item(clients: [keys[0]])
            let salt = Array(item.bytes[DescriptorForm.saltOffset..<DescriptorForm.sealedOffset])
            let place = SealedPlace(box: item.header.box, salt: salt)
            let mine = entries(try plain(of: item)).firstIndex { opens($0, keys[0], in: place) }
            places.insert(try #require(mine))
        }
        // Of 200 draws of 32 places, some are left out with a probability of 0.002 each.
        #expect(places.count >= 28)
    }

    @Test("SV19: entries of two descriptors have nothing in common, and one's cookie does not open the other")
    func sv19_descriptors() throws {
        let clients = Array(keys[..<4])
        let items = [
            service.item(clients: clients), service.item(clients: clients),
            service.item(in: TimePeriod(number: firstPeriod.number - 1), clients: clients),
        ]
        var seen: Set<[UInt8]> = []
        for item in items {
            for entry in entries(try plain(of: item)) {
                let isNew = seen.insert(Array(entry[..<8])).inserted
                #expect(isNew)
            }
        }
        // A changed bit of an entry leaves the client without it.
        let place = SealedPlace(box: Bytes32(), salt: [UInt8](repeating: 1, count: 16))
        let entry = keys[0].entry(wrapping: Secret.random(), in: place)
        #expect(opens(entry, keys[0], in: place))
        for bit in 0..<448 {
            var changed = entry
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!opens(changed, keys[0], in: place), "bit \(bit)")
        }
        let elsewhere = SealedPlace(box: Bytes32(), salt: [UInt8](repeating: 2, count: 16))
        #expect(!opens(entry, keys[0], in: elsewhere))
    }

    @Test("SV19: a key that is listed twice has one entry")
    func sv19_twice() throws {
        let item = service.item(clients: [keys[0], keys[1], keys[0]])
        #expect(Set(entries(try plain(of: item))).count == 32)
        for key in keys[..<2] { #expect(fault(item.bytes, of: service, keys: [key]) == nil) }
    }

    @Test("SV19: a client that was removed does not open the next descriptor")
    func sv19_removed() throws {
        let item = service.item(clients: Array(keys[1..<4]))
        #expect(fault(item.bytes, of: service, keys: [keys[0]]) == .clientKeyWrong)
        #expect(fault(item.bytes, of: service, keys: [keys[1]]) == nil)
    }

    @Test func anEntryWhoseCookieIsAnothersOpensNothing() throws {
        // The service itself, or who has its key, wraps a cookie that is not the content's.
        let salt = [UInt8](0..<16)
        let signer = service.signer()
        let place = SealedPlace(box: signer.box, salt: salt)
        let entries = ClientEntries.make(for: [keys[0]], wrapping: Secret.random(), in: place)
        let item = try signer.item(
            of: service.descriptor(), DescriptorStamp(created: firstMinute, counter: 1), salt: salt,
            isRestricted: true, cookie: Secret.random(), entries: entries)
        #expect(fault(item.bytes, of: service, keys: [keys[0]]) == .content)
    }
}

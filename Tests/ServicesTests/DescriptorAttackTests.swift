import OnionCrypto
import SeededRandom
import ServicesModel
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Services

/// What a replica or anybody else on the way can do with a descriptor, and what it learns.
@Suite struct DescriptorAttackTests {
    private let service = Service(1)
    private let stamp = DescriptorStamp(created: firstMinute, counter: 5)

    /// An item of the service's box with this body behind the certificate, by somebody who has the box key.
    private func item(
        _ content: [UInt8], box service: Service, in period: TimePeriod = firstPeriod, kind: ItemKind = .descriptor,
        certifiedName: Bytes16? = nil, network signed: Bytes32 = SwarmModel.network
    ) throws -> StoredItem {
        let blinded = BlindedKey(service.key, for: .service, in: period, network: SwarmModel.network)
        let name = service.instance.name(in: blinded.publicKey)
        let author = Key(77)
        let message = NamedVersion.Certificate.message(
            box: blinded.publicKey, kind: kind, name: certifiedName ?? name, key: author.publicKey, network: signed)
        let certificate = NamedVersion.Certificate(
            key: author.publicKey, signature: blinded.sign(message.rawSpan))
        let body = try #require(
            NamedVersion.body(
                kind: .descriptor, name: name, counter: 5, certificate: certificate, content: content))
        let header = ItemHeader(kind: .descriptor, box: blinded.publicKey, created: firstMinute)
        return try #require(StoredItem(header, body: body, network: SwarmModel.network, signature: { author.sign($0) }))
    }

    @Test("SV1: every changed byte of a descriptor is refused, and every changed bit before and behind the sealed part")
    func sv1_everyByte() {
        let bytes = service.item().bytes
        var random = SeededGenerator(seed: 1)
        var refused: [DescriptorFault: Int] = [:]
        for place in bytes.indices {
            let isSealed = DescriptorForm.sealedOffset..<4_032 ~= place
            let bits = isSealed ? [UInt8.random(in: 0..<8, using: &random)] : Array(0..<8)
            for bit in bits {
                var changed = bytes
                changed[place] ^= 1 << bit
                guard let found = fault(changed, of: service) else {
                    Issue.record("byte \(place), bit \(bit)")
                    continue
                }
                switch found {
                case .form, .kind, .box, .certificate, .signature: refused[found, default: 0] += 1
                default: Issue.record("byte \(place), bit \(bit): \(found)")
                }
            }
        }
        // Box key; name, signing key and certificate; one bit of each sealed byte, eight of all others.
        let all: Int = refused.values.reduce(0, +)
        #expect(refused[.box] == 256)
        #expect(refused[.certificate] == 832)
        #expect(all == 5_916)
    }

    @Test("SV1: every changed bit of the sealed part, and of what it is bound to, keeps it shut")
    func sv1_everySealedBit() throws {
        let item = service.item()
        let bytes = item.bytes
        let salt = Array(bytes[DescriptorForm.saltOffset..<DescriptorForm.sealedOffset])
        let key = SealedPlace(box: item.header.box, salt: salt).sealKey(of: service.identity, network: network)
        let end = DescriptorForm.sealedOffset + DescriptorForm.sealedSize
        func opens(_ bytes: [UInt8]) -> Bool {
            let head = bytes.rawSpan.extracting(first: DescriptorForm.sealedOffset)
            let sealed = bytes.rawSpan.extracting(DescriptorForm.sealedOffset..<end)
            return key.open(sealed, associated: head, counter: 0) != nil
        }
        #expect(opens(bytes))
        for place in 0..<end {
            for bit in 0..<8 as Range<UInt8> {
                var changed = bytes
                changed[place] ^= 1 << bit
                if opens(changed) { Issue.record("byte \(place), bit \(bit)") }
            }
        }
    }

    @Test("SV1: no other length is a descriptor")
    func sv1_everyLength() {
        let bytes = service.item().bytes
        for length in 0..<bytes.count where fault(Array(bytes.prefix(length)), of: service) != .size {
            Issue.record("\(length) bytes")
        }
        for more in [1, 16, 4_096, 65_536] {
            #expect(fault(bytes + [UInt8](repeating: 0, count: more), of: service) == .size)
        }
    }

    @Test(
        "SV1: nothing of 1,000 services is in their descriptors, and nothing opens them without the address",
        arguments: 0..<4 as Range<UInt32>)
    func sv1_noBytesOfTheService(quarter: UInt32) throws {
        for number in 250 * quarter..<250 * (quarter + 1) {
            let service = Service(number)
            let descriptor = service.descriptor(UInt64(number))
            let item = service.item(of: descriptor)
            // All runs of eight bytes of the item, in one set.
            var runs: Set<UInt64> = []
            var run: UInt64 = 0
            for (place, byte) in item.bytes.enumerated() {
                run = run << 8 | UInt64(byte)
                if place >= 7 { runs.insert(run) }
            }
            func hides(_ bytes: [UInt8]) -> Bool {
                stride(from: 0, through: bytes.count - 8, by: 1).allSatisfy { start in
                    !runs.contains(bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) })
                }
            }
            var writer = ByteWriter()
            writer.u64(service.instance.id.bits)
            #expect(hides(service.identity.array) && hides(Array(service.address.description.utf8)))
            #expect(hides(Blake2b.digest(service.identity.array.rawSpan).array) && hides(writer.bytes))
            if number % 10 == 0 { #expect(hides(descriptor.encryptionKey)) }
            for point in descriptor.introductionPoints {
                #expect(hides(point.node.key.array) && hides(point.key.array))
            }
            // Box key, signing key or salt in place of the service's key open nothing.
            let salt = Array(item.bytes[DescriptorForm.saltOffset..<DescriptorForm.sealedOffset])
            let place = SealedPlace(box: item.header.box, salt: salt)
            let head = item.bytes.rawSpan.extracting(first: DescriptorForm.sealedOffset)
            let sealed = item.bytes.rawSpan.extracting(
                DescriptorForm.sealedOffset..<DescriptorForm.sealedOffset + DescriptorForm.sealedSize)
            for wrong in [item.header.box, item.version?.certificate?.key, Bytes32(salt + salt), Bytes32()] {
                let key = place.sealKey(of: try #require(wrong), network: network)
                #expect(key.open(sealed, associated: head, counter: 0) == nil)
            }
            #expect(fault(item.bytes, of: service) == nil)
        }
    }

    @Test("SV1: a descriptor serves for no other service, period, network or purpose")
    func sv1_otherPlaces() throws {
        let item = service.item()
        #expect(fault(item.bytes, of: Service(2)) == .box)
        for period in [firstPeriod.number - 1, firstPeriod.number + 1] {
            #expect(fault(item.bytes, of: service, in: TimePeriod(number: period)) == .box)
        }
        let other = Bytes32(copying: [UInt8](repeating: 1, count: 32).rawSpan)
        let reader = try DescriptorReader(service.address, in: firstPeriod, network: other)
        #expect(reader.box != item.header.box)
        #expect(throws: DescriptorFault.box) { _ = try reader.open(item.bytes.rawSpan, at: firstTime) }
    }

    @Test("SV1: a certificate for another kind, name or network, and one by another key, certify nothing")
    func sv1_certificates() throws {
        let content = [UInt8](repeating: 1, count: DescriptorForm.sealedSize + 16)
        let other = Bytes32(copying: [UInt8](repeating: 1, count: 32).rawSpan)
        #expect(fault(try item(content, box: service).bytes, of: service) == .seal)
        #expect(fault(try item(content, box: service, kind: .account).bytes, of: service) == .certificate)
        #expect(fault(try item(content, box: service, certifiedName: .zeros).bytes, of: service) == .certificate)
        #expect(fault(try item(content, box: service, network: other).bytes, of: service) == .certificate)
        // A replica that puts its own key under the service's certificate, or another service's certificate above its item.
        let good = service.item()
        let foreign = try item(content, box: Service(2))
        let certificate = try #require(foreign.version?.certificate)
        let version = try #require(good.version)
        for (key, signature) in [
            (certificate.key, try #require(version.certificate).signature), (certificate.key, certificate.signature),
        ] {
            let body = try #require(
                NamedVersion.body(
                    kind: .descriptor, name: version.name, counter: version.counter,
                    certificate: NamedVersion.Certificate(key: key, signature: signature),
                    content: Array(good.body[(good.body.startIndex + 116)...])))
            let forged = try #require(
                StoredItem(good.header, body: body, network: network, signature: { Key(77).sign($0) }))
            #expect(fault(forged.bytes, of: service) == .certificate)
        }
    }

    @Test("SV1: a sealed part of another descriptor does not open, though all signatures are good")
    func sv1_sealedElsewhere() throws {
        let good = service.item()
        let content = Array(good.body[(good.body.startIndex + 116)...])
        // By the instance's own box key, but with another signing key in front: what is sealed is bound to that.
        #expect(fault(try item(content, box: service).bytes, of: service) == .seal)
        let other = service.item(in: TimePeriod(number: firstPeriod.number - 1))
        let earlier = Array(other.body[(other.body.startIndex + 116)...])
        #expect(fault(try item(earlier, box: service).bytes, of: service) == .seal)
    }

    @Test("SV1: bytes by seed never trap, and are never taken", arguments: 0..<4)
    func sv1_noise(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let good = service.item()
        for number in 0..<300 {
            let noise = (0..<4_096).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(fault(noise, of: service) != nil)
            // The beginning of a descriptor with noise behind it, and a well sealed outer part of noise.
            let cut = Int.random(in: 0..<4_096, using: &random)
            #expect(fault(Array(good.bytes[..<cut] + noise[cut...]), of: service) != nil)
            guard number % 10 == 0 else { continue }
            let plain = Array(noise[..<DescriptorForm.plainSize])
            let item = try service.signer().item(plain: plain, stamp, salt: Array(noise.suffix(16)))
            let found = try #require(fault(item.bytes, of: service, keys: [ClientKey()]))
            #expect(found == .bounds || found == .clientKeyWrong || found == .content)
        }
    }
}

import OnionCrypto
import ServicesModel
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Services

/// Opens the bytes of an item as a client of `service` does.
func open(
    _ bytes: [UInt8], of service: Service, in period: TimePeriod = firstPeriod, at now: UnixTime = firstTime,
    held: [Bytes16: DescriptorVersion] = [:], keys: [ClientKey] = []
) throws(DescriptorFault) -> DescriptorReader.Opened {
    try service.reader(in: period).open(bytes.rawSpan, at: now, held: held, keys: keys)
}

/// Why the bytes are refused; nil if they are not.
func fault(
    _ bytes: [UInt8], of service: Service, in period: TimePeriod = firstPeriod, at now: UnixTime = firstTime,
    held: [Bytes16: DescriptorVersion] = [:], keys: [ClientKey] = []
) -> DescriptorFault? {
    do throws(DescriptorFault) {
        _ = try open(bytes, of: service, in: period, at: now, held: held, keys: keys)
        return nil
    } catch {
        return error
    }
}

@Suite struct DescriptorTests {
    private let service = Service(1)
    private let stamp = DescriptorStamp(created: firstMinute, counter: 5)
    private let salt = [UInt8](0..<16)

    @Test func sizesAddUp() {
        #expect(DescriptorForm.sealedOffset == 196 && DescriptorForm.sealedSize == 3_836)
        #expect(DescriptorForm.plainSize == 3_820 && DescriptorForm.contentSize == 2_002)
        #expect(ClientEntries.entrySize == 56 && ClientEntries.size == 1_792)
    }

    @Test func descriptorsComeBack() throws {
        for points in 1...6 {
            let room = DescriptorForm.room(beside: points)
            for length in [0, 1, room] {
                let extensions = [UInt8](repeating: 7, count: length)
                let traits: ServiceDescriptor.Traits = points % 2 == 0 ? [] : [.singleHop, .datagrams]
                let descriptor = service.descriptor(
                    UInt64(points), points: points, traits: traits, extensions: extensions)
                let item = service.item(of: descriptor)
                #expect(
                    item.bytes.count == 4_096
                        && item.isAuthentic(network: network, writers: WriteKeys(box: item.header.box, grant: nil)))
                let opened = try open(item.bytes, of: service)
                #expect(opened.descriptor == descriptor)
                #expect(opened.version == DescriptorVersion(stamp: stamp, id: item.id))
                #expect(opened.name == item.version?.name && item.header.created == firstMinute)
            }
        }
    }

    @Test func valuesKeepToTheirBounds() {
        let good = service.descriptor()
        func made(
            traits: ServiceDescriptor.Traits = [], suites: SuiteSet = .known, key: Int = 1_216, points: Int = 3,
            extensions: Int = 0
        ) -> ServiceDescriptor? {
            ServiceDescriptor(
                instance: good.instance, traits: traits, suites: suites,
                encryptionKey: [UInt8](repeating: 1, count: key),
                introductionPoints: [IntroductionPoint](repeating: good.introductionPoints[0], count: points),
                extensions: [UInt8](repeating: 2, count: extensions))
        }
        #expect(made() != nil && made(points: 6, extensions: 399) != nil && made(points: 1, extensions: 719) != nil)
        #expect(made(traits: .init(rawValue: 1)) == nil && made(traits: .init(rawValue: 8)) == nil)
        #expect(made(suites: []) == nil && made(suites: .init(rawValue: 4)) == nil)
        #expect(made(key: 1_215) == nil && made(key: 1_217) == nil)
        #expect(made(points: 0) == nil && made(points: 7) == nil)
        #expect(made(points: 6, extensions: 400) == nil && made(points: 1, extensions: 720) == nil)
    }

    @Test func anotherInstancesDescriptorIsNotSigned() {
        let other = Service(1, instance: 1).descriptor()
        #expect(throws: DescriptorFault.bounds) { _ = try service.signer().item(of: other, stamp) }
    }

    @Test func instancesHaveNamesOfTheirOwn() throws {
        let other = Service(1, instance: 1)
        let items = [service.item(), other.item()]
        #expect(items[0].header.box == items[1].header.box)
        #expect(items[0].version?.name != items[1].version?.name)
        for item in items { #expect(fault(item.bytes, of: service) == nil) }
        #expect(try open(items[1].bytes, of: service).descriptor.instance == other.instance.id)
    }

    @Test("SV3: the checks have an order, and each has its name")
    func sv3_order() throws {
        let item = service.item()
        let reader = service.reader()
        // Each fault is made together with all that come after it.
        var bytes = item.bytes
        func first(_ change: (inout [UInt8]) -> Void) -> DescriptorFault? {
            change(&bytes)
            return fault(bytes, of: service)
        }
        #expect(first { _ in } == nil)
        #expect(first { $0[4_095] ^= 1 } == .signature)
        #expect(first { $0[120] ^= 1 } == .certificate)
        #expect(first { $0[72] = 1 } == .form(.outOfRange))
        #expect(first { $0[2] ^= 1 } == .box)
        #expect(first { $0[1] = 4 } == .kind)
        #expect(first { $0[0] = 2 } == .form(.unknownKind(2)))
        #expect(first { $0.append(0) } == .size)

        let newer = DescriptorVersion(stamp: DescriptorStamp(created: firstMinute + 10, counter: 0), id: Bytes32())
        let name = try #require(item.version?.name)
        // What cannot be opened is not looked at before its life and its version.
        let blank = try service.signer().item(plain: [UInt8](repeating: 0, count: 3_820), stamp, salt: salt)
        #expect(throws: DescriptorFault.bounds) { _ = try service.signer().item(plain: [], stamp, salt: salt) }
        let late = UnixTime(seconds: firstTime.seconds + 4 * 3_600)
        #expect(fault(blank.bytes, of: service, at: late, held: [name: newer]) == .expired)
        #expect(fault(blank.bytes, of: service, held: [name: newer]) == .superseded)
        #expect(fault(blank.bytes, of: service) == .content)
        #expect(reader.box == item.header.box)
    }

    @Test("SV3: a descriptor is refused before and after its life")
    func sv3_life() {
        let minute = UInt64(firstMinute)
        let item = service.item()
        func at(_ minutes: UInt64, _ second: UInt64 = 0) -> DescriptorFault? {
            fault(item.bytes, of: service, at: UnixTime(seconds: minutes * 60 + second))
        }
        #expect(at(minute - 40) == nil && at(minute) == nil && at(minute + 179, 59) == nil)
        #expect(at(minute - 41, 59) == .early && at(0) == .early)
        #expect(at(minute + 180) == .expired)
        #expect(fault(item.bytes, of: service, at: UnixTime(seconds: .max)) == .expired)
    }

    @Test("SV3: an older version than the held one is refused, of each name by itself")
    func sv3_versions() throws {
        func item(_ created: UInt32, _ counter: UInt8) throws -> StoredItem {
            try service.signer().item(
                of: service.descriptor(), DescriptorStamp(created: firstMinute + created, counter: counter))
        }
        let old = try item(0, 200)
        let newer = [try item(0, 201), try item(10, 0)]
        let name = try #require(old.version?.name)
        let held = try open(old.bytes, of: service).version
        for item in newer {
            let version = try open(item.bytes, of: service, held: [name: held]).version
            #expect(fault(old.bytes, of: service, held: [name: version]) == .superseded)
            #expect(fault(item.bytes, of: service, held: [name: version]) == nil)
            #expect(fault(old.bytes, of: service, held: [.zeros: version]) == nil)
        }
        // Of equal stamps the smaller id counts, as at replicas.
        let same = try item(0, 200)
        let (less, more) = old.id < same.id ? (old, same) : (same, old)
        let both = try [less, more].map { try open($0.bytes, of: service).version }
        #expect(fault(more.bytes, of: service, held: [name: both[0]]) == .superseded)
        #expect(fault(less.bytes, of: service, held: [name: both[1]]) == nil)
    }

    @Test("SV1: numbers, flags and zeros of a well sealed descriptor have bounds")
    func sv1_bounds() throws {
        let good = service.descriptor().content
        func fault(
            flags: UInt8 = 0, suites: UInt8 = 3, _ change: (inout [UInt8]) -> Void = { _ in }
        ) throws -> DescriptorFault? {
            var content = good
            change(&content)
            let item = try service.signer().item(content: content, flags: flags, suites: suites, stamp, salt: salt)
            return ServicesTests.fault(item.bytes, of: service)
        }
        #expect(try fault() == nil)
        #expect(try fault(flags: 6) == nil)
        for flags: UInt8 in [8, 16, 32, 64, 128, 0xff] { #expect(try fault(flags: flags) == .bounds) }
        for suites: UInt8 in [0, 4, 7, 255] { #expect(try fault(suites: suites) == .bounds) }
        #expect(try fault(flags: 1) == .clientKeyMissing)
        // The number of introduction points, and the length of the extensions.
        for count: UInt8 in [0, 7, 8, 255] { #expect(try fault { $0[1_216] = count } == .bounds) }
        #expect(try fault { $0[1_216] = 2 } == .bounds)
        let length = 1_217 + 3 * 64
        #expect(try fault { ($0[length], $0[length + 1]) = (0x4f, 2) } == nil)
        #expect(try fault { ($0[length], $0[length + 1]) = (0x50, 2) } == .bounds)
        #expect(try fault { ($0[length], $0[length + 1]) = (255, 255) } == .bounds)
        // Behind the extensions there is nothing.
        for place in length + 2..<2_002 {
            guard place % 16 == 0 || place == 2_001 || place == length + 2 else { continue }
            #expect(try fault { $0[place] = 1 } == .bounds, "byte \(place)")
        }
        // Contents of other lengths cannot be sealed: the item would have another size.
        for count in [0, 1, 2_001, 2_003, 4_000] {
            let content = [UInt8](repeating: 1, count: count)
            #expect(throws: DescriptorFault.bounds) {
                _ = try service.signer().item(content: content, flags: 0, suites: 3, stamp, salt: salt)
            }
        }
    }
}

import OnionCrypto
import Swarm
import Testing
import VectorFiles
import Wire

@testable import Services

/// The vectors of `Tests/Vectors/services.py`: the model's bytes are read, and the same bytes are written.
@Suite struct VectorTests {
    private let vectors: VectorFile
    private let network: Bytes32
    private let period = TimePeriod(number: 41_666)
    private let created: UInt32 = 28_800_000
    private var now: UnixTime { UnixTime(seconds: UInt64(created) * 60) }

    init() throws {
        vectors = try VectorFile("services")
        network = try vectors.bytes32("in.network")
    }

    private func text(_ name: String) throws -> String { String(decoding: try vectors(name), as: UTF8.self) }

    private func identity() throws -> SigningKey { SigningKey(seed: try vectors.secret("in.seed")) }

    private func parts(_ name: String, of size: Int) throws -> [[UInt8]] {
        let bytes = try vectors(name)
        return stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<$0 + size]) }
    }

    @Test func addresses() throws {
        let address = try ServiceAddress(try vectors.bytes32("identity"))
        #expect(address.description == (try text("address")))
        #expect(try ServiceAddress(try text("address")) == address)
        let second = try text("address version 2")
        #expect(throws: ServiceAddressError.unknownVersion(2)) { _ = try ServiceAddress(second) }
    }

    @Test("SV5: the model's twins and points of low order have no address, though the check digits fit")
    func sv5_twins() throws {
        let keys = try parts("low order", of: 32) + parts("twins", of: 32)
        let texts = try text("twin addresses").split(separator: "\n").map(String.init)
        #expect(keys.count == 15 && texts.count == 15)
        for (key, text) in zip(keys, texts) {
            let key = try #require(Bytes32(key))
            #expect(throws: ServiceAddressError.invalidKey) { _ = try ServiceAddress(key) }
            #expect(throws: ServiceAddressError.invalidKey) { _ = try ServiceAddress(text) }
            #expect(throws: CryptoError.invalidKey) {
                _ = try BlindedKey.publicKey(of: key, for: .service, in: period, network: network)
            }
        }
    }

    @Test func blindedKeys() throws {
        let identity = try identity()
        let message = Array("a message".utf8)
        for purpose in BlindingPurpose.allCases {
            for number in [period.number - 1, period.number] {
                let period = TimePeriod(number: number)
                let name = "\(purpose.rawValue).\(number)"
                let expected = try vectors.bytes32("blinded.\(name)")
                let key = BlindedKey(identity, for: purpose, in: period, network: network)
                #expect(key.publicKey == expected)
                #expect(key.sign(message.rawSpan) == (try vectors("blinded signature.\(name)")))
                let publicKey = try BlindedKey.publicKey(
                    of: identity.publicKey, for: purpose, in: period, network: network)
                #expect(publicKey == expected)
            }
        }
    }

    private func descriptor(_ kind: String) throws -> ServiceDescriptor {
        let points = try (0..<(kind == "open" ? 3 : 1)).map { number in
            IntroductionPoint(
                node: NodeID(try vectors.bytes32("in.node.\(number)")),
                key: try vectors.bytes32("in.introduction key.\(number)"))
        }
        let instance = ServiceInstance(try vectors.secret("in.instance secret"))
        return try #require(
            ServiceDescriptor(
                instance: instance.id, traits: kind == "open" ? [] : [.singleHop, .datagrams], suites: .known,
                encryptionKey: try vectors("encryption key"), introductionPoints: points,
                extensions: kind == "open" ? [] : [9, 3, 0x61, 0x62, 0x63, 0xff, 0]))
    }

    private func cookie(_ kind: String, in place: SealedPlace) throws -> Secret {
        guard kind == "open" else { return try vectors.secret("in.cookie") }
        return place.openCookie(of: try vectors.bytes32("identity"))
    }

    @Test(arguments: ["open", "restricted"]) func descriptors(kind: String) throws {
        let bytes = try vectors("\(kind) item")
        let expected = try descriptor(kind)
        let address = try ServiceAddress(try vectors.bytes32("identity"))
        let reader = try DescriptorReader(address, in: period, network: network)
        #expect(reader.box == (try vectors.bytes32("blinded.1.41666")))
        for client in ["in.client.0", "in.client.1"] {
            let keys = [ClientKey(try vectors.secret(client))]
            let opened = try reader.open(bytes.rawSpan, at: now, keys: keys)
            #expect(opened.descriptor == expected)
            #expect(opened.version.stamp == DescriptorStamp(created: created, counter: 7))
            #expect(opened.name.array == (try vectors("instance name")))
        }
        #expect(expected.content == (try vectors("\(kind) content")))

        // The same item again, from the same draws.
        let identity = try identity()
        let instance = ServiceInstance(try vectors.secret("in.instance secret"))
        let signer = DescriptorSigner(
            identity, instance: instance, in: period, network: network,
            key: SigningKey(seed: try vectors.secret("in.signing key")))
        let salt = try vectors("in.\(kind) salt")
        let place = SealedPlace(box: signer.box, salt: salt)
        let cookie = try cookie(kind, in: place)
        let entries = try vectors("\(kind) all entries")
        let item = try signer.item(
            of: expected, DescriptorStamp(created: created, counter: 7), salt: salt, isRestricted: kind != "open",
            cookie: cookie, entries: entries)
        #expect(item.bytes == bytes)
        guard kind == "restricted" else { return }
        for (client, at) in [("in.client.0", 5), ("in.client.1", 31)] {
            let entry = ClientKey(try vectors.secret(client)).entry(wrapping: cookie, in: place)
            #expect(entry == Array(entries[at * 56..<(at + 1) * 56]))
        }
    }

    @Test func instances() throws {
        let instance = ServiceInstance(try vectors.secret("in.instance secret"))
        let name = instance.name(in: try vectors.bytes32("blinded.1.41666"))
        #expect(name.array == (try vectors("instance name")))
        var writer = ByteWriter()
        writer.u64(instance.id.bits)
        #expect(writer.bytes == (try vectors("instance id")))
    }
}

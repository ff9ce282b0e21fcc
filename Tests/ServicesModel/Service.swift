public import OnionCrypto
internal import SeededRandom
public import Services
public import Swarm
internal import SwarmModel
public import Wire

/// The period of the tests: that of ``firstTime``, for periods of 12 hours.
public let firstPeriod = TimePeriod(of: firstTime, seconds: 43_200)
/// The network time at which descriptors of the tests are made.
public let firstTime = UnixTime(seconds: UInt64(firstMinute) * 60 + 61)

/// A service with a number: its key, one instance, and what that says.
public final class Service: Sendable {
    private let seed: [UInt8]
    private let instanceSeed: [UInt8]
    /// The service's key.
    public let identity: Bytes32
    /// The service's address.
    public let address: ServiceAddress

    /// The service whose seed begins with `number`, and its instance whose secret begins with `instance`.
    public init(_ number: UInt32, instance: UInt32 = 0) {
        let bytes = Self.bytes(number, 1)
        seed = bytes
        instanceSeed = Self.bytes(number, 2 &+ instance)
        identity = SigningKey(seed: Secret(copying: bytes.rawSpan)).publicKey
        guard let address = try? ServiceAddress(identity) else { preconditionFailure("a key of the group") }
        self.address = address
    }

    private static func bytes(_ first: UInt32, _ second: UInt32) -> [UInt8] {
        var random = SeededGenerator(seed: UInt64(first) << 32 | UInt64(second))
        var writer = ByteWriter()
        for _ in 0..<4 { writer.u64(random.next()) }
        return writer.bytes
    }

    /// The signing key.
    public var key: SigningKey {
        let bytes = seed
        return SigningKey(seed: Secret(copying: bytes.rawSpan))
    }

    /// The instance.
    public var instance: ServiceInstance {
        let bytes = instanceSeed
        return ServiceInstance(Secret(copying: bytes.rawSpan))
    }

    /// The signer for a period.
    public func signer(in period: TimePeriod = firstPeriod) -> DescriptorSigner {
        DescriptorSigner(key, instance: instance, in: period, network: SwarmModel.network)
    }

    /// The reader for a period.
    public func reader(in period: TimePeriod = firstPeriod) -> DescriptorReader {
        guard let reader = try? DescriptorReader(address, in: period, network: SwarmModel.network) else {
            preconditionFailure("an address has a key")
        }
        return reader
    }

    /// A descriptor with so many introduction points; its values follow from `number`.
    public func descriptor(
        _ number: UInt64 = 0, points: Int = 3, traits: ServiceDescriptor.Traits = [], extensions: [UInt8] = []
    ) -> ServiceDescriptor {
        var random = SeededGenerator(seed: number &+ 77)
        func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) } }
        let found = (0..<points).map { _ in
            IntroductionPoint(
                node: NodeID(Bytes32(copying: bytes(32).rawSpan)), key: Bytes32(copying: bytes(32).rawSpan))
        }
        guard
            let descriptor = ServiceDescriptor(
                instance: instance.id, traits: traits, suites: .known, encryptionKey: bytes(KEM.publicKeySize),
                introductionPoints: found, extensions: extensions)
        else { preconditionFailure("within the bounds") }
        return descriptor
    }

    /// An item of a descriptor, made at ``firstTime``.
    public func item(
        of descriptor: ServiceDescriptor? = nil, in period: TimePeriod = firstPeriod, counter: UInt8 = 5,
        clients: [ClientKey]? = nil
    ) -> StoredItem {
        let stamp = DescriptorStamp(created: firstMinute, counter: counter)
        guard let item = try? signer(in: period).item(of: descriptor ?? self.descriptor(), stamp, clients: clients)
        else { preconditionFailure("within the bounds") }
        return item
    }
}

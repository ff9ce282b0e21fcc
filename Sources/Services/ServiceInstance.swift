public import OnionCrypto
public import Swarm
public import Wire

/// The constant id of an instance, which only holders of the service's address read.
public struct InstanceID: Hashable, Sendable {
    let bits: UInt64

    init(bits: UInt64) { self.bits = bits }
}

/// One process of a service: 32 random bytes beside the service's key (protocol.md, section 14.3).
public struct ServiceInstance: ~Copyable {
    private let secret: Secret

    /// A new instance.
    public init() { self.init(.random()) }

    /// The instance of `secret`.
    public init(_ secret: consuming Secret) { self.secret = secret }

    /// The bytes to keep beside the service's key.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get { secret.bytes }
    }

    /// The id, which stays the same in all periods.
    public var id: InstanceID { InstanceID(bits: secret.deriveNumber("instance id")) }

    /// The name of its descriptors in the box of a period: eight bytes that no other period has, and eight zeros.
    public borrowing func name(in box: Bytes32) -> Bytes16 {
        let label = secret.derive("instance", context: box.array)
        return Bytes16([UInt8](copying: label.bytes.extracting(first: 8)) + [UInt8](repeating: 0, count: 8)) ?? .zeros
    }
}

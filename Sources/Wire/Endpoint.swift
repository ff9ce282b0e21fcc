/// An IPv4 or IPv6 address; IPv4 is held in its mapped form `::ffff:a.b.c.d`.
public struct IPAddress: Hashable, Sendable {
    /// The first eight bytes as a big-endian number.
    public var high: UInt64
    /// The last eight bytes as a big-endian number.
    public var low: UInt64

    /// The address whose 16 bytes are `high` and `low`, both big-endian.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The IPv4 address `value` (127.0.0.1 is `0x7f000001`).
    public init(v4 value: UInt32) { self.init(high: 0, low: 0xffff_0000_0000 | UInt64(value)) }

    /// The IPv4 address; nil for IPv6.
    public var v4: UInt32? { high == 0 && low >> 32 == 0xffff ? UInt32(truncatingIfNeeded: low) : nil }
}

/// An address and a port, of UDP or TCP.
public struct Endpoint: Hashable, Sendable {
    /// The host's address.
    public var address: IPAddress
    /// The port, in host order.
    public var port: UInt16

    /// The port `port` at `address`.
    public init(address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

import CLibUV
import Glibc

/// The address and port of a socket; IPv4 is held in its mapped form `::ffff:a.b.c.d`.
public struct SocketAddress: Hashable, Sendable {
    /// The first eight bytes of the address as a big-endian number.
    public var high: UInt64
    /// The last eight bytes of the address as a big-endian number.
    public var low: UInt64
    /// The port in the lower half and `own` in the upper half: one word, so that both take one comparison.
    private var tail: UInt32

    /// The port, in host order.
    public var port: UInt16 {
        get { UInt16(truncatingIfNeeded: tail) }
        set { tail = tail & ~0xffff | UInt32(newValue) }
    }

    /// The number of the own address that packets to and from here use, as a socket numbers its own; 0: the kernel
    /// chooses.
    ///
    /// A socket with ``DatagramSocket/Configuration/answersWhereAsked`` sets it in a packet's source. Senders must keep
    /// it.
    var own: UInt8 {
        get { UInt8(truncatingIfNeeded: tail >> 16) }
        set { tail = tail & 0xffff | UInt32(newValue) << 16 }
    }

    /// The port `port` at the address whose 16 bytes are `high` and `low`, both big-endian.
    public init(high: UInt64, low: UInt64, port: UInt16) {
        self.high = high
        self.low = low
        tail = UInt32(port)
    }

    /// The port `port` at an IPv4 address (127.0.0.1 is `0x7f000001`).
    public init(ipv4: UInt32, port: UInt16) {
        self.init(high: 0, low: 0xffff_0000_0000 | UInt64(ipv4), port: port)
    }

    /// Whether it is the wildcard address of the machine: 0.0.0.0 or ::.
    public var isAny: Bool { high == 0 && (low == 0 || low == 0xffff_0000_0000) }

    /// Whether this is an IPv4 address.
    public var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }

    /// The IPv4 address; nil for IPv6.
    public var ipv4: UInt32? { isIPv4 ? UInt32(truncatingIfNeeded: low) : nil }

    /// The same host at another port.
    public func with(port: UInt16) -> SocketAddress { SocketAddress(high: high, low: low, port: port) }

    /// 127.0.0.1.
    public static func loopbackIPv4(port: UInt16) -> SocketAddress { SocketAddress(ipv4: 0x7f00_0001, port: port) }
    /// ::1.
    public static func loopbackIPv6(port: UInt16) -> SocketAddress { SocketAddress(high: 0, low: 1, port: port) }
    /// 0.0.0.0.
    public static func anyIPv4(port: UInt16) -> SocketAddress { SocketAddress(ipv4: 0, port: port) }
    /// ::.
    public static func anyIPv6(port: UInt16) -> SocketAddress { SocketAddress(high: 0, low: 0, port: port) }
}

// MARK: - Text

extension SocketAddress: CustomStringConvertible {
    /// Reads a numeric address without a port, such as `1.2.3.4` or `::1`; refuses zones and names.
    public init?(numericHost host: String, port: UInt16) {
        guard host.utf8.count <= 45, !host.utf8.contains(where: { $0 == 0x25 || $0 == 0 }) else { return nil }
        if host.utf8.contains(0x3a) {
            var bytes = (UInt64(0), UInt64(0))
            guard unsafe uv_inet_pton(AF_INET6, host, &bytes) == 0 else { return nil }
            self.init(high: UInt64(bigEndian: bytes.0), low: UInt64(bigEndian: bytes.1), port: port)
        } else {
            var bytes = UInt32(0)
            guard unsafe uv_inet_pton(AF_INET, host, &bytes) == 0 else { return nil }
            self.init(ipv4: UInt32(bigEndian: bytes), port: port)
        }
    }

    /// Reads `1.2.3.4:80` or `[::1]:80`; refuses anything else, including names.
    public init?(_ text: String) {
        guard let colon = text.utf8.lastIndex(of: 0x3a) else { return nil }
        let digits = text[text.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.count <= 5, digits.utf8.allSatisfy({ 0x30...0x39 ~= $0 }),
            let port = UInt16(digits)
        else { return nil }
        var host = text[..<colon]
        if host.utf8.first == 0x5b {
            guard host.utf8.last == 0x5d, host.utf8.count > 2 else { return nil }
            host = host.dropFirst().dropLast()
            guard host.utf8.contains(0x3a) else { return nil }
        } else {
            guard !host.utf8.contains(0x3a) else { return nil }
        }
        self.init(numericHost: String(host), port: port)
    }

    /// The address without the port, such as `1.2.3.4` or `::1`.
    public var host: String {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
            if let ipv4 {
                var bytes = ipv4.bigEndian
                unsafe precondition(uv_inet_ntop(AF_INET, &bytes, text.baseAddress, 64) == 0, "64 bytes are enough")
            } else {
                var bytes = (high.bigEndian, low.bigEndian)
                unsafe precondition(uv_inet_ntop(AF_INET6, &bytes, text.baseAddress, 64) == 0, "64 bytes are enough")
            }
            return unsafe String(cString: text.baseAddress!)
        }
    }

    /// The form that ``init(_:)`` reads.
    public var description: String { isIPv4 ? "\(host):\(port)" : "[\(host)]:\(port)" }
}

// MARK: - sockaddr

extension SocketAddress {
    /// The bytes needed for a `sockaddr` of either family.
    static let storageSize = MemoryLayout<sockaddr_in6>.size

    /// The address family of a socket that can reach this address.
    var family: Int32 { isIPv4 ? AF_INET : AF_INET6 }

    /// Reads a `sockaddr_in` or `sockaddr_in6` of `length` bytes.
    init?(sockaddr: UnsafeRawPointer, length: Int) {
        guard length >= MemoryLayout<sa_family_t>.size else { return nil }
        switch unsafe Int32(sockaddr.load(as: sa_family_t.self)) {
        case AF_INET where length >= MemoryLayout<sockaddr_in>.size:
            let ipv4 = unsafe sockaddr.load(fromByteOffset: 4, as: UInt32.self)
            let port = unsafe sockaddr.load(fromByteOffset: 2, as: UInt16.self)
            self.init(ipv4: UInt32(bigEndian: ipv4), port: UInt16(bigEndian: port))
        case AF_INET6 where length >= MemoryLayout<sockaddr_in6>.size:
            let high = unsafe sockaddr.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            let low = unsafe sockaddr.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
            let port = unsafe sockaddr.load(fromByteOffset: 2, as: UInt16.self)
            self.init(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low), port: UInt16(bigEndian: port))
        default: return nil
        }
    }

    /// Writes a `sockaddr_in` or `sockaddr_in6` to ``storageSize`` bytes and returns its length.
    func store(to sockaddr: UnsafeMutableRawPointer) -> Int {
        unsafe sockaddr.initializeMemory(as: UInt8.self, repeating: 0, count: Self.storageSize)
        unsafe sockaddr.storeBytes(of: sa_family_t(family), as: sa_family_t.self)
        unsafe sockaddr.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
        if isIPv4 {
            unsafe sockaddr.storeBytes(
                of: UInt32(truncatingIfNeeded: low).bigEndian, toByteOffset: 4, as: UInt32.self)
            return MemoryLayout<sockaddr_in>.size
        }
        unsafe sockaddr.storeBytes(of: high.bigEndian, toByteOffset: 8, as: UInt64.self)
        unsafe sockaddr.storeBytes(of: low.bigEndian, toByteOffset: 16, as: UInt64.self)
        return MemoryLayout<sockaddr_in6>.size
    }

    /// Calls `body` with the address as a `sockaddr` and its length.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, Int) -> Result) -> Result {
        var storage = sockaddr_storage()
        return unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            let length = unsafe store(to: UnsafeMutableRawPointer(pointer))
            return unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
        }
    }

    /// The address that a call such as `getsockname` fills in; nil if it fails or the family is another.
    static func filled(
        by call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<Int32>) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = Int32(MemoryLayout<sockaddr_storage>.size)
        return unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            let result = unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe call($0, &length) }
            guard result == 0 else { return nil }
            return unsafe SocketAddress(sockaddr: UnsafeRawPointer(pointer), length: Int(length))
        }
    }
}

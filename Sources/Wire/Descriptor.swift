/// A node's statement about itself (protocol.md, section 10.1), without the signature.
///
/// A decoded value satisfies every rule of the format; one that is made from values must pass `isValid` before it is
/// encoded. The directory decides whether its addresses, times and node are acceptable.
public struct Descriptor: Hashable, Sendable {
    /// The version of the format.
    public static let version: UInt8 = 1
    /// The length of an onion public key (X-Wing).
    public static let onionKeySize = 1216
    /// The longest software name in bytes.
    public static let maximumSoftware = 32
    /// The largest size of extensions by later versions, which this version passes on.
    public static let maximumExtension = 512
    /// The longest signed descriptor in bytes.
    public static let maximumSize = 2048

    /// The roles of a node in addition to forwarding.
    public struct Roles: OptionSet, Hashable, Sendable {
        /// The bits on the wire.
        public let rawValue: UInt8
        /// The roles whose bits are set in `rawValue`.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The node opens connections to the outside.
        public static let exit = Roles(rawValue: 1)
        static let known: Roles = [.exit]
    }

    /// A summary of an exit's policy; the policy itself decides each connection.
    public struct ExitSummary: OptionSet, Hashable, Sendable {
        /// The bits on the wire.
        public let rawValue: UInt8
        /// The abilities whose bits are set in `rawValue`.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// TCP to public addresses on all ports except 25.
        public static let tcp = ExitSummary(rawValue: 1)
        /// UDP to public addresses on all ports except those of amplifiers.
        public static let udp = ExitSummary(rawValue: 2)
        /// The exit reaches IPv4 addresses.
        public static let ipv4 = ExitSummary(rawValue: 4)
        /// The exit reaches IPv6 addresses.
        public static let ipv6 = ExitSummary(rawValue: 8)
        static let known: ExitSummary = [.tcp, .udp, .ipv4, .ipv6]
    }

    /// The node that the descriptor is of; its key signs it.
    public var node: NodeID
    /// When it was signed, by the node's clock.
    public var published: UnixTime
    /// The time from which on it is not valid.
    public var expires: UnixTime
    /// The protocol versions that the node speaks.
    public var versions: ClosedRange<UInt8>
    /// The AEAD suites that the node supports.
    public var suites: SuiteSet
    /// The node's roles in addition to forwarding.
    public var roles: Roles
    /// The summary of the exit's policy; empty without the exit role.
    public var exit: ExitSummary
    /// The rate that the node is willing to carry, in kilobytes (1,000 bytes) a second; 0 if not stated.
    ///
    /// It can only lower the node's share.
    public var bandwidth: UInt32
    /// The IPv4 endpoint on which it listens.
    public var ipv4: Endpoint?
    /// The IPv6 endpoint on which it listens.
    public var ipv6: Endpoint?
    /// The public half of its onion key, 1,216 bytes.
    public var onionKey: [UInt8]
    /// Name and version of its software: printable ASCII, at most 32 bytes.
    public var software: String
    /// Bytes added by a later version of the format; passed on unread.
    public var extensions: [UInt8]

    /// A descriptor of these values.
    public init(
        node: NodeID, published: UnixTime, expires: UnixTime, versions: ClosedRange<UInt8> = 2...2, suites: SuiteSet,
        roles: Roles = [], exit: ExitSummary = [], bandwidth: UInt32 = 0, ipv4: Endpoint?, ipv6: Endpoint?,
        onionKey: [UInt8], software: String = "", extensions: [UInt8] = []
    ) {
        self.node = node
        self.published = published
        self.expires = expires
        self.versions = versions
        self.suites = suites
        self.roles = roles
        self.exit = exit
        self.bandwidth = bandwidth
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.onionKey = onionKey
        self.software = software
        self.extensions = extensions
    }

    /// Its endpoints, IPv4 first.
    public var addresses: [Endpoint] { [ipv4, ipv6].compactMap { $0 } }

    /// Whether the format can represent every value.
    public var isValid: Bool {
        guard published < expires, versions.lowerBound > 0, !suites.isEmpty, SuiteSet.known.isSuperset(of: suites),
            Roles.known.isSuperset(of: roles), ExitSummary.known.isSuperset(of: exit),
            roles.contains(.exit) || exit.isEmpty, ipv4 != nil || ipv6 != nil,
            onionKey.count == Self.onionKeySize, software.utf8.count <= Self.maximumSoftware,
            extensions.count <= Self.maximumExtension
        else { return false }
        if let ipv4, ipv4.address.v4 == nil { return false }
        if let ipv6, ipv6.address.v4 != nil { return false }
        return software.utf8.allSatisfy { 0x20...0x7e ~= $0 }
    }

    /// The encoding without the signature; `isValid` must hold.
    public func encoded() -> [UInt8] {
        precondition(isValid, "a descriptor's values fit its format")
        var writer = ByteWriter(capacity: Self.maximumSize)
        writer.u8(Self.version)
        writer.u8(versions.lowerBound)
        writer.u8(versions.upperBound)
        writer.u8(suites.rawValue)
        writer.u8(roles.rawValue)
        writer.u8(exit.rawValue)
        writer.u8((ipv4 == nil ? 0 : 1) | (ipv6 == nil ? 0 : 2))
        writer.u8(UInt8(software.utf8.count))
        writer.nodeID(node)
        writer.u64(published.seconds)
        writer.u64(expires.seconds)
        writer.u32(bandwidth)
        writer.raw(onionKey)
        if let ipv4, let value = ipv4.address.v4 {
            writer.raw(networkOrder(value))
            writer.u16(ipv4.port)
        }
        if let ipv6 {
            writer.raw(networkOrder(ipv6.address.high))
            writer.raw(networkOrder(ipv6.address.low))
            writer.u16(ipv6.port)
        }
        writer.raw(software.utf8)
        writer.u16(UInt16(extensions.count))
        writer.raw(extensions)
        return writer.bytes
    }

    /// Reads a descriptor without its signature from the front of `reader`.
    ///
    /// Each descriptor has one encoding; an unknown version, flag or suite throws `unknownKind`.
    public static func decode(from reader: inout ByteReader) throws(WireError) -> Descriptor {
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        let lowest = try reader.u8()
        let highest = try reader.u8()
        guard lowest > 0, lowest <= highest else { throw .outOfRange }
        let suites = SuiteSet(rawValue: try reader.u8())
        let roles = Roles(rawValue: try reader.u8())
        let exit = ExitSummary(rawValue: try reader.u8())
        let families = try reader.u8()
        let softwareLength = Int(try reader.u8())
        guard SuiteSet.known.isSuperset(of: suites) else { throw .unknownKind(UInt64(suites.rawValue)) }
        guard Roles.known.isSuperset(of: roles) else { throw .unknownKind(UInt64(roles.rawValue)) }
        guard ExitSummary.known.isSuperset(of: exit) else { throw .unknownKind(UInt64(exit.rawValue)) }
        guard families & ~3 == 0 else { throw .unknownKind(UInt64(families)) }
        guard softwareLength <= maximumSoftware else { throw .outOfRange }
        let node = try reader.nodeID()
        let published = UnixTime(seconds: try reader.u64())
        let expires = UnixTime(seconds: try reader.u64())
        let bandwidth = try reader.u32()
        let onionKey = try reader.array(onionKeySize)
        var ipv4: Endpoint?
        if families & 1 != 0 {
            let address = IPAddress(v4: (try reader.u32()).byteSwapped)
            ipv4 = Endpoint(address: address, port: try reader.u16())
        }
        var ipv6: Endpoint?
        if families & 2 != 0 {
            let address = IPAddress(high: (try reader.u64()).byteSwapped, low: (try reader.u64()).byteSwapped)
            ipv6 = Endpoint(address: address, port: try reader.u16())
        }
        let software = try reader.array(softwareLength)
        guard software.allSatisfy({ 0x20...0x7e ~= $0 }) else { throw .outOfRange }
        let extensionLength = Int(try reader.u16())
        guard extensionLength <= maximumExtension else { throw .outOfRange }
        let descriptor = Descriptor(
            node: node, published: published, expires: expires, versions: lowest...highest, suites: suites,
            roles: roles, exit: exit, bandwidth: bandwidth, ipv4: ipv4, ipv6: ipv6, onionKey: onionKey,
            software: String(decoding: software, as: UTF8.self), extensions: try reader.array(extensionLength))
        guard descriptor.isValid else { throw .outOfRange }
        return descriptor
    }
}

/// A descriptor with its node's signature; this type does not verify the signature.
public struct SignedDescriptor: Hashable, Sendable {
    /// The length of a signature.
    public static let signatureSize = 64

    /// The decoded body of ``bytes``.
    public let descriptor: Descriptor
    /// The whole encoding, signature included.
    public let bytes: [UInt8]

    /// The descriptor with its signature of 64 bytes.
    public init(_ descriptor: Descriptor, signature: [UInt8]) {
        precondition(signature.count == Self.signatureSize, "a signature is 64 bytes long")
        self.descriptor = descriptor
        self.bytes = descriptor.encoded() + signature
    }

    /// Reads a whole signed descriptor; remaining bytes throw `trailingBytes`.
    public init(decoding span: RawSpan) throws(WireError) {
        guard span.byteCount <= Descriptor.maximumSize else { throw .outOfRange }
        var reader = ByteReader(span)
        descriptor = try Descriptor.decode(from: &reader)
        try reader.skip(Self.signatureSize)
        try reader.end()
        bytes = [UInt8](copying: span)
    }

    /// The signed bytes, without the signature's prefix.
    public var body: ArraySlice<UInt8> { bytes.dropLast(Self.signatureSize) }
    /// The signature, 64 bytes.
    public var signature: ArraySlice<UInt8> { bytes.suffix(Self.signatureSize) }

    /// Writes the list form of PUBLISH and GET_DESCRIPTORS: each descriptor after its length.
    public static func encodeList(_ list: some Sequence<SignedDescriptor>) -> [UInt8] {
        var writer = ByteWriter()
        for descriptor in list {
            writer.u16(UInt16(descriptor.bytes.count))
            writer.raw(descriptor.bytes)
        }
        return writer.bytes
    }

    /// Reads the list form; the length of `span` bounds its size.
    ///
    /// An entry that is not a descriptor of this version is left out; a truncated list throws.
    public static func decodeList(_ span: RawSpan) throws(WireError) -> [SignedDescriptor] {
        var reader = ByteReader(span)
        var list: [SignedDescriptor] = []
        while reader.remaining > 0 {
            let length = Int(try reader.u16())
            let entry = try reader.bytes(length)
            if let descriptor = try? SignedDescriptor(decoding: entry) { list.append(descriptor) }
        }
        return list
    }
}

/// A descriptor that differs from the previous one only in its times.
public struct DescriptorRenewal: Hashable, Sendable {
    /// The node whose descriptor has new times.
    public let node: NodeID
    /// When it was signed.
    public let published: UnixTime
    /// The new end of its validity.
    public let expires: UnixTime
    /// The signature of the whole new descriptor, 64 bytes.
    public let signature: [UInt8]

    /// The renewal that `signed` makes.
    public init(_ signed: SignedDescriptor) {
        node = signed.descriptor.node
        published = signed.descriptor.published
        expires = signed.descriptor.expires
        signature = Array(signed.signature)
    }

    fileprivate init(from reader: inout ByteReader) throws(WireError) {
        node = try reader.nodeID()
        published = UnixTime(seconds: try reader.u64())
        expires = UnixTime(seconds: try reader.u64())
        signature = try reader.array(SignedDescriptor.signatureSize)
    }

    /// The new descriptor, made from the previous one, `held`; nil if the times do not fit.
    ///
    /// The signature is not verified here.
    public func applied(to held: Descriptor) -> SignedDescriptor? {
        guard held.node == node, published < expires else { return nil }
        var descriptor = held
        descriptor.published = published
        descriptor.expires = expires
        return SignedDescriptor(descriptor, signature: signature)
    }
}

extension Descriptor {
    /// Whether `other` differs at most in its times.
    public func says(asMuchAs other: Descriptor) -> Bool {
        var copy = other
        copy.published = published
        copy.expires = expires
        return copy == self
    }
}

/// One item of the answer to GET_DESCRIPTOR_CHANGES (protocol.md, section 10.7).
public enum DescriptorChange: Hashable, Sendable {
    /// The most short digests in one request.
    public static let maximumShortDigests = 4_096

    /// A whole descriptor, with its signature.
    case whole(SignedDescriptor)
    /// New times and a signature for one that the reader holds.
    case renewed(DescriptorRenewal)

    /// The size of the item in bytes.
    public var size: Int {
        switch self {
        case .whole(let signed): 3 + signed.bytes.count
        case .renewed: 1 + 32 + 16 + SignedDescriptor.signatureSize
        }
    }

    /// The request for descriptors published at `since` or later, except those with these short digests, which ascend.
    public static func question(since: UnixTime, having shortDigests: [UInt64]) -> [UInt8] {
        var writer = ByteWriter(capacity: 10 + shortDigests.count * 8)
        writer.u64(since.seconds)
        writer.u16(UInt16(shortDigests.count))
        for digest in shortDigests { writer.u64(digest) }
        return writer.bytes
    }

    /// Reads a request; throws `outOfRange` for more than ``maximumShortDigests``.
    public static func readQuestion(_ span: RawSpan) throws(WireError) -> (since: UnixTime, shortDigests: Set<UInt64>) {
        var reader = ByteReader(span)
        let since = UnixTime(seconds: try reader.u64())
        let count = Int(try reader.u16())
        guard count <= maximumShortDigests else { throw .outOfRange }
        guard reader.remaining >= count * 8 else { throw .truncated }
        var shortDigests: Set<UInt64> = []
        for _ in 0..<count { shortDigests.insert(try reader.u64()) }
        try reader.end()
        return (since, shortDigests)
    }

    /// The encoding of a list.
    public static func encodeList(_ list: some Sequence<DescriptorChange>) -> [UInt8] {
        var writer = ByteWriter()
        for change in list {
            switch change {
            case .whole(let signed):
                writer.u8(1)
                writer.u16(UInt16(signed.bytes.count))
                writer.raw(signed.bytes)
            case .renewed(let renewal):
                writer.u8(2)
                writer.nodeID(renewal.node)
                writer.u64(renewal.published.seconds)
                writer.u64(renewal.expires.seconds)
                writer.raw(renewal.signature)
            }
        }
        return writer.bytes
    }

    /// Reads a list; leaves out descriptors of another version, and throws for an unknown kind or a truncated list.
    public static func decodeList(_ span: RawSpan) throws(WireError) -> [DescriptorChange] {
        var reader = ByteReader(span)
        var list: [DescriptorChange] = []
        while reader.remaining > 0 {
            switch try reader.u8() {
            case 1:
                let length = Int(try reader.u16())
                let bytes = try reader.bytes(length)
                if let signed = try? SignedDescriptor(decoding: bytes) { list.append(.whole(signed)) }
            case 2: list.append(.renewed(try DescriptorRenewal(from: &reader)))
            case let kind: throw .unknownKind(UInt64(kind))
            }
        }
        return list
    }
}

internal import OnionCrypto
public import Wire

/// An item of a box as it was read: its form is valid, but no signature is verified
/// (``isAuthentic(network:writers:)``).
public struct StoredItem: Hashable, Sendable {
    /// All of its bytes: header, body, signature.
    public let bytes: [UInt8]
    /// The first 64 bytes.
    public let header: ItemHeader
    /// Its name.
    public let id: ItemID
    /// The hash of the body.
    public let bodyDigest: Bytes32
    /// The name and version at the beginning of the body; nil for kinds 4 and 5.
    public let version: NamedVersion?

    /// How many bytes an item has in addition to its body.
    static let overhead = ItemHeader.size + SigningKey.signatureSize

    /// Reads a whole item of `network`.
    public init(decoding span: RawSpan, network: Bytes32) throws(WireError) {
        guard SwarmLimits.itemSizes.contains(span.byteCount) else { throw .outOfRange }
        var reader = ByteReader(span)
        header = try ItemHeader(from: &reader)
        guard header.kind.sizes.contains(span.byteCount) else { throw .outOfRange }
        let body = try reader.bytes(span.byteCount - Self.overhead)
        version = header.kind.isMutable ? try NamedVersion(decoding: body, kind: header.kind, header.created) : nil
        if header.kind == .contact { try reader.zeros(SigningKey.signatureSize) }
        bodyDigest = Blake2b.digest(body)
        id = header.id(bodyDigest: bodyDigest, network: network)
        bytes = [UInt8](copying: span)
    }

    /// An item of `network` with `body`; nil if its form is not valid.
    ///
    /// `signature` signs the message that it gets; it is not called for kind 5.
    public init?(
        _ header: ItemHeader, body: [UInt8], network: Bytes32, signature: ([UInt8]) -> [UInt8]
    ) {
        var writer = ByteWriter(capacity: Self.overhead + body.count)
        header.encode(to: &writer)
        writer.raw(body)
        let id = header.id(bodyDigest: Blake2b.digest(body.rawSpan), network: network)
        let isSigned = header.kind != .contact
        writer.raw(
            isSigned
                ? signature(Self.signedMessage(id, network: network))
                : [UInt8](repeating: 0, count: SigningKey.signatureSize))
        try? self.init(decoding: writer.bytes.rawSpan, network: network)
    }

    /// The message that an item's author signs.
    static func signedMessage(_ id: ItemID, network: Bytes32) -> [UInt8] {
        Prefix.itemSignature.message(capacity: 64) { writer in
            writer.bytes32(network)
            writer.bytes32(id)
        }
    }

    /// The bytes between header and signature.
    public var body: ArraySlice<UInt8> { bytes[ItemHeader.size..<bytes.count - SigningKey.signatureSize] }

    /// The author's signature; zeros for kind 5.
    public var signature: [UInt8] { Array(bytes[(bytes.count - SigningKey.signatureSize)...]) }

    /// The index of its size among the sizes that items may have.
    public var sizeClass: UInt8 { Self.sizeClass(of: bytes.count) }

    /// The index of an item's size.
    static func sizeClass(of size: Int) -> UInt8 { UInt8(SwarmLimits.itemSizes.firstIndex(of: size) ?? 0) }

    /// How many leading zero bits its effort has.
    public var effort: UInt8 { header.effort(bodyDigest: bodyDigest) }

    /// Whether the author may write into the box and has signed the item; `writers` are those of the box's grant.
    public func isAuthentic(network: Bytes32, writers: WriteKeys) -> Bool {
        let message = Self.signedMessage(id, network: network)
        switch header.kind {
        case .descriptor, .account, .record:
            guard let version else { return false }
            guard let certificate = version.certificate else {
                return SigningKey.verify(signature, of: message, by: header.box)
            }
            return certificate.isGood(box: header.box, kind: header.kind, name: version.name, network: network)
                && SigningKey.verify(signature, of: message, by: certificate.key)
        case .message:
            guard let author = writers.author(of: header) else { return false }
            return SigningKey.verify(signature, of: message, by: author)
        case .contact: return true
        }
    }

    /// Whether this version of a name replaces `other`.
    func isNewer(than other: StoredItem) -> Bool {
        guard let version, let old = other.version else { return false }
        // The reach of a purge comes first; otherwise a later, smaller one would bring back messages that the first
        // dropped.
        let reach = (purge?.before ?? 0, other.purge?.before ?? 0)
        if reach.0 != reach.1 { return reach.0 > reach.1 }
        let mine = (header.created, version.counter)
        let theirs = (other.header.created, old.counter)
        return mine == theirs ? id < other.id : mine > theirs
    }
}

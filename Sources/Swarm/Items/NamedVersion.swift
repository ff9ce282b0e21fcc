internal import OnionCrypto
public import Wire

/// The beginning of the body of kinds 1 to 3: the name, the version, and who signs.
public struct NamedVersion: Hashable, Sendable {
    /// The name of grants.
    public static let grantName = Bytes16(text: "grant")
    /// The name of purges.
    public static let purgeName = Bytes16(text: "purge")

    /// The name.
    public let name: Bytes16
    /// Orders versions of the same ten minutes.
    public let counter: UInt8
    /// The key that signs the item, with the box key's permission; nil: the box key signs.
    public let certificate: Certificate?
    /// The grant, if the name is `grant`.
    public let grant: Grant?
    /// The purge, if the name is `purge`.
    public let purge: Purge?

    /// The box key's permission for another key to sign a name.
    public struct Certificate: Hashable, Sendable {
        /// The key that signs the item.
        public let key: Bytes32
        /// The box key's signature.
        public let signature: [UInt8]

        /// A certificate for `key`.
        public init(key: Bytes32, signature: [UInt8]) {
            precondition(signature.count == SigningKey.signatureSize, "a signature has 64 bytes")
            self.key = key
            self.signature = signature
        }

        /// The message that the box key signs for items of `kind`; the key epoch is 0.
        public static func message(
            box: Bytes32, kind: ItemKind, name: Bytes16, key: Bytes32, network: Bytes32
        ) -> [UInt8] {
            Prefix.certificate.message(capacity: 115) { writer in
                writer.bytes32(network)
                writer.bytes32(box)
                writer.u8(kind.rawValue)
                writer.u16(0)
                writer.bytes16(name)
                writer.bytes32(key)
            }
        }

        /// Whether the box key has signed it for `name` of `kind`.
        func isGood(box: Bytes32, kind: ItemKind, name: Bytes16, network: Bytes32) -> Bool {
            SigningKey.verify(
                signature, of: Self.message(box: box, kind: kind, name: name, key: key, network: network), by: box)
        }
    }

    /// The body of a version with `content`, filled with zeros to the smallest size that an item of `kind` may have.
    ///
    /// Nil if the content is too long.
    public static func body(
        kind: ItemKind, name: Bytes16, counter: UInt8, certificate: Certificate? = nil, content: [UInt8]
    ) -> [UInt8]? {
        var writer = ByteWriter(capacity: 4_096)
        writer.bytes16(name)
        writer.u8(counter)
        writer.u8(certificate == nil ? 0 : 1)
        if let certificate {
            writer.u16(0)
            writer.bytes32(certificate.key)
            writer.raw(certificate.signature)
        }
        writer.raw(content)
        return ItemBody.filled(writer.bytes, kind: kind)
    }

    /// Reads the body of an item of `kind` made at `created`.
    init(decoding body: RawSpan, kind: ItemKind, _ created: UInt32) throws(WireError) {
        var reader = ByteReader(body)
        name = try reader.bytes16()
        counter = try reader.u8()
        let flag = try reader.u8()
        switch (flag, kind) {
        case (0, .account), (0, .record): certificate = nil
        case (1, .account), (1, .descriptor):
            guard try reader.u16() == 0 else { throw .outOfRange }
            certificate = Certificate(key: try reader.bytes32(), signature: try reader.array(SigningKey.signatureSize))
        default: throw .unknownKind(UInt64(flag))
        }
        grant = kind == .record && name == Self.grantName ? try Grant(rest: &reader) : nil
        purge = kind == .record && name == Self.purgeName ? try Purge(rest: &reader, created: created) : nil
    }
}

extension StoredItem {
    /// The grant, if the item is one.
    var grant: Grant? { version?.grant }
    /// The purge, if the item is one.
    var purge: Purge? { version?.purge }
}

/// Bodies of items, which have few sizes.
public enum ItemBody {
    /// `content`, filled with zeros so that an item of `kind` has the smallest size; nil if it is too long.
    public static func filled(_ content: [UInt8], kind: ItemKind) -> [UInt8]? {
        let needed = content.count + StoredItem.overhead
        guard let size = SwarmLimits.itemSizes.first(where: { $0 >= needed && kind.sizes.contains($0) }) else {
            return nil
        }
        return content + [UInt8](repeating: 0, count: size - needed)
    }
}

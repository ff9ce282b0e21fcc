public import OnionCrypto
public import Swarm
public import Wire

/// The id of the tests' network.
public let network = Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan)
/// The minute at which simulations begin; a multiple of a day.
public let firstMinute: UInt32 = 20_000 * 1_440

/// A signing key with a number.
public final class Key {
    private let key: SigningKey
    private let seed: [UInt8]
    /// The public half of the key.
    public let publicKey: Bytes32

    /// The key whose seed begins with `number`.
    public convenience init(_ number: UInt32) {
        var writer = ByteWriter()
        writer.u32(number)
        writer.zeros(28)
        self.init(seed: writer.bytes)
    }

    /// The key of a seed of 32 bytes.
    public init(seed: [UInt8]) {
        key = SigningKey(seed: Secret(copying: seed.rawSpan))
        publicKey = key.publicKey
        self.seed = seed
    }

    /// A copy of the signing key.
    public func copy() -> SigningKey {
        let bytes = seed
        return SigningKey(seed: Secret(copying: bytes.rawSpan))
    }

    /// The node with this key.
    public var node: NodeID { NodeID(publicKey) }

    /// The signature of `message`.
    public func sign(_ message: [UInt8]) -> [UInt8] { key.sign(message.rawSpan) }
}

/// A box, with the items that its owner and its other writers make.
public struct Box {
    /// The owner's key.
    public let key: Key
    private let network: Bytes32

    /// The box of `key` in `network`.
    public init(_ key: Key, network: Bytes32 = SwarmModel.network) {
        self.key = key
        self.network = network
    }

    /// The box key.
    public var id: Bytes32 { key.publicKey }

    /// The token that deletes item `number`.
    public static func token(_ number: UInt64) -> Bytes16 {
        var writer = ByteWriter()
        writer.u64(number)
        writer.u64(1)
        return Bytes16(writer.bytes) ?? .zeros
    }

    /// A message by `author`, or by the owner, that token `number` deletes.
    public func message(_ number: UInt64, created: UInt32, by author: Key? = nil, sizeClass: Int = 0) -> StoredItem {
        let author = author ?? key
        let header = ItemHeader(
            kind: .message, box: id, created: created, lock: DeleteProof.lock(of: Self.token(number)),
            hint: Self.hint(of: author))
        return item(header, content(number, SwarmLimits.itemSizes[sizeClass] - 128), author)
    }

    /// A contact request with the nonce `number`.
    public func contact(_ number: UInt64, created: UInt32) -> StoredItem {
        item(ItemHeader(kind: .contact, box: id, created: created, hint: number), content(number, 4_096 - 128), key)
    }

    /// A version of a record.
    public func record(
        _ name: Bytes16, created: UInt32, counter: UInt8 = 0, content: [UInt8], by author: Key? = nil
    ) -> StoredItem {
        named(.record, name, created: created, counter: counter, content: content, certified: nil, author ?? key)
    }

    /// A version of the box's grant.
    public func grant(_ writers: [Grant.Writer], created: UInt32, counter: UInt8 = 0) -> StoredItem {
        guard let grant = Grant(writers) else { preconditionFailure("no grant") }
        return record(NamedVersion.grantName, created: created, counter: counter, content: grant.content)
    }

    /// A purge of the box.
    public func purge(before: UInt32, created: UInt32, counter: UInt8 = 0) -> StoredItem {
        record(NamedVersion.purgeName, created: created, counter: counter, content: Purge(before: before).content)
    }

    /// A version of a named item, signed by `certified` with a certificate, by `author`, or by the owner.
    public func named(
        _ kind: ItemKind, _ name: Bytes16, created: UInt32, counter: UInt8 = 0, content: [UInt8], certified: Key?,
        _ author: Key? = nil
    ) -> StoredItem {
        let certificate = certified.map { other in
            NamedVersion.Certificate(
                key: other.publicKey,
                signature: key.sign(
                    NamedVersion.Certificate.message(
                        box: id, kind: kind, name: name, key: other.publicKey, network: network)))
        }
        guard
            let body = NamedVersion.body(
                kind: kind, name: name, counter: counter, certificate: certificate, content: content)
        else { preconditionFailure("the content is too long") }
        return item(ItemHeader(kind: kind, box: id, created: created), body, certified ?? author ?? key)
    }

    /// The tombstone of `item` with its token.
    public func tombstone(of item: StoredItem, token number: UInt64) -> Tombstone {
        Tombstone(of: item, proof: .token(Self.token(number)))
    }

    /// The tombstone of `item` by the owner.
    public func tombstone(of item: StoredItem) -> Tombstone { Tombstone(of: item, proof: proof(of: item.id)) }

    /// The owner's proof for the deletion of `id`.
    public func proof(of id: ItemID) -> DeleteProof {
        .signature(key.sign(DeleteProof.message(id: id, network: network)))
    }

    /// A read of the box in the request with this binding.
    public func read(log: UInt64 = 0, after: UInt64 = 0, binding: Bytes32) -> BoxRead {
        BoxRead(
            id, log: log, after: after,
            signature: key.sign(BoxRead.message(box: id, binding: binding, network: network)))
    }

    /// The first eight bytes of a public key.
    public static func hint(of key: Key) -> UInt64 { key.publicKey.array.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

    private func content(_ number: UInt64, _ count: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: count)
        writer.u64(number)
        writer.zeros(count - 8)
        return writer.bytes
    }

    private func item(_ header: ItemHeader, _ body: [UInt8], _ author: Key) -> StoredItem {
        guard let item = StoredItem(header, body: body, network: network, signature: { author.sign($0) }) else {
            preconditionFailure("the item has no valid form")
        }
        return item
    }
}

/// A name from text.
public func name(_ text: String) -> Bytes16 {
    Bytes16(Array(text.utf8) + [UInt8](repeating: 0, count: 16 - text.utf8.count)) ?? .zeros
}

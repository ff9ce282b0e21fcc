internal import OnionCrypto
public import Swarm
public import Wire

/// A box that this node made to test another: it has one item, for which that node has signed a receipt.
public struct TestBox: Hashable, Sendable {
    /// The length of an encoding.
    static let size = 32 + 32 + 32 + 1 + 8

    /// The box.
    public let key: Bytes32
    /// The seed of the box's key.
    public let seed: Bytes32
    /// The item in it.
    public let id: ItemID
    /// The item's size class.
    public let sizeClass: UInt8
    /// When the tested node had signed.
    public let stored: UnixTime

    /// The box of `seed`, whose public key is `key`, with the item `id` in it.
    init(key: Bytes32, seed: Bytes32, id: ItemID, sizeClass: UInt8, stored: UnixTime) {
        (self.key, self.seed, self.id, self.sizeClass, self.stored) = (key, seed, id, sizeClass, stored)
    }

    /// The row that a node keeps of it: `key 32 │ seed 32 │ id 32 │ size class u8 │ stored u64`.
    public var encoded: [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        writer.bytes32(key)
        writer.bytes32(seed)
        writer.bytes32(id)
        writer.u8(sizeClass)
        writer.u64(stored.seconds)
        return writer.bytes
    }

    /// Reads a row; nil if it is none.
    public init?(decoding row: [UInt8]) {
        guard row.count == Self.size else { return nil }
        var reader = ByteReader(row.rawSpan)
        guard let key = try? reader.bytes32(), let seed = try? reader.bytes32(), let id = try? reader.bytes32(),
            let sizeClass = try? reader.u8(), let stored = try? reader.u64()
        else { return nil }
        self.init(key: key, seed: seed, id: id, sizeClass: sizeClass, stored: UnixTime(seconds: stored))
    }

    /// A random key of a box, with its seed, in a shard of `node`; nil if none was found.
    ///
    /// It takes some hundred keys in a network of thousands: tens of milliseconds, on another thread than the loop's.
    public static func draw(
        in map: SwarmMap, for node: NodeID, using random: inout some RandomNumberGenerator
    ) -> (key: Bytes32, seed: Bytes32)? {
        let shards = Set(map.shards(of: node))
        guard !shards.isEmpty else { return nil }
        for _ in 0..<tries {
            let seed = Bytes32(copying: bytes(32, using: &random).rawSpan)
            let key = signingKey(seed).publicKey
            if shards.contains(map.shard(of: key)) { return (key, seed) }
        }
        return nil
    }

    /// How many keys are tried: a node with one shard of the most that there may be is found mostly.
    private static let tries = 100_000

    static func signingKey(_ seed: Bytes32) -> SigningKey {
        let bytes = seed.array
        return SigningKey(seed: Secret(copying: bytes.rawSpan))
    }

    static func bytes(_ count: Int, using random: inout some RandomNumberGenerator) -> [UInt8] {
        var writer = ByteWriter(capacity: count)
        while writer.bytes.count + 8 <= count { writer.u64(random.next()) }
        return writer.bytes
    }

    /// A message in the box, as its owner would store one: random bytes stand for its ciphertext.
    ///
    /// Three quarters have the smallest size, and each larger one is a quarter as likely, so that no size is safe to
    /// drop.
    static func item(
        key: Bytes32, seed: Bytes32, at time: UnixTime, network: Bytes32, using random: inout some RandomNumberGenerator
    ) -> StoredItem? {
        let sizes = SwarmLimits.itemSizes
        let size = sizes[min(random.next().trailingZeroBitCount / 2, sizes.count - 1)]
        let hint = key.array.prefix(8).reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        let header = ItemHeader(kind: .message, box: key, created: UInt32(clamping: time.seconds / 60), hint: hint)
        let body = bytes(size - ItemHeader.size - SigningKey.signatureSize, using: &random)
        return StoredItem(header, body: body, network: network) { signingKey(seed).sign($0.rawSpan) }
    }
}

internal import OnionCrypto
internal import Wire

/// The prefixes of the store's hashes and signatures, so that none is valid for another purpose: the text, then a zero
/// byte.
enum Prefix: String, CaseIterable {
    case item = "tunic item"
    case itemSignature = "tunic item signature"
    case certificate = "tunic certificate"
    case effort = "tunic effort"
    case deleteLock = "tunic delete lock"
    case delete = "tunic delete"
    case receipt = "tunic receipt"
    case boxRead = "tunic box read"
    case range = "tunic range"
    case day = "tunic day"
    case shardDigest = "tunic shard digest"
    case shard = "tunic shard"
    case shardSeed = "tunic shard seed"

    /// A message that begins with this prefix.
    func message(capacity: Int, _ write: (inout ByteWriter) -> Void) -> [UInt8] {
        var writer = ByteWriter(capacity: rawValue.utf8.count + 1 + capacity)
        writer.raw(rawValue.utf8)
        writer.u8(0)
        write(&writer)
        return writer.bytes
    }

    /// The hash of a message that begins with this prefix.
    func digest(capacity: Int, _ write: (inout ByteWriter) -> Void) -> Bytes32 {
        let bytes = message(capacity: capacity, write)
        return Blake2b.digest(bytes.rawSpan)
    }
}

extension SigningKey {
    /// Whether `signature` is valid for `message`, both as arrays.
    static func verify(_ signature: [UInt8], of message: [UInt8], by key: Bytes32) -> Bool {
        verify(signature.rawSpan, of: message.rawSpan, by: key)
    }
}

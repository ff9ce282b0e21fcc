public import Wire

/// What a node asks another about the ledger (protocol.md, section 8).
public enum LedgerRequest: Hashable, Sendable {
    /// The blocks above a height.
    case blocks(above: UInt64)
    /// To take an operation for a block.
    case submit(RegistryOperation)
    /// What authorities ask of one another.
    case authority(AuthorityRequest)
    /// To take a block that is final; what an authority sends the others, and nobody answers with more than nothing.
    case final(FinalBlock)
}

/// What an authority answers to an operation.
public struct SubmitAnswer: Hashable, Sendable {
    /// The longest encoding in bytes.
    public static let maximumSize = 9 + 64

    /// The rule against the operation; nil when it waits for a block.
    public let refusal: String?
    /// The height of the authority's chain.
    public let height: UInt64

    /// The operation waits, or `refusal` is the rule against it.
    public init(refusal: String?, height: UInt64) {
        self.refusal = refusal
        self.height = height
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 32)
        writer.u8(refusal == nil ? 1 : 0)
        writer.u64(height)
        if let refusal { writer.raw(refusal.utf8.prefix(64)) }
        return writer.bytes
    }

    /// Reads a whole answer; a rule's name has 1 to 64 letters.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let status = try reader.u8()
        height = try reader.u64()
        let name = try reader.array(reader.remaining)
        switch status {
        case 1 where name.isEmpty: refusal = nil
        case 0 where 1...64 ~= name.count:
            let letters = UInt8(ascii: "A")...UInt8(ascii: "z")
            guard name.allSatisfy({ letters.contains($0) }) else { throw .outOfRange }
            refusal = String(decoding: name, as: UTF8.self)
        default: throw .outOfRange
        }
    }
}

/// What became of an operation that was submitted here.
public enum SubmitResult: Hashable, Sendable {
    /// It is in the block at this height.
    case applied(height: UInt64)
    /// The rule of this name stands against it (docs/registry.md, "Refusals").
    case refused(String)
    /// No block had it in time; it may still come.
    case timedOut
}

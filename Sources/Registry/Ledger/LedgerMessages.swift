public import Wire

/// A request of one node to another about the ledger (protocol.md, section 8).
public enum LedgerRequest: Hashable, Sendable {
    /// The blocks above a height.
    case blocks(above: UInt64)
    /// Submits an operation for a block.
    case submit(RegistryOperation)
    /// A request between authorities.
    case authority(AuthorityRequest)
    /// A final block, which an authority sends to the others; the answer is always empty.
    case final(FinalBlock)
}

/// An authority's answer to a submitted operation.
public struct SubmitAnswer: Hashable, Sendable {
    /// The longest encoding in bytes.
    public static let maximumSize = 9 + 64

    /// The name of the rule that refuses the operation; nil if it waits for a block.
    public let refusal: String?
    /// The height of the authority's chain.
    public let height: UInt64

    /// `refusal` is nil if the operation waits.
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

    /// Reads a whole answer; throws unless a rule's name has 1 to 64 letters of ASCII.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let status = try reader.u8()
        height = try reader.u64()
        let name = try reader.array(reader.remaining)
        switch status {
        case 1 where name.isEmpty: refusal = nil
        case 0 where 1...64 ~= name.count:
            let (small, large) = (UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"))
            guard name.allSatisfy({ small.contains($0) || large.contains($0) }) else { throw .outOfRange }
            refusal = String(decoding: name, as: UTF8.self)
        default: throw .outOfRange
        }
    }
}

/// The result of an operation that was submitted here.
public enum SubmitResult: Hashable, Sendable {
    /// It is in the block at this height.
    case applied(height: UInt64)
    /// The rule of this name refuses it (docs/registry.md, "Refusals").
    case refused(String)
    /// No block contained it in time; a later one still may.
    case timedOut
}

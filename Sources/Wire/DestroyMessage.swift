/// The body of DESTROY (protocol.md, section 8): which path is over.
public struct DestroyMessage: Hashable, Sendable {
    /// The length of the body in bytes.
    public static let size = 8

    /// The path's id as the receiver knows it.
    public var pathID: UInt64

    /// The message that the path `pathID` is over.
    public init(pathID: UInt64) { self.pathID = pathID }

    /// Reads a body; nil unless it is one path id and nothing else.
    public init?(_ body: [UInt8]) {
        var reader = ByteReader(body.rawSpan)
        guard let pathID = try? reader.u64(), reader.remaining == 0 else { return nil }
        self.pathID = pathID
    }

    /// The body of DESTROY: the path id, 8 bytes.
    public var encoded: [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        writer.u64(pathID)
        return writer.bytes
    }
}

/// The part of a snapshot in front of its entries: room for what later versions of the registry have (protocol.md,
/// section 10.2).
///
/// It is signed and carried, and this version reads none of it: a registry without names writes zeros and no extension.
public struct SnapshotPreface: Hashable, Sendable {
    /// The longest extension in bytes.
    public static let maximumExtension = 1_024
    /// The longest encoding in bytes.
    static let maximumSize = 32 + 4 + 2 + maximumExtension

    /// The root of the names; zeros without any.
    public let namesRoot: Bytes32
    /// How many names there are.
    public let namesCount: UInt32
    /// The parts of the extension: each its kind in a byte, its length in two, and so many bytes, by ascending kind.
    public let extensionBytes: [UInt8]

    /// No names and no extension.
    public init() {
        namesRoot = Bytes32()
        namesCount = 0
        extensionBytes = []
    }

    /// A preface of these values; nil unless `extensionBytes` are at most 1,024 and whole parts, each kind once,
    /// ascending.
    public init?(namesRoot: Bytes32, namesCount: UInt32, extensionBytes: [UInt8]) {
        guard (try? Self.check(extensionBytes)) != nil else { return nil }
        self.namesRoot = namesRoot
        self.namesCount = namesCount
        self.extensionBytes = extensionBytes
    }

    /// Appends the encoding: the names' root and count, then the extension with its length.
    public func encode(to writer: inout ByteWriter) {
        writer.bytes32(namesRoot)
        writer.u32(namesCount)
        writer.u16(UInt16(extensionBytes.count))
        writer.raw(extensionBytes)
    }

    /// Reads a preface; an extension that is too long, or whose kinds do not ascend, throws `outOfRange`, one whose
    /// parts do not end with it `truncated`.
    public init(from reader: inout ByteReader) throws(WireError) {
        namesRoot = try reader.bytes32()
        namesCount = try reader.u32()
        let length = Int(try reader.u16())
        guard length <= Self.maximumExtension else { throw .outOfRange }
        extensionBytes = try reader.array(length)
        try Self.check(extensionBytes)
    }

    private static func check(_ bytes: [UInt8]) throws(WireError) {
        guard bytes.count <= maximumExtension else { throw .outOfRange }
        var reader = ByteReader(bytes.rawSpan)
        var last = -1
        while reader.remaining > 0 {
            let kind = Int(try reader.u8())
            guard kind > last else { throw .outOfRange }
            last = kind
            _ = try reader.array(Int(try reader.u16()))
        }
    }
}

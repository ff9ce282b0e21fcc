/// The id of a node: its Ed25519 public key (protocol.md, section 2).
///
/// Any 32 bytes are accepted; an invalid key is detected when a signature is verified or a link is made. Ids are
/// ordered by their bytes, from the first.
public struct NodeID: Hashable, Sendable {
    /// The node's Ed25519 public key.
    public let key: Bytes32

    /// The node with the public key `key`.
    public init(_ key: Bytes32) { self.key = key }

    /// The suffix of the text form.
    public static let suffix = ".snode"
    /// The number of characters of the key in the text form.
    private static let textLength = 52
}

extension NodeID: Comparable {
    /// Whether `a`'s bytes come before those of `b`.
    public static func < (a: NodeID, b: NodeID) -> Bool {
        unsafe withUnsafeBytes(of: a.key) { left in
            unsafe withUnsafeBytes(of: b.key) { right in
                for index in 0..<4 {
                    let x = unsafe UInt64(bigEndian: left.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
                    let y = unsafe UInt64(bigEndian: right.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
                    if x != y { return x < y }
                }
                return false
            }
        }
    }
}

extension NodeID: LosslessStringConvertible {
    /// Reads `<z-base-32 of the key>.snode`; nil for anything else.
    ///
    /// The text must have 52 characters of the alphabet in lower case, the last of which has only one bit, and
    /// `.snode`.
    public init?(_ text: String) {
        let characters = Array(text.utf8)
        guard characters.count == Self.textLength + Self.suffix.utf8.count,
            characters[Self.textLength...].elementsEqual(Self.suffix.utf8)
        else { return nil }
        guard let bytes = ZBase32.decode(characters[..<Self.textLength]), let key = Bytes32(bytes) else { return nil }
        self.key = key
    }

    /// The text form: `<z-base-32 of the key>.snode`.
    public var description: String { ZBase32.encode(key.array) + Self.suffix }
}

extension ByteReader {
    /// A node id, 32 bytes.
    public mutating func nodeID() throws(WireError) -> NodeID { NodeID(try bytes32()) }
}

extension ByteWriter {
    /// A node id, 32 bytes.
    public mutating func nodeID(_ value: NodeID) { bytes32(value.key) }
}

/// A module's data about one node, kept across restarts in the module's encoding.
public struct NodeRow: Hashable, Sendable {
    /// The node that the data is about.
    public let node: NodeID
    /// The data, in an encoding that the module versions itself.
    public let bytes: [UInt8]

    /// The row `bytes` about `node`.
    public init(node: NodeID, bytes: [UInt8]) {
        self.node = node
        self.bytes = bytes
    }
}

extension NodeID {
    /// Whether `text` is a prefix of this id with at least four characters, or a form such as `abcdefgh…snode`.
    public func hasShortForm(_ text: String) -> Bool {
        let head = text.hasSuffix("…snode") ? String(text.dropLast("…snode".count)) : text
        return head.utf8.count >= 4 && description.hasPrefix(head)
    }
}

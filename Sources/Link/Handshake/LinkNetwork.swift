internal import OnionCrypto
public import Wire

/// The parameters that all links of one network share: its id and its packet size.
public struct LinkNetwork: Hashable, Sendable {
    /// The protocol version that this code speaks (protocol.md, section 3).
    public static let version: UInt16 = 2

    /// The id that the handshake authenticates: peers of other networks drop each other's packets.
    public let id: Bytes32
    /// The size of every datagram in bytes.
    public let packetSize: Int

    /// The network `id`; `packetSize` must be within the limits of `Packet`.
    public init(id: Bytes32, packetSize: Int = Packet.defaultSize) {
        precondition(
            packetSize >= Packet.minimumSize && packetSize <= Packet.maximumSize, "the packet size is out of range")
        self.id = id
        self.packetSize = packetSize
    }

    /// The key of mac1 towards `responder` (section 3.1).
    func macKey(of responder: Bytes32) -> Secret { key("mac1", responder) }

    /// The key that seals cookies of `responder` (section 3.4).
    func cookieKey(of responder: Bytes32) -> Secret { key("cookie", responder) }

    private func key(_ label: StaticString, _ responder: Bytes32) -> Secret {
        var context = ByteWriter(capacity: 34)
        context.u16(Self.version)
        context.bytes32(responder)
        return Secret(copying: id.array.rawSpan).derive(label, context: context.bytes)
    }

    /// The prologue of a link handshake (section 3.1).
    func prologue(_ kind: HandshakeKind, responder: Bytes32) -> [UInt8] {
        var writer = ByteWriter(capacity: 80)
        writer.raw("tunic link".utf8)
        writer.u16(Self.version)
        writer.u32(kind.rawValue)
        writer.bytes32(id)
        writer.bytes32(responder)
        return writer.bytes
    }

    /// The prologue of a rekey (section 3.7).
    var rekeyPrologue: [UInt8] { Array("tunic rekey".utf8) + id.array }
}

/// The first four bytes of a handshake message (protocol.md, section 3).
enum HandshakeKind: UInt32 {
    /// From a node, to a node.
    case nodeInitiation = 1
    /// From a client, to a node.
    case clientInitiation = 2
    /// The answer to either.
    case response = 3
    /// A cookie instead of an answer.
    case cookie = 4

    /// The Noise pattern of an initiation.
    var pattern: NoisePattern { self == .nodeInitiation ? .ik : .nk }
}

/// The offsets of the fields in handshake messages (protocol.md, sections 3.1 to 3.4).
enum HandshakeLayout {
    static let senderIndex = 4
    /// After type and sender index.
    static let initiationNoise = 8
    static let macSize = 16
    static func mac1(_ packetSize: Int) -> Int { packetSize - 32 }
    static func mac2(_ packetSize: Int) -> Int { packetSize - 16 }

    static let responseReceiverIndex = 8
    static let responseNoise = 12

    static let cookieReceiverIndex = 4
    static let cookieNonce = 8
    static let cookieSealed = 32
    static let cookieRandom = 64
}

public import Wire

/// The control messages about the ledger (docs/registry.md, "Bytes of the messages").
public enum LedgerMessage: UInt8, MessageFamily {
    /// Asks for the ledger's blocks above a height.
    case getBlocks = 16
    /// Tells of the ledger's height.
    case announce = 17
    /// Hands an operation to an authority.
    case submit = 18
    /// Asks an authority to promise a slot.
    case prepare = 19
    /// Asks an authority to accept a block.
    case propose = 20
    /// Asks an authority to sign a block for good.
    case commit = 21
    /// Brings an authority a block that is final.
    case final = 22

    /// The most bytes of blocks in one answer to `getBlocks`.
    public static let blocksSize = 256 << 10
    /// Room for a block with the signatures or the certificate that go with it.
    static let blockRoom = 202_400
    /// Room for a certificate with the height and hash of its block.
    static let certificateRoom = 2_200

    /// The longest body in bytes.
    public var longestBody: Int {
        switch self {
        case .getBlocks: 8
        case .announce: 40
        case .submit: RegistryOperation.maximumSize
        case .prepare: 16
        case .propose, .final: Self.blockRoom
        case .commit: Self.certificateRoom
        }
    }

    /// The longest answer in bytes.
    public var longestAnswer: Int {
        switch self {
        case .getBlocks: Self.blocksSize
        case .announce, .final: 0
        case .submit: SubmitAnswer.maximumSize
        case .prepare: Self.blockRoom
        case .propose, .commit: 1 + RegistryOperation.signatureSize
        }
    }
}

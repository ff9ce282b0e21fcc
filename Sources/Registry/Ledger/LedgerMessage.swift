public import Wire

/// The control messages about the ledger (docs/registry.md, "Bytes of the messages").
public enum LedgerMessage: UInt8, MessageFamily {
    /// Asks for the ledger's blocks above a height.
    case getBlocks = 16
    /// Announces the height of the sender's ledger.
    case announce = 17
    /// Submits an operation to an authority.
    case submit = 18
    /// Asks an authority to promise a slot.
    case prepare = 19
    /// Asks an authority to accept a block.
    case propose = 20
    /// Asks an authority to sign a block as final.
    case commit = 21
    /// Sends a final block to an authority.
    case final = 22

    /// The most bytes of blocks in one answer to `getBlocks`.
    public static let blocksSize = 256 << 10
    /// The longest block with its signatures or certificate in bytes, rounded up.
    static let blockRoom = 202_400
    /// The longest certificate with the height and hash of its block in bytes, rounded up.
    static let certificateRoom = 2_200

    /// The longest body in bytes.
    public var longestBody: Int {
        switch self {
        case .getBlocks, .announce: 8
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

/// The text that begins each signed or hashed message of directory, registry, ledger and services, before a zero byte.
///
/// It keeps a signature over one kind of message from serving for another (protocol.md, section 1.1). The other
/// prefixes of the store are in `Swarm`.
public enum MessagePrefix: String, CaseIterable, Sendable {
    // MARK: The registry: state and operations (registry.md).

    case registryState = "tunic registry state"
    case registryQuorum = "tunic registry quorum"
    case registryOperation = "tunic registry operation"
    case registryNode = "tunic registry node"
    case registryVote = "tunic registry vote"
    case registryReport = "tunic registry report"
    case registryMaintenance = "tunic registry maintenance"

    // MARK: The ledger: blocks and the authorities' agreement (registry.md).

    case ledgerGenesis = "tunic ledger genesis"
    case ledgerOperations = "tunic ledger operations"
    case ledgerContent = "tunic ledger content"
    case ledgerBlock = "tunic ledger block"
    case ledgerTurn = "tunic ledger turn"
    case ledgerSeed = "tunic ledger seed"
    case ledgerAccept = "tunic ledger accept"
    case ledgerSeal = "tunic ledger seal"

    // MARK: The directory: descriptors, snapshots and lists (protocol.md, section 10).

    case descriptor = "tunic descriptor"
    case snapshot = "tunic snapshot"
    case snapshotVoters = "tunic snapshot voters"
    case snapshotContents = "tunic snapshot contents"
    case snapshotSignature = "tunic snapshot signature"
    case list = "tunic descriptor list"
    case listSignature = "tunic descriptor list signature"
    case listProposer = "tunic list proposer"

    // MARK: The places of nodes among the shards of the store.

    case placement = "tunic placement"

    // MARK: Operators of nodes, in a network file and of an oxend daemon.

    case operatorID = "tunic operator"
    case oxendOperator = "tunic oxend operator"

    // MARK: Services: addresses and blinded keys (protocol.md, section 14).

    case serviceAddress = "tunic service address"
    case blind = "tunic blind"
    case blindPrefix = "tunic blind prefix"

    /// The text and the zero byte.
    public var bytes: [UInt8] { [UInt8](rawValue.utf8) + [0] }
}

extension ByteWriter {
    /// Appends a prefix with its zero byte.
    public mutating func prefix(_ prefix: MessagePrefix) {
        raw(prefix.rawValue.utf8)
        u8(0)
    }
}

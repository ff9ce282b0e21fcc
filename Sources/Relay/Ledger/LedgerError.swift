internal import Store

/// Why a node cannot follow the ledger of its network.
public enum LedgerError: Error, Equatable, CustomStringConvertible {
    /// The network file's state before the first block is none, or does not fit its authorities.
    case wrongGenesis
    /// The network file's first blocks are refused.
    case wrongStart(String)
    /// What the ledger's file holds is not what was written there.
    case damaged(String)
    /// The key is none of the authorities'.
    case notAuthority

    /// What is wrong and what to do.
    public var description: String {
        switch self {
        case .wrongGenesis:
            "the network file's \"ledger.genesis\" is wrong; take the network file again from where it came"
        case .wrongStart(let reason):
            "the network file's \"ledger.blocks\" are refused (\(reason)); take the network file again from where it came"
        case .damaged(let reason):
            "\(LedgerStore.fileName) in the data folder is damaged (\(reason)); a node that is no authority may move it "
                + "away and fetches the ledger again, an authority restores it from a backup taken after its last block"
        case .notAuthority:
            "the authority's key is not among those of the network file; use the key that was made with it"
        }
    }
}

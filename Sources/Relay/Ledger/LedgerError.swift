public import Registry
internal import Store
public import Wire

/// The reason why a node cannot follow the ledger of its network.
public enum LedgerError: Error, Equatable, CustomStringConvertible {
    /// The network file's state before the first block is malformed, or does not fit the network and its authorities.
    case wrongGenesis
    /// The network file's first blocks are invalid.
    case wrongStart(LedgerRefusal)
    /// The content of the ledger's file is not as it was written.
    case damaged(Damage)
    /// The key does not belong to an authority.
    case notAuthority

    /// The part of the ledger's file that is wrong.
    public enum Damage: Equatable, Sendable {
        /// It has a state before the first block.
        case stateOfNoBlock
        /// The newest state is malformed.
        case state(WireError)
        /// A block is malformed, or does not fit the ones before it.
        case block(LedgerRefusal)
        /// The authority's acceptor state is malformed.
        case acceptor(WireError)

        fileprivate var text: String {
            switch self {
            case .stateOfNoBlock: "a state before the first block"
            case .state(let error): "the state: \(error)"
            case .block(let refusal): "a block: \(refusal)"
            case .acceptor(let error): "the acceptor state: \(error)"
            }
        }
    }

    /// The fault and its remedy.
    public var description: String {
        switch self {
        case .wrongGenesis:
            "the network file's \"ledger.genesis\" is wrong; get the network file again from its source"
        case .wrongStart(let reason):
            "the network file's \"ledger.blocks\" are refused (\(reason)); get the network file again from its source"
        case .damaged(let damage):
            "\(LedgerStore.fileName) in the data folder is damaged (\(damage.text)); a node that is not an authority may "
                + "move it away and fetches the ledger again, an authority restores it from a backup taken after its last "
                + "block"
        case .notAuthority:
            "the authority's key is not among those of the network file; use the key that was made with it"
        }
    }
}

/// Why a block is not taken; the chain is as it was (docs/registry.md, "Ledger").
public enum LedgerRefusal: Error, Hashable, Sendable {
    /// The bytes are no block.
    case unreadable
    /// It is for another network.
    case otherNetwork
    /// It is the block that the chain ends with.
    case alreadyThere
    /// It lies below the block that the chain ends with, at this height.
    case rollback(to: UInt64)
    /// Blocks are missing before it; `expected` is next.
    case gap(expected: UInt64)
    /// It contradicts the chain at this height: the authorities have signed two blocks, or the chain is another one.
    case fork(height: UInt64)
    /// A signature is by an authority that the network does not have, or names one twice.
    case unknownAuthority(Int)
    /// The signature of this authority is wrong.
    case wrongSignature(authority: Int)
    /// Only `found` authorities signed where `needed` must.
    case tooFewSignatures(found: Int, needed: Int)
    /// The network has no authority at the maker's place, or the proof is not the maker's.
    case wrongMaker(Int)
    /// Its time lies before that of the block before.
    case timeWentBack
    /// Its time lies ahead of the clock.
    case fromTheFuture
    /// The operation at this place is refused by the rules of the registry.
    case operation(Int, RegistryRefusal)
    /// The registry cannot begin the block.
    case begin(RegistryRefusal)
    /// The state after it has another digest.
    case wrongState

    /// The rule's name, as docs/registry.md lists it.
    public var name: String {
        switch self {
        case .unreadable: "unreadable"
        case .otherNetwork: "otherNetwork"
        case .alreadyThere: "alreadyThere"
        case .rollback: "rollback"
        case .gap: "gap"
        case .fork: "fork"
        case .unknownAuthority: "unknownAuthority"
        case .wrongSignature: "wrongSignature"
        case .tooFewSignatures: "tooFewSignatures"
        case .wrongMaker: "wrongMaker"
        case .timeWentBack: "timeWentBack"
        case .fromTheFuture: "fromTheFuture"
        case .operation: "operation"
        case .begin: "begin"
        case .wrongState: "wrongState"
        }
    }
}

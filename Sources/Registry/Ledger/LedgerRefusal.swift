/// Why a block is refused; the chain is unchanged (docs/registry.md, "Ledger").
public enum LedgerRefusal: Error, Hashable, Sendable {
    /// The bytes do not encode a block.
    case unreadable
    /// It is for another network.
    case otherNetwork
    /// It is the chain's last block.
    case alreadyThere
    /// Its height, `to`, is below that of the chain's last block.
    case rollback(to: UInt64)
    /// Blocks before it are missing; `expected` is the next height.
    case gap(expected: UInt64)
    /// It contradicts the chain at this height: the authorities have signed two blocks, or the chain is of another
    /// network.
    case fork(height: UInt64)
    /// A signature names an authority that the network does not have, or one a second time.
    case unknownAuthority(Int)
    /// The signature of this authority is wrong.
    case wrongSignature(authority: Int)
    /// Only `found` authorities have signed, and `needed` must.
    case tooFewSignatures(found: Int, needed: Int)
    /// The network has no authority at the maker's place, or the proof does not verify.
    case wrongMaker(Int)
    /// Its time is before that of the previous block.
    case timeWentBack
    /// Its time is more than `LedgerRules.clockTolerance` ahead of the clock.
    case fromTheFuture
    /// A rule of the registry refuses the operation at this place.
    case operation(Int, RegistryRefusal)
    /// A rule of the registry refuses the block's height or time.
    case begin(RegistryRefusal)
    /// The state after it has a digest other than the block's.
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

/// A warning of a ledger node for its operator.
public enum LedgerWarning: Hashable, Sendable {
    /// A neighbour's block was refused, or an answer with blocks could not be read.
    case blockRefused(LedgerRefusal)
    /// The request of the authority at this index was refused for its date, which is `ahead` seconds or more ahead of
    /// this node's clock; a negative number is behind it.
    case dateRefused(authority: Int, ahead: Int64)
    /// The authority at this index refused a block of this node for its date; the clocks differ by more than
    /// `difference` seconds.
    case ownDateRefused(authority: Int, difference: UInt64)
}

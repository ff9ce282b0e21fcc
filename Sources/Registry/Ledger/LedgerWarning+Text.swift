extension LedgerWarning {
    /// The warning for the operator, in one or two sentences.
    public var text: String {
        switch self {
        case .blockRefused(let refusal): "A block of the ledger was refused: \(refusal)."
        case .dateRefused(let authority, let ahead):
            "A block of authority \(authority) was refused for its date: it is \(ahead.magnitude) s or more "
                + "\(ahead < 0 ? "behind" : "ahead of") this node's clock. Set the clock that is wrong."
        case .ownDateRefused(let authority, let difference):
            "Authority \(authority) refused a block of this node for its date: their clocks differ by more than "
                + "\(difference) s. Set the clock that is wrong."
        }
    }
}

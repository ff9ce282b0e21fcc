internal import Registry
internal import Store

extension LedgerFailure {
    /// The failure and its remedy, without a full stop.
    var text: String {
        switch self {
        case .file(let error): error.description
        case .content(let error): error.description
        }
    }
}

extension LedgerProblem {
    /// The problem for the operator, in one or two sentences.
    var text: String {
        switch self {
        case .unwritable(let failure): "The ledger stands here until its file can be written: \(failure.text)."
        case .warning(let warning): warning.text
        }
    }
}

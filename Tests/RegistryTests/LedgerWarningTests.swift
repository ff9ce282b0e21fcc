import Registry
import Testing

extension LedgerWarning {
    /// Whether the clocks of authorities differ.
    var isOfClocks: Bool {
        switch self {
        case .blockRefused: false
        case .dateRefused, .ownDateRefused: true
        }
    }
}

@Suite struct LedgerWarningTests {
    @Test("the operator reads which block was refused, and whose clock may be wrong")
    func texts() {
        #expect(
            LedgerWarning.blockRefused(.fork(height: 7)).text == "A block of the ledger was refused: fork(height: 7).")
        #expect(
            LedgerWarning.dateRefused(authority: 2, ahead: 42).text
                == "A block of authority 2 was refused for its date: it is 42 s or more ahead of this node's clock. "
                + "Set the clock that is wrong.")
        #expect(LedgerWarning.dateRefused(authority: 2, ahead: -42).text.contains("42 s or more behind this node's"))
        #expect(
            LedgerWarning.ownDateRefused(authority: 3, difference: 10).text
                == "Authority 3 refused a block of this node for its date: their clocks differ by more than 10 s. "
                + "Set the clock that is wrong.")
    }
}

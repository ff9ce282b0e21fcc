import Testing
import Wire

@testable import Relay

/// The number of operators at whose exits a test of a node can end.
@Suite struct ExitOperatorTests {
    @Test("s20: the exits of a node's own operator do not count for it") func ownExitsDoNotCount() {
        let operators = (1...3).map { Bytes32(copying: [UInt8](repeating: $0, count: 32).rawSpan) }
        let exits = Set(operators.prefix(2))
        #expect(Watching.others(than: operators[0], among: exits) == 1)
        #expect(Watching.others(than: operators[2], among: exits) == 2)
        #expect(Watching.others(than: nil, among: exits) == 2)
        #expect(Watching.others(than: operators[0], among: []) == 0)
    }
}

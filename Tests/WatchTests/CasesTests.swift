import OnionCrypto
import Registry
import Testing
import Wire

@testable import Watch

/// The times at which a jury looks at its cases again.
@Suite struct CasesTests {
    @Test("a case is due at once if a verdict needs fewer votes, also if the tests did not agree when that changed")
    func fewerVotes() {
        let ballot = Ballot(verdict: .decommission, node: NodeID(key(1).publicKey), height: 5)
        for agreesMeanwhile in [true, false] {
            var cases = Jury.Cases()
            var held = Jury.Case(
                ballot: ballot, sender: nil, opened: 5, nextSpread: instant(100), nextSubmit: instant(1))
            held.hasVoted = true
            held.votes = [0: [], 1: []]
            cases[ballot] = held
            let early = cases.due(fewest: 3, now: instant(2)) { _, _ in true }
            #expect(early.isEmpty, "two votes are too few, and they were told of")
            _ = cases.due(fewest: 2, now: instant(0)) { _, _ in agreesMeanwhile }
            let due = cases.due(fewest: 2, now: instant(3)) { _, _ in true }
            #expect(due == [ballot])
        }
    }
}

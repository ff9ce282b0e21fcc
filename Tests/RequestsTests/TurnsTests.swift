import Testing

@testable import Requests

/// The queue of one target.
@Suite struct TurnsTests {
    @Test("RQ4: a queue in which nobody waits any more holds nothing of those who gave up")
    func rq4GivenUp() {
        var turns = RequestTurns()
        func source(_ session: UInt64) -> RequestProxy.Source {
            .init(origin: .link(ProxyBench.link), session: session)
        }
        for session in 1...1_000 as ClosedRange<UInt64> { turns.append(session, of: source(session), isNew: true) }
        for session in 1...1_000 as ClosedRange<UInt64> { turns.remove(session, of: source(session)) }
        #expect(turns.isEmpty && turns.sessions == 0)
        // A waiting request keeps its place, whatever happens to others.
        turns.append(1, of: source(1), isNew: true)
        turns.append(2, of: source(2), isNew: true)
        turns.remove(1, of: source(1))
        #expect(turns.next() == 2 && turns.next() == nil && turns.isEmpty)
    }
}

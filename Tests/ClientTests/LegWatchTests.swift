import Testing
import Transport
import Wire

@testable import Client

/// The leg that carries a session's data when legs stop answering.
@Suite struct LegWatchTests {
    let a = LegID(0)
    let b = LegID(1)
    let c = LegID(2)
    func at(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64(seconds * 1e9)) }

    @Test("data leaves a leg that answers nothing at once for one that does")
    func leaves() {
        var watch = LegWatch()
        #expect(watch.replacement(for: a, among: [a, b]) == nil)
        watch.suspect(a, at: at(1))
        #expect(watch.replacement(for: a, among: [a, b]) == b)
        #expect(watch.replacement(for: b, among: [a, b]) == nil)
    }

    @Test("when both are silent, data leaves as soon as the other answers or a new leg comes")
    func bothSilent() {
        var watch = LegWatch()
        watch.suspect(b, at: at(0))
        watch.suspect(a, at: at(1))
        #expect(watch.replacement(for: a, among: [a, b]) == nil)
        #expect(watch.replacement(for: a, among: [a, b, c]) == c)
        let first = watch.answered(b)
        let second = watch.answered(b)
        #expect(first && !second)
        #expect(watch.replacement(for: a, among: [a, b]) == b)
    }

    @Test("a leg that stays silent is given up after 2 s, and the last one stays suspect until another comes")
    func givesUp() {
        var watch = LegWatch()
        let both = [a, b]
        watch.suspect(a, at: at(0))
        #expect(watch.overdue(at: at(2), among: both) { _ in true } == nil)
        #expect(watch.overdue(at: at(2.1), among: both) { _ in true } == a)
        // No guard answers, so the client's own line may be down.
        #expect(watch.overdue(at: at(10), among: both, isLineSilent: true) { _ in true } == nil)
        #expect(watch.overdue(at: at(10.1), among: both, isLineSilent: true) { _ in true } == a)
        watch.suspect(b, at: at(0.5))
        watch.remove(a)
        #expect(watch.overdue(at: at(9), among: [b]) { _ in true } == nil)
        #expect(watch.replacement(for: b, among: [b, c]) == c)
        #expect(watch.overdue(at: at(9), among: [b, c]) { _ in true } == b)
    }

    @Test("a lone leg that never answered is given up too")
    func neverAnswered() {
        var watch = LegWatch()
        watch.suspect(a, at: at(0))
        #expect(watch.overdue(at: at(2.1), among: [a]) { _ in false } == a)
    }
}

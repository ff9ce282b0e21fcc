import Testing
import Wire

@testable import Relay

/// The times at which a relay takes paths, ends them, and closes.
@Suite struct RelayLifeTests {
    /// A relay's life, with times in seconds.
    private final class Subject {
        private(set) var life = RelayLife()

        private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64(seconds * 1e9)) }

        func rest(_ isToRest: Bool, until end: Double) { life.rest(isToRest, until: at(end)) }
        func drain(at now: Double, until end: Double) -> Bool { life.drain(now: at(now), until: at(end)) {} }
        func close() -> Bool { life.close() }
        func endsQuietPaths(at now: Double) -> Bool { life.endsQuietPaths(at(now)) }
        func endsAllPaths(at now: Double) -> Bool { life.endsAllPaths(at(now)) }

        /// Notes the remaining paths and streams; whether the drain is over.
        func isOver(paths: Int, ends: Int = 0, streams: Int = 0, at now: Double) -> Bool {
            life.note(paths: paths, ends: ends, streams: streams, now: at(now)) != nil
        }
    }

    private let subject = Subject()

    @Test("A relay that rests takes no paths, ends them at the limit, stays, and serves again") func rests() {
        #expect(subject.life.takesPaths && !subject.endsQuietPaths(at: 1) && !subject.endsAllPaths(at: 1))
        subject.rest(true, until: 31)
        #expect(!subject.life.takesPaths && subject.life.isResting)
        #expect(subject.endsQuietPaths(at: 1))
        #expect(!subject.endsQuietPaths(at: 2.9))
        #expect(subject.endsQuietPaths(at: 3))
        // The first limit counts.
        subject.rest(true, until: 90)
        #expect(!subject.endsAllPaths(at: 30.9) && subject.endsAllPaths(at: 31))
        #expect(!subject.isOver(paths: 0, at: 40) && !subject.life.isClosed)
        subject.rest(false, until: 90)
        #expect(subject.life.takesPaths && !subject.endsAllPaths(at: 100))
    }

    @Test("A drain is over without paths, at its limit, or when no stream has been open for a while", arguments: 0..<4)
    func drains(manner: Int) {
        if manner == 3 { subject.rest(true, until: 5) }
        #expect(subject.drain(at: 10, until: 40))
        #expect(!subject.life.takesPaths && subject.life.isDraining && !subject.life.isResting)
        // A second drain has no effect, and it is too late to serve again.
        #expect(!subject.drain(at: 10, until: 11))
        subject.rest(false, until: 90)
        #expect(!subject.life.takesPaths && !subject.endsAllPaths(at: 39))
        #expect(!subject.isOver(paths: 2, ends: 2, streams: 1, at: 20))
        switch manner {
        case 0: #expect(subject.isOver(paths: 0, at: 20.1))
        case 1:
            #expect(!subject.isOver(paths: 2, ends: 1, at: 39.9))
            #expect(subject.isOver(paths: 2, ends: 1, at: 40))
        default:
            #expect(!subject.isOver(paths: 2, ends: 2, at: 21.9))
            #expect(subject.isOver(paths: 2, ends: 2, at: 22))
        }
        #expect(!subject.life.isDraining && !subject.life.isClosed)
        // The end of the drain is told once.
        #expect(!subject.isOver(paths: 0, at: 50))
        #expect(subject.close())
        #expect(subject.life.isClosed && !subject.close())
    }

    @Test("Nothing begins again after the end") func closed() {
        #expect(subject.close())
        subject.rest(true, until: 1)
        #expect(!subject.drain(at: 1, until: 2))
        #expect(subject.life.isClosed && !subject.life.takesPaths)
        #expect(!subject.endsQuietPaths(at: 9) && !subject.endsAllPaths(at: 9))
    }
}

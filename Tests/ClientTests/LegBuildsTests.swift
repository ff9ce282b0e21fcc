import Testing
import Wire

@testable import Client

/// The times at which a session builds its legs.
@Suite struct LegBuildsTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: 1) + .milliseconds(milliseconds) }

    @Test("one build at a time with a leg; without one two, and one more for each second that the last takes")
    func builds() {
        var builds = LegBuilds()
        #expect(builds.mayBegin(isLegless: false, at: at(5_000)))
        builds.began(at: at(5_000))
        #expect(!builds.mayBegin(isLegless: false, at: at(5_000)) && builds.mayBegin(isLegless: true, at: at(5_000)))
        builds.began(at: at(5_000))
        for second in 1...2 as ClosedRange<Int64> {
            #expect(!builds.mayBegin(isLegless: true, at: at(5_000 * second + 999)))
            #expect(builds.mayBegin(isLegless: true, at: at(5_000 * second + 1_000)))
            builds.began(at: at(5_000 * second + 5_000))
        }
        #expect(!builds.mayBegin(isLegless: true, at: at(60_000)))
        builds.succeeded()
        #expect(builds.mayBegin(isLegless: true, at: at(60_000)))
    }

    @Test("after failures in a row builds pause, longer each time; a success ends that") func failures() {
        var builds = LegBuilds()
        for pause in [100, 200, 400, 800, 1_600, 3_000, 3_000] as [Int64] {
            builds.began(at: at(0))
            builds.failed(at: at(0))
            #expect(!builds.mayBegin(isLegless: true, at: at(pause - 1)))
            #expect(builds.mayBegin(isLegless: true, at: at(pause)))
        }
        builds.began(at: at(10_000))
        builds.succeeded()
        builds.began(at: at(10_000))
        builds.failed(at: at(10_000))
        #expect(builds.mayBegin(isLegless: true, at: at(10_100)))
    }

    @Test("where no guard takes a build a standby leg waits a second, and a lost leg does not") func refusals() {
        var builds = LegBuilds()
        builds.began(at: at(0))
        builds.refused(isLegless: true, at: at(0))
        #expect(builds.mayBegin(isLegless: true, at: at(0)))
        builds.began(at: at(0))
        builds.refused(isLegless: false, at: at(0))
        #expect(!builds.mayBegin(isLegless: false, at: at(999)) && builds.mayBegin(isLegless: false, at: at(1_000)))
    }

    @Test("builds over another guard are tried after 15 s, 30 s and so on, up to ten minutes") func apart() {
        var builds = LegBuilds()
        var time: Int64 = 0
        for pause in [15, 30, 60, 120, 240, 480, 600, 600] as [Int64] {
            #expect(builds.mayBeginApart(at: at(time)))
            builds.triedApart(at: at(time))
            time += pause * 1_000
            #expect(!builds.mayBeginApart(at: at(time - 1)))
        }
    }
}

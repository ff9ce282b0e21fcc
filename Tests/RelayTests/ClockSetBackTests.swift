import Directory
import LoopTesting
import Testing
import Wire

@testable import EventLoop
@testable import Relay

/// A node whose clock was wrong for a moment.
@Suite struct ClockSetBackTests {
    @Test("s27: a descriptor that was signed while the clock was ahead is signed anew when the clock is set back")
    func s27TheOwnDescriptorIsSignedAnew() throws {
        let harness = try RelayHarness()
        let host = try #require(harness.loop.host)
        func published() -> UInt64? {
            harness.relay.directory.nodes.descriptors.descriptor(of: harness.node, at: UnixTime(seconds: 0))?
                .descriptor.published.seconds
        }
        func time() -> UInt64 { harness.loop.wallClock / 1_000_000_000 }
        let right = try #require(published())
        host.clockError = 9 * 3_600 * 1_000_000_000
        #expect(harness.run(for: .seconds(10)) { published() ?? 0 > right + 8 * 3_600 })
        host.clockError = 0
        // Others take this one, and it counts as newer than the one before the clock went wrong.
        #expect(harness.run(for: .seconds(10)) { published().map { $0 > right && $0 <= time() } == true })
        // From then on it is renewed as ever.
        let anew = try #require(published())
        harness.loop.run(for: .seconds(120)) { false }
        #expect(published() == anew)
        host.clockError = 8 * 3_600 * 1_000_000_000
        #expect(harness.run(for: .seconds(10)) { published() ?? 0 >= anew + 8 * 3_600 })
    }
}

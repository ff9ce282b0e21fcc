import EventLoop
import Link
import Testing
import Wire

@testable import Links

@Suite struct LinkCrewTests {
    @Test("a worker runs as long as it tells every 50 ms what has passed") func runs() {
        let configuration = LinksConfiguration(
            network: LinkNetwork(id: Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan)), listen: [],
            messages: [])
        let lane = PacketLane(packetSize: 1_392) { _ in false }
        let ways = LinkCrewWays(
            order: { _, _ in }, lanes: [nil, lane, lane], shares: SendShares(workers: 3), limitReceiveBuffers: { _ in })
        let start = Instant(nanoseconds: 5_000_000_000)
        var crew = LinkCrew(ways, configuration, now: start)
        #expect(crew.allRun(now: start + .milliseconds(199)))
        #expect(!crew.allRun(now: start + .milliseconds(200)))
        crew.note(LinkPulse(worker: 1, parts: [], received: 0), now: start + .milliseconds(100))
        #expect(!crew.allRun(now: start + .milliseconds(250)))
        #expect(crew.runs(1, now: start + .milliseconds(250)) && !crew.runs(2, now: start + .milliseconds(250)))
        crew.note(LinkPulse(worker: 2, parts: [], received: 0), now: start + .milliseconds(150))
        #expect(crew.allRun(now: start + .milliseconds(299)))
        #expect(LinkCrew(nil, configuration, now: start).allRun(now: start + .seconds(60)))
    }
}

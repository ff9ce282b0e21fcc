import EventLoop
import Testing
import Wire

@testable import Links

/// The lane of a worker to worker 0.
@Suite struct HandoverLaneTests {
    private func handover(_ link: UInt32) -> LinkHandover {
        LinkHandover(link: LinkID(rawValue: link), source: .loopbackIPv4(port: 1), kind: .stranger)
    }

    @Test("R1: a link that floods a worker's lane to worker 0 takes no place of another link") func r1_shares() {
        var waiting: [LinkHandover] = []
        let lane = HandoverLane(isEmpty: { waiting.isEmpty }) {
            guard waiting.count < HandoverLane.capacity else { return false }
            waiting.append($0)
            return true
        }
        // Some links flood, and worker 0 stands still.
        for _ in 0..<1_000 { for link in UInt32(0)..<15 { _ = lane.add(handover(link)) } }
        #expect(waiting.count == 15 * HandoverLane.mostOfLink)
        #expect(!lane.hasRoom(for: LinkID(rawValue: 0)))
        #expect(lane.hasRoom(for: LinkID(rawValue: 50)) && lane.add(handover(50)))
        // It has received all.
        waiting = []
        #expect(lane.hasRoom(for: LinkID(rawValue: 0)) && lane.add(handover(0)))
        #expect(waiting.count == 1)
    }

    @Test("what a full lane refuses is not counted for its link") func fullLane() {
        var (isFull, isEmpty) = (true, false)
        let lane = HandoverLane(isEmpty: { isEmpty }) { _ in !isFull }
        for _ in 0..<1_000 { #expect(!lane.add(handover(1))) }
        isFull = false
        for _ in 0..<HandoverLane.mostOfLink { #expect(lane.add(handover(1))) }
        #expect(!lane.add(handover(1)))
        isEmpty = true
        #expect(lane.add(handover(1)))
    }
}

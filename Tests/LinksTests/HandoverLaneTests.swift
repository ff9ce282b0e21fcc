import EventLoop
import Testing
import Wire

@testable import Links

/// The lane of a worker to worker 0.
@Suite struct HandoverLaneTests {
    private func handover(_ link: UInt32) -> LinkHandover {
        LinkHandover(link: LinkID(rawValue: link), source: .loopbackIPv4(port: 1), kind: .newAddress)
    }

    @Test("R1: a link that floods a worker's lane to worker 0 takes no place of another link") func r1_shares() {
        var waiting: [LinkHandover] = []
        let lane = HandoverLane(waitingCount: { waiting.count }) {
            guard waiting.count < HandoverLane.capacity else { return false }
            waiting.append($0)
            return true
        }
        // Some links flood, and worker 0 stands still.
        for _ in 0..<1_000 { for link in UInt32(0)..<15 { _ = lane.add(handover(link)) } }
        #expect(waiting.count == 15 * HandoverLane.mostOfLink)
        #expect(!lane.hasRoom(for: LinkID(rawValue: 0)))
        #expect(lane.hasRoom(for: LinkID(rawValue: 50)) && lane.add(handover(50)))
        // It receives some, and the lane is never empty: links have places for what was received of theirs.
        let received = waiting.prefix(600).filter { $0.link == LinkID(rawValue: 3) }.count
        waiting.removeFirst(600)
        for _ in 0..<received { #expect(lane.add(handover(3))) }
        #expect(received == 40 && !lane.add(handover(3)))
        #expect(lane.hasRoom(for: LinkID(rawValue: 50)))
        // It has received all.
        waiting = []
        for _ in 0..<HandoverLane.mostOfLink { #expect(lane.add(handover(0))) }
        #expect(!lane.add(handover(0)))
    }

    @Test("what a full lane refuses is not counted for its link") func fullLane() {
        var (isFull, waiting) = (true, 0)
        let lane = HandoverLane(waitingCount: { waiting }) { _ in
            if !isFull { waiting += 1 }
            return !isFull
        }
        for _ in 0..<1_000 { #expect(!lane.add(handover(1))) }
        isFull = false
        for _ in 0..<HandoverLane.mostOfLink { #expect(lane.add(handover(1))) }
        #expect(!lane.add(handover(1)))
        waiting = 0
        #expect(lane.add(handover(1)))
    }
}

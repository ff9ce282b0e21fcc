import Testing

@testable import EventLoop

struct DropNameTests {
    @Test("V6: every drop of a socket has a name that status and metrics show")
    func v6SocketDropsHaveNames() {
        var counters = DatagramCounters()
        (counters.droppedMalformed, counters.droppedBlocked, counters.droppedWithoutSlot) = (1, 2, 3)
        (counters.droppedOversize, counters.droppedUnreachable) = (4, 5)
        #expect(
            counters.drops.map(\.name)
                == ["socketMalformed", "socketFull", "noSendSlot", "tooLongForPath", "notSent"])
        #expect(counters.drops.map(\.count) == [1, 2, 3, 4, 5])
    }
}

import Testing
import Transport
import Wire

/// Acknowledgements are sparse, because each costs a whole packet.
struct AckFrequencyTests {
    /// Once the transfer runs, a receiver sends at most one packet for eight received ones.
    @Test(arguments: [(300, 15e6), (1_000, 15e6), (5_000, 15e6), (60_000, 12.5e6), (200, 400e6)])
    func aReceiverSendsFewPackets(roundTrip: Int64, rate: Double) throws {
        let simulator = Simulator(seed: 31)
        var shape = LinkShape()
        shape.delay = .microseconds(roundTrip / 2)
        shape.bytesPerSecond = rate
        shape.queue = 2 << 20
        var back = shape
        back.bytesPerSecond = 400e6
        let there = SimulatedLink(shape)
        let backLink = SimulatedLink(back)
        let flow = simulator.addFlow(legs: [0: (there, backLink)])
        let bulk = BulkTransfer(simulator, flow: flow)
        simulator.run(.milliseconds(300))
        let before = (there.carried, backLink.carried)
        simulator.run(.milliseconds(500))
        let ratio = Double(there.carried - before.0) / Double(backLink.carried - before.1)
        print("round trip \(roundTrip) us, \(rate / 1e6) MB/s: \(ratio) packets for one back")
        #expect(ratio >= 8)
        #expect(bulk.received > 0)
    }
}

import Testing
import Transport
import Wire

/// What the controllers make of the path that the requirements name: 100 Mbit/s, 60 ms, one bandwidth-delay product of queue.
@Suite(.serialized)
struct CongestionTests {
    /// The share of the link's stream bytes that one bulk stream gets.
    static func share(_ algorithm: CongestionAlgorithm, _ shape: LinkShape, seconds: Int64, seed: UInt64) -> Double {
        let simulator = Simulator(seed: seed)
        var configuration = Configuration()
        configuration.congestion = algorithm
        var back = LinkShape()
        back.delay = shape.delay
        back.bytesPerSecond = shape.bytesPerSecond
        let flow = simulator.addFlow(configuration, legs: [0: (SimulatedLink(shape), SimulatedLink(back))])
        let bulk = BulkTransfer(simulator, flow: flow)
        simulator.run(.seconds(seconds))
        #expect(simulator.flows[flow].initiator.violations.isEmpty)
        #expect(simulator.flows[flow].responder.violations.isEmpty)
        let most = shape.bytesPerSecond * Double(seconds) * Double(Simulator.payloadSize) / Double(Simulator.packetSize)
        return Double(bulk.received) / most
    }

    static func shape(loss: Double = 0, reorder: Double = 0) -> LinkShape {
        var shape = LinkShape()
        shape.loss = loss
        shape.reorder = reorder
        return shape
    }

    @Test(arguments: [(0.0, 0.0, 0.9), (0.001, 0.0, 0.8), (0.01, 0.0, 0.5), (0.0, 0.05, 0.85)])
    func oneStreamFillsThePath(loss: Double, reorder: Double, least: Double) {
        let shape = Self.shape(loss: loss, reorder: reorder)
        let model = Self.share(.model, shape, seconds: 10, seed: 1)
        let cubic = Self.share(.cubic, shape, seconds: 10, seed: 1)
        print("loss \(loss) reorder \(reorder): model \(model), cubic \(cubic)")
        #expect(model >= least)
        if loss == 0 { #expect(cubic >= 0.85) }
    }
}

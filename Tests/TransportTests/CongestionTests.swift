import Testing
import Transport
import Wire

/// The controllers on the path of the requirements: 100 Mbit/s, 60 ms, a queue of one bandwidth-delay product.
///
/// Shares are fractions of the stream bytes that the link's packets can carry.
@Suite(.serialized)
struct CongestionTests {
    static func shape(loss: Double = 0, reorder: Double = 0) -> LinkShape {
        var shape = LinkShape()
        shape.loss = loss
        shape.reorder = reorder
        return shape
    }

    /// The shares of the link of bulk streams on connections of their own, started `apart` from each other.
    static func shares(
        _ algorithms: [CongestionAlgorithm], _ shape: LinkShape, seconds: Int64, apart: TimeSpan = .zero, seed: UInt64
    ) -> [Double] {
        let simulator = Simulator(seed: seed)
        var back = LinkShape()
        back.delay = shape.delay
        let there = SimulatedLink(shape)
        let return_ = SimulatedLink(back)
        var transfers: [BulkTransfer] = []
        var passed = TimeSpan.zero
        for (index, algorithm) in algorithms.enumerated() {
            var configuration = ConnectionConfiguration()
            configuration.congestion = algorithm
            let flow = simulator.addFlow(configuration, legs: [0: (there, return_)])
            transfers.append(BulkTransfer(simulator, flow: flow))
            if index + 1 < algorithms.count, apart > .zero {
                simulator.run(apart)
                passed = passed + apart
            }
        }
        simulator.run(.seconds(seconds) - passed)
        for flow in simulator.flows {
            #expect(flow.initiator.violations.isEmpty && flow.responder.violations.isEmpty)
        }
        let most = shape.bytesPerSecond * Double(seconds) * Double(Simulator.payloadSize) / Double(Simulator.packetSize)
        return transfers.map { Double($0.received) / most }
    }

    static func jain(_ shares: [Double]) -> Double {
        let sum = shares.reduce(0, +)
        return sum * sum / (Double(shares.count) * shares.reduce(0) { $0 + $1 * $1 })
    }

    @Test(arguments: [(0.0, 0.0, 0.9), (0.001, 0.0, 0.8), (0.01, 0.0, 0.5), (0.0, 0.05, 0.85)])
    func oneStreamFillsThePath(loss: Double, reorder: Double, least: Double) {
        let shape = Self.shape(loss: loss, reorder: reorder)
        let model = Self.shares([.model], shape, seconds: 4, seed: 1)[0]
        let cubic = Self.shares([.cubic], shape, seconds: 4, seed: 1)[0]
        print("loss \(loss) reordering \(reorder): model \(model), cubic \(cubic)")
        #expect(model >= least)
        if loss == 0 { #expect(cubic >= least) }
    }

    @Test func twoFlowsShare() {
        let shares = Self.shares([.model, .model], Self.shape(), seconds: 30, seed: 2)
        print("two flows, model: \(shares), Jain \(Self.jain(shares))")
        #expect(Self.jain(shares) >= 0.9)
    }

    /// A quarter of the rate shortens the test.
    @Test func aLateFlowGetsItsShare() {
        var shape = Self.shape()
        shape.bytesPerSecond /= 4
        shape.queue /= 4
        let shares = Self.shares([.model, .model], shape, seconds: 20, apart: .seconds(1), seed: 3)
        print("two flows, 1 s apart, model: \(shares), Jain \(Self.jain(shares))")
        #expect(Self.jain(shares) >= 0.85)
    }
}

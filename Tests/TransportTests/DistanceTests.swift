import Testing
import Transport
import Wire

/// Streams over a distant bottleneck with a drop-tail queue; unless a test says so, the round trip is 180 ms.
///
/// Rates are in Mbit/s of the bottleneck, of which packets carry 0.905 as stream bytes.
@Suite(.serialized)
struct DistanceTests {
    /// A bottleneck, the way back, and the flows over them.
    final class Line {
        let simulator: Simulator
        let there: SimulatedLink
        let back: SimulatedLink

        init(_ rate: Double, queue: Int64, delay: Int64 = 90, loss: Double = 0, up: Double = 100, seed: UInt64) {
            simulator = Simulator(seed: seed)
            there = SimulatedLink(Self.shape(rate, queue: queue, delay: delay, loss: loss))
            back = SimulatedLink(Self.shape(up, queue: 1_000, delay: delay, loss: loss))
        }

        /// A shape; `queue` and `delay` are in milliseconds.
        static func shape(_ rate: Double, queue: Int64, delay: Int64 = 90, loss: Double = 0) -> LinkShape {
            var shape = LinkShape()
            shape.bytesPerSecond = rate * 125_000
            shape.delay = .milliseconds(delay)
            shape.queue = Int(shape.bytesPerSecond * Double(queue) / 1_000)
            shape.loss = loss
            return shape
        }

        func start(_ algorithm: CongestionAlgorithm = .model) -> BulkTransfer {
            var configuration = ConnectionConfiguration()
            configuration.congestion = algorithm
            return BulkTransfer(simulator, flow: simulator.addFlow(configuration, legs: [0: (there, back)]))
        }

        /// Another stream of the first flow.
        func another() -> BulkTransfer { BulkTransfer(simulator, flow: 0) }

        /// The rates of the bottleneck that a transfer uses, one for each step.
        func course(_ transfer: BulkTransfer, steps: Int, of step: TimeSpan = .milliseconds(100)) -> [Double] {
            (0..<steps).map { _ in
                let before = transfer.received
                simulator.run(step)
                let bytes = Double(transfer.received - before)
                return bytes / step.inSeconds / 125_000 * Double(Simulator.packetSize) / Double(Simulator.payloadSize)
            }
        }
    }

    static func mean(_ rates: some Collection<Double>) -> Double { rates.reduce(0, +) / Double(rates.count) }

    /// The number of steps until two in a row have 80 % of `rate` on average.
    static func stepsTo(_ rate: Double, _ course: [Double]) -> Int? {
        zip(course, course.dropFirst()).enumerated().first { ($0.element.0 + $0.element.1) / 2 >= rate * 0.8 }
            .map { $0.offset + 1 }
    }

    @Test("Holes do not pin a stream: 3 % loss leaves it three quarters of the rate") func holesDoNotPinAStream() {
        let line = Line(40, queue: 100, loss: 0.03, seed: 1)
        let course = line.course(line.start(), steps: 60)
        print("3 % loss: \(Self.mean(course.suffix(30))) of 40")
        #expect(Self.mean(course.suffix(30)) >= 30)
    }

    @Test("Start-up ends when a queue is seen") func startUpEndsWithDelay() throws {
        let line = Line(100, queue: 100, seed: 2)
        let course = line.course(line.start(), steps: 26)
        let steps = try #require(Self.stepsTo(100, course))
        print("start-up: 80 % after \(steps) tenths of a second, \(line.there.drops) dropped")
        #expect(steps <= 25)
        #expect(line.there.drops <= 200)
    }

    @Test("After a rest the rate is searched anew: 4 to 40 Mbit/s") func aRestFindsMore() throws {
        let line = Line(4, queue: 100, seed: 4)
        let first = line.start()
        line.simulator.run(.seconds(5))
        first.isPaused = true
        line.simulator.run(.seconds(20))
        line.there.shape = Line.shape(40, queue: 100)
        let course = line.course(line.another(), steps: 30)
        let steps = try #require(Self.stepsTo(40, course))
        print("4 to 40: 80 % after \(steps) tenths of a second")
        #expect(steps <= 29)
    }

    @Test("After a rest little is sent at first: 40 to 4 Mbit/s, a second of queue") func aRestFindsLess() {
        let line = Line(40, queue: 1_000, seed: 4)
        let first = line.start()
        line.simulator.run(.seconds(3))
        first.isPaused = true
        line.simulator.run(.seconds(20))
        line.there.shape = Line.shape(4, queue: 1_000)
        let dropped = line.there.drops
        let course = line.course(line.another(), steps: 60)
        let silence = course.dropFirst(4).split { $0 > 0 }.map(\.count).max() ?? 0
        print("40 to 4: \(line.there.drops - dropped) dropped, silent for \(silence) tenths of a second")
        #expect(line.there.drops - dropped <= 50)
        #expect(silence <= 4)
        #expect(Self.mean(course.suffix(20)) >= 3.2)
    }

    @Test("A rate that rises without a rest is found") func aRisingRateIsFound() throws {
        let line = Line(4, queue: 100, seed: 4)
        let transfer = line.start()
        line.simulator.run(.seconds(5))
        line.there.shape = Line.shape(40, queue: 100)
        let steps = try #require(Self.stepsTo(40, line.course(transfer, steps: 50)))
        print("4 to 40 without a rest: 80 % after \(steps) tenths of a second")
        #expect(steps <= 45)
    }

    @Test("A neighbour of CUBIC keeps its part", arguments: [100, 400] as [Int64])
    func cubicKeepsItsPart(queue: Int64) {
        let line = Line(25, queue: queue, seed: 5)
        let cubic = line.start(.cubic)
        line.simulator.run(.seconds(4))
        let model = line.start()
        line.simulator.run(.seconds(6))
        let (before, own) = (cubic.received, model.received)
        line.simulator.run(.seconds(10))
        let (theirs, ours) = (Double(cubic.received - before), Double(model.received - own))
        print("queue \(queue) ms: CUBIC has \(theirs / (theirs + ours)) of both")
        #expect(theirs >= (theirs + ours) * 0.3)
        #expect(ours >= (theirs + ours) * 0.1)
    }

    @Test("The queue beside a download stays short") func theQueueStaysShort() throws {
        let line = Line(20, queue: 1_000, seed: 3)
        let bulk = line.start()
        var longest: [TimeSpan] = []
        for _ in 0..<20 {
            let request = ScenarioTests.Request(line.simulator, flow: 0, size: 1, reply: 1)
            let start = line.simulator.now
            line.simulator.run(.seconds(2), until: { request.answered != nil })
            longest.append(try #require(request.answered) - start)
            line.simulator.run(.milliseconds(70))
        }
        longest.sort()
        print("beside a download: \(longest[10].inMilliseconds) ms, at most \(longest[19].inMilliseconds)")
        #expect(longest[10] <= .milliseconds(210))
        #expect(longest[19] <= .milliseconds(310))
        #expect(bulk.received > 0)
    }

    @Test("Credit follows the product of rate and round trip") func creditFollowsTheProduct() {
        // The product is 4.5 MB.
        let line = Line(40, queue: 300, delay: 500, seed: 6)
        let transfer = line.start()
        line.simulator.run(.seconds(14))
        let course = line.course(transfer, steps: 20)
        print("40 Mbit/s, 1 s: \(Self.mean(course))")
        #expect(Self.mean(course) >= 32)
    }

    @Test("A narrow uplink carries the acknowledgements", arguments: [(1.0, 21.0), (0.5, 19)])
    func aNarrowUplinkSuffices(up: Double, least: Double) {
        let line = Line(25, queue: 100, up: up, seed: 7)
        let course = line.course(line.start(), steps: 70)
        print("25 down, \(up) up: \(Self.mean(course.suffix(40)))")
        #expect(Self.mean(course.suffix(40)) >= least)
    }

    @Test("Reordering costs few acknowledgements") func reorderingCostsFewAcknowledgements() {
        let line = Line(40, queue: 100, seed: 8)
        line.there.shape.reorder = 0.2
        line.there.shape.reorderBy = .milliseconds(20)
        let course = line.course(line.start(), steps: 40)
        print("reordered: \(line.back.carried) back for \(line.there.carried), \(Self.mean(course.suffix(20)))")
        #expect(line.back.carried * 20 <= line.there.carried)
        #expect(Self.mean(course.suffix(20)) >= 34)
    }
}

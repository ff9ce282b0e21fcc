import SeededRandom
import Testing
import Transport
import Wire

/// The behaviour that applications see over simulated links.
@Suite(.serialized)
struct ScenarioTests {
    /// Writes a request of `size` bytes on a new stream, and records when the reply has ended.
    final class Request {
        private(set) var answered: Instant?
        init(_ simulator: Simulator, flow: Int, size: Int = 200, reply: Int = 400) {
            let (initiator, responder) = simulator.flows[flow]
            guard let stream = try? initiator.connection.openStream() else { return }
            let before = responder.onEvent
            responder.onEvent = { end, event, now in
                guard event == .readable(stream) else { return before(end, event, now) }
                end.connection.withReadable(stream) { $0.byteCount }
                guard end.connection.readState(stream) == .finished else { return }
                let bytes = [UInt8](repeating: 2, count: reply)
                let span = bytes.span
                _ = unsafe end.connection.write(stream, span.bytes)
                end.connection.finish(stream)
            }
            let previous = initiator.onEvent
            initiator.onEvent = { [self] end, event, now in
                guard event == .readable(stream) else { return previous(end, event, now) }
                end.connection.withReadable(stream) { $0.byteCount }
                if end.connection.readState(stream) == .finished { answered = now }
            }
            let bytes = [UInt8](repeating: 1, count: size)
            let span = bytes.span
            _ = unsafe initiator.connection.write(stream, span.bytes)
            initiator.connection.finish(stream)
        }
    }

    @Test func aRequestBesideABulkStreamIsAnsweredQuickly() throws {
        let simulator = Simulator(seed: 4)
        let flow = simulator.addFlow(legs: [0: (SimulatedLink(LinkShape()), SimulatedLink(LinkShape()))])
        let bulk = BulkTransfer(simulator, flow: flow)
        simulator.run(.seconds(2))
        let start = simulator.now
        let request = Request(simulator, flow: flow)
        simulator.run(.seconds(1), until: { request.answered != nil })
        let answered = try #require(request.answered)
        print("request beside a bulk stream: \((answered - start).inMilliseconds) ms")
        #expect(answered - start <= .milliseconds(180))
        #expect(bulk.received > 0)
    }

    @Test func aTransferGoesOnWhenItsLegDies() throws {
        let simulator = Simulator(seed: 5)
        var dying = LinkShape()
        dying.diesAt = simulator.now + .seconds(1)
        let flow = simulator.addFlow(legs: [
            0: (SimulatedLink(dying), SimulatedLink(dying)),
            1: (SimulatedLink(LinkShape()), SimulatedLink(LinkShape())),
        ])
        var switched: Instant?
        simulator.flows[flow].initiator.onEvent = { end, event, now in
            guard event == .legSuspect(LegID(0)) else { return }
            switched = now
            end.connection.activate(LegID(1), now: now)
        }
        let bulk = BulkTransfer(simulator, flow: flow)
        simulator.run(.seconds(1))
        simulator.run(.milliseconds(100))
        let before = bulk.received
        let start = simulator.now
        simulator.run(.seconds(2), until: { bulk.received > before })
        print("leg death: goes on after \((simulator.now - start).inMilliseconds) ms")
        #expect(switched != nil)
        #expect(simulator.now - start <= .milliseconds(900))
        simulator.flows[flow].initiator.connection.removeLeg(LegID(0), now: simulator.now)
        simulator.run(.seconds(1))
        #expect(bulk.received > before + 3_000_000)
        #expect(holds(simulator.flows[flow].responder.connection.activeLeg == LegID(1)))
        #expect(holds(simulator.flows[flow].responder.connection.legStatus(LegID(0)) == nil))
    }

    /// Each leg sends the end once, so one that is dead does not use up the other's.
    @Test(arguments: [0, 1] as [UInt8])
    func anEndArrivesOverTheLegThatWorks(dead: UInt8) {
        let simulator = Simulator(seed: 7)
        var dying = LinkShape()
        dying.diesAt = simulator.now + .milliseconds(500)
        let flow = simulator.addFlow(legs: [
            dead: (SimulatedLink(dying), SimulatedLink(dying)),
            1 - dead: (SimulatedLink(LinkShape()), SimulatedLink(LinkShape())),
        ])
        let (initiator, responder) = simulator.flows[flow]
        var code: UInt64?
        responder.onEvent = { _, event, _ in if case .closed(let told) = event { code = told } }
        simulator.run(.seconds(1))
        let carried = simulator.routes[flow].mapValues { $0.0.carried }
        initiator.connection.close(code: 3)
        simulator.run(.milliseconds(100))
        #expect(code == 3)
        #expect(simulator.routes[flow].mapValues { $0.0.carried } == carried.mapValues { $0 + 1 })
    }

    @Test func aFastLinkIsNotHeldBack() {
        let simulator = Simulator(seed: 6)
        var shape = LinkShape()
        shape.delay = .microseconds(100)
        shape.bytesPerSecond = 400e6
        shape.queue = 4 << 20
        let flow = simulator.addFlow(legs: [0: (SimulatedLink(shape), SimulatedLink(shape))])
        let bulk = BulkTransfer(simulator, flow: flow)
        simulator.run(.milliseconds(250))
        let rate = Double(bulk.received) / 0.25 / 1e6
        print("0.2 ms at 400 MB/s: \(rate) MB/s")
        #expect(rate > 250)
    }

    /// Random writes, reads, resets and ends over a bad link: every byte arrives once and in order.
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func everyByteArrivesOnceInOrder(seed: UInt64) {
        let simulator = Simulator(seed: seed)
        var generator = SeededGenerator(seed: seed &* 77)
        var shape = LinkShape()
        shape.bytesPerSecond = 2_000_000
        shape.delay = .milliseconds(15)
        shape.queue = 60_000
        shape.loss = 0.05
        shape.reorder = 0.1
        shape.duplicate = 0.05
        let flow = simulator.addFlow(legs: [0: (SimulatedLink(shape), SimulatedLink(shape))])
        let (initiator, responder) = simulator.flows[flow]
        var sent: [UInt64: UInt64] = [:]
        var received: [UInt64: UInt64] = [:]
        var closed = 0
        func take(_ end: Endpoint, _ id: StreamID, isPartial: Bool) {
            while true {
                let count = end.connection.withReadable(id) { bytes in
                    let count = isPartial ? (bytes.byteCount + 1) / 2 : bytes.byteCount
                    let at = received[id.value] ?? 0
                    for offset in 0..<count {
                        let byte = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
                        let position = at + UInt64(offset)
                        if byte != UInt8(truncatingIfNeeded: position &* 31 &+ position >> 8 &+ id.value) {
                            Issue.record("stream \(id.value) differs at \(position)")
                            return count
                        }
                    }
                    received[id.value] = at + UInt64(count)
                    return count
                }
                if count == 0 { break }
            }
        }
        responder.onEvent = { end, event, _ in
            if case .readable(let id) = event { take(end, id, isPartial: id.value % 4 == 0) }
            if case .streamOpened(let id) = event { end.connection.finish(id) }
            if case .streamClosed = event { closed += 1 }
        }
        initiator.onEvent = { end, event, _ in
            if case .readable(let id) = event { end.connection.withReadable(id) { $0.byteCount } }
        }
        var open: [StreamID] = []
        for _ in 0..<400 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0:
                if let id = try? initiator.connection.openStream() {
                    open.append(id)
                    sent[id.value] = 0
                }
            case 1 where open.count > 4:
                let id = open.remove(at: Int.random(in: 0..<open.count, using: &generator))
                initiator.connection.finish(id)
            default:
                guard let id = open.randomElement(using: &generator) else { continue }
                let at = sent[id.value] ?? 0
                let count = UInt64.random(in: 1...20_000, using: &generator)
                let bytes = (at..<at + count).map {
                    UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ id.value)
                }
                let span = bytes.span
                sent[id.value] = at + UInt64(unsafe initiator.connection.write(id, span.bytes))
            }
            simulator.run(.milliseconds(Int64.random(in: 0...10, using: &generator)))
        }
        for id in open { initiator.connection.finish(id) }
        simulator.run(.seconds(60), until: { closed == sent.count })
        #expect(closed == sent.count)
        for (id, count) in sent where count > 0 { #expect(received[id] == count, "stream \(id)") }
        #expect(initiator.violations.isEmpty && responder.violations.isEmpty)
        #expect(holds(responder.connection.memoryUse < 4 << 20))
    }

    @Test func datagramsArriveWhole() {
        let simulator = Simulator(seed: 9)
        let flow = simulator.addFlow(legs: [0: (SimulatedLink(LinkShape()), SimulatedLink(LinkShape()))])
        var got: [Int: Bool] = [:]
        simulator.flows[flow].responder.onEvent = { _, event, _ in
            guard case .datagram(let number, let bytes) = event else { return }
            got[bytes.count] = number == 7 && bytes.enumerated().allSatisfy { UInt8(truncatingIfNeeded: $0 * 7) == $1 }
        }
        for size in [0, 1, 63, 64, 1_200, 1_240, 1_255, 1_260, 2_000, 65_507] {
            let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 * 7) }
            let span = bytes.span
            #expect(unsafe holds(simulator.flows[flow].initiator.connection.sendDatagram(flow: 7, span.bytes)))
        }
        let long = [UInt8](repeating: 0, count: 65_508)
        let span = long.span
        #expect(unsafe holds(!simulator.flows[flow].initiator.connection.sendDatagram(flow: 7, span.bytes)))
        simulator.run(.seconds(1))
        #expect(got.count == 10 && got.values.allSatisfy { $0 })
    }

    @Test func idleStreamsAreSmall() {
        let simulator = Simulator(seed: 10)
        let flow = simulator.addFlow(legs: [0: (SimulatedLink(LinkShape()), SimulatedLink(LinkShape()))])
        let (initiator, responder) = simulator.flows[flow]
        // The responder's grant of streams reaches the initiator.
        simulator.run(.milliseconds(200))
        #expect(holds(initiator.connection.streamsAvailable == 4_096))
        let bytes: [UInt8] = [1]
        let before = initiator.connection.memoryUse
        responder.onEvent = { end, event, _ in
            if case .readable(let id) = event { end.connection.withReadable(id) { $0.byteCount } }
        }
        for _ in 0..<2_000 {
            guard let id = try? initiator.connection.openStream() else { break }
            let span = bytes.span
            #expect(unsafe holds(initiator.connection.write(id, span.bytes) == 1))
            if id.value % 64 == 0 { simulator.run(.milliseconds(5)) }
        }
        simulator.run(.seconds(1))
        #expect(holds((initiator.connection.memoryUse - before) / 2_000 < 3_000))
        #expect(holds(responder.connection.memoryUse / 2_000 < 3_000))
    }
}

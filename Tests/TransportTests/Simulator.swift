import SeededRandom
import Transport
import Wire

/// Lets `#expect` check values that are read from noncopyable types.
func holds(_ condition: Bool) -> Bool { condition }

extension SeededGenerator {
    /// True with a probability of `p`; draws no number if that is 0.
    mutating func chance(_ p: Double) -> Bool { p > 0 && Double(next() >> 11) / 9_007_199_254_740_992 < p }
}

/// The properties of one direction of a simulated link.
struct LinkShape {
    var bytesPerSecond = 12_500_000.0
    var delay = TimeSpan.milliseconds(30)
    /// Bytes that may wait at the bottleneck.
    var queue = 750_000
    var loss = 0.0
    var reorder = 0.0
    var reorderBy = TimeSpan.milliseconds(5)
    var duplicate = 0.0
    /// No packet arrives from this moment on.
    var diesAt: Instant?
}

/// One direction of a link, shared by all flows that name it.
final class SimulatedLink {
    var shape: LinkShape
    var busyUntil = Instant(nanoseconds: 0)
    var drops = 0
    var carried = 0
    init(_ shape: LinkShape) { self.shape = shape }
}

/// Holds a connection, so that connections can be stored in an array.
final class Endpoint {
    var connection: Connection
    var numbers: [UInt8: UInt64] = [:]
    /// Called for each event.
    var onEvent: (Endpoint, ConnectionEvent, Instant) -> Void = { _, _, _ in }
    /// The violations in received packets.
    var violations: [ConnectionError] = []
    var armed: Instant?
    init(role: ConnectionRole, configuration: ConnectionConfiguration, seed: UInt64) {
        connection = Connection(role: role, configuration: configuration, seed: seed)
    }
}

/// Runs connections over links on a virtual clock.
final class Simulator {
    struct Item {
        var time: UInt64
        var order: UInt64
        var flow: Int
        /// The side that receives the packet, or whose deadline runs if `buffer` is -1.
        var toResponder: Bool
        var leg: UInt8
        var number: UInt64
        var buffer: Int
    }

    static let packetSize = 1_392
    static let payloadSize = 1_260

    var now = Instant(nanoseconds: 1_000_000_000)
    var generator: SeededGenerator
    var flows: [(initiator: Endpoint, responder: Endpoint)] = []
    /// The links towards the responder and back, by flow and leg.
    var routes: [[UInt8: (SimulatedLink, SimulatedLink)]] = []
    private var heap: [Item] = []
    private var order: UInt64 = 0
    private var buffers: [[UInt8]] = []
    private var freeBuffers: [Int] = []

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    @discardableResult
    func addFlow(
        _ configuration: ConnectionConfiguration = ConnectionConfiguration(),
        legs: [UInt8: (SimulatedLink, SimulatedLink)]
    ) -> Int {
        let initiator = Endpoint(role: .initiator, configuration: configuration, seed: generator.next())
        let responder = Endpoint(role: .responder, configuration: configuration, seed: generator.next())
        for leg in legs.keys.sorted() {
            let rtt = legs[leg]!.0.shape.delay + legs[leg]!.1.shape.delay
            initiator.connection.addLeg(LegID(leg), payloadSize: Self.payloadSize, initialRTT: rtt, now: now)
            responder.connection.addLeg(LegID(leg), payloadSize: Self.payloadSize, now: now)
        }
        flows.append((initiator, responder))
        routes.append(legs)
        return flows.count - 1
    }

    private func push(_ item: Item) {
        heap.append(item)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if before(heap[child], heap[parent]) {
                heap.swapAt(child, parent)
                child = parent
            } else {
                break
            }
        }
    }

    private func before(_ a: Item, _ b: Item) -> Bool { a.time != b.time ? a.time < b.time : a.order < b.order }

    private func pop() -> Item {
        let top = heap[0]
        let last = heap.removeLast()
        guard !heap.isEmpty else { return top }
        heap[0] = last
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, before(heap[child + 1], heap[child]) { child += 1 }
            guard before(heap[child], heap[parent]) else { break }
            heap.swapAt(child, parent)
            parent = child
        }
        return top
    }

    private func transmit(_ flow: Int, leg: UInt8, toResponder: Bool, number: UInt64, buffer: Int) {
        guard let route = routes[flow][leg] else { return freeBuffers.append(buffer) }
        let link = toResponder ? route.0 : route.1
        let shape = link.shape
        let start = max(link.busyUntil, now)
        let waiting = (start - now).inSeconds * shape.bytesPerSecond
        if waiting + Double(Self.packetSize) > Double(shape.queue) {
            link.drops += 1
            freeBuffers.append(buffer)
            return
        }
        let time = TimeSpan(nanoseconds: Int64(Double(Self.packetSize) / shape.bytesPerSecond * 1e9))
        link.busyUntil = start + time
        link.carried += 1
        var arrival = link.busyUntil + shape.delay
        if generator.chance(shape.loss) || shape.diesAt.map({ arrival >= $0 }) ?? false {
            freeBuffers.append(buffer)
            return
        }
        if generator.chance(shape.reorder) {
            let late = Int64.random(in: 0...shape.reorderBy.nanoseconds, using: &generator)
            arrival = arrival + TimeSpan(nanoseconds: late)
        }
        order += 1
        push(
            Item(
                time: arrival.nanoseconds, order: order, flow: flow, toResponder: toResponder, leg: leg,
                number: number, buffer: buffer))
        if generator.chance(shape.duplicate) {
            let copy = takeBuffer()
            buffers[copy] = buffers[buffer]
            order += 1
            push(
                Item(
                    time: arrival.nanoseconds + 1_000, order: order, flow: flow, toResponder: toResponder, leg: leg,
                    number: number, buffer: copy))
        }
    }

    private func takeBuffer() -> Int {
        if let free = freeBuffers.popLast() { return free }
        buffers.append([UInt8](repeating: 0, count: Self.payloadSize))
        return buffers.count - 1
    }

    /// Polls events and sends what may be sent, as an owner does after each call.
    func pump(_ flow: Int, responder: Bool) {
        let end = responder ? flows[flow].responder : flows[flow].initiator
        while let event = end.connection.nextEvent() { end.onEvent(end, event, now) }
        for leg in routes[flow].keys.sorted() {
            while end.connection.wantsToSend(leg: LegID(leg), now: now) {
                let buffer = takeBuffer()
                let number = (end.numbers[leg] ?? 0) + end.connection.numbersToSkip()
                var span = buffers[buffer].mutableSpan
                var bytes = unsafe span.mutableBytes
                guard
                    end.connection.writePacket(leg: LegID(leg), packetNumber: number, into: &bytes, now: now)
                else {
                    freeBuffers.append(buffer)
                    break
                }
                end.numbers[leg] = number + 1
                transmit(flow, leg: leg, toResponder: !responder, number: number, buffer: buffer)
            }
        }
        guard let deadline = end.connection.nextDeadline else { return }
        if let armed = end.armed, armed <= deadline, armed > now { return }
        let time = max(deadline, now + .microseconds(10))
        end.armed = time
        order += 1
        push(
            Item(
                time: time.nanoseconds, order: order, flow: flow, toResponder: responder, leg: 0, number: 0, buffer: -1)
        )
    }

    func pumpAll() {
        for flow in flows.indices {
            pump(flow, responder: false)
            pump(flow, responder: true)
        }
    }

    /// Runs until `span` has passed or `isDone`.
    func run(_ span: TimeSpan, until isDone: () -> Bool = { false }) {
        let end = now + span
        pumpAll()
        while let next = heap.first, next.time <= end.nanoseconds, !isDone() {
            let item = pop()
            now = max(now, Instant(nanoseconds: item.time))
            let target = item.toResponder ? flows[item.flow].responder : flows[item.flow].initiator
            if item.buffer < 0 {
                guard let armed = target.armed, armed <= now else { continue }
                target.armed = nil
                target.connection.deadlineReached(now: now)
            } else {
                let payload = buffers[item.buffer]
                let bytes = payload.span
                let verdict = unsafe target.connection.receive(
                    leg: LegID(item.leg), packetNumber: item.number, payload: bytes.bytes, now: now)
                if case .violation(let error) = verdict { target.violations.append(error) }
                freeBuffers.append(item.buffer)
            }
            pump(item.flow, responder: item.toResponder)
        }
        if !isDone() { now = max(now, end) }
    }
}

/// Keeps a stream of the initiator full, and counts at the responder what arrives.
final class BulkTransfer {
    private(set) var received = 0
    /// Writes nothing more while this is true.
    var isPaused = false
    let stream: StreamID
    private let chunk = [UInt8](repeating: 0x5a, count: 64 << 10)

    init(_ simulator: Simulator, flow: Int) {
        let (initiator, responder) = simulator.flows[flow]
        guard let stream = try? initiator.connection.openStream() else { fatalError("no stream") }
        self.stream = stream
        fill(initiator)
        let chainedInitiator = initiator.onEvent
        initiator.onEvent = { [self] end, event, now in
            if event == .writable(stream) { fill(end) } else { chainedInitiator(end, event, now) }
        }
        let chainedResponder = responder.onEvent
        responder.onEvent = { [self] end, event, now in
            guard event == .readable(stream) else { return chainedResponder(end, event, now) }
            while true {
                let count = end.connection.withReadable(stream) { $0.byteCount }
                if count == 0 { break }
                received += count
            }
        }
    }

    private func fill(_ end: Endpoint) {
        guard !isPaused else { return }
        let data = chunk
        let bytes = data.span
        while unsafe end.connection.write(stream, bytes.bytes) == data.count {}
    }
}

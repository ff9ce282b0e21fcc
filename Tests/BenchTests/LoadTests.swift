import EventLoop
import LoopTesting
import Testing

@testable import Bench

/// Runs a loop until `body` calls its second argument; fails after a minute.
///
/// The objects that `body` returns live as long as the loop runs. Bulk data arrives too fast for simulated time, so
/// its tests set `isSimulated` to false.
private func onLoop(
    isSimulated: Bool = true, _ body: (Loop, @escaping () -> Void) throws -> [AnyObject]
) throws {
    let loop = isSimulated ? Loop.simulated() : try Loop()
    var isDone = false
    let deadline = LoopTimer(on: loop) {
        Issue.record("nothing happened for a minute")
        loop.stop()
    }
    deadline.schedule(at: loop.now + 60_000_000_000)
    let kept = try body(loop) {
        isDone = true
        loop.stop()
    }
    withExtendedLifetime(kept) { loop.run() }
    #expect(isDone)
    loop.close()
}

private let loopback = SocketAddress.loopbackIPv4(port: 0)

@Test(arguments: [(Direction.down, true), (.up, true), (.up, false)])
func streamsCarryThePattern(direction: Direction, isCountedHere: Bool) throws {
    try onLoop(isSimulated: false) { loop, done in
        let farEnd = try FarEnd(on: loop, at: loopback)
        let target = try #require(farEnd.address.flatMap { ProxyTarget($0.description) })
        let plan = Throughput.Plan(
            direction: direction, streams: 3, isolates: false, warmUp: 0.1, seconds: nil, patience: 60)
        var events: [String] = []
        // On a busy machine a whole measuring interval may pass without data.
        var moving = 0
        weak var running: Throughput?
        let load = Throughput(
            on: loop, plan, along: Route(proxy: nil, target: target), to: target,
            farEnd: isCountedHere ? farEnd : nil, firstNumber: 1,
            events: .init(
                began: { events.append("began") }, ended: { events.append("ended") },
                progressed: { _, rate in
                    if rate > 0 { moving += 1 }
                    if moving == 3 { running?.endWindow() }
                })
        ) { result in
            switch result {
            case .success(let window):
                #expect(window.least > 0 && window.least * 3 <= window.bytes)
                #expect(window.ticks.last?.bytes == window.bytes)
            case .failure(let faults): Issue.record(faults)
            }
            #expect(events == ["began", "ended"])
            done()
        }
        running = load
        return [farEnd, load]
    }
}

@Test func fetchesAreCountedAndTimed() throws {
    try onLoop { loop, done in
        let farEnd = try FarEnd(on: loop, at: loopback)
        let target = try #require(farEnd.address.flatMap { ProxyTarget($0.description) })
        let plan = Fetches.Plan(inFlight: 4, limit: 50, isolates: false, warmUp: 0, seconds: 0, patience: 10)
        let fetches = Fetches(on: loop, plan, along: Route(proxy: nil, target: target), to: target, firstNumber: 1) {
            switch $0 {
            case .success(let result): #expect(46...50 ~= result.latencies.count)
            case .failure(let faults): Issue.record(faults)
            }
            done()
        }
        return [farEnd, fetches]
    }
}

@Test func roundTripsAreTimedOnAThreadOfTheirOwn() throws {
    try onLoop(isSimulated: false) { loop, done in
        var hasBegun = false
        let plan = PingPlan(
            route: Route(proxy: nil, target: nil), number: 5, warmUp: 0.05, seconds: 0.2, patience: 60)
        let thread = try PingThread(on: loop, plan, windowBegan: { hasBegun = true }) { result in
            switch result {
            case .success(let pings):
                #expect(pings.latencies.count > 0)
                #expect(pings.seconds >= 0.2)
            case .failure(let faults): Issue.record(faults)
            }
            #expect(hasBegun)
            done()
        }
        return [thread]
    }
}

@Test func nobodyThereIsARefusal() throws {
    try onLoop { loop, done in
        let listener = try StreamListener.tcp(on: loop, address: loopback) { $0.close() }
        let target = try #require(listener.localAddress.flatMap { ProxyTarget($0.description) })
        listener.close()
        let plan = Throughput.Plan(
            direction: .down, streams: 2, isolates: false, warmUp: 0.1, seconds: 0.3, patience: 10)
        let load = Throughput(
            on: loop, plan, along: Route(proxy: nil, target: target), to: target, farEnd: nil, firstNumber: 1
        ) { result in
            if case .failure(let faults) = result { #expect(faults.counts == [.refused: 2]) } else { Issue.record() }
            done()
        }
        return [load]
    }
}

@Test func aFarEndThatSaysNothingIsStalled() throws {
    try onLoop { loop, done in
        var held: [ByteStream] = []
        let listener = try StreamListener.tcp(on: loop, address: loopback) { held.append($0) }
        let target = try #require(listener.localAddress.flatMap { ProxyTarget($0.description) })
        let plan = Throughput.Plan(
            direction: .down, streams: 2, isolates: false, warmUp: 0.1, seconds: 0.3, patience: 0.2)
        let load = Throughput(
            on: loop, plan, along: Route(proxy: nil, target: target), to: target, farEnd: nil, firstNumber: 1
        ) { result in
            if case .failure(let faults) = result { #expect(faults.counts == [.stalled: 2]) } else { Issue.record() }
            done()
        }
        return [listener, load]
    }
}

@Test func aStreamThatIsNoRequestIsClosedAndCounted() throws {
    try onLoop { loop, done in
        let farEnd = try FarEnd(on: loop, at: loopback)
        let stranger = Stranger(sends: Array("GET / HTTP/1.1\r\n".utf8)) {
            #expect(farEnd.badRequests == 1)
            #expect(farEnd.streamCount == 0)
            done()
        }
        return [
            farEnd, stranger, try ByteStream.connect(on: loop, to: try #require(farEnd.address), delegate: stranger),
        ]
    }
}

/// Sends some bytes and waits for the end.
private final class Stranger: ByteStreamDelegate {
    private let bytes: [UInt8]
    private let ended: () -> Void

    init(sends bytes: [UInt8], ended: @escaping () -> Void) {
        self.bytes = bytes
        self.ended = ended
    }

    func streamConnected(_ stream: ByteStream) {
        stream.startReading()
        do throws(UVError) {
            try stream.write(bytes)
        } catch {
            Issue.record(error)
        }
    }

    func stream(_ stream: ByteStream, received bytes: RawSpan) { Issue.record("an answer") }
    func streamReachedEnd(_ stream: ByteStream) { ended() }
    func stream(_ stream: ByteStream, failed error: UVError) { ended() }
}

import Testing

@testable import EventLoop

/// Loops on simulated time and an in-memory network.
struct SimulationTests {
    private static let millisecond: UInt64 = 1_000_000

    private func address(_ host: UInt32, _ port: UInt16 = 0) -> SocketAddress {
        SocketAddress(ipv4: 0x0a00_0000 + host, port: port)
    }

    @Test("Time jumps to the next timer, and timers fire in their order")
    func timers() throws {
        let world = SimulatedWorld(seed: 1)
        let loop = Loop(simulated: world.addHost(at: [address(1)]))
        var fired: [(Int, UInt64)] = []
        let start = loop.now
        let second = LoopTimer(on: loop) { fired.append((2, loop.now - start)) }
        let first = LoopTimer(on: loop) { fired.append((1, loop.now - start)) }
        let cancelled = LoopTimer(on: loop) { fired.append((3, 0)) }
        second.schedule(at: start + 3_600_000_000_000)
        first.schedule(at: start + 5)
        cancelled.schedule(at: start + 10)
        cancelled.cancel()
        world.run(for: 3_600_000_000_000)
        #expect(fired.map(\.0) == [1, 2])
        #expect(fired.last?.1 == 3_600_000_000_000)
        #expect(world.elapsed == 3_600_000_000_000)
        loop.close()
    }

    @Test("A timer that is set for the past in its own callback does not stop time")
    func timersForThePast() throws {
        let world = SimulatedWorld(seed: 1)
        let loop = Loop(simulated: world.addHost(at: [address(1)]))
        var count = 0
        var timer: LoopTimer?
        timer = LoopTimer(on: loop) {
            count += 1
            timer?.schedule(at: 0)
        }
        timer?.schedule(at: 0)
        world.run(for: 1_000_000)
        #expect(count > 100 && count <= 1_001)
        timer?.close()
        loop.close()
    }

    @Test("run(), stop() and runOnce() are as on a real loop")
    func running() throws {
        let world = SimulatedWorld(seed: 1)
        let loop = Loop(simulated: world.addHost(at: [address(1)]))
        var turns = 0
        loop.addAtTurnEnd { turns += 1 }
        let timer = LoopTimer(on: loop) { loop.stop() }
        timer.schedule(at: loop.now + 50)
        loop.run()
        #expect(turns == 1)
        loop.wake()
        loop.runOnce(waiting: true)
        #expect(turns == 2)
        loop.close()
    }

    @Test("Jobs are done later, on this thread, in an order that the seed gives")
    func work() throws {
        func order(seed: UInt64) -> [Int] {
            let world = SimulatedWorld(seed: seed)
            let loop = Loop(simulated: world.addHost(at: [address(1)]))
            var done: [Int] = []
            for number in 0..<10 { loop.work({ number }, completion: { done.append($0) }) }
            #expect(done.isEmpty)
            world.run(for: 1_000 * Self.millisecond)
            loop.work({ 99 }, completion: { done.append($0) })
            loop.close()
            world.run(for: 1_000 * Self.millisecond)
            return done
        }
        #expect(order(seed: 1).sorted() == Array(0..<10))
        #expect(order(seed: 1) == order(seed: 1))
        #expect((1...5).contains { order(seed: $0) != order(seed: 1) })
    }

    @Test("The wall clock runs with the time, and is wrong by as much as the host's")
    func clocks() throws {
        let world = SimulatedWorld(seed: 1, wallClock: 1_800_000_000_000_000_000)
        let host = world.addHost(at: [address(1)])
        host.clockError = -5_000_000_000
        let loop = Loop(simulated: host)
        world.run(for: 7_000_000_000)
        #expect(loop.wallClock == 1_800_000_002_000_000_000)
        #expect(loop.runningClock == world.now)
        loop.close()
    }

    // MARK: - Datagrams

    private final class Mailbag: DatagramReceiver {
        var packets: [(bytes: [UInt8], source: SocketAddress, at: UInt64)] = []
        var answers = false
        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let source = batch.source(of: index)
                let bytes = batch.packet(index)
                packets.append((array(bytes.bytes), source, socket.loop.now))
                if answers { batch.forward(index, to: source, on: socket) }
            }
        }
    }

    private func send(_ bytes: [UInt8], from socket: DatagramSocket, to address: SocketAddress) {
        unsafe socket.send(bytes.span.bytes, to: address)
    }

    @Test(
        "A datagram comes after the delay of both lines, from the sender's address, and is answered from where it lies")
    func datagrams() throws {
        let world = SimulatedWorld(seed: 1)
        let (one, two) = (world.addHost(at: [address(1)]), world.addHost(at: [address(2)]))
        let (first, second) = (Loop(simulated: one), Loop(simulated: two))
        let (mine, theirs) = (Mailbag(), Mailbag())
        theirs.answers = true
        let socket = try DatagramSocket(on: first, bindTo: .anyIPv4(port: 0), receiver: mine)
        let server = try DatagramSocket(on: second, bindTo: address(2, 53), receiver: theirs)
        #expect(throws: UVError.self) { try DatagramSocket(on: second, bindTo: address(2, 53), receiver: nil) }
        #expect(throws: UVError.self) { try DatagramSocket(on: second, bindTo: address(3, 0), receiver: nil) }
        #expect(throws: UVError.self) { try DatagramSocket(on: second, bindTo: .anyIPv6(port: 0), receiver: nil) }
        let start = world.now
        for number in 0..<40 { send(pattern(100, seed: UInt64(number)), from: socket, to: server.localAddress) }
        send([1], from: socket, to: address(9, 9))
        send([1], from: socket, to: address(2, 54))
        send([1], from: socket, to: .loopbackIPv6(port: 5))
        world.run(for: 100 * Self.millisecond)
        #expect(theirs.packets.map(\.bytes) == (0..<40).map { pattern(100, seed: UInt64($0)) })
        #expect(mine.packets.map(\.bytes) == theirs.packets.map(\.bytes))
        #expect(theirs.packets[0].at == start + 20 * Self.millisecond)
        #expect(mine.packets[0].at >= start + 40 * Self.millisecond)
        #expect(theirs.packets[0].source == address(1, socket.localAddress.port))
        #expect(mine.packets[0].source == server.localAddress)
        #expect(!first.hasRoute(to: .globalIPv6) && first.hasRoute(to: .globalIPv4))
        first.close()
        second.close()
        #expect(one.openCount == 0 && two.openCount == 0)
    }

    @Test("Loss, duplication and reordering are drawn by the seed; a host that is cut off hears nothing")
    func faults() throws {
        func run(_ seed: UInt64) throws -> (order: [UInt8], digest: UInt64) {
            let world = SimulatedWorld(seed: seed)
            var line = SimulatedLine()
            (line.loss, line.duplication, line.jitter) = (0.1, 0.1, 5 * Self.millisecond)
            let (one, two) = (
                world.addHost(at: [address(1)], line: line), world.addHost(at: [address(2)], line: line)
            )
            let (first, second) = (Loop(simulated: one), Loop(simulated: two))
            let mailbag = Mailbag()
            let socket = try DatagramSocket(on: first, bindTo: .anyIPv4(port: 0), receiver: nil)
            let server = try DatagramSocket(on: second, bindTo: .anyIPv4(port: 7), receiver: mailbag)
            for number in 0..<200 {
                send([UInt8(number)], from: socket, to: address(2, 7))
                world.run(for: Self.millisecond)
            }
            world.run(for: 100 * Self.millisecond)
            let order = mailbag.packets.map { $0.bytes[0] }
            #expect(order.count > 120 && Set(order).count < 195)
            #expect(order.count > Set(order).count && order != order.sorted())
            let count = order.count
            two.isCut = true
            send([1], from: socket, to: address(2, 7))
            world.run(for: 100 * Self.millisecond)
            two.isCut = false
            two.move(to: [address(3)])
            send([1], from: socket, to: address(2, 7))
            world.run(for: 100 * Self.millisecond)
            #expect(mailbag.packets.count == count)
            for _ in 0..<20 { send([7], from: socket, to: address(3, 7)) }
            world.run(for: 100 * Self.millisecond)
            #expect(mailbag.packets.count > count + 10)
            _ = server
            first.close()
            second.close()
            return (order, world.digest)
        }
        let (a, b, c) = try (run(1), run(1), run(2))
        #expect(a.order == b.order && a.digest == b.digest)
        #expect(a.order != c.order && a.digest != c.digest)
    }

    @Test("A line of a rate delays what follows, and loses what would wait too long")
    func rates() throws {
        let world = SimulatedWorld(seed: 1)
        let one = world.addHost(at: [address(1)])
        let (first, second) = (Loop(simulated: one), Loop(simulated: world.addHost(at: [address(2)])))
        one.line.rate = 100_000
        one.line.queue = 100 * Self.millisecond
        let mailbag = Mailbag()
        let socket = try DatagramSocket(on: first, bindTo: .anyIPv4(port: 0), receiver: nil)
        let server = try DatagramSocket(on: second, bindTo: .anyIPv4(port: 7), receiver: mailbag)
        for _ in 0..<100 { send(pattern(972, seed: 1), from: socket, to: address(2, 7)) }
        world.run(for: 1_000 * Self.millisecond)
        #expect((10...12).contains(mailbag.packets.count))
        #expect(mailbag.packets[5].at - mailbag.packets[4].at == 10 * Self.millisecond)
        _ = server
        first.close()
        second.close()
    }

    // MARK: - Streams

    private final class End: ByteStreamDelegate {
        var received: [UInt8] = []
        var limit = Int.max
        var events: [String] = []
        var echoes = false
        func streamConnected(_ stream: ByteStream) {
            events.append("connected")
            stream.startReading()
        }
        func streamReadLimit(_ stream: ByteStream) -> Int { limit }
        func stream(_ stream: ByteStream, received bytes: RawSpan) {
            received += array(bytes)
            if echoes { try? stream.write(bytes) }
        }
        func streamReachedEnd(_ stream: ByteStream) {
            events.append("end")
            if echoes { stream.shutdown() }
        }
        func streamDrained(_ stream: ByteStream) { events.append("drained") }
        func streamFinishedWriting(_ stream: ByteStream) { events.append("finished") }
        func stream(_ stream: ByteStream, failed error: UVError) { events.append("\(error.kind)") }
    }

    @Test("A stream carries all bytes both ways, holds the writer back, and each direction ends by itself")
    func streams() throws {
        let world = SimulatedWorld(seed: 1)
        let (one, two) = (world.addHost(at: [address(1)]), world.addHost(at: [address(2)]))
        let (first, second) = (Loop(simulated: one), Loop(simulated: two))
        let (app, server) = (End(), End())
        server.echoes = true
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: second, address: .anyIPv4(port: 80)) { stream in
            accepted.append(stream)
            stream.delegate = server
            stream.startReading()
        }
        let stream = try ByteStream.connect(on: first, to: address(2, 80), delegate: app)
        let bytes = pattern(1_000_000, seed: 3)
        try stream.write(bytes)
        #expect(stream.queuedBytes > 0)
        stream.shutdown()
        world.run(for: 10_000 * Self.millisecond)
        let isEqual = app.received == bytes
        #expect(isEqual, "\(app.received.count) bytes came back")
        #expect(app.events == ["connected", "drained", "finished", "end"])
        #expect(accepted.first?.remoteAddress == stream.localAddress && stream.isGone)
        stream.close()
        for stream in accepted { stream.close() }
        #expect(one.openCount == 0 && two.openCount == 1)
        _ = listener
        first.close()
        second.close()
    }

    @Test("A datagram goes to the worker that its byte names and that has the port, and workers send from one address")
    func workers() throws {
        let world = SimulatedWorld(seed: 1)
        let (one, two) = (world.addHost(at: [address(1)]), world.addHost(at: [address(2)]))
        let (sender, zero) = (Loop(simulated: one), Loop(simulated: two))
        let loops = [zero] + (UInt8(1)...2).compactMap { zero.simulatedWorker($0) }
        let bags = loops.map { _ in Mailbag() }
        let sockets = try zip(loops, bags).map { try DatagramSocket(on: $0, bindTo: address(2, 7), receiver: $1) }
        let other = Mailbag()
        _ = try DatagramSocket(on: zero, bindTo: address(2, 8), receiver: other)
        for bag in bags { bag.answers = true }
        let answers = Mailbag()
        let socket = try DatagramSocket(on: sender, bindTo: address(1, 9), receiver: answers)
        for byte in UInt8(0)...3 { send([9, 9, 9, byte], from: socket, to: address(2, 7)) }
        send([1], from: socket, to: address(2, 7))
        send([9, 9, 9, 1], from: socket, to: address(2, 8))
        world.run(for: 100 * Self.millisecond)
        #expect(
            bags.map { $0.packets.map(\.bytes) } == [
                [[9, 9, 9, 0], [9, 9, 9, 3], [1]], [[9, 9, 9, 1]], [[9, 9, 9, 2]],
            ])
        #expect(other.packets.count == 1)
        #expect(answers.packets.count == 5 && answers.packets.allSatisfy { $0.source == address(2, 7) })
        #expect(sockets.allSatisfy { $0.localAddress == address(2, 7) })
        sender.close()
        for loop in loops { loop.close() }
    }

    @Test("A connection is refused, reset, held up by a cut line and broken by a long one")
    func brokenStreams() throws {
        let world = SimulatedWorld(seed: 1)
        let (one, two) = (world.addHost(at: [address(1)]), world.addHost(at: [address(2)]))
        let (first, second) = (Loop(simulated: one), Loop(simulated: two))
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: second, address: .anyIPv4(port: 80)) { accepted.append($0) }
        #expect(throws: UVError.self) { try ByteStream.connect(on: first, to: .globalIPv6, delegate: nil) }
        let (refused, reset, held) = (End(), End(), End())
        _ = try ByteStream.connect(on: first, to: address(2, 81), delegate: refused)
        _ = try ByteStream.connect(on: first, to: address(2, 80), delegate: reset)
        world.run(for: 100 * Self.millisecond)
        accepted[0].reset()
        world.run(for: 100 * Self.millisecond)
        #expect(refused.events == ["connectionRefused"] && reset.events == ["connected", "connectionReset"])
        let stream = try ByteStream.connect(on: first, to: address(2, 80), delegate: held)
        world.run(for: 100 * Self.millisecond)
        two.isCut = true
        try stream.write([1, 2, 3])
        world.run(for: 10_000 * Self.millisecond)
        two.isCut = false
        let server = End()
        accepted[1].delegate = server
        accepted[1].startReading()
        world.run(for: 1_000 * Self.millisecond)
        #expect(server.received == [1, 2, 3])
        two.isCut = true
        try stream.write([4])
        world.run(for: 100_000 * Self.millisecond)
        #expect(held.events == ["connected", "timedOut"] && stream.isClosed)
        _ = listener
        first.close()
        second.close()
        #expect(one.openCount == 0 && two.openCount == 0)
    }

    @Test("Names are looked up in the world's list, and not at all while its servers are silent")
    func names() throws {
        let world = SimulatedWorld(seed: 1)
        let loop = Loop(simulated: world.addHost(at: [address(1)]))
        world.names["a.example"] = [.globalIPv6, address(7)]
        let resolver = try Resolver(on: loop)
        var answers: [Resolver.Answer] = []
        resolver.resolve("a.example", port: 9, family: .ipv4First) { answers.append($0) }
        world.run(for: 1_000 * Self.millisecond)
        resolver.resolve("b.example", port: 9, family: .ipv4First) { answers.append($0) }
        world.run(for: 1_000 * Self.millisecond)
        world.answersNames = false
        resolver.resolve("a.example", port: 9, family: .ipv4First) { answers.append($0) }
        world.run(for: 11_000 * Self.millisecond)
        let found: [Resolver.Answer] = [
            .success([address(7, 9), SocketAddress.globalIPv6.with(port: 9)]), .failure(.notFound), .failure(.timedOut),
        ]
        #expect(answers == found)
        resolver.close()
        loop.close()
    }
}

import Links
import LoopTesting
import Sessions
import Testing
import Transport
import Wire

@testable import EventLoop
@testable import Relay

/// Sockets of an exit that have bytes to write when their streams have ended.
@Suite struct ExitFlushTests {
    /// What a client sends, and how much of it a simulated kernel takes.
    private static let (count, kernel) = (356 << 10, 256 << 10)

    /// A destination that ends its half at once, and reads only as much as it is told to.
    private final class Destination: ByteStreamDelegate {
        let harness: RelayHarness
        private(set) var listener: StreamListener!
        private(set) var accepted: ByteStream?
        private(set) var received = 0
        private(set) var isOver = false
        private var room = 0
        /// How many bytes the exit's socket has not written, once the client has sent all.
        var unwritten: Int { max(0, ExitFlushTests.count - received - ExitFlushTests.kernel) }

        init(_ harness: RelayHarness) throws {
            self.harness = harness
            listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { [unowned self] in
                $0.delegate = self
                $0.shutdown()
                accepted = $0
            }
        }

        func endpoint() throws -> Endpoint { Endpoint(try #require(listener.localAddress)) }
        func streamReadLimit(_ stream: ByteStream) -> Int { room }
        func stream(_ stream: ByteStream, received bytes: RawSpan) {
            received += bytes.byteCount
            room -= bytes.byteCount
        }
        func streamReachedEnd(_ stream: ByteStream) { isOver = true }
        func stream(_ stream: ByteStream, failed error: UVError) {}

        /// Reads up to `count` bytes more.
        func read(_ count: Int) {
            room = count
            accepted?.startReading()
        }

        func close() {
            accepted?.close()
            listener.close()
        }
    }

    /// Runs the loop and the client until `condition` holds; false if it does not within `limit`.
    private func run(
        _ harness: RelayHarness, _ client: TestClient, for limit: TimeSpan = .seconds(30), until condition: () -> Bool
    ) -> Bool {
        harness.run(for: limit) {
            client.connection.deadlineReached(now: client.links.now)
            while client.connection.nextEvent() != nil {}
            client.pump()
            return condition()
        }
    }

    /// A client whose stream has ended both ways, while the exit's socket still has bytes to write.
    private func upload(_ harness: RelayHarness, to destination: Destination) throws -> TestClient {
        let client = try harness.client()
        guard case .path = try client.build() else { throw WireError.outOfRange }
        client.beginSession()
        let id = try client.connection.openStream()
        let endpoint = try destination.endpoint()
        let host = Wire.Destination.Host.address(endpoint.address)
        var left =
            OpenRequest(destination: Wire.Destination(host: host, port: endpoint.port)).encoded()
            + [UInt8](repeating: 7, count: Self.count)
        // Whether the exit's session is done with the stream.
        func isClosed() -> Bool {
            harness.relay.sessions.legs.allSatisfy { leg in
                leg.place.map { $0.session.session.connection.openStreamCount == 0 } ?? true
            }
        }
        // The exit's socket and session hold what the destination does not read; then its socket alone.
        for _ in 0..<100 where !left.isEmpty || !isClosed() {
            let isDone = run(harness, client, for: .seconds(1)) {
                if !left.isEmpty { left.removeFirst(client.connection.write(id, left.rawSpan)) }
                if left.isEmpty { client.connection.finish(id) }
                client.connection.withReadable(id) { $0.byteCount }
                return left.isEmpty && isClosed()
            }
            if !isDone { destination.read(4 << 10) }
        }
        try #require(left.isEmpty && isClosed() && destination.unwritten > 8 << 10)
        return client
    }

    @Test("R15: the kernel asks whether an idle destination is there, once a connection has lasted half a minute")
    func idleDestination() throws {
        let harness = try RelayHarness(exit: true)
        let destination = try Destination(harness)
        defer { destination.close() }
        let client = try harness.client()
        guard case .path = try client.build() else { throw WireError.outOfRange }
        client.beginSession()
        let id = try client.connection.openStream()
        let endpoint = try destination.endpoint()
        let target = Wire.Destination(host: .address(endpoint.address), port: endpoint.port)
        let request = OpenRequest(destination: target).encoded()
        #expect(client.connection.write(id, request.rawSpan) == request.count)
        #expect(run(harness, client) { destination.accepted != nil })
        var exitEnd: SimulatedEnd? { destination.accepted?.end?.peer }
        #expect(!run(harness, client, for: .seconds(25)) { exitEnd?.isProbing != false })
        #expect(run(harness, client, for: .seconds(10)) { exitEnd?.isProbing == true })
        #expect(harness.relay.sessions.streamCount == 1)
    }

    @Test("R5: what a socket has not written of a stream that is over counts for its session, and for a minute only")
    func closedStreams() throws {
        let harness = try RelayHarness(exit: true)
        let destination = try Destination(harness)
        defer { destination.close() }
        let client = try upload(harness, to: destination)
        let exit = harness.relay.sessions
        #expect(exit.streamCount == 1)
        let held = exit.memoryUse
        #expect(!run(harness, client, for: .seconds(50)) { exit.streamCount == 0 })
        #expect(run(harness, client, for: .seconds(20)) { exit.streamCount == 0 })
        #expect(held - exit.memoryUse >= destination.unwritten)
        #expect(exit.sessionCount == 1)
    }

    @Test("R5: a destination that reads slowly gets all, and is not cut off while bytes move") func slowDestination()
        throws
    {
        let harness = try RelayHarness(exit: true)
        let destination = try Destination(harness)
        defer { destination.close() }
        let client = try upload(harness, to: destination)
        for _ in 0..<3 {
            destination.read(1 << 10)
            #expect(!run(harness, client, for: .seconds(50)) { harness.relay.sessions.streamCount == 0 })
        }
        destination.read(.max)
        #expect(run(harness, client) { destination.isOver && destination.received == Self.count })
    }

    @Test("R5: sockets with bytes to write after their session has ended have places, and time")
    func endedSessions() throws {
        let harness = try RelayHarness(exit: true)
        let exit = try #require(harness.relay.exit)
        let (slow, silent) = (try Destination(harness), try Destination(harness))
        defer { for destination in [slow, silent] { destination.close() } }
        for destination in [slow, silent] {
            let client = try upload(harness, to: destination)
            client.connection.close(code: 0)
            #expect(run(harness, client) { harness.relay.sessions.sessionCount == 0 })
        }
        #expect(exit.flushing.count == 2 && exit.sockets.count == 2)
        slow.read(.max)
        #expect(harness.run(for: .seconds(20)) { slow.isOver && slow.received == Self.count })
        #expect(exit.flushing.count == 1)
        #expect(harness.run(for: .seconds(60)) { exit.flushing.count == 0 })
        #expect(exit.sockets.count == 0)
    }
}

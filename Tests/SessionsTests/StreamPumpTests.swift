import EventLoop
import LoopTesting
import SessionTesting
import Testing
import Transport
import Wire

@testable import Sessions

@Suite struct StreamPumpTests {
    private final class End: ByteStreamDelegate {
        var received = 0
        var isOver = false
        func stream(_ stream: ByteStream, received bytes: RawSpan) { received += bytes.byteCount }
        func streamReachedEnd(_ stream: ByteStream) { isOver = true }
        func stream(_ stream: ByteStream, failed error: UVError) { isOver = true }
    }

    /// R5: shared room is promised to a stream only while the stream's socket has bytes for it.
    @Test func aSocketWithoutBytesDoesNotWaitForRoom() throws {
        let loop = try Loop()
        defer { loop.close() }
        let session = Session(
            turn: SessionTurn(loop: loop), role: .initiator, configuration: ConnectionConfiguration(), seed: 1)
        let quiet = try session.connection.openStream()
        // The stream has much to send, so it has no room of its own.
        _ = session.connection.write(quiet, [UInt8](repeating: 7, count: 8 << 10).rawSpan)
        // Other streams take all the room that there is without a leg.
        let bytes = [UInt8](repeating: 7, count: InitialLimits.streamData)
        var writes = 0
        while session.connection.sendCapacity(quiet, atLeast: 0) >= 4 << 10, writes < 100 {
            let other = try session.connection.openStream()
            _ = session.connection.write(other, bytes.rawSpan)
            writes += 1
        }
        try #require(writes > 1 && writes < 100)

        var accepted: ByteStream?
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { accepted = $0 }
        let app = try ByteStream.connect(on: loop, to: try #require(listener.localAddress), delegate: End())
        #expect(loop.run { accepted != nil })
        let socket = try #require(accepted)
        let pump = StreamPump(session: session, id: quiet, socket: socket) {}
        #expect(!socket.hasBytesToRead)
        #expect(pump.streamReadLimit(socket) == 1)
        try app.write([1, 2, 3])
        #expect(loop.run { socket.hasBytesToRead })
        #expect(pump.streamReadLimit(socket) == 0)
        for stream in [app, socket] { stream.close() }
        listener.close()
    }

    /// A pump between a session and a socket whose other end is `app`.
    private final class Joined {
        let loop: Loop
        let sessions: PeerSession
        let app: ByteStream
        let end = End()
        private(set) var socket: ByteStream!
        private(set) var pump: StreamPump!
        private(set) var id = StreamID(0)
        private(set) var hasEnded = false
        var session: Session { sessions.session }
        private let user = User()

        /// Passes the stream's events to the pump.
        private final class User: StreamUser {
            weak var pump: StreamPump?
            func streamReadable() { pump?.toSocket() }
            func streamWritable() { pump?.toSession() }
            func streamReset(code: UInt64) { pump?.fail() }
            func streamStopped(code: UInt64) { pump?.fail() }
            func streamClosed() { pump?.streamClosed() }
            func sessionEnded() { pump?.fail() }
        }

        init(_ loop: Loop, admit: ((RawSpan) -> Int?)? = nil) throws {
            self.loop = loop
            sessions = PeerSession(on: loop)
            var accepted: ByteStream?
            let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { accepted = $0 }
            app = try ByteStream.connect(on: loop, to: try #require(listener.localAddress), delegate: end)
            loop.run { accepted != nil }
            let found: ByteStream = try #require(accepted)
            socket = found
            listener.close()
            id = try session.connection.openStream()
            session.attach(user, to: id)
            pump = StreamPump(session: session, id: id, socket: socket, admit: admit) { [weak self] in
                self?.hasEnded = true
            }
            user.pump = pump
        }

        func close() {
            for stream in [app, socket!] { stream.close() }
            session.end()
        }

        var now: Instant { Instant(nanoseconds: loop.now) }

        /// Delivers the peer's answer to the app.
        func answer(_ bytes: [UInt8]) {
            _ = sessions.peer.write(id, bytes.rawSpan)
            sessions.answer(now)
        }
    }

    @Test("L10: a half-closed connection whose app is gone without a word is found; one whose app waits is left")
    func aHalfClosedConnectionWithoutAnApp() throws {
        let loop = try Loop()
        defer { loop.close() }
        let (waiting, gone) = (try Joined(loop), try Joined(loop))
        for joined in [waiting, gone] {
            joined.pump.start()
            joined.app.shutdown()
            #expect(loop.run { joined.pump.isDeaf })
        }
        gone.app.reset()
        #expect(loop.run { gone.socket.isGone })
        // The loop has not reported the reset.
        #expect(!gone.hasEnded && gone.session.streamCount == 1)
        for hour in 0..<3 as Range<Int64> {
            waiting.pump.look(waiting.now + .seconds(3_600 * hour))
            gone.pump.look(gone.now)
        }
        #expect(gone.hasEnded && gone.session.streamCount == 0)
        #expect(!waiting.hasEnded && waiting.session.streamCount == 1 && waiting.socket.isOpen)
        for joined in [waiting, gone] { joined.close() }
    }

    @Test("L10: what an app sent before it went has time to go on, until nothing has moved for ten minutes")
    func bytesOfAnAppThatIsGone() throws {
        let loop = try Loop()
        defer { loop.close() }
        let joined = try Joined(loop)
        // The peer acknowledges nothing.
        joined.sessions.manner = .silent
        joined.pump.start()
        try joined.app.write([1, 2, 3])
        joined.app.shutdown()
        #expect(loop.run { joined.pump.isDeaf && joined.session.connection.unacknowledgedCount(joined.id) == 3 })
        joined.app.reset()
        #expect(loop.run { joined.socket.isGone })
        let moved = joined.pump.movedAt
        joined.pump.look(moved + StreamPump.goneLimit + TimeSpan(nanoseconds: -1))
        #expect(!joined.hasEnded)
        joined.pump.look(moved + StreamPump.goneLimit)
        #expect(joined.hasEnded)
        joined.close()
    }

    @Test("R3: a stream that both sides or we gave up counts no more, though the peer never ends its half")
    func aPeerThatNeverEndsStreams() throws {
        let loop = try Loop()
        defer { loop.close() }
        let failed = try Joined(loop)
        failed.sessions.manner = .acknowledges
        failed.pump.start()
        failed.app.reset()
        #expect(loop.run { failed.hasEnded })
        #expect(failed.session.streamCount == 0)
        // The peer has acknowledged the near end, and the transport waits for the peer's end.
        #expect(!loop.run(for: .milliseconds(50)) { failed.session.connection.openStreamCount == 0 })
        failed.close()

        // Both ends in order, without an acknowledgement from the peer.
        let finished = try Joined(loop)
        finished.pump.start()
        try finished.app.write([1])
        #expect(loop.run { holds(finished.sessions.peer.readableCount(finished.id) == 1) })
        finished.sessions.manner = .silent
        finished.sessions.peer.finish(finished.id)
        finished.sessions.answer(finished.now)
        finished.app.shutdown()
        #expect(loop.run { finished.hasEnded })
        #expect(finished.session.streamCount == 0)
        #expect(holds(finished.session.connection.openStreamCount == 1))
        finished.close()
    }

    private func holds(_ condition: Bool) -> Bool { condition }

    @Test("U1: a request behind the one that was answered ends the connection; one that came before waits for its end")
    func aSecondRequest() throws {
        let loop = try Loop()
        defer { loop.close() }
        // The request has one byte.
        var left = 1
        let joined = try Joined(loop) { bytes in
            let count = min(left, bytes.byteCount)
            left -= count
            return count
        }
        joined.pump.start()
        try joined.app.write([1, 2])
        #expect(loop.run { joined.sessions.peer.readableCount(joined.id) == 1 })
        #expect(!joined.hasEnded)
        joined.answer([7, 7])
        joined.app.startReading()
        #expect(loop.run { joined.end.received == 2 })
        #expect(!joined.hasEnded)
        try joined.app.write([3])
        #expect(loop.run { joined.end.isOver })
        #expect(joined.hasEnded && joined.session.streamCount == 0)
        joined.close()
    }
}

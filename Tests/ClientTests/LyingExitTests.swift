import Directory
import EventLoop
import Logging
import LoopTesting
import SessionTesting
import Sessions
import Testing
import Transport
import Wire

@testable import Client

/// Attacks by an exit on an app that waits for its answer.
@Suite struct LyingExitTests {
    private final class App: ByteStreamDelegate {
        var received: [UInt8] = []
        var isOver = false
        func streamConnected(_ stream: ByteStream) { stream.startReading() }
        func stream(_ stream: ByteStream, received bytes: RawSpan) { received += [UInt8](copying: bytes) }
        func streamReachedEnd(_ stream: ByteStream) { isOver = true }
        func stream(_ stream: ByteStream, failed error: UVError) { isOver = true }
    }

    /// An app that waits for the answer of an exit that the test plays.
    private final class Asking {
        let loop: Loop
        let client: Client
        let sessions: PeerSession
        let app = App()
        let stream: ByteStream
        private(set) var connection: SocksConnection!
        /// The exit's end of the app's stream.
        let id = StreamID(0)

        init() throws {
            loop = Loop.simulated()
            let creation = NetworkCreation(
                name: "test", nodes: [.init(addresses: [Endpoint("9.9.9.9:1090")!])],
                at: UnixTime(seconds: 1_700_000_000))
            client = try Client(
                loop: loop, network: creation.file,
                configuration: ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)]), store: nil,
                log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, sentence: \.text)
            sessions = PeerSession(on: loop)
            var accepted: ByteStream?
            let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { accepted = $0 }
            stream = try ByteStream.connect(on: loop, to: try #require(listener.localAddress), delegate: app)
            try stream.write([5, 1, 0, 5, 1, 0, 3, 3, 0x61, 0x2e, 0x62, 0, 80])
            let loop = loop
            loop.run { accepted != nil }
            listener.close()
            connection = SocksConnection(
                socket: try #require(accepted), of: .machine, listener: 0, ports: client.ports)
            let client = client
            #expect(loop.run { client.sessions.waiting.values.first?.count == 1 })
            try #require(connection.request).open(on: sessions.session)
            let sessions = sessions
            #expect(loop.run { holds(sessions.peer.readableCount(StreamID(0)) > 0) })
        }

        /// The number of times the app has asked for a session.
        var asked: Int { client.sessions.waiting.values.reduce(0) { $0 + $1.count } }
        /// The client's half of the stream, as the exit sees it.
        var half: ReadState {
            sessions.peer.withReadable(id) { $0.byteCount }
            return sessions.peer.readState(id)
        }

        func answer() { sessions.answer(Instant(nanoseconds: loop.now)) }

        func close() {
            stream.close()
            connection.end()
            sessions.session.end()
            client.close {}
            loop.close()
        }
    }

    @Test(
        "L11: whatever code the exit resets with, the app is told and our half of the stream reset", arguments: 0..<5)
    func aResetBeforeTheAnswer(_ code: UInt64) throws {
        let asking = try Asking()
        defer { asking.close() }
        asking.sessions.peer.reset(asking.id, code: code)
        asking.answer()
        #expect(asking.loop.run { asking.app.isOver })
        #expect(asking.app.received.starts(with: [5, 0, 5, 1]))
        #expect(asking.half == .reset(SessionError.cancelled))
        #expect(asking.asked == 1 && asking.sessions.session.streamCount == 0)
    }

    @Test("L11: an exit that has too many streams and never ends this one is left at once, and cannot prolong the wait")
    func tooManyStreamsWithoutAnEnd() throws {
        let asking = try Asking()
        defer { asking.close() }
        _ = asking.sessions.peer.write(asking.id, OpenReply(status: .tooManyStreams).encoded().rawSpan)
        // From now on the exit acknowledges the client's packets and never answers.
        asking.sessions.manner = .acknowledges
        asking.answer()
        #expect(asking.loop.run { asking.asked == 2 })
        #expect(asking.sessions.session.streamCount == 0)
        #expect(asking.connection.request?.mayWaitOn == false && !asking.app.isOver)
    }

    @Test("L11: a session that ends before the answer makes the app ask again, once")
    func aSessionThatEnds() throws {
        let asking = try Asking()
        defer { asking.close() }
        asking.sessions.session.end()
        #expect(asking.asked == 2 && !asking.app.isOver)
        #expect(asking.loop.run { asking.app.received == [5, 0] })
    }
}

private func holds(_ condition: Bool) -> Bool { condition }

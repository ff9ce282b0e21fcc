import Directory
import EventLoop
import LoopTesting
import Sessions
import Testing
import Transport
import Wire

@testable import Client

/// A client whose apps are too many or hold too much.
@Suite struct ClientLimitTests {
    @Test("L4: at the limit an app that has half-closed and is silent makes room for a newcomer")
    func halfClosedAppsMakeRoom() throws {
        let network = try LoopNetwork(relays: 4, client: { $0.appLimit = 2 })
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        func greeted() throws -> App {
            let app = try network.app(saying: network.request)
            #expect(loop.run { app.received == LoopNetwork.greetedCount || app.isOver })
            return app
        }
        func halfClose(_ app: App) {
            app.stream?.shutdown()
            #expect(loop.run { client.ports.apps.all.values.contains { $0.deafSince != nil } })
        }
        let (first, second) = (try greeted(), try greeted())
        halfClose(second)
        let third = try greeted()
        #expect(third.received == LoopNetwork.greetedCount)
        #expect(loop.run { second.isOver })
        #expect(!first.isOver && !third.isOver && client.ports.apps.all.count == 2)

        // An unfinished handshake is younger than the silence, so the silent app goes first.
        first.stream?.reset()
        #expect(loop.run { client.ports.apps.all.count == 1 })
        halfClose(third)
        let unfinished = try network.app(saying: [5, 1, 0])
        #expect(loop.run { unfinished.received == 2 })
        client.ports.apps.silence = .zero
        client.ports.apps.forgetCandidates()
        let last = try network.app(saying: [5, 1, 0])
        #expect(loop.run { last.received == 2 || last.isOver })
        #expect(loop.run { third.isOver })
        #expect(!last.isOver && !unfinished.isOver)
        for app in [second, third, unfinished, last] { app.stream?.close() }
    }

    @Test("R5: sessions that together hold more than the limit end")
    func memoryOfSessions() throws {
        let network = try LoopNetwork(relays: 4)
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        let app = try network.app(saying: network.request)
        #expect(loop.run { app.received == LoopNetwork.greetedCount })
        #expect(client.sessions.current.count == 1)
        client.sessions.memoryLimit = 0
        #expect(loop.run { app.isOver && client.sessions.current.isEmpty })
        app.stream?.close()
    }

    @Test("R5: an exit that opens streams gets no room for more than the protocol's first 128, and loses its session")
    func streamsOfAnExit() throws {
        let network = try LoopNetwork(relays: 4)
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        let app = try network.app(saying: network.request)
        #expect(loop.run { app.received == LoopNetwork.greetedCount })
        let session = try #require(client.sessions.current.values.first)
        let path = try #require(session.paths.first)
        /// A packet of the exit with a byte of its stream `id`.
        func receive(_ id: UInt16, number: UInt64) {
            let frame: [UInt8] = [0x0a, UInt8(0x40 | id >> 8), UInt8(id & 255), 1, 7]
            session.received(frame.rawSpan, number: number, on: path, now: client.pool.now)
        }
        receive(255, number: 1 << 20)
        let (count, isClosed) = (session.session.connection.openStreamCount, session.session.connection.isClosed)
        #expect(count == 2 && !isClosed && session.session.streamCount == 1)
        receive(257, number: 1 << 20 + 1)
        let isClosedThen = session.session.connection.isClosed
        #expect(isClosedThen)
        #expect(loop.run { session.isOver && app.isOver })
        app.stream?.close()
    }
}

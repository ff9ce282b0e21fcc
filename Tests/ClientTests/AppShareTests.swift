import EventLoop
import LoopTesting
import Testing
import Wire

@testable import Client

/// What one app, or the page in a browser, leaves to other apps of the same client.
@Suite struct AppShareTests {
    private typealias App = ClientThreatTests.App

    @Test("L4: at the limit of apps one that has half-closed and waits for an exit makes room")
    func halfClosedAppsThatWaitMakeRoom() throws {
        let loop = Loop.simulated()
        let (client, port) = try ClientThreatTests().client(on: loop) { $0.appLimit = 3 }
        defer {
            client.close {}
            loop.close()
        }
        var streams: [ByteStream] = []
        func app(_ said: [UInt8], halfCloses: Bool) throws -> App {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write([5, 1, 0] + said)
            #expect(loop.run { app.received == [5, 0] || app.isOver })
            if halfCloses { stream.shutdown() }
            streams.append(stream)
            return app
        }
        let waiting = try app(ClientThreatTests.ask("a.example"), halfCloses: false)
        let gone = try app(ClientThreatTests.ask("b.example"), halfCloses: true)
        let other = try app(ClientThreatTests.ask("c.example"), halfCloses: false)
        #expect(loop.run { client.ports.apps.all.values.contains { $0.deafSince != nil } })
        let last = try app([], halfCloses: false)
        #expect(loop.run { gone.isOver })
        #expect(last.received == [5, 0] && !last.isOver && !waiting.isOver && !other.isOver)
        for stream in streams { stream.close() }
    }

    @Test("R3: an app that asks for as many hosts as there may be identities leaves other apps theirs")
    func identitiesAreShared() throws {
        let loop = Loop.simulated()
        let (client, port) = try ClientThreatTests().client(on: loop) {
            $0.appLimit = 1_000
            $0.listeners[0].isolation.insert(.destinationHost)
        }
        defer {
            client.close {}
            loop.close()
        }
        var streams: [ByteStream] = []
        func app(_ said: [UInt8], _ heard: [UInt8]) throws -> App {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write(said)
            #expect(loop.run { app.received.starts(with: heard) })
            streams.append(stream)
            return app
        }
        // The hosts of a page that a browser has open.
        let page = try (0..<ClientSessions.limit).map {
            try app([5, 1, 0] + ClientThreatTests.ask("h\($0).example"), [5, 0])
        }
        #expect(loop.run { client.sessions.waiting.count == ClientSessions.limit })
        #expect(!page.contains { $0.isOver })
        // Other apps, by their user names: each gets a place, and the page gives one up for it.
        let others = try (0..<3).map { number in
            try app([5, 1, 2, 1, 1, UInt8(number), 1, 1] + ClientThreatTests.ask("other.example"), [5, 2, 1, 0])
        }
        #expect(loop.run { page.count { $0.isOver } == 3 })
        #expect(page.filter(\.isOver).allSatisfy { $0.received.starts(with: [5, 0, 5, 1]) })
        #expect(!others.contains { $0.isOver } && client.sessions.waiting.count == ClientSessions.limit)
        #expect(Set(client.sessions.waiting.keys.map(\.source)).count == 4)
        // The page itself gets no further one.
        let further = try app([5, 1, 0] + ClientThreatTests.ask("further.example"), [5, 0, 5, 1])
        #expect(loop.run { further.isOver } && page.count { $0.isOver } == 3)
        for stream in streams { stream.close() }
    }

    @Test("R3: of the idle identities, one of the app that has the most gives way")
    func idleIdentitiesOfAPage() {
        let (page, mail) = (IsolationKey(ownStreams: "page"), IsolationKey(ownStreams: "mail"))
        let idle = [(mail, 1), (page, 7), (page, 5)].map { ($0.0, Instant(nanoseconds: $0.1)) }
        #expect(ClientSessions.placeToEnd(of: idle, held: [mail: 1, page: 3]) == 2)
        #expect(ClientSessions.placeToEnd(of: idle, held: [mail: 2, page: 2]) == 0)
        #expect(ClientSessions.placeToEnd(of: [], held: [:]) == nil)
    }
}

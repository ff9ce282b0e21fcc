import Directory
import EventLoop
import LoopTesting
import Testing
import Wire

@testable import Client

/// An app that opens more streams than one session takes.
@Suite struct FullSessionTests {
    @Test("A full session's app goes on in a further one; the streams that it has stay")
    func furtherSession() throws {
        let network = try LoopNetwork(relays: 4) {
            // The least possible number: both ends use it before they have received a grant.
            $0.limits.streamsPerSession = InitialLimits.streams
        }
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        func open(_ count: Int) throws -> [App] {
            let apps = try (0..<count).map { _ in try network.app(saying: network.request) }
            let wereServed = loop.run(for: .seconds(60)) {
                apps.allSatisfy { $0.received == LoopNetwork.greetedCount || $0.isOver }
            }
            #expect(wereServed && apps.allSatisfy { !$0.isOver })
            return apps
        }

        let first = try open(InitialLimits.streams)
        #expect(client.sessions.current.count == 1 && client.sessions.retired.isEmpty)
        // First a single stream, then many at once.
        let second = try open(1) + open(InitialLimits.streams / 2)
        #expect(client.sessions.current.count == 1 && client.sessions.retired.count == 1)
        #expect(client.sessions.current.values.first?.streamCount == second.count)
        #expect(client.sessions.retired.first?.streamCount == first.count)
        #expect(first.allSatisfy { !$0.isOver })
        // The full session ends with its last stream.
        for app in first { app.stream?.close() }
        for stream in network.accepted.prefix(first.count) { stream.close() }
        #expect(loop.run(for: .seconds(30)) { client.sessions.retired.isEmpty })
        #expect(second.allSatisfy { !$0.isOver })
        for app in second { app.stream?.close() }
    }

    @Test("An app whose session ends before the exit answers is served by the next, unless it has sent something")
    func sessionEndsBeforeTheReply() throws {
        let network = try LoopNetwork(relays: 5)
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        func appInMidRequest(_ bytes: [UInt8]) throws -> App {
            let app = try network.app(saying: bytes)
            #expect(loop.run(for: .seconds(30)) { client.sessions.current.values.first?.streamCount == 1 })
            #expect(app.received < LoopNetwork.greetedCount)
            client.sessions.current.values.first?.end()
            return app
        }
        let silent = try appInMidRequest(network.request)
        #expect(loop.run(for: .seconds(30)) { silent.received == LoopNetwork.greetedCount || silent.isOver })
        #expect(!silent.isOver && client.sessions.current.count == 1)
        silent.stream?.close()
        for stream in network.accepted { stream.close() }
        #expect(loop.run(for: .seconds(30)) { client.sessions.current.values.first?.streamCount == 0 })

        // If the key already has a newer session, the app is served over that one.
        let older = try network.app(saying: network.request)
        #expect(loop.run(for: .seconds(30)) { client.sessions.current.values.first?.streamCount == 1 })
        #expect(older.received < LoopNetwork.greetedCount)
        _ = client.renewPaths(label: nil)
        let newer = try network.app(saying: network.request)
        client.sessions.retired.first?.end()
        #expect(loop.run(for: .seconds(30)) { [older, newer].allSatisfy { $0.received == LoopNetwork.greetedCount } })
        for app in [older, newer] { app.stream?.close() }
        for stream in network.accepted { stream.close() }
        #expect(loop.run(for: .seconds(30)) { client.sessions.current.values.first?.streamCount == 0 })

        // The exit may have acted on the bytes that the app sent, so the client does not repeat them.
        let hasty = try appInMidRequest(network.request + [1])
        #expect(loop.run(for: .seconds(30)) { hasty.isOver })
        #expect(hasty.received < LoopNetwork.greetedCount)
    }

    @Test("V5: a key's next session goes to another exit than the one that ended, though nothing was open then")
    func anotherExit() throws {
        // With so many exits there is one that is neither avoided nor a guard.
        let network = try LoopNetwork(
            relays: 10,
            client: {
                $0.hops = 2
                $0.sparePaths = 1
            })
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        let app = try network.app(saying: network.request)
        #expect(loop.run(for: .seconds(30)) { app.received == LoopNetwork.greetedCount })
        let (key, session) = try #require(client.sessions.current.first)
        app.stream?.close()
        for stream in network.accepted { stream.close() }
        #expect(loop.run(for: .seconds(30)) { session.streamCount == 0 })
        session.end()
        #expect(client.sessions.current.isEmpty && client.sessions.lastExit[key] == session.exit)
        let later = try network.app(saying: network.request)
        #expect(loop.run(for: .seconds(30)) { later.received == LoopNetwork.greetedCount })
        #expect(client.sessions.current[key]?.exit != session.exit)
        later.stream?.close()
    }
}

import Directory
import EventLoop
import LoopTesting
import Relay
import Testing
import Wire

@testable import Client

/// Nodes that drain while their clients go on.
///
/// Unless a test sets a limit, a drain ends only because nothing passes over the node.
@Suite struct DrainTests {
    /// Opens a stream to the server, and waits for its greeting.
    private func open(_ network: LoopNetwork) throws -> App {
        let app = try network.app(saying: network.request)
        #expect(network.loop.run(for: .seconds(30)) { app.received == LoopNetwork.greetedCount || app.isOver })
        return app
    }

    @Test("Guards and middles end as soon as nothing passes over them; the streams go on over others")
    func guardsAndMiddles() throws {
        // With three of six nodes gone, nine in ten choices of guard and middle would fail, each after seconds.
        let network = try LoopNetwork(relays: 9)
        defer { network.close() }
        let app = try open(network)
        var ended = 0
        // None of these is an exit, and paths of three hops also pass over the others.
        for relay in network.relays.prefix(3) { relay.drain { ended += 1 } }
        let server = try #require(network.accepted.first)
        // A stream in use loses no byte, and a stream at rest does not hold up a drain.
        for _ in 0..<100 {
            let count = app.received
            try server.write([1])
            #expect(network.loop.run(for: .seconds(30)) { app.received > count || app.isOver })
        }
        #expect(network.loop.run(for: .seconds(60)) { ended == 3 })
        try server.write([1])
        #expect(network.loop.run(for: .seconds(30)) { app.received == LoopNetwork.greetedCount + 101 || app.isOver })
        #expect(!app.isOver)
        let later = try open(network)
        #expect(!later.isOver)
        for app in [app, later] { app.stream?.close() }
    }

    @Test("An exit that rests ends all its paths at the end of its drain, and stays")
    func rests() throws {
        let network = try LoopNetwork(relays: 4, relay: { $0.drainLimit = .seconds(1) })
        defer { network.close() }
        let loop = network.loop
        let app = try open(network)
        let relay = network.relays[3]
        relay.isResting = true
        let server = try #require(network.accepted.first)
        // The stream is never at rest.
        while !app.isOver, relay.status.paths > 0 {
            let count = app.received
            try server.write([1])
            #expect(loop.run(for: .seconds(60)) { app.received > count || app.isOver || relay.status.paths == 0 })
        }
        #expect(loop.run(for: .seconds(60)) { relay.status.paths == 0 && relay.status.streams == 0 })
        #expect(relay.status.links > 0)
        // The rest ends with the month.
        relay.isResting = false
        let later = try open(network)
        #expect(later.received == LoopNetwork.greetedCount)
        later.stream?.close()
    }

    @Test("An exit ends with its last stream; clients hear of it and begin new streams elsewhere")
    func exits() throws {
        let network = try LoopNetwork(relays: 6)
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        let app = try open(network)
        let exit = try #require(client.sessions.current.values.first?.exit)
        let relay = try #require(network.relays.first { $0.status.nodeID == exit })
        // The client has both legs. The one that is not in use is ended first.
        #expect(loop.run(for: .seconds(30)) { client.sessions.current.values.first?.legs.count == 2 })
        var isEnded = false
        relay.drain { isEnded = true }
        #expect(loop.run(for: .seconds(60)) { client.sessions.retired.count == 1 })
        let later = try open(network)
        #expect(client.sessions.current.values.first?.exit != exit)
        try network.accepted.first?.write([1])
        #expect(loop.run(for: .seconds(30)) { app.received == LoopNetwork.greetedCount + 1 || app.isOver })
        #expect(!isEnded && !app.isOver)
        app.stream?.close()
        network.accepted.first?.close()
        #expect(loop.run(for: .seconds(60)) { isEnded && client.sessions.retired.isEmpty })
        #expect(!later.isOver)
        later.stream?.close()
    }
}

import Directory
import EventLoop
import LoopTesting
import Testing
import Wire

@testable import Client
@testable import Relay

/// Exits that look for their clients' guards: they end legs, so that the clients build others over new middles.
@Suite struct GuardDiscoveryTests {
    /// The most paths that an exit sees before it loses the session: two legs, and three replacements.
    private static let mostPaths = 5

    @Test("s07: an exit that ends each standby leg sees a handful of paths and loses the session, whose streams go on")
    func standbyLegs() throws {
        let network = try LoopNetwork(relays: 24)
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        let app = try network.app(saying: network.request)
        #expect(loop.run(for: .seconds(30)) { app.received == LoopNetwork.greetedCount })
        let session = try #require(client.sessions.current.values.first)
        let hostile = try #require(network.relays.first { $0.node == session.exit })
        let key = try #require(client.sessions.current.keys.first)

        var seen: Set<UInt64> = []
        var middles: Set<NodeID> = []
        let isLost = loop.run(for: .seconds(150)) {
            for path in client.pool.all where path.session === session {
                seen.insert(path.pathID)
                middles.insert(path.hops[1])
            }
            for leg in hostile.sessions.legs where !leg.isNeeded { leg.path.end() }
            return client.sessions.current[key] !== session || seen.count > Self.mostPaths + 5
        }
        #expect(isLost && seen.count <= Self.mostPaths, "\(seen.count) paths")
        #expect(middles.count <= 4, "\(middles.count) middles")

        // Open streams go on, and new streams begin at another exit.
        try network.accepted.first?.write([1])
        #expect(loop.run(for: .seconds(30)) { app.received == LoopNetwork.greetedCount + 1 || app.isOver })
        #expect(!app.isOver)
        let later = try network.app(saying: network.request)
        #expect(loop.run(for: .seconds(30)) { later.received == LoopNetwork.greetedCount || later.isOver })
        #expect(client.sessions.current[key]?.exit != session.exit)
        for app in [app, later] { app.stream?.close() }
    }

    @Test("s07: a spare path that others end is built anew at a slower pace, one that the client ends at once")
    func sparePaths() throws {
        let network = try LoopNetwork(relays: 6, client: { $0.sparePaths = 1 })
        defer { network.close() }
        let pool = network.client.pool
        let building = { pool.all.count { $0.state == .building } }
        for _ in 0..<3 {
            #expect(network.loop.run(for: .seconds(30)) { building() == 0 && pool.hasReadyPath })
            let path = try #require(pool.all.first)
            pool.destroy(path.pathID, from: try #require(path.link))
            network.client.spares.fill()
            #expect(building() == 0)
        }
        #expect(network.loop.run(for: .seconds(30)) { building() == 0 && pool.hasReadyPath })
        pool.end(try #require(pool.all.first))
        network.client.spares.fill()
        #expect(building() == 1)
    }

    @Test("s07: a standby leg that no guard takes is not counted as one that was built")
    func rationGivenBack() throws {
        let network = try LoopNetwork(
            relays: 4,
            client: {
                $0.hops = 1
                $0.sparePaths = 1
            }, clientNetwork: { $0.limits.pathsPerClientLink = 16 })
        defer { network.close() }
        let (loop, pool) = (network.loop, network.client.pool)
        let app = try network.app(saying: network.request)
        #expect(loop.run(for: .seconds(30)) { app.received == LoopNetwork.greetedCount })
        let session = try #require(network.client.sessions.current.values.first)
        #expect(loop.run(for: .seconds(30)) { session.paths.count == 2 })
        // Legs of open streams also take the places that are kept from standby legs.
        for _ in 0..<16 { _ = try pool.build(to: .node(session.exit), avoiding: [], for: .lost) { _ in } }
        let others = pool.all.filter { $0.state == .building }
        #expect(!pool.room.hasPlace(session.exit, for: .lost))
        pool.end(try #require(session.paths.first { !session.isActive($0) }), .byOthers)
        #expect(session.paths.count == 1 && session.losses.owed == 1)
        // The leg is built as soon as there is room, and counts only then.
        for path in others { pool.end(path) }
        #expect(loop.run(for: .seconds(10)) { session.paths.count == 2 })
        #expect(session.losses.owed == 0)
        app.stream?.close()
    }

    @Test(
        "s07: a guard that ends each standby leg over it costs the exit neither trust nor session; the leg comes over the other"
    )
    func hostileGuard() throws {
        let network = try LoopNetwork(relays: 24)
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        let app = try network.app(saying: network.request)
        #expect(loop.run(for: .seconds(30)) { app.received == LoopNetwork.greetedCount })
        let (key, session) = try #require(
            client.sessions.current.first { $0.value.paths.contains(where: $0.value.isActive) })
        let active = try #require(session.paths.first(where: session.isActive))
        let other = try #require(client.directory.guards.primaries.first { $0.node != active.entry })
        let hostile = try #require(network.relays.first { $0.node == other.node })

        var ended: Set<UInt64> = []
        let isSettled = loop.run(for: .seconds(30)) {
            let standby = session.paths.filter { $0 !== active }
            let reached = standby.filter { $0.entry == other.node && !ended.contains($0.pathID) }
            if !reached.isEmpty {
                ended.formUnion(reached.map(\.pathID))
                hostile.paths.endAll()
            }
            return client.sessions.current[key] !== session || ended.count > 3
                || !ended.isEmpty && standby.contains { $0.entry == active.entry }
        }
        #expect(isSettled && ended.count == 1 && client.sessions.current[key] === session, "\(ended.count) legs ended")
        #expect(client.pool.passedOver == other.node && client.pool.trust.distrusted(at: session.since).isEmpty)
        #expect(session.paths.contains { $0 === active } && session.exit == active.exit)
        app.stream?.close()
    }

    @Test("s27: the places of a client's paths do not tell how many paths it has")
    func places() throws {
        let network = try LoopNetwork(relays: 6, client: { $0.sparePaths = 6 })
        defer { network.close() }
        let pool = network.client.pool
        #expect(network.loop.run(for: .seconds(30)) { pool.all.count { $0.state == .ready } == 6 })
        // The places are drawn from 4,096; six of them are all below 64 once in 10^11 runs.
        #expect(pool.all.contains { $0.index >= 64 })
        #expect(Set(pool.all.map(\.index)).count == pool.all.count)
        #expect(pool.all.allSatisfy { $0.index < UInt32(PathPool.places) })
    }
}

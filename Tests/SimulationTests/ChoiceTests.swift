import Directory
import Testing
import Wire

@testable import Client

/// Reloads that exclude nodes while paths over them are built, on simulated time.
@Suite struct ChoiceTests {
    /// Runs for a while; whether a path for which `isExcluded` holds was ready at any moment.
    private func isUsed(_ client: Client, in network: Network, where isExcluded: (Path) -> Bool) -> Bool {
        var isUsed = false
        network.run(20) {
            isUsed = isUsed || client.pool.all.contains { $0.state == .ready && isExcluded($0) }
            return isUsed
        }
        return isUsed
    }

    @Test("P13: a build that is under way when its exit is excluded gives no path") func exitOfABuild() throws {
        let network = try Network(seed: 7, relays: 9, exits: 2)
        defer { network.close() }
        network.adjustClient = { $0.sparePaths = 4 }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        network.run(5)
        _ = client.renewPaths(label: nil)
        let builds = client.pool.all.filter { $0.state == .building }
        let gone = try #require(builds.first?.exit)
        let kept = try #require(network.nodes.first { $0.isExit && $0.id != gone }).id
        var wanted = client.configuration
        wanted.exits = NodeChoice(nodes: [kept])
        client.apply(wanted)
        #expect(!isUsed(client, in: network) { $0.exit == gone })
        #expect(client.pool.all.count { $0.state == .ready && $0.exit == kept } >= 4)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test("P13: a leg that is under way when one of its hops is avoided does not enter its session")
    func hopOfALeg() throws {
        let network = try Network(seed: 8, relays: 12, exits: 2)
        defer { network.close() }
        network.adjustClient = { $0.sparePaths = 0 }
        let user = try network.addUser()
        let app = try user.begin(Transfer(kind: .echo, seed: 8, length: 40_000, piece: 100, pause: .seconds(0.5)))
        let client = try #require(user.client)
        #expect(network.run(60) { client.sessions.all.first?.paths.count == 2 && app.state == .moving })
        let session = try #require(client.sessions.all.first)
        client.pool.end(try #require(session.paths.first { !session.isActive($0) }), .linkLost)
        #expect(network.run(5) { client.pool.all.contains { $0.state == .building } })
        let leg = try #require(client.pool.all.first { $0.state == .building })
        let middle = leg.beforeExit
        try #require(!session.paths.contains { $0.hops.contains(middle) })
        var wanted = client.configuration
        wanted.avoided = NodeChoice(nodes: [middle])
        client.apply(wanted)
        #expect(!isUsed(client, in: network) { $0.hops.contains(middle) })
        #expect(session.paths.count == 2 && app.state == .moving)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test("P13: new streams leave an excluded exit whose session has just lost its legs")
    func sessionWithoutLegs() throws {
        let network = try Network(seed: 9, relays: 12, exits: 2)
        defer { network.close() }
        let user = try network.addUser()
        let app = try user.begin(Transfer(kind: .echo, seed: 9, length: 40_000, piece: 100, pause: .seconds(0.5)))
        let client = try #require(user.client)
        #expect(network.run(60) { client.sessions.all.first?.paths.isEmpty == false && app.state == .moving })
        let session = try #require(client.sessions.all.first)
        for path in session.paths { client.pool.end(path, .linkLost) }
        #expect(session.paths.isEmpty && !session.isRetired)
        var wanted = client.configuration
        wanted.exits = NodeChoice(nodes: Set(network.nodes.filter { $0.isExit && $0.id != session.exit }.map(\.id)))
        client.apply(wanted)
        #expect(session.isRetired)
    }
}

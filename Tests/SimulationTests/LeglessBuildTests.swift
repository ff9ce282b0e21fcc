import Testing
import Wire

@testable import Client
@testable import Directory

/// Builds of a session that has lost all of its legs, on simulated time.
@Suite struct LeglessBuildTests {
    @Test("Builds of a session without a leg that run at once have different middles, so they find the one that lives")
    func middles() throws {
        var most = 0
        for seed in 1...4 as ClosedRange<UInt64> {
            let network = try Network(seed: seed, relays: 12, exits: 2)
            defer { network.close() }
            // A spare path is not a leg, and may share a middle with a leg.
            network.adjustClient = { $0.sparePaths = 0 }
            let user = try network.addUser()
            let app = try user.begin(
                Transfer(kind: .echo, seed: seed, length: 10_000, piece: 100, pause: .seconds(0.5)))
            let client = try #require(user.client)
            #expect(network.run(60) { client.sessions.all.first?.paths.count == 2 && app.state == .moving })
            let session = try #require(client.sessions.all.first)
            let guards = client.directory.guards.primaries.map(\.node)
            let set = client.directory.guards.inner.members.map(\.node)
            let inUse = session.paths.compactMap(\.beforeExit)
            let living = try #require(set.first { !inUse.contains($0) && $0 != session.exit && !guards.contains($0) })
            for node in network.nodes where set.contains(node.id) && node.id != living {
                if node.id != session.exit, !guards.contains(node.id) { node.die() }
            }
            var shared: [[NodeID]] = []
            // Neither the client nor its guards know that the middles are dead.
            for path in session.paths { client.pool.end(path, .linkLost) }
            #expect(session.paths.isEmpty)
            let hasLeg = network.run(30) {
                let builds = client.pool.all.filter { $0.state == .building && $0.exit == session.exit }
                most = max(most, builds.count)
                let middles = builds.compactMap(\.beforeExit)
                if Set(middles).count < middles.count { shared.append(middles) }
                return !session.paths.isEmpty || session.isOver
            }
            #expect(hasLeg && !session.isOver, "seed \(seed): no leg was built")
            #expect(shared.isEmpty, "seed \(seed): \(shared.first ?? [])")
            #expect(app.state == .moving, "seed \(seed): \(app.state)")
            #expect(network.violations.isEmpty, "\(network.violations)")
        }
        #expect(most > 2, "no third build began while two were under way")
    }
}

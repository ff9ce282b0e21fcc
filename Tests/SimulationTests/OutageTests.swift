import Testing

@testable import Client

/// All nodes are gone for a while, on simulated time.
@Suite struct OutageTests {
    @Test("A client has a path again within 15 s of the restart of all nodes", arguments: 1...12 as ClosedRange<UInt64>)
    func allNodes(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 6, exits: 2)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let before = try user.begin(Transfer(kind: .download, seed: 1, length: 100_000))
        #expect(network.run(30) { before.isOver })
        for node in network.nodes { node.die() }
        let during = try user.begin(Transfer(kind: .download, seed: 2, length: 1_000))
        network.run(26 + Double(seed) * 0.3)
        #expect(during.state != .done)
        for node in network.nodes { try node.start() }
        #expect(network.run(15) { user.isReady }, "seed \(seed)")
        // The client may still have the earlier session, which the exit has forgotten.
        let after = try user.begin(Transfer(kind: .download, seed: 3, length: 1_000))
        network.run(15) { after.isOver }
        #expect(after.state == .done, "seed \(seed): \(after.state)")
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test(
        "An app that begins while a session has no leg is served by it or by the next one",
        arguments: 1...12 as ClosedRange<UInt64>)
    func betweenSessions(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 6, exits: 2)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let before = try user.begin(Transfer(kind: .download, seed: 1, length: 100_000))
        #expect(network.run(30) { before.isOver })
        for node in network.nodes { node.die() }
        let sessions = try #require(user.client).sessions
        let session = try #require(sessions.current.values.first)
        #expect(network.run(15) { session.paths.isEmpty })
        network.run(Double(seed) * 0.2)
        #expect(!session.isOver)
        let app = try user.begin(Transfer(kind: .download, seed: 2, length: 1_000))
        network.run(0.5)
        for node in network.nodes { try node.start() }
        network.run(26) { app.isOver }
        #expect(app.state == .done, "seed \(seed): \(app.state)")
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

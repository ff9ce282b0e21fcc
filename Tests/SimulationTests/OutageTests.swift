import Testing

/// All nodes gone for a while, on simulated time.
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
        // What begins while the session of before ends may end with it.
        var after = before
        for _ in 0..<4 where after === before || after.state != .done {
            after = try user.begin(Transfer(kind: .download, seed: 3, length: 1_000))
            network.run(5) { after.isOver }
        }
        #expect(after.state == .done, "seed \(seed): \(after.state)")
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

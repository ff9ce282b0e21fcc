import Directory
import Sessions
import Testing
import Wire

@testable import Client
@testable import Relay

/// Onion requests in a whole network whose nodes die and come back.
@Suite struct RequestTests {
    @Test("P13: a reload that avoids a hop of a session for onion requests ends it; others answer") func avoidedHops()
        throws
    {
        let network = try Network(seed: 5, relays: 9, exits: 3)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        var answers = 0
        func ask() {
            let guards = client.directory.guards.primaries.map(\.node)
            let before = answers
            for node in network.nodes where !guards.contains(node.id) {
                client.requestState(of: node.id) { if case .success = $0 { answers += 1 } }
            }
            #expect(network.run(11) { answers >= before + 6 })
        }
        ask()
        let open = client.requests.openHops
        let proxy = try #require(open.first?.last)
        var wanted = client.configuration
        wanted.avoided = NodeChoice(nodes: [proxy])
        client.apply(wanted)
        #expect(client.requests.openHops == open.filter { !$0.contains(proxy) })
        ask()
        #expect(client.requests.openHops.allSatisfy { !$0.contains(proxy) })
    }

    @Test(
        "RQ4: while a node dies every 10 s, each request to one that lives is answered",
        arguments: [3, 11, 15, 22, 26, 31] as [UInt64])
    func deaths(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 9, exits: 3)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        var failures: [String] = []
        var asked = 0
        for round in 0..<12 {
            let victim = network.nodes[round % network.nodes.count]
            victim.die()
            // The dead node may have been the first hop of all paths.
            network.run(2)
            network.run(30) { user.isReady }
            // A guard in use is asked only over another guard, which may be the dead node.
            let guards = client.directory.guards.primaries.map(\.node)
            for node in network.nodes where node.isUp && node.id != victim.id && !guards.contains(node.id) {
                asked += 1
                client.requestState(of: node.id) {
                    if case .failure(let failure) = $0 { failures.append("round \(round): \(failure)") }
                }
            }
            network.run(11)
            try victim.start()
            network.run(10)
        }
        #expect(asked >= 12 * 6 && failures.isEmpty, "\(failures)")
        // The client asks for versions of hops too.
        #expect(network.run(11) { client.status.requests.pending == 0 })
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

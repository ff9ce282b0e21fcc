import Directory
import EventLoop
import Testing
import Wire

@testable import Client
@testable import Relay

/// Hops that have restarted, so that they have another onion key, which no list names yet.
@Suite struct VersionTests {
    /// Counts the packets of a client to nodes that are not its guards when it sends them.
    private final class Strangers {
        var packets = 0

        init(_ network: Network, _ user: User, _ client: Client) {
            let nodes = Dictionary(uniqueKeysWithValues: network.nodes.map { ($0.host.number, $0.id) })
            network.world.passes = { [weak self] from, to in
                guard from === user.host, let node = nodes[to.number] else { return true }
                if !client.directory.guards.sample.contains(where: { $0.node == node }) { self?.packets += 1 }
                return true
            }
        }
    }

    /// A network, and a client that has just begun to use a new list.
    private func network(
        _ seed: UInt64, relays: Int = 8, exits: Int = 1
    ) throws -> (Network, User, Client) {
        let network = try Network(seed: seed, relays: relays, exits: exits, { $0.epochSeconds = 600 })
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        #expect(network.run(2_000) { client.directory.lists.used != nil })
        let round = client.directory.lists.used?.list.round
        #expect(network.run(2_000) { client.directory.lists.used?.list.round != round })
        return (network, user, client)
    }

    @Test(
        "s23: a client uses a restarted exit again before a list names it, and sends nothing to a node that is no guard",
        arguments: [1, 2] as [UInt64])
    func exit(seed: UInt64) throws {
        let (network, user, client) = try network(seed)
        defer { network.close() }
        let exit = try #require(network.nodes.last)
        let round = client.directory.lists.used?.list.round
        let strangers = Strangers(network, user, client)
        exit.die()
        #expect(network.run(60) { !user.isReady })
        try exit.start()
        #expect(network.run(180) { user.isReady })
        let app = try user.begin(Transfer(kind: .download, seed: 1, length: 1_000))
        #expect(network.run(30) { app.isOver })
        #expect(app.state == .done)
        #expect(client.directory.lists.used?.list.round == round)
        #expect(strangers.packets == 0)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test(
        "s23: an exit that restarts again and breaks all builds, while the sessions of earlier requests stand, brings about no link",
        arguments: [1, 2] as [UInt64])
    func again(seed: UInt64) throws {
        let (network, user, client) = try network(seed, relays: 4)
        defer { network.close() }
        let exit = try #require(network.nodes.last)
        let strangers = Strangers(network, user, client)
        for _ in 0..<2 {
            #expect(network.run(90) { user.isReady })
            exit.die()
            network.run(60) { !user.isReady }
            try exit.start()
            #expect(network.run(90) { client.versionsAskedAt != nil })
        }
        exit.die()
        network.run(15)
        #expect(strangers.packets == 0)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test(
        "s23: after a restart of all nodes, a client waits for a path before it sends anything to a node that is no guard",
        arguments: [1, 3] as [UInt64])
    func all(seed: UInt64) throws {
        let (network, user, client) = try network(seed, exits: 2)
        defer { network.close() }
        let strangers = Strangers(network, user, client)
        for node in network.nodes { node.die() }
        #expect(network.run(60) { !user.isReady })
        for node in network.nodes { try node.start() }
        #expect(network.run(60) { client.versionsAskedAt != nil })
        network.run(2.9)
        #expect(strangers.packets == 0)
        #expect(network.run(180) { user.isReady })
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

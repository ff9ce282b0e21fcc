import Directory
import Swarm
import SwarmModel
import Testing

@testable import Client
@testable import Relay

/// The questions of a replica to others.
@Suite struct SwarmPeersTests {
    @Test("SW12: one who asks again as soon as a question has failed takes the replica's place anew")
    func asksAgain() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let relay = bench.relays[0]
        let snapshot = bench.client.directory.trust.chain.snapshot
        let nodes = try KnownNodes(
            links: relay.links, network: relay.network, snapshot: snapshot, endpoints: NodeEndpoints(), store: nil)
        let peers = SwarmPeers(links: relay.links, nodes: nodes)
        // No node of the network, so that there is no address.
        let peer = SwarmModel.Key(9_000).node
        var failed = 0
        func ask() {
            peers.ask(peer, .compare, []) { answer in
                #expect(answer == nil)
                failed += 1
                if failed < 3 { ask() }
            }
        }
        ask()
        #expect(failed == 3 && peers.count == 0)
    }
}

import Directory
import OnionCrypto
import SeededRandom
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Client
@testable import Relay

/// The swarm store in a whole network whose nodes die and come back with empty memories.
@Suite struct ReplicaDeathTests {
    @Test(
        "SW3, SW9: while two of five replicas are dead, what is stored is signed by a majority, and what is signed is found",
        arguments: [5, 6] as [UInt64])
    func deaths(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 9, exits: 3) {
            $0.swarms.shards = 64
            $0.swarms.size = 5
        }
        defer { network.close() }
        var random = SeededGenerator(seed: seed)
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        let boxes = (0..<3 as Range<UInt32>).map {
            SwarmModel.Box(SwarmModel.Key(UInt32(truncatingIfNeeded: seed) * 100 + $0), network: network.file.id)
        }
        var faults: [String] = []
        for round in 0..<3 {
            // The client's guards live: the test is about replicas.
            let guards = client.directory.guards.primaries.map(\.node)
            let victims = network.nodes.filter { !guards.contains($0.id) }.shuffled(using: &random).prefix(2)
            for victim in victims { victim.die() }
            // The neighbours learn of it; until then a request waits for the dead as for the living.
            network.run(25)
            network.run(30) { user.isReady }
            let minute = UInt32(client.directory.time.seconds / 60)
            let items = boxes.map {
                $0.named(
                    .descriptor, SwarmModel.name("web"), created: minute, counter: UInt8(round), content: [],
                    certified: SwarmModel.Key(3))
            }
            var proofs: [Bytes32: StoreProof] = [:]
            for item in items {
                client.store(item) { result in
                    switch result {
                    case .success(let proof): proofs[item.id] = proof
                    case .failure(let failure): faults.append("round \(round): not stored, \(failure)")
                    }
                }
            }
            network.run(11) { proofs.count == items.count }
            for item in items {
                let swarm = try #require(client.swarm.swarm(of: item.header.box))
                let isGood = proofs[item.id]?.isGood(for: swarm, network: network.file.id) ?? false
                if !isGood { faults.append("round \(round): no proof") }
                if victims.contains(where: { proofs[item.id]?.receipts[$0.id] != nil }) {
                    faults.append("round \(round): a dead replica has signed")
                }
            }
            // One more of those that have signed dies: the others show what they have signed for.
            let signer = network.nodes.first { node in
                node.isUp && !guards.contains(node.id) && proofs[items[0].id]?.receipts[node.id] != nil
            }
            signer?.die()
            network.run(25)
            network.run(30) { user.isReady }
            var found = 0
            for item in items {
                let question = try #require(LookupQuestion(box: item.header.box, kind: .descriptor, most: 2))
                client.lookUp(question) { result in
                    found += 1
                    if result != .success([item]) { faults.append("round \(round): found \(result)") }
                }
            }
            network.run(11) { found == items.count }
            if found != items.count { faults.append("round \(round): a look-up without an end") }
            for node in network.nodes where !node.isUp { try node.start() }
            network.run(10)
        }
        #expect(faults.isEmpty, "\(faults)")
        #expect(client.swarm.count == 0)
        for node in network.nodes { #expect(node.relay?.swarm?.pending == 0) }
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

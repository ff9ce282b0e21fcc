import Directory
import EventLoop
import OnionCrypto
import Requests
import SeededRandom
import Services
import Sessions
import Swarm
import Testing
import Wire

@testable import Client
@testable import Relay

/// Services of one client that another one looks up, in a whole network.
@Suite struct ServiceTests {
    private let seed = [UInt8](repeating: 7, count: 32)
    private var identity: SigningKey { SigningKey(seed: Secret(copying: seed.rawSpan)) }

    private func descriptor(_ instance: borrowing ServiceInstance, _ number: UInt8) throws -> ServiceDescriptor {
        let points = (0..<3 as Range<UInt8>).map { index in
            IntroductionPoint(
                node: NodeID(Bytes32(copying: [UInt8](repeating: 16 * number + index, count: 32).rawSpan)),
                key: Bytes32(copying: [UInt8](repeating: number, count: 32).rawSpan))
        }
        return try #require(
            ServiceDescriptor(
                instance: instance.id, suites: .known,
                encryptionKey: [UInt8](repeating: number, count: KEM.publicKeySize), introductionPoints: points))
    }

    @Test(
        "SV3: published by one client, found by another, with three of seven replicas of each box dead",
        arguments: [1, 2] as [UInt64])
    func deadReplicas(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 20, exits: 3) {
            $0.swarms.shards = 64
            $0.swarms.size = 7
        }
        defer { network.close() }
        let users = try [network.addUser(), network.addUser()]
        #expect(network.run(30) { users.allSatisfy { $0.isReady } })
        let (service, visitor) = (try #require(users[0].client), try #require(users[1].client))
        let swarms = ServiceSwarms(
            service.directory.trust.chain.snapshot, shards: 64, swarmSize: 7)
        let name = try ServiceName(#require(HostName(ServiceAddress(identity.publicKey).description)))
        // Nobody has it yet.
        let caller = ServiceLookups.Caller(source: 1, isolation: 1)
        var results: [Result<[FoundDescriptor], LookupFailure>] = []
        visitor.lookUp(name, for: caller) { results.append($0) }
        #expect(network.run(12) { results.count == 1 })
        #expect(results == [.failure(.absent)])
        // Three replicas of each box die, which are nobody's guards.
        let guards = [service, visitor].flatMap { $0.directory.guards.primaries.map(\.node) }
        for period in swarms.period.withPrevious {
            let box = try DescriptorReader(name.address, in: period, network: network.file.id).box
            let members = try #require(swarms.swarm(of: box)).members
            var dead = network.nodes.count { !$0.isUp && members.contains($0.id) }
            for node in network.nodes
            where dead < 3 && node.isUp && members.contains(node.id) && !guards.contains(node.id) {
                node.die()
                dead += 1
            }
            #expect(dead >= 3)
        }
        network.run(25)
        network.run(30) { users.allSatisfy { $0.isReady } }
        let instance = ServiceInstance()
        let (first, second) = (try descriptor(instance, 1), try descriptor(instance, 2))
        var stored = 0
        let published = service.publish(identity, instance: instance, first) {
            if case .stored = $0 { stored += 1 }
        }
        #expect(network.run(120) { stored == 2 })
        #expect(published.states.allSatisfy { $0.isStored && $0.holders.count >= 4 })
        visitor.lookUp(name, for: caller) { results.append($0) }
        #expect(network.run(12) { results.count == 2 })
        #expect(try results[1].get().map(\.descriptor) == [first])
        // It is told again without a question, and after a change the newer one is found by who could not use it.
        visitor.lookUp(name, for: caller) { results.append($0) }
        #expect(results.count == 3)
        published.publish(second)
        #expect(network.run(120) { stored == 4 })
        visitor.couldNotUse(try results[2].get(), of: name, for: caller)
        visitor.lookUp(name, for: caller) { results.append($0) }
        #expect(network.run(12) { results.count == 4 })
        #expect(try results[3].get().map(\.descriptor) == [second])
        #expect(visitor.services.count == 0 && service.services.published == 1)
        published.end()
        #expect(service.services.published == 0)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    /// A network of three replicas a box, and a ready client.
    private func network(_ seed: UInt64) throws -> (Network, Client) {
        let network = try Network(seed: seed, relays: 14, exits: 3) {
            $0.swarms.shards = 64
            $0.swarms.size = 3
        }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        return (network, try #require(user.client))
    }

    @Test("SV2: a service's tests share no session with its stores")
    func sv2_testsApart() throws {
        let (network, client) = try network(3)
        defer { network.close() }
        let instance = ServiceInstance()
        let descriptor = try descriptor(instance, 1)
        var stored = 0
        let published = client.publish(identity, instance: instance, descriptor) {
            if case .stored = $0 { stored += 1 }
        }
        #expect(network.run(60) { stored == 2 })
        // Each replica is tested within a minute; a session lasts for two.
        network.run(65)
        var isolations: [RequestClient.Purpose: Set<UInt64>] = [:]
        for scope in client.requests.scopes where scope.isolation != 0 {
            isolations[scope.purpose, default: []].insert(scope.isolation)
        }
        #expect(isolations.count == 2 && isolations.values.allSatisfy { $0.count == 2 }, "\(isolations)")
        #expect(isolations.values.allSatisfy { $0 == isolations.values.first })
        published.end()
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test("SV3: a client whose machine has slept does not hold its service for stored any more, and publishes at once")
    func sv3_sleep() throws {
        let (network, client) = try network(5)
        defer { network.close() }
        let instance = ServiceInstance()
        let descriptor = try descriptor(instance, 1)
        var (stored, failed) = (0, 0)
        let published = client.publish(identity, instance: instance, descriptor) {
            switch $0 {
            case .stored: stored += 1
            case .failed: failed += 1
            case .ask, .test, .copied: break
            }
        }
        #expect(network.run(60) { stored == 2 })
        network.run(20)
        #expect(stored == 2 && failed == 0 && published.states.allSatisfy(\.isStored))
        // The nodes have not slept, so they take no version of two hours later: it is enough that the client tries.
        let user = try #require(network.users.first)
        user.host.slept = 7_200_000_000_000
        network.run(2)
        #expect(published.states.allSatisfy { !$0.isStored && $0.holders.isEmpty })
        #expect(network.run(30) { failed > 0 })
    }

    @Test("L6: isolation keys share no session; new paths for one forget its look-ups, results and sessions alone")
    func l6_isolation() throws {
        let (network, client) = try network(4)
        defer { network.close() }
        let name = try ServiceName(#require(HostName(ServiceAddress(identity.publicKey).description)))
        let instance = ServiceInstance()
        let descriptor = try descriptor(instance, 1)
        var stored = 0
        let published = client.publish(identity, instance: instance, descriptor) {
            if case .stored = $0 { stored += 1 }
        }
        #expect(network.run(60) { stored == 2 })
        published.end()
        let keys = ["one", "two"].map { IsolationKey(ownStreams: $0) }
        let callers = keys.map { client.caller(of: $0) }
        #expect(callers[0].isolation != callers[1].isolation && callers == keys.map { client.caller(of: $0) })
        func sessions(_ number: Int) -> Int {
            client.requests.scopes.count { $0.isolation == callers[number].isolation }
        }
        var found = [0, 0]
        func lookUp(_ number: Int) {
            client.lookUp(name, for: callers[number]) { if (try? $0.get()) != nil { found[number] += 1 } }
        }
        lookUp(0)
        lookUp(1)
        #expect(network.run(12) { found == [1, 1] })
        #expect(sessions(0) > 0 && sessions(1) > 0)
        // The requests of a look-up end with it.
        #expect(client.services.count == 0 && client.requests.pending == 0)
        let kept = sessions(1)
        _ = client.renewPaths(label: client.label(of: keys[0]))
        #expect(sessions(0) == 0 && sessions(1) == kept)
        // The other one's result is still known, and its own is looked up anew.
        lookUp(1)
        lookUp(0)
        #expect(found == [1, 2] && client.services.count == 1 && sessions(0) > 0)
        // A session that is being built does not survive, and the look-up is over.
        _ = client.renewPaths(label: client.label(of: keys[0]))
        #expect(sessions(0) == 0 && sessions(1) == kept && client.services.count == 0)
        network.run(12)
        #expect(found == [1, 2] && sessions(0) == 0)
        lookUp(0)
        #expect(network.run(12) { found == [2, 2] })
        // New paths for all forget all.
        _ = client.renewPaths(label: nil)
        #expect(client.requests.scopes.isEmpty)
        #expect(network.run(30) { client.sessions.readiness.isReady })
        lookUp(1)
        #expect(found == [2, 2] && client.services.count == 1)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

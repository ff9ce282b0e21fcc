import Directory
import EventLoop
import Relay
import Requests
import Sessions
import Testing
import Wire

@testable import Client

/// What exits and web pages can learn of a client's identities, or do to them.
@Suite struct IdentityTests {
    /// An app that needs a session and then nothing more.
    private final class App: SessionApp {
        private(set) var isOver = false
        private(set) var isServed = false
        func open(on session: Session) { (isOver, isServed) = (true, true) }
        func fail(_ reason: NoSession) { isOver = true }
    }

    @Test("L6: paths that are built together are not replaced together") func lives() throws {
        let network = try Network(seed: 1, relays: 9, exits: 3)
        defer { network.close() }
        let limit = TimeSpan.seconds(60)
        network.adjustClient = { $0.pathUse = limit }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        for key in 1...2 {
            try user.begin(
                Transfer(kind: .echo, seed: UInt64(key), length: 400_000, pause: 1_000_000_000), isolation: key)
        }
        let client = try #require(user.client)
        var lives: Set<TimeSpan> = []
        var oldest = TimeSpan.zero
        for _ in 0..<300 {
            network.run(1)
            for path in client.pool.all where path.state == .ready {
                lives.insert(path.life)
                oldest = max(oldest, client.pool.now - path.since)
            }
        }
        #expect(lives.allSatisfy { limit * 3 / 4 <= $0 && $0 <= limit })
        // Ten paths or more, none of which lasts as long as another.
        #expect(lives.count >= 10)
        let spread = (lives.max() ?? .zero) - (lives.min() ?? .zero)
        #expect(spread > .seconds(3))
        // A path ends a little later: when another is ready, and what was sent over it has arrived.
        #expect(oldest < limit + .seconds(10))
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test("L6: the idle sessions of a user who asks for new paths do not end together") func renewal() throws {
        let network = try Network(seed: 3, relays: 9, exits: 3)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        let apps = (0..<6).map { _ in App() }
        for (number, app) in apps.enumerated() {
            client.sessions.connect(app, isolation: IsolationKey(ownStreams: "\(number)"))
        }
        #expect(network.run(60) { apps.allSatisfy(\.isServed) })
        network.run(5)
        let sessions = client.sessions.all
        #expect(sessions.count == 6 && sessions.allSatisfy(\.isIdle))
        #expect(client.renewPaths(label: nil) == 6)
        #expect(client.sessions.current.isEmpty)
        var ends: [Int] = []
        for second in 0...62 {
            let before = ends.count
            ends += [Int](repeating: second, count: sessions.count(where: \.isOver) - before)
            network.run(1)
        }
        #expect(ends.count == 6 && Set(ends).count >= 3, "\(ends)")
        #expect((ends.last ?? 0) - (ends.first ?? 0) >= 5, "\(ends)")
        #expect(client.sessions.retired.isEmpty)
    }

    /// Asks for another host each five seconds; the number of hosts that were reached.
    private func browse(_ user: User, key: Int, hosts: Range<Int>, in network: Network) throws -> Int {
        var apps: [SimulationTests.App] = []
        for host in hosts {
            let plan = Transfer(kind: .download, seed: UInt64(host), length: 100)
            apps.append(try user.begin(plan, isolation: key, name: "h\(host).example"))
            network.run(5)
        }
        return apps.count { $0.state == .done }
    }

    @Test("L11: a key leaves an exit that fails whatever it is asked for") func failingExit() throws {
        var exits = 0
        let network = try Network(
            seed: 4, relays: 9, exits: 2,
            relay: {
                guard $0.isExit else { return }
                exits += 1
                if exits == 2 { $0.exitRules = [ExitRule("reject *:*")!] }
            })
        defer { network.close() }
        for host in 0..<400 { network.world.names["h\(host).example"] = [network.server.address] }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let (client, bad) = (try #require(user.client), try #require(network.nodes.last).id)
        // A key that has the bad exit.
        var key = 0
        while try browse(user, key: key, hosts: key..<key + 1, in: network) == 1, key < 40 { key += 1 }
        #expect(client.sessions.current.values.contains { $0.exit == bad })
        _ = try browse(user, key: key, hosts: 100..<109, in: network)
        #expect(!client.sessions.current.values.contains { $0.exit == bad })
        #expect(try browse(user, key: key, hosts: 110..<113, in: network) == 3)
    }

    @Test("L11: hosts that do not exist lead a key to another exit once in ten minutes, not through all exits")
    func deadHosts() throws {
        let network = try Network(seed: 5, relays: 10, exits: 5)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        var used: [NodeID] = []
        for round in 0..<6 {
            let found = try browse(user, key: 1, hosts: round * 20..<round * 20 + 20, in: network)
            #expect(found == 0)
            for session in client.sessions.current.values where used.last != session.exit { used.append(session.exit) }
        }
        #expect(used.count <= 2)
    }

    @Test("RQ5: a request goes over no guard of its target's operator, and each operator has its share of the proxies")
    func operators() throws {
        // Twelve operators with two nodes each; the nodes of the first have most of the weight.
        let network = try Network(
            seed: 3, relays: 24, exits: 6, operators: (0..<24).map { $0 / 2 }, weights: [90_000, 90_000],
            { $0.operatorSharePercent = 10 })
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let directory = try #require(user.client).directory
        let guards = directory.guards.primaries.map(\.node)
        try #require(Set(guards.map(directory.owner)).count == 2)
        for node in network.nodes {
            let used = directory.requestGuards(for: node.id)
            #expect(used == guards.filter { directory.owner(of: $0) != directory.owner(of: node.id) })
        }
        let proxies = directory.proxies
        let sum = proxies.reduce(0.0) { $0 + Double($1.weight) }
        let first = directory.owner(of: network.nodes[0].id)
        let weights = proxies.filter { $0.operatorID == first }.reduce(0.0) { $0 + Double($1.weight) }
        // Among so few operators the share is twice an equal one.
        #expect(proxies.count == 24 && weights > 0 && weights / sum < 0.17)
    }

    @Test("L6: a stream to an IPv6 address does not decide from which exits that of the other streams is drawn")
    func families() throws {
        var exits = 0
        let network = try Network(
            seed: 2, relays: 9, exits: 4,
            relay: {
                guard $0.isExit else { return }
                exits += 1
                // An exit that allows a range of IPv6 says that it reaches such addresses.
                if exits == 1 { $0.exitAllowed = [CIDR("2001:db8::/32")!] }
            })
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        #expect(client.directory.hasExit(with: [.ipv4, .ipv6]))
        let key = IsolationKey(ownStreams: "page")
        var ofAddresses = key
        ofAddresses.needs = .ipv6
        let (first, second) = (App(), App())
        client.sessions.connect(first, isolation: key, needs: .ipv6)
        #expect(network.run(20) { first.isOver } && first.isServed)
        #expect(client.sessions.current[key] == nil && client.sessions.current[ofAddresses] != nil)
        client.sessions.connect(second, isolation: key)
        #expect(network.run(20) { second.isOver } && second.isServed)
        #expect(client.sessions.current[key] != nil)
    }
}

import Directory
import EventLoop
import LoopTesting
import Testing
import Wire

@testable import Client
@testable import Relay

/// Apps that wait because they ask for more than the nodes take at once; no node is blamed for it.
@Suite struct WaitingTests {
    /// The SOCKS5 greeting of a user with this name, and a request for the server's port.
    private func hello(to port: UInt16, user: Int) -> [UInt8] {
        [5, 1, 2, 1, 1, UInt8(user), 1, 1, 5, 1, 0, 1, 127, 0, 0, 1, UInt8(port >> 8), UInt8(port & 255)]
    }

    @Test("R2: connections beyond what an exit takes at once wait for their turn")
    func burst() throws {
        let network = try LoopNetwork(
            relays: 4,
            network: {
                $0.limits.streamsPerSecond = 200
                $0.limits.streamBurst = 20
            }, client: { $0.hops = 1 })
        defer { network.close() }
        let apps = try (0..<120).map { _ in try network.app(saying: network.request) }
        let wereServed = network.loop.run(for: .seconds(20)) {
            apps.allSatisfy { $0.received == LoopNetwork.greetedCount || $0.isOver }
        }
        #expect(wereServed && apps.allSatisfy { !$0.isOver })
        for app in apps { app.stream?.close() }
    }

    @Test("R2: apps that keep coming do not put off those that wait") func newcomers() throws {
        let network = try LoopNetwork(
            relays: 4,
            network: {
                $0.limits.streamsPerSecond = 100
                $0.limits.streamBurst = 4
            }, client: { $0.hops = 1 })
        defer { network.close() }
        let loop = network.loop
        let first = try (0..<12).map { _ in try network.app(saying: network.request) }
        var later: [App] = []
        // One app arrives every 5 ms, which is before the line is looked at again, until the first apps are served.
        var next = loop.now
        let wereServed = loop.run(for: .seconds(5)) {
            if loop.now >= next, let app = try? network.app(saying: network.request) {
                later.append(app)
                next = loop.now + 5_000_000
            }
            return first.allSatisfy { $0.received == LoopNetwork.greetedCount }
        }
        #expect(wereServed && first.allSatisfy { !$0.isOver })
        // The last apps still wait.
        #expect(later.contains { $0.received < LoopNetwork.greetedCount })
        for app in first + later { app.stream?.close() }
    }

    @Test(
        "R2: an exit that takes fewer streams than the network file says is asked again later, with what the app sent ahead"
    )
    func refusal() throws {
        let network = try LoopNetwork(
            relays: 5,
            network: {
                $0.limits.streamsPerSecond = 20
                $0.limits.streamBurst = 4
            }, client: { $0.hops = 1 },
            clientNetwork: {
                $0.limits.streamsPerSecond = 1_000
                $0.limits.streamBurst = 1_000
            })
        defer { network.close() }
        let apps = try (0..<20).map { _ in try network.app(saying: network.request + [1, 2, 3]) }
        let wereServed = network.loop.run(for: .seconds(20)) {
            apps.allSatisfy { $0.received == LoopNetwork.greetedCount || $0.isOver }
        }
        #expect(wereServed && apps.allSatisfy { !$0.isOver })
        // Each destination gets the early bytes once.
        let readers = network.accepted.map { stream in
            let app = App()
            stream.delegate = app
            stream.startReading()
            return app
        }
        #expect(readers.count == 20)
        #expect(network.loop.run(for: .seconds(10)) { readers.allSatisfy { $0.received == 3 } })
        for app in apps { app.stream?.close() }
    }

    @Test("R3: identities beyond what the guards take at once wait; the guards stay the same, and none is blamed")
    func identities() throws {
        let network = try LoopNetwork(relays: 6) {
            $0.limits.clientBuildsPerSecond = 10
            $0.limits.clientBuildBurst = 8
            $0.limits.pathsPerClientLink = 16
        }
        defer { network.close() }
        let client = network.client
        var open: [App] = []
        // 28 apps at once take more than half of the 32 places. As many again follow when these have closed.
        for round in 0..<2 {
            let apps = try (0..<28).map { number in
                try network.app(saying: hello(to: network.port, user: 1 + round * 28 + number))
            }
            let wereServed = network.loop.run(for: .seconds(25)) {
                apps.allSatisfy { $0.received == 2 + 2 + 10 + 1 || $0.isOver }
            }
            #expect(wereServed && apps.allSatisfy { !$0.isOver })
            for app in apps { app.stream?.close() }
            for stream in network.accepted { stream.close() }
            network.accepted = []
            open = apps
        }
        #expect(open.count == 28)
        #expect(client.directory.guards.sample.count == Guards.primaryCount)
        #expect(client.directory.guards.sample.allSatisfy { $0.bias.attempts == $0.bias.successes && $0.failures == 0 })
        #expect(client.pool.counts.failed == 0)
        #expect(network.relays.allSatisfy { $0.status.refusals.isEmpty })
    }

    @Test("R3: an app that asks for many hosts, each over a path of its own, does not delay the paths of other apps")
    func hostsOfAPage() throws {
        let network = try LoopNetwork(
            relays: 6,
            network: {
                $0.limits.clientBuildsPerSecond = 2
                $0.limits.clientBuildBurst = 4
            }, client: { $0.listeners[0].isolation.insert(.destinationHost) })
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)
        // The server is at another address: an app that has got its path is told so.
        let page = try (2..<62).map { host in
            try network.app(
                saying: [
                    5, 1, 0, 5, 1, 0, 1, 127, 0, 0, UInt8(host), UInt8(network.port >> 8), UInt8(network.port & 255),
                ])
        }
        #expect(loop.run { client.sessions.waiting.count > 50 })
        let other = try network.app(saying: hello(to: network.port, user: 1))
        #expect(loop.run(for: .seconds(28)) { other.received == 2 + 2 + 10 + 1 || other.isOver })
        #expect(!other.isOver)
        #expect(page.count { $0.received > 2 } < 30)
        for app in page + [other] { app.stream?.close() }
    }
}

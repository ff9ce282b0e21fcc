import Client
import EventLoop
import Testing

/// Clients behind a satellite, a crowded radio cell or a full uplink, on simulated time.
@Suite struct FarTests {
    /// A line with this round trip, in seconds.
    private func line(_ roundTrip: Double) -> SimulatedLine {
        var line = SimulatedLine()
        line.delay = UInt64(roundTrip / 2 * 1e9)
        return line
    }

    @Test(
        "A client whose guards are seconds away gets a path, and its apps' first bytes within four round trips",
        arguments: [1.3, 2.0, 4.0], [1, 2, 3] as [UInt64])
    func farGuards(roundTrip: Double, seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 6, exits: 2)
        defer { network.close() }
        let user = try network.addUser(line: line(roundTrip))
        #expect(network.run(90) { user.isReady })
        for number in 1...3 as ClosedRange<UInt64> {
            let began = network.time
            let app = try user.begin(Transfer(kind: .download, seed: number, length: 1))
            network.run(60) { app.isOver }
            #expect(app.state == .done)
            #expect(network.time - began <= 4 * roundTrip + 0.5)
            network.run(20)
        }
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test(
        "A line that fills up while one guard sends without a pause costs no path over the other",
        arguments: [1, 2, 3] as [UInt64])
    func fillingLine(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 6, exits: 2)
        defer { network.close() }
        let user = try network.addUser(line: line(0.04))
        #expect(network.run(30) { user.isReady })
        let app = try user.begin(Transfer(kind: .echo, seed: 1, length: 2_000_000, piece: 2_000, pause: 10_000_000))
        network.run(5)
        let before = user.client?.status.builds
        for step in 1...50 {
            user.host.line = line(0.04 + Double(step) * 0.04)
            network.run(0.05)
        }
        network.run(10)
        #expect(user.client?.status.builds == before && app.isWaiting)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test("A stream outlives forty-five seconds in which the own line is down", arguments: [1, 2] as [UInt64])
    func ownLineDown(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 6, exits: 2)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let app = try user.begin(Transfer(kind: .echo, seed: 1, length: 6_000, piece: 100, pause: 1_000_000_000))
        network.run(5)
        user.host.isCut = true
        network.run(45)
        #expect(app.isWaiting)
        user.host.isCut = false
        network.run(120) { app.isOver }
        #expect(app.state == .done)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test(
        "A stream on a fast line outlives its guard with a silence of two and a half seconds at most",
        arguments: 1...8 as ClosedRange<UInt64>)
    func deadGuard(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 6, exits: 2)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let app = try user.begin(Transfer(kind: .echo, seed: 1, length: 20_000, piece: 100, pause: 20_000_000))
        network.run(3)
        let path = try #require(user.client?.paths.first { $0.isActive })
        try #require(network.nodes.first { $0.id == path.hops[0] }).die()
        var silence = 0.0
        network.run(60) {
            silence = max(silence, network.time - app.lastProgress)
            return app.isOver
        }
        #expect(app.state == .done && silence <= 2.5)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test(
        "P3: an exit that falls silent makes no packet to a node that is no guard",
        arguments: 1...4 as ClosedRange<UInt64>)
    func p3SilentExit(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 8, exits: 2)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        try user.begin(Transfer(kind: .echo, seed: 1, length: 20_000, piece: 100, pause: 20_000_000))
        network.run(3)
        let paths = user.client?.paths ?? []
        let guards = Set(paths.map { $0.hops[0] })
        let exit = try #require(paths.first { $0.isActive }?.hops.last)
        let others = network.nodes.filter { !guards.contains($0.id) }.map(\.host.number)
        try #require(network.nodes.first { $0.id == exit }).host.isCut = true
        var packets = 0
        network.world.passes = { from, to in
            if from === user.host, others.contains(to.number) { packets += 1 }
            return true
        }
        network.run(5)
        #expect(packets == 0)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test(
        "A client whose line others fill keeps its paths, and new connections work meanwhile and after",
        arguments: [1.0, 2.0, 4.0], [1, 2, 3] as [UInt64])
    func crowdedLine(roundTrip: Double, seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 6, exits: 2)
        defer { network.close() }
        let user = try network.addUser(line: line(0.04))
        #expect(network.run(30) { user.isReady })
        let app = try user.begin(Transfer(kind: .echo, seed: 1, length: 400))
        network.run(10)
        let before = user.client?.status.builds
        user.host.line = line(roundTrip)
        let during = try user.begin(Transfer(kind: .download, seed: 2, length: 1))
        network.run(40) { during.isOver }
        #expect(during.state == .done)
        // A sudden round trip of four seconds exceeds some limits, so paths are built anew.
        if roundTrip < 4 { #expect(user.client?.status.builds == before) }
        user.host.line = line(0.04)
        network.run(60) { app.isOver }
        #expect(app.state == .done)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

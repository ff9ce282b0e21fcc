import Directory
import EventLoop
import Link
import LoopTesting
import Testing
import Wire

@testable import Client
@testable import Links
@testable import Relay

/// Relays that keep to a rate of bytes a second.
@Suite struct RateTests {
    private static let rate = 200_000
    /// The least burst and the bytes that one look may let pass.
    private static let ahead = 64 * 1_392 + 30_000

    /// The SOCKS5 greeting of a user with this name, and a request for the server's port.
    private func hello(to port: UInt16, user: UInt8) -> [UInt8] {
        [5, 1, 2, 1, 1, user, 1, user, 5, 1, 0, 1, 127, 0, 0, 1, UInt8(port >> 8), UInt8(port & 255)]
    }

    @Test("An exit keeps to its rate with what its sessions send, and they take turns")
    func sessionsShareTheRate() throws {
        let network = try LoopNetwork(
            relays: 4, relay: { if $0.isExit { ($0.rate, $0.burst) = (Int64(Self.rate), 1) } },
            client: { $0.hops = 1 })
        defer { network.close() }
        let loop = network.loop
        let replies = 2 + 2 + 10 + 1
        let apps = try [1, 2].map { try network.app(saying: hello(to: network.port, user: $0)) }
        #expect(loop.run(for: .seconds(60)) { apps.allSatisfy { $0.received == replies } })
        #expect(network.client.sessions.current.count == 2)

        let size = 400_000
        let start = loop.now
        for stream in network.accepted { try stream.write([UInt8](repeating: 7, count: size)) }
        #expect(loop.run(for: .seconds(120)) { apps.contains { $0.received == replies + size || $0.isOver } })
        // A slow machine takes longer; none can be faster.
        let seconds = Double(loop.now - start) / 1e9
        let received = apps.map { $0.received }
        #expect(Double(received[0] + received[1]) <= seconds * Double(Self.rate) + Double(Self.ahead))
        #expect(received.min()! > size / 4)
        #expect(loop.run(for: .seconds(120)) { apps.allSatisfy { $0.received == replies + size || $0.isOver } })
        #expect(apps.allSatisfy { !$0.isOver })
    }

    @Test("The rate is that of all workers together, and one that forwards alone may use it", arguments: [1, 3])
    func workersShareTheRate(_ workers: Int) throws {
        let network = try LoopNetwork(
            relays: 4,
            relay: {
                $0.workers = workers
                if !$0.isExit { ($0.rate, $0.burst) = (Int64(Self.rate), 1) }
            }, client: { $0.hops = 2 })
        defer { network.close() }
        let app = try network.app(saying: network.request)
        #expect(network.loop.run(for: .seconds(60)) { app.received == LoopNetwork.greetedCount })
        let relays = network.relays.prefix(3)
        let before = relays.map { $0.links.packetsSent }
        let start = network.loop.now
        let size = 1_000_000
        try network.accepted.first?.write([UInt8](repeating: 7, count: size))
        #expect(network.loop.run(for: .seconds(120)) { app.received == LoopNetwork.greetedCount + size || app.isOver })
        #expect(!app.isOver)
        let seconds = Double(network.loop.now - start) / 1e9
        for (relay, before) in zip(relays, before) {
            let bytes = Double(relay.links.packetsSent - before) * 1_392
            #expect(bytes <= seconds * Double(Self.rate) + Double(Self.ahead))
        }
        // Links that go over one relay alone still get most of its rate.
        #expect(seconds < 2 * Double(size) / Double(Self.rate) + 5)
        let byOthers = relays.map { $0.links.packetsSent - $0.links.counters.packetsSent }
        #expect((byOthers.max() ?? 0 > 100) == (workers > 1), "\(byOthers)")
    }

    @Test("R12: packets that go nowhere do not count among the month's bytes") func packetsInVain() throws {
        let harness = try RelayHarness()
        let client = try harness.client()
        let before = harness.relay.bytesPassed
        let received = harness.relay.links.counters.packetsReceived
        for _ in 0..<100 {
            client.links.withTable { table in
                for _ in 0..<10 {
                    _ = table.send(on: client.link) { packet in
                        packet.pathID = 99
                        return true
                    }
                }
            }
            harness.run(for: .milliseconds(10)) { false }
        }
        // Counts of other workers are up to a second old.
        harness.run(for: .seconds(2)) { false }
        #expect(testWorkers > 1 || harness.relay.links.counters.packetsReceived >= received + 1_000)
        #expect(harness.relay.bytesPassed - before < 100 * 1_392)
    }

    @Test(
        "R12: a relay keeps to the month's pace with all bytes that pass, whichever of its workers forwards",
        arguments: [1, 3])
    func pace(_ workers: Int) throws {
        let network = try LoopNetwork(relays: 4, relay: { $0.workers = workers }, client: { $0.hops = 2 })
        defer { network.close() }
        let app = try network.app(saying: network.request)
        #expect(network.loop.run(for: .seconds(60)) { app.received == LoopNetwork.greetedCount })
        let relays = network.relays.prefix(3)
        // Each packet that a relay forwards passes it twice.
        func passed() -> [UInt64] { relays.map { 2 * $0.links.packetsSent * 1_392 } }
        for relay in relays { relay.pace(UInt64(Self.rate)) }
        let (before, start, size) = (passed(), network.loop.now, 6_000_000)
        try network.accepted.first?.write([UInt8](repeating: 7, count: size))
        let isDone = { app.received == LoopNetwork.greetedCount + size || app.isOver }
        for _ in 0..<120 where !isDone() {
            for relay in relays { relay.pace(UInt64(Self.rate)) }
            network.loop.run(for: .seconds(1)) { isDone() }
        }
        #expect(isDone() && !app.isOver)
        let seconds = Double(network.loop.now - start) / 1e9
        let bytes = zip(passed(), before).map { Double($0 - $1) }
        for bytes in bytes { #expect(bytes <= seconds * Double(Self.rate) * 1.03 + Double(Self.ahead)) }
        // A relay with all of the traffic uses its pace.
        #expect(seconds > 20 && bytes.reduce(0, +) > 0.7 * seconds * Double(Self.rate))
        let byOthers = relays.map { $0.links.packetsSent - $0.links.counters.packetsSent }
        #expect((byOthers.max() ?? 0 > 1_000) == (workers > 1), "\(byOthers)")
    }

    @Test("R12: an exit keeps to the month's pace with what it receives, and its links stay") func pacedUpload() throws
    {
        let network = try LoopNetwork(relays: 4, client: { $0.hops = 2 })
        defer { network.close() }
        let app = try network.app(saying: network.request)
        #expect(network.loop.run(for: .seconds(60)) { app.received == LoopNetwork.greetedCount })
        let exit = try #require(network.relays.last)
        let (sink, peer) = (App(), try #require(network.accepted.first))
        peer.delegate = sink
        peer.startReading()
        exit.pace(UInt64(Self.rate))
        network.loop.run(for: .seconds(1)) { false }
        let (before, start, size) = (exit.bytesPassed, network.loop.now, 2_000_000)
        try app.stream?.write([UInt8](repeating: 7, count: size))
        #expect(network.loop.run(for: .seconds(120)) { sink.received == size || app.isOver })
        #expect(!app.isOver)
        let seconds = Double(network.loop.now - start) / 1e9
        #expect(seconds > 5)
        #expect(Double(exit.bytesPassed - before) <= 2 * seconds * Double(Self.rate) + Double(Self.ahead))
    }

    @Test("R12: bytes of a session that found no room in the socket go out soon after there is some")
    func room() throws {
        let network = try LoopNetwork(relays: 4, client: { $0.hops = 1 })
        defer { network.close() }
        let app = try network.app(saying: network.request)
        #expect(network.loop.run(for: .seconds(60)) { app.received == LoopNetwork.greetedCount })
        let node = try #require(network.client.sessions.current.values.first?.exit)
        let exit = try #require(network.relays.first { $0.node == node })
        // All packets are acknowledged.
        network.loop.run(for: .seconds(2)) { false }
        let host = try #require(network.loop.host)
        host.isSendBlocked = true
        // Packets of no path take all places of the exit's socket; no answer to them comes.
        exit.links.withTable { table in
            for link in exit.links.list.all {
                for _ in 0..<600 { _ = table.send(on: link.id) { _ in true } }
            }
        }
        try network.accepted.first?.write([1, 2, 3])
        let before = exit.links.counters.drops[.notSendable]
        network.loop.run(for: .seconds(2)) { false }
        #expect(app.received == LoopNetwork.greetedCount)
        // Thousands of sessions may wait, so each tries less and less often.
        #expect((10...160).contains(exit.links.counters.drops[.notSendable] - before))
        host.isSendBlocked = false
        #expect(network.loop.run(for: .milliseconds(40)) { app.received == LoopNetwork.greetedCount + 3 })
    }
}

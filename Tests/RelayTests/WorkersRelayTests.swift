import Directory
import Link
import LoopTesting
import Testing
import Wire

@testable import EventLoop
@testable import Links
@testable import Onion
@testable import Relay

/// Whole relays with three workers, on simulated time.
@Suite struct WorkersRelayTests {
    private static let workers = 3

    /// The packets that each worker has received, worker 0 first.
    private func received(_ relay: Relay) -> [UInt64] {
        [relay.links.counters.packetsReceived] + (relay.crew?.counters.map(\.links.packetsReceived) ?? [])
    }

    private func harness(_ change: (inout NetworkFile) -> Void = { _ in }) throws -> RelayHarness {
        try RelayHarness(exit: true, workers: Self.workers, change)
    }

    @Test("links go to other workers in turn; paths that end here, and their streams, do not depend on the worker")
    func sessions() throws {
        let harness = try harness()
        let listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { _ in }
        defer { listener.close() }
        let target = Endpoint(try #require(listener.localAddress))
        var owners: Set<UInt8> = []
        for host in UInt32(1)...6 {
            let client = try harness.client(at: host)
            guard case .path(let id) = try client.build() else {
                Issue.record("not built")
                continue
            }
            owners.insert(PathID.worker(of: id))
            client.beginSession()
            #expect(try client.open(target) == .ok)
        }
        // Worker 0 has the control packets of all, and so gets a link later.
        #expect(owners.isSuperset(of: [1, 2]))
        harness.run(for: .seconds(2)) { false }
        let counts = received(harness.relay)
        #expect(counts.dropFirst().allSatisfy { $0 > 0 }, "\(counts)")
        #expect(harness.relay.status.paths == 6 && harness.relay.status.sessions == 6)
        #expect(harness.relay.crew?.counters.allSatisfy { $0.undelivered == 0 && $0.links.drops.total == 0 } ?? false)
    }

    @Test("a second link from an address gets the worker of the first") func sameAddress() throws {
        let harness = try harness()
        let first = try harness.client(at: 1)
        let owner = try #require(harness.relay.links.list.all.first { $0.peer == .client }).owner
        #expect(harness.relay.links.newOwner(at: [Endpoint(first.links.localAddresses[0])]) == owner)
    }

    /// Ends what a peer does without a word, as if its machine had lost power.
    private func silence(_ links: Links) {
        links.isClosing = true
        for link in links.list.all { link.timer.close() }
        links.closeSockets()
    }

    /// Lets so many seconds pass, without a look at anything meanwhile.
    private func pass(_ seconds: UInt64, _ harness: RelayHarness) {
        harness.loop.host?.world.run(for: seconds * 1_000_000_000)
    }

    @Test("a client that dies leaves nothing behind at any worker", arguments: UInt64(1)...2) func deaths(
        _ seed: UInt64
    ) throws {
        let harness = try harness()
        var random = SimulatedRandom(seed: seed)
        var clients: [TestClient] = []
        for host in UInt32(1)...9 {
            let client = try harness.client(at: host)
            _ = try client.build()
            clients.append(client)
        }
        let relay = harness.relay
        #expect(relay.status.paths == 9)
        // Three close, three fall silent, three stay and have their keys renewed.
        var order = Array(clients.indices)
        for place in order.indices { order.swapAt(place, Int(random.below(UInt64(order.count)))) }
        for (number, place) in order.enumerated() where number < 6 {
            if number < 3 { clients[place].links.closeAll() } else { silence(clients[place].links) }
        }
        let stay = order[6...].map { clients[$0] }
        for client in stay { client.beginSession() }
        pass(30, harness)
        #expect(relay.links.status.clients == 3 && relay.status.paths == 3)
        let rekeys = relay.links.counters.rekeys
        pass(400, harness)
        #expect(relay.links.counters.rekeys >= rekeys + 9)
        #expect(relay.links.status.clients == 3)
        #expect(relay.status.paths == 3 && stay.allSatisfy { $0.destroyed.isEmpty })
        for client in stay { client.links.closeAll() }
        pass(30, harness)
        #expect(relay.links.status.clients == 0 && relay.status.paths == 0)
        // The link with the silent node may be up again.
        let left = relay.links.table.count
        #expect(left <= 1)
        #expect(relay.links.orders.count == left && relay.links.crew.linkCount == 2 * left)
        #expect(relay.links.table.indices.count + relay.links.crew.indexCount <= 3)
        let posts = try #require(relay.crew?.place as? SimulatedWorkers).posts
        for post in posts {
            #expect(post.worker?.halfCount == 0)
            #expect(post.worker?.links.table.count == left)
        }
        #expect(posts.reduce(0) { $0 + ($1.worker?.links.table.indices.count ?? 0) } == relay.links.crew.indexCount)
    }

    /// A next hop that answers a build, and ends its link or the path in the same packet.
    private final class Fleeting: ControlHandler {
        let links: Links
        let endsLink: Bool

        init(_ links: Links, endsLink: Bool) {
            self.links = links
            self.endsLink = endsLink
        }

        func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
            guard message == PathMessage.build.kind,
                let build = PathRecords(body, recordsSize: BuildMessage.recordsSize)
            else { return links.answer(responder, []) }
            let records = [UInt8](repeating: 3, count: BuildMessage.replyRecordsSize)
            links.answer(responder, PathRecords.encode(pathID: 77, records))
            if endsLink { links.close(link) } else { links.destroy(build.pathID, on: link) }
        }

        func linkUp(_ link: LinkID, peer: LinkPeer) {}
        func linkDown(_ link: LinkID, reason: LinkDownReason) {}
    }

    @Test("s21: a next hop that builds a path and ends it at once is blamed, not this node", arguments: [true, false])
    func s21_fleetingNextHop(_ endsLink: Bool) throws {
        for _ in 0..<4 {
            let harness = try harness()
            let next = Fleeting(harness.silent, endsLink: endsLink)
            harness.silent.control = next
            let client = try harness.client()
            var result: Built?
            client.beginBuild(to: harness.silentID) { result = $0 }
            harness.run { result != nil }
            // The records of the next hop are junk. Where this node was in time, the path was made, and has ended.
            #expect(result == .refused(0, .nextHopFailed) || result == .broken)
            if endsLink { #expect(result == .refused(0, .nextHopFailed)) }
            #expect(harness.run(for: .seconds(5)) { harness.relay.status.paths == 0 })
        }
    }

    @Test("datagrams that name a worker and are of no link do nothing there but count") func strangers() throws {
        let harness = try harness()
        let client = try harness.client(at: 1)
        _ = try client.build()
        let target = SocketAddress(try #require(harness.relay.listenAddresses.first))
        let socket = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        defer { socket.close() }
        var random = SimulatedRandom(seed: 5)
        let size = harness.network.packetSize
        for number in 0..<600 {
            let length = number % 7 == 0 ? number % 40 : size
            var bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            if bytes.count > 3 { bytes[3] = UInt8(number % 5) }
            socket.send(bytes.rawSpan, to: target)
            if number % 50 == 0 { harness.run(for: .milliseconds(5)) { false } }
        }
        harness.run(for: .seconds(2)) { false }
        let counters = try #require(harness.relay.crew?.counters)
        for counters in counters {
            #expect(counters.links.drops.total > 50 && counters.links.packetsReceived < 100)
            #expect(counters.links.packetsHandedOn == 0 && counters.drops.allSatisfy { $0 == 0 })
        }
        #expect(try client.build() != .reset)
        #expect(harness.relay.status.paths == 2)
    }
}

import Directory
import EventLoop
import Link
import Onion
import OnionCrypto
import Paths
import Testing
import Wire

@testable import Links
@testable import Relay

/// What strangers can take of the way to a next hop: places of builds under way, and paths.
@Suite struct OnwardSharesTests {
    private static let next = LinkID(rawValue: 1 << 30)

    private func client(network: Int, host: Int = 1) -> LinkSource {
        .client(AddressShare(IPAddress(v4: 0x0a00_0000 + UInt32(network) << 8 + UInt32(host))))
    }

    /// How many more places `source` gets, of at most `most`.
    private func take(_ places: inout OnwardShares, _ source: LinkSource, most: Int = 1_000) -> Int {
        (0..<most).count { _ in places.take(over: Self.next, for: source) }
    }

    @Test("s17: one source takes a third of the builds under way to a next hop, a network half, and others find room")
    func shares() {
        var places = OnwardShares(capacity: 120)
        #expect(take(&places, client(network: 1)) == 40)
        #expect(take(&places, client(network: 2), most: 10) == 10)
        // Another link has places of its own.
        let isFree = places.take(over: LinkID(rawValue: 3 << 20), for: client(network: 1))
        #expect(isFree)

        places = OnwardShares(capacity: 120)
        let network = (1...200).reduce(0) { $0 + take(&places, client(network: 1, host: $1)) }
        #expect((55...60).contains(network))
        #expect(take(&places, client(network: 2), most: 10) == 10)

        // Places come back, and those of an ended link are forgotten.
        for host in 1...200 { for _ in 0..<60 { places.release(over: Self.next, of: client(network: 1, host: host)) } }
        for _ in 0..<10 { places.release(over: Self.next, of: client(network: 2)) }
        #expect(take(&places, client(network: 3)) == 40)
        places.linkEnded(Self.next)
        places.release(over: Self.next, of: client(network: 3))
        #expect(take(&places, client(network: 3)) == 40)
    }

    @Test("s17: with 100 networks that take what they get, each newcomer's build still goes on") func manySources() {
        var places = OnwardShares(capacity: 512)
        for _ in 0..<1_000 {
            for network in 0..<100 { _ = places.take(over: Self.next, for: client(network: network)) }
        }
        for newcomer in 0..<4 { #expect(take(&places, client(network: 200 + newcomer), most: 1) == 1) }
    }

    @Test(
        "s17: sources that take what they get one after the other leave each newcomer a place",
        arguments: [512, 50_000])
    func oneAfterTheOther(_ capacity: Int) {
        var places = OnwardShares(capacity: capacity)
        for number in 0..<15 {
            let node = LinkSource.node(Bytes32(copying: [UInt8](repeating: UInt8(number), count: 32).rawSpan))
            #expect(take(&places, node, most: capacity) >= capacity / 64)
        }
        for newcomer in 0..<4 { #expect(take(&places, client(network: newcomer), most: 1) == 1) }
    }

    @Test("s17: a node, behind which are many clients, takes half of the builds under way to a next hop") func nodes() {
        var places = OnwardShares(capacity: 120)
        let node = LinkSource.node(Bytes32(copying: [UInt8](repeating: 1, count: 32).rawSpan))
        #expect(take(&places, node) == 60)
        #expect(take(&places, client(network: 1), most: 5) == 5)
    }

    @Test("s17: builds to a silent hop leave another client's builds to it their places, and are refused as overload")
    func buildsToASilentHop() throws {
        let harness = try RelayHarness()
        let flood = try (0..<3).map { try harness.client(at: 0x101 + UInt32($0)) }
        let other = try harness.client(at: 0x201)
        var refused: [Built] = []
        for client in flood { for _ in 0..<100 { client.beginBuild(to: harness.silentID) { refused.append($0) } } }
        harness.run(for: .seconds(3)) { false }
        #expect(!refused.isEmpty && refused.count < 100)
        #expect(refused.allSatisfy { $0 == .refused(0, .overloaded) })
        let before = harness.relay.status.refusals["overloaded"]
        var answer: Built?
        other.beginBuild(to: harness.silentID) { answer = $0 }
        harness.run(for: .seconds(2)) { answer != nil }
        #expect(answer == nil && harness.relay.status.refusals["overloaded"] == before)
        // It was sent on: the next hop alone leaves it unanswered.
        #expect(harness.run(for: .seconds(10)) { answer == .refused(0, .nextHopFailed) })
    }

    @Test("s17: one source takes a third of the paths over a next hop, and another client's build still goes on")
    func paths() throws {
        let harness = try RelayHarness { $0.limits.pathsPerNodeLink = 9 }
        let (one, other) = (try harness.client(at: 0x101), try harness.client(at: 0x201))
        var ended: [Built] = []
        for _ in 0..<9 { one.beginBuild(to: harness.silentID) { ended.append($0) } }
        #expect(harness.run(for: .seconds(5)) { ended.count == 6 })
        #expect(ended.allSatisfy { $0 == .refused(0, .overloaded) } && harness.relay.status.paths == 3)
        var answer: Built?
        other.beginBuild(to: harness.silentID) { answer = $0 }
        #expect(harness.run(for: .seconds(2)) { harness.relay.status.paths == 4 })
        #expect(answer == nil && ended.count == 6)
        // The places come back with the end of the builds.
        #expect(harness.run(for: .seconds(12)) { harness.relay.status.paths == 0 })
        for _ in 0..<9 { one.beginBuild(to: harness.silentID) { ended.append($0) } }
        #expect(harness.run(for: .seconds(5)) { ended.count == 9 + 6 })
    }

    /// A next hop that says it has built each path, in records that no client believes.
    private final class Agreeable: ControlHandler {
        private let links: Links
        private var built: UInt32 = 0

        init(_ links: Links) { self.links = links }

        func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
            guard message == PathMessage.build.kind else { return links.answer(responder, []) }
            built += 1
            let records = [UInt8](repeating: 1, count: BuildMessage.replyRecordsSize)
            let pathID = PathID.make(worker: 0, index: 1, random: built)
            links.answer(responder, BuildMessage.encode(pathID: pathID, records))
        }

        func linkUp(_ link: LinkID, peer: LinkPeer) {}
        func linkDown(_ link: LinkID, reason: LinkDownReason) {}
    }

    @Test("s17: where the paths over a next hop are used up, one at rest of the source with the most gives way")
    func replacement() throws {
        let harness = try RelayHarness { $0.limits.pathsPerNodeLink = 9 }
        let next = Agreeable(harness.silent)
        harness.silent.control = next
        /// How many paths over the next hop there are after a client of this network has asked for nine.
        func paths(with network: UInt32, _ client: TestClient? = nil) throws -> Int {
            let client = try client ?? harness.client(at: network << 8 + 1)
            var ended = 0
            for _ in 0..<9 { client.beginBuild(to: harness.silentID) { _ in ended += 1 } }
            #expect(harness.run(for: .seconds(5)) { ended == 9 })
            return harness.relay.status.paths
        }
        let first = try harness.client(at: 0x101)
        #expect(try paths(with: 1, first) == 3)
        #expect(try paths(with: 2) == 5)
        #expect(try (3...6).map { try paths(with: $0) } == [7, 8, 9, 9])
        let ended = first.destroyed.count
        harness.run(for: .seconds(15)) { false }
        // The first has three, and the newcomer gets one of them.
        #expect(try paths(with: 7) == 9)
        #expect(first.destroyed.count == ended + 1)
        withExtendedLifetime(next) {}
    }

    @Test("A client's builds beyond what its link may have under way are told apart from builds without an answer")
    func ownLimitOfClients() throws {
        let harness = try RelayHarness()
        let client = try harness.client()
        let target = HopTarget(node: harness.silentID.key, onionKey: client.onionKey, suite: .chacha20poly1305)
        let guardTarget = HopTarget(node: harness.node.key, onionKey: client.onionKey, suite: .chacha20poly1305)
        var (full, others) = (0, 0)
        for number in 0..<200 {
            client.maker.build(
                [guardTarget, target], over: client.link, as: client.maker.pathID(at: UInt32(number)),
                limit: .seconds(20)
            ) { if case .linkFull = consume $0 { full += 1 } else { others += 1 } }
        }
        harness.run(for: .milliseconds(1)) { false }
        #expect(full == 200 - 128 && others == 0)
    }

    @Test("s17: builds beyond what a link may have under way are this node's overload, not the next hop's fault")
    func ownLimit() throws {
        let harness = try RelayHarness()
        let client = try harness.client()
        client.beginBuild(to: harness.silentID)
        harness.run(for: .seconds(2)) { harness.relay.status.paths == 1 }
        let link = try #require(harness.relay.links.list.all.first { $0.peer == .node(harness.silentID) })
        // All places of the link are taken by builds that are not counted for clients.
        var isFull = false
        for _ in 0..<600 where !isFull {
            harness.relay.links.request(on: link.id, PathMessage.build, body: [1]) {
                if $0 == .failure(.limit) { isFull = true }
            }
            harness.run(for: .milliseconds(1)) { false }
        }
        #expect(isFull)
        var answer: Built?
        client.beginBuild(to: harness.silentID) { answer = $0 }
        #expect(harness.run(for: .seconds(5)) { answer == .refused(0, .overloaded) })
    }

    @Test("A build that came from a node is answered two seconds before that node gives up, so it hears who is silent")
    func innerHops() throws {
        let harness = try RelayHarness()
        let client = try harness.client()
        var up: Result<LinkID, LinkFailure>?
        harness.silent.link(to: harness.node, at: harness.relay.listenAddresses) { up = $0 }
        #expect(harness.run { up != nil })
        let link = try #require(up).get()
        let maker = PathMaker(
            links: harness.silent, network: harness.network.id, clock: { harness.silent.time })
        let targets = [harness.node, harness.silentID].map {
            HopTarget(node: $0.key, onionKey: client.onionKey, suite: .chacha20poly1305)
        }
        let start = harness.loop.now
        var status: BuildStatus?
        maker.build(targets, over: link, as: maker.pathID(at: 0), limit: .seconds(20)) { outcome in
            if case .refused(0, let found) = consume outcome { status = found }
        }
        #expect(harness.run(for: .seconds(20)) { status != nil })
        #expect(status == .nextHopFailed)
        let seconds = Double(harness.loop.now - start) / 1e9
        #expect((5.9...6.5).contains(seconds), "\(seconds)")
    }
}

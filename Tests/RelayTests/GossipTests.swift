// One file: the tests share a harness and helpers.

import Directory
import Link
import Logging
import LoopTesting
import Onion
import OnionCrypto
import Testing
import Wire

@testable import EventLoop
@testable import Links
@testable import Relay

/// Attacks of a node's neighbours on its store of descriptors, over real links on one loop.
@Suite struct GossipTests {
    /// A node with the gossip under test, and neighbours that the test plays.
    private final class Town {
        let loop: Loop
        let gossip: Gossip
        let neighbours: Neighbours
        let snapshot: Snapshot
        /// The node's links to its neighbours.
        private(set) var links: [LinkID] = []
        /// All of the node's links that have come up.
        private(set) var allUp: [LinkID] = []
        private let seeds: [[UInt8]]
        private let network: NetworkFile
        private let node: Links
        private var others: [Links] = []

        private var ends: [End] = []
        private let events = Events()

        /// With `restarting`, each neighbour has a second link, and the node does not know yet that the first is dead.
        ///
        /// Each neighbour answers questions for descriptors with its part of those that it is `knowing`; one without a
        /// part answers none.
        init(
            neighbours count: Int, restarting: Bool = false, knowing: ((Town, Int) throws -> [SignedDescriptor]?)? = nil
        ) throws {
            let loop = Loop.simulated()
            self.loop = loop
            let seeds = (0...count).map { _ in SecureRandom.bytes(32) }
            self.seeds = seeds
            let ids = seeds.map { NodeID(Self.key($0).publicKey) }
            let id = Bytes32(copying: SecureRandom.bytes(32).rawSpan)
            let entries = ids.map { Snapshot.Entry(node: $0, operatorID: $0.key, weight: 1, placement: 0) }
            let time = UnixTime(seconds: loop.wallClock / 1_000_000_000)
            snapshot = try #require(Snapshot(network: id, height: 1, time: time, entries: entries))
            var file = NetworkFile(name: "test", id: id, bootstrap: [], snapshot: SignedSnapshot(snapshot))
            file.allowPrivateAddresses = true
            network = file
            func side(_ number: Int) throws -> Links {
                var configuration = LinksConfiguration(
                    network: LinkNetwork(id: id), listen: [.loopbackIPv4(port: 0)], messages: RelayMessage.kinds)
                configuration.nodeIdle = .seconds(3_600)
                return try Links(
                    on: loop, configuration: configuration, identity: LinkIdentity(Self.key(seeds[number])),
                    isStaked: { ids.contains($0) })
            }
            node = try side(0)
            let nodes = try KnownNodes(
                links: node, network: file, snapshot: snapshot, endpoints: NodeEndpoints(), store: nil)
            neighbours = Neighbours(links: node, node: ids[0], nodes: nodes)
            gossip = Gossip(links: node, network: file, node: ids[0], neighbours: neighbours)
            events.town = self
            node.control = events
            for number in 1...count {
                let other = try side(number)
                others.append(other)
                let end = End(other)
                end.known = try knowing.flatMap { try $0(self, number) }
                ends.append(end)
                other.control = end
                var up: LinkID?
                node.link(to: ids[number], at: other.localAddresses.map { Endpoint($0) }) { up = try? $0.get() }
                loop.run { up != nil }
                links.append(try #require(up))
                guard restarting else { continue }
                // The neighbour behaves like a process that was killed and started again.
                for link in other.list.all { other.removeSilently(link.id) }
                other.link(to: ids[0], at: node.localAddresses.map { Endpoint($0) }) { _ in }
                loop.run { allUp.count == 2 * number }
            }
        }

        deinit {
            node.closeAll()
            for other in others { other.closeAll() }
            loop.close()
        }

        private static func key(_ seed: [UInt8]) -> SigningKey { SigningKey(seed: Secret(copying: seed.rawSpan)) }

        /// A descriptor of neighbour `number` that is `age` seconds old, with its own signature or a forged one.
        func descriptor(
            of number: Int, age: UInt64 = 60, at endpoint: Endpoint? = Endpoint("127.0.0.1:9"), isForged: Bool = false
        ) throws -> SignedDescriptor {
            let published = UnixTime(seconds: loop.wallClock / 1_000_000_000 - age)
            let key = Self.key(seeds[number])
            let value = Descriptor(
                node: NodeID(key.publicKey), published: published,
                expires: UnixTime(seconds: published.seconds + DescriptorStore.lifetime), suites: .known, roles: [],
                exit: [],
                bandwidth: 0,
                ipv4: endpoint, ipv6: nil, onionKey: try KEM.PrivateKey().publicKey,
                software: "tunic/test")
            if isForged { return SignedDescriptor(value, signature: [UInt8](repeating: 1, count: 64)) }
            return value.signed(with: key, network: network.id)
        }

        /// Has neighbour `number` publish `list` `times` times.
        func publish(_ list: [SignedDescriptor], by number: Int, times: Int = 1) {
            let body = SignedDescriptor.encodeList(list)
            for _ in 0..<times { gossip.take(body, from: links[number - 1]) }
        }

        func holds(_ signed: SignedDescriptor) -> Bool {
            neighbours.nodes.descriptor(of: signed.descriptor.node) == signed
        }

        /// The address at which neighbour `number` listens.
        func endpoint(of number: Int) -> Endpoint { Endpoint(others[number - 1].localAddresses[0]) }

        /// The number of client links that the neighbours have had, and the number of those that have ended.
        var clientLinks: (up: Int, down: Int) {
            ends.reduce((0, 0)) { ($0.0 + $1.clients.count, $0.1 + $1.gone) }
        }

        /// From when on each neighbour has been asked for descriptors.
        var questions: [[UInt64]] { ends.map(\.questions) }

        /// The number of questions for all descriptors.
        var fullQuestions: Int { questions.joined().filter { $0 == 0 }.count }

        /// Lets time pass as a relay does.
        func tick(_ seconds: Int) {
            for _ in 0..<seconds {
                gossip.tick()
                loop.run(for: .seconds(1)) { false }
            }
        }

        /// The part of the node that tests other nodes.
        func watching() throws -> Watching {
            try Watching(
                links: node, network: network, identity: LinkIdentity(Self.key(seeds[0])), nodes: neighbours.nodes,
                ledger: nil, observer: nil, store: nil,
                log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, sentence: \.text)
        }

        /// Whether the node reads `list`, which neighbour `number` publishes, or has sent as an answer.
        func reads(_ list: [SignedDescriptor], of number: Int, isAnswer: Bool = false) -> Bool {
            gossip.take(SignedDescriptor.encodeList(list), from: links[number - 1], isAnswer: isAnswer)
        }

        /// Waits for checks to end.
        func settle() { loop.run(for: .milliseconds(50)) { false } }

        /// Ends a link of the node.
        func close(_ link: LinkID) { node.close(link) }

        /// A neighbour, which ignores all messages but questions for descriptors.
        private final class End: ControlHandler {
            var known: [SignedDescriptor]?
            private(set) var questions: [UInt64] = []
            private(set) var clients: Set<LinkID> = []
            private(set) var gone = 0
            private weak var links: Links?
            init(_ links: Links) { self.links = links }
            func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
                var reader = ByteReader(body.rawSpan)
                guard message == DirectoryMessage.getDescriptors.kind, let since = try? reader.u64() else { return }
                questions.append(since)
                guard let known else { return }
                let list = known.filter { $0.descriptor.published.seconds >= since }
                links?.answer(responder, SignedDescriptor.encodeList(list))
            }
            func linkUp(_ link: LinkID, peer: LinkPeer) { if peer.node == nil { clients.insert(link) } }
            func linkDown(_ link: LinkID, reason: LinkDownReason) { if clients.contains(link) { gone += 1 } }
        }

        /// Tells the gossip of the node's links.
        private final class Events: ControlHandler {
            weak var town: Town?
            private var peers: [LinkID: NodeID] = [:]
            func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {}
            func linkUp(_ link: LinkID, peer: LinkPeer) {
                town?.allUp.append(link)
                peers[link] = peer.node
                guard let peer = peer.node else { return }
                town?.neighbours.linkUp(link, peer)
                town?.gossip.linkUp(link, peer)
            }
            func linkDown(_ link: LinkID, reason: LinkDownReason) {
                if let peer = peers[link] { town?.neighbours.linkDown(link, peer) }
            }
        }
    }

    @Test("gossip goes over to the link that stands by when a neighbour's other link ends") func standbyLink() throws {
        let town = try Town(neighbours: 1, restarting: true)
        let used = try #require(town.neighbours.up.values.first)
        let other = try #require(town.allUp.first { $0 != used })
        town.close(used)
        #expect(town.loop.run(for: .seconds(10)) { town.neighbours.up.values.first != used })
        #expect(Array(town.neighbours.up.values) == [other])
    }

    @Test("s22: forged descriptors of one node do not fill the queue of the check") func s22_forgedDescriptors() throws
    {
        let town = try Town(neighbours: 3)
        let forged = try (0..<8).map { _ in try town.descriptor(of: 3, isForged: true) }
        let good = try town.descriptor(of: 3)
        town.publish([forged[0]], by: 1)
        town.settle()
        // More descriptors than a queue may have places, before any of them is checked.
        town.publish(forged, by: 1, times: 16_384 / forged.count + 1)
        town.publish([good], by: 2)
        #expect(town.loop.run(for: .seconds(10)) { town.holds(good) })
        // Until the next snapshot, valid descriptors from this neighbour are not read either.
        let own = try town.descriptor(of: 1)
        town.publish([own], by: 1)
        town.settle()
        #expect(!town.holds(own))
        town.gossip.follow(town.snapshot, digest: Bytes32())
        town.publish([own], by: 1)
        #expect(town.loop.run(for: .seconds(10)) { town.holds(own) })
    }

    @Test("s27: a node hears of a descriptor of its own that is as new as its present one, and of no other")
    func s27_rivals() throws {
        let town = try Town(neighbours: 3)
        let present = try town.descriptor(of: 0, age: 60)
        #expect(town.gossip.publish(present) == nil)
        town.publish([present, try town.descriptor(of: 0, age: 61)], by: 1)
        town.settle()
        #expect(town.gossip.takeRival() == nil)
        // A forged one makes the neighbour a liar.
        town.publish([try town.descriptor(of: 0, age: 30, isForged: true)], by: 1)
        town.publish([try town.descriptor(of: 0, age: 60)], by: 1)
        town.settle()
        #expect(town.gossip.takeRival() == nil)
        let asNew = try town.descriptor(of: 0, age: 60)
        town.publish([asNew], by: 2)
        #expect(town.loop.run(for: .seconds(10)) { town.gossip.takeRival() == asNew.descriptor.published })
        let later = try town.descriptor(of: 0, age: 20)
        town.publish([try town.descriptor(of: 0, age: 40), later], by: 3)
        #expect(town.loop.run(for: .seconds(10)) { town.gossip.takeRival() == later.descriptor.published })
        // The node makes a later one instead of taking it.
        #expect(town.holds(present) && town.gossip.takeRival() == nil)
    }

    @Test("s22: a node's flood of its own descriptors is taken in at a pace, and others' at once") func s22_ownFlood()
        throws
    {
        let town = try Town(neighbours: 3)
        let before = town.neighbours.nodes.descriptors.generation
        for age in 100..<150 as Range<UInt64> {
            town.publish([try town.descriptor(of: 3, age: 250 - age)], by: 1)
            town.loop.run(for: .milliseconds(2)) { false }
        }
        let good = try town.descriptor(of: 2)
        town.publish([good], by: 3)
        #expect(town.loop.run(for: .seconds(10)) { town.holds(good) })
        // The descriptor of the other node, and up to four of the first node's.
        let taken = town.neighbours.nodes.descriptors.generation - before
        #expect((2...5).contains(taken))
    }

    /// A town of four neighbours, in which the last two know the fourth's descriptor, which is three hours old.
    ///
    /// All know the first one's, which is new.
    private func newcomer() throws -> (Town, SignedDescriptor) {
        var old: SignedDescriptor?
        let town = try Town(neighbours: 4) { town, number in
            let hidden = try old ?? town.descriptor(of: 4, age: 3 * 3_600)
            old = hidden
            let new = try town.descriptor(of: 1)
            return number < 3 ? [new] : [new, hidden]
        }
        return (town, try #require(old))
    }

    @Test("P9: a node that has started asks nodes of three operators for all descriptors")
    func p9_threeOperators() throws {
        let (town, old) = try newcomer()
        town.tick(10)
        #expect(town.holds(old) && town.gossip.hasHeard)
        #expect(town.fullQuestions == 3 && town.questions.joined().count == 3)
        // Afterwards it asks one neighbour for what was published since the last answer, or two hours before.
        let last = town.loop.wallClock / 1_000_000_000
        town.gossip.refreshSoon()
        town.tick(5)
        let later = town.questions.joined().filter { $0 > 0 }
        #expect(later.count == 1 && later.allSatisfy { $0 > last - 7_300 && $0 <= last - 7_200 })
    }

    @Test("P9: all descriptors are asked for anew after a step of the clock or of the snapshot, which refused some")
    func p9_afterAStep() throws {
        let (town, _) = try newcomer()
        town.tick(10)
        let host = try #require(town.loop.host)
        for (count, error) in [(6, 3_600), (9, 0), (9, 200)] as [(Int, Int64)] {
            host.clockError = error * 1_000_000_000
            town.tick(10)
            #expect(town.fullQuestions == count)
        }
        func follow(after seconds: UInt64) throws {
            let time = UnixTime(seconds: town.snapshot.time.seconds + seconds)
            let next = try #require(
                Snapshot(
                    network: town.snapshot.network, height: 1 + seconds, time: time, entries: town.snapshot.entries))
            town.gossip.follow(next, digest: Bytes32())
            town.tick(10)
        }
        for (count, seconds) in [(9, 3_600), (9, 7_200), (12, 7_200 + 3 * 3_600)] as [(Int, UInt64)] {
            try follow(after: seconds)
            #expect(town.fullQuestions == count)
        }
    }

    @Test("P9: a node that never answers keeps nobody from being asked for what was missed")
    func p9_silentNode() throws {
        let town = try Town(neighbours: 2) { _, number in number == 1 ? [] : nil }
        town.tick(1_900)
        let (answering, silent) = (town.questions[0], town.questions[1])
        // It has answered at once, and is asked every ten minutes if it is drawn, or soon after if the other one is.
        #expect(answering.first == 0 && (2...3).contains(answering.count { $0 > 0 }))
        #expect(silent.count { $0 == 0 } > 100)
    }

    @Test("P9: long lists that neighbours publish take no place of an answer that the node has asked for")
    func p9_longLists() throws {
        let town = try Town(neighbours: 5)
        let list = try (0..<16).map { _ in try town.descriptor(of: 1) }
        #expect(SignedDescriptor.encodeList(list).count > 16_384)
        for number in 1...4 {
            for place in 1...3 { #expect(town.reads(list, of: number) == (place < 3)) }
        }
        #expect(!town.reads(list, of: 5) && town.reads(list, of: 5, isAnswer: true))
        town.settle()
        #expect(town.reads(list, of: 5))
    }

    @Test("P9: who does not answer is asked later, and others meanwhile; an operator's nodes count once")
    func p9_oneOfAnOperator() {
        func time(_ seconds: Int64) -> Instant { Instant(nanoseconds: 1_000_000_000) + .seconds(seconds) }
        let ids = (0..<6 as Range<UInt8>).map { NodeID(Bytes32([UInt8](repeating: $0 + 1, count: 32))!) }
        let owners = [0, 0, 1, 1, 2, 3].map { ids[$0].key }
        var full = FullAnswers()
        func asks(_ seconds: Int64) -> [Int] {
            ids.indices.filter { full.mustAsk(ids[$0], of: owners[$0], now: time(seconds)) }
        }
        #expect(asks(0) == Array(0...5))
        full.ask(ids[0])
        #expect(asks(0) == Array(1...5))
        full.ask(ids[2])
        // Two are asked at a time.
        #expect(asks(0).isEmpty)
        full.end(ids[0], of: owners[0], isRead: true, now: time(1))
        #expect(full.hasHeard && asks(1) == [3, 4, 5])
        full.end(ids[2], of: owners[2], isRead: false, now: time(10))
        #expect(asks(14) == [3, 4, 5] && asks(15) == [2, 3, 4, 5])
        full.end(ids[3], of: owners[3], isRead: true, now: time(15))
        #expect(asks(15) == [4, 5] && !full.isComplete)
        full.end(ids[5], of: owners[5], isRead: true, now: time(15))
        #expect(asks(15).isEmpty && full.isComplete)
        full.restart()
        #expect(asks(15) == Array(0...5) && full.hasHeard)
    }

    @Test("s24: a node that asks for links back gets them at the address from which it asks, and aims them at no other")
    func linkBackAtAnother() throws {
        let town = try Town(neighbours: 1)
        let own = town.endpoint(of: 1)
        // Here all addresses of 127.0.0.0/8 are the neighbour's: a link to the stranger's would come up.
        let stranger = try #require(Endpoint("127.0.0.2:\(own.port)"))
        let watching = try town.watching()
        for (age, address, expected) in [(60, stranger, [2]), (30, own, [1])] as [(UInt64, Endpoint, [UInt8])] {
            let signed = try town.descriptor(of: 1, age: age, at: address)
            town.publish([signed], by: 1)
            #expect(town.loop.run(for: .seconds(10)) { town.holds(signed) })
            var answers: [[UInt8]?] = []
            watching.linkBack(from: signed.descriptor.node, at: own.address) { answers.append($0) }
            #expect(town.loop.run(for: .seconds(20)) { answers.count == 1 })
            #expect(answers == [expected])
            town.settle()
            #expect(town.clientLinks.up == (address == own ? 1 : 0))
            // A node is answered once in ten seconds.
            _ = town.loop.run(for: .seconds(11)) { false }
        }
        var isClosed = false
        watching.close { isClosed = true }
        #expect(town.loop.run(for: .seconds(10)) { isClosed })
    }

    @Test("a node that asks for links to it does not disturb the test of it that is under way") func linkBackInATest()
        throws
    {
        let town = try Town(neighbours: 1)
        let signed = try town.descriptor(of: 1, at: town.endpoint(of: 1))
        let id = signed.descriptor.node
        town.publish([signed], by: 1)
        #expect(town.loop.run(for: .seconds(10)) { town.holds(signed) })
        let watching = try town.watching()
        var isOver = false
        let target = HopTarget(node: id.key, onionKey: signed.descriptor.onionKey, suite: .chacha20poly1305)
        watching.client.test(
            [TestHop(target: target, addresses: signed.descriptor.addresses)], place: 0, wantsCapacity: false
        ) { _, _ in isOver = true }
        // The question comes while the test's link is made, and again while the test waits for the answer to its build.
        var answers: [[UInt8]?] = []
        watching.linkBack(from: id, at: town.endpoint(of: 1).address) { answers.append($0) }
        #expect(town.loop.run(for: .seconds(10)) { town.clientLinks.up == 1 })
        town.settle()
        watching.client.reach(id, at: town.endpoint(of: 1)) { answers.append($0.map { [$0 ? 1 : 0] }) }
        #expect(town.loop.run(for: .seconds(10)) { answers.count == 2 })
        town.settle()
        // 2: the node cannot tell.
        #expect(answers == [[2], nil])
        #expect(!isOver && town.clientLinks == (1, 0))
        var isClosed = false
        watching.close { isClosed = true }
        #expect(town.loop.run(for: .seconds(10)) { isClosed })
    }
}

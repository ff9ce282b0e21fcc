// One file: the tests share a harness and helpers.

import Directory
import EventLoop
import Onion
import OnionCrypto
import Paths
import Testing
import Transport
import Watch
import Wire

@testable import Links
@testable import Relay

/// Limits on the resources that clients can make a relay use, over simulated sockets on one loop.
@Suite struct RelayThreatTests {
    /// Builds `count` paths over each of `clients` at once, and waits for all answers.
    private func results(_ harness: RelayHarness, _ clients: [TestClient], _ count: Int) throws -> [Built] {
        var results: [Built] = []
        for _ in 0..<count { for client in clients { client.build { results.append($0) } } }
        #expect(harness.run { results.count == count * clients.count })
        return results
    }

    private func paths(_ results: [Built]) -> Int {
        results.reduce(0) { if case .path = $1 { $0 + 1 } else { $0 } }
    }

    @Test("R3: a client's link builds no faster than its rate, and another link has its own") func rateOfALink() throws
    {
        let harness = try RelayHarness {
            $0.limits.clientBuildsPerSecond = 1
            $0.limits.clientBuildBurst = 4
        }
        let hasty = try harness.client()
        let other = try harness.client()
        let first = try results(harness, [hasty], 20)
        #expect((4...8).contains(paths(first)))
        #expect(first.contains(.reset))
        #expect(harness.relay.status.refusals["rate"] ?? 0 >= 12)
        #expect(paths(try results(harness, [other], 4)) == 4)
    }

    @Test("R3: all links together build no faster than the node's rate") func rateOfAll() throws {
        let harness = try RelayHarness { $0.limits.buildsPerSecond = 4 }
        let clients = [try harness.client(), try harness.client(), try harness.client()]
        let all = try results(harness, clients, 20)
        #expect((4...30).contains(paths(all)))
        #expect(harness.relay.status.refusals["rate"] ?? 0 >= 30)
    }

    @Test("R3: a client's link gets no more paths than its limit; a path that ends makes room") func pathsOfALink()
        throws
    {
        let harness = try RelayHarness { $0.limits.pathsPerClientLink = 3 }
        let client = try harness.client()
        let other = try harness.client()
        let built = try results(harness, [client], 5)
        #expect(paths(built) == 3)
        #expect(built.filter { $0 == .refused(0, .overloaded) }.count == 2)
        #expect(paths(try results(harness, [other], 1)) == 1)
        guard case .path(let id) = built.first(where: { if case .path = $0 { true } else { false } }) else { return }
        client.destroy(id)
        #expect(harness.run { harness.relay.status.paths == 3 })
        #expect(paths(try results(harness, [client], 2)) == 1)
    }

    @Test("R3: all links together get no more paths than the node carries") func pathsOfAll() throws {
        let harness = try RelayHarness { $0.limits.paths = 4 }
        let clients = [try harness.client(), try harness.client()]
        #expect(paths(try results(harness, clients, 4)) == 4)
        #expect(harness.relay.status.paths == 4)
        #expect(harness.relay.status.refusals["overloaded"] == 4)
    }

    @Test("s17: while builds are scarce each link gets its part", arguments: [1, 20, 1_000]) func partsOfBuilds(
        flood: Int
    ) {
        let start = Instant(nanoseconds: 1)
        var rate = SharedRate<Int, Never>(perSecond: 1_000, burst: 1_000, now: start)
        var served = 0
        for millisecond in 0..<10_000 as Range<Int64> {
            let now = start + .milliseconds(millisecond)
            for request in 0..<3 { _ = rate.take((Int(millisecond) * 3 + request) % flood, now) }
            // The newcomer asks twice a second, as a starting client does.
            if millisecond % 500 == 499, rate.take(-1, now) { served += 1 }
        }
        #expect(served >= 9)
    }

    @Test(
        "s17: builds that wait are opened by turns of their networks, and in a network of its addresses",
        arguments: [1, 20, 256, 1_000])
    func turnsOfBuilds(flood: Int) {
        func subscriber(_ number: Int) -> Asker {
            .address(AddressShare(IPAddress(high: 0x2001_0db8_0000_0000 + UInt64(number) << 8, low: 1)))
        }
        var queue = BuildService.queue(Int.self)
        for number in 0..<10_000 { _ = queue.add(number, from: subscriber(number % flood)) }
        #expect(queue.count == BuildService.waitingLimit)
        // Each network has had a turn.
        let networks = (flood + 255) / 256
        for _ in 0..<networks { _ = queue.take() }
        let newcomers: [Asker] = [.node(NodeID(Bytes32())), .address(AddressShare(IPAddress(v4: 1)))]
        for newcomer in newcomers {
            #expect(queue.add(-1, from: newcomer) != -1)
            // A node's is next, or after that of one stranger; so is that of a stranger without a turn.
            let next = (0..<2).map { _ in queue.take()?.request }
            #expect(next.contains(-1))
        }
    }

    /// Holds builds back, until all of them come at once.
    private final class Dam: ControlHandler {
        private let inner: any ControlHandler
        private var held: [(kind: MessageKind, body: [UInt8], link: LinkID, responder: ControlResponder)] = []
        private var isOpen = false

        init(before inner: any ControlHandler) { self.inner = inner }

        var count: Int { held.count }

        func open() {
            isOpen = true
            for build in held {
                inner.received(build.kind, body: build.body, from: build.link, responder: build.responder)
            }
            held = []
        }

        func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
            if isOpen || message != PathMessage.build.kind {
                return inner.received(message, body: body, from: link, responder: responder)
            }
            held.append((message, body, link, responder))
        }
        func linkUp(_ link: LinkID, peer: LinkPeer) { inner.linkUp(link, peer: peer) }
        func linkDown(_ link: LinkID, reason: LinkDownReason) { inner.linkDown(link, reason: reason) }
    }

    @Test("s17: a turn of the loop opens eight of the builds that wait") func buildsInTurn() throws {
        let harness = try RelayHarness()
        let dam = Dam(before: try #require(harness.relay.links.control))
        harness.relay.links.control = dam
        let clients = try (0..<12).map { _ in try harness.client() }
        var results: [Built] = []
        for client in clients { for _ in 0..<4 { client.build { results.append($0) } } }
        #expect(harness.run(for: .seconds(5)) { dam.count == 48 })
        var (before, most) = (0, 0)
        dam.open()
        let isOver = harness.run {
            let paths = harness.relay.status.paths
            most = max(most, paths - before)
            before = paths
            return results.count == 48
        }
        #expect(isOver && paths(results) == 48)
        // The loop may look at its timers twice in one turn.
        #expect(most <= 2 * 8)
    }

    @Test("s17: builds of a network's addresses that wait delay another client's by one turn") func turnOfANewcomer()
        throws
    {
        let harness = try RelayHarness()
        let dam = Dam(before: try #require(harness.relay.links.control))
        harness.relay.links.control = dam
        let flood = try (0x101...0x104).map { try harness.client(at: $0) }
        let newcomer = try harness.client(at: 0x201)
        var answered: [Bool] = []
        for client in flood { for _ in 0..<24 { client.build { _ in answered.append(false) } } }
        #expect(harness.run { dam.count == 96 })
        newcomer.build { _ in answered.append(true) }
        #expect(harness.run { dam.count == 97 })
        dam.open()
        #expect(harness.run { answered.count == 97 })
        // It is among the first eight, of which the answers come at once; over mailboxes, the next turn's come with them.
        #expect(answered.firstIndex(of: true) ?? 97 < (testWorkers == 1 ? 8 : 16))
    }

    @Test("s17: builds of a link that closes make no paths, which nobody would end") func buildsOfAClosingLink() throws
    {
        let harness = try RelayHarness()
        let clients = try (0..<2).map { _ in try harness.client() }
        for client in clients { for _ in 0..<24 { client.build { _ in } } }
        for _ in 0..<8 { clients[1].beginBuild(to: harness.silentID) }
        let hasBegun = harness.run { harness.relay.status.paths >= 8 }
        #expect(hasBegun && harness.relay.status.paths < 48)
        for link in harness.relay.links.list.all where link.peer == .client { harness.relay.links.close(link.id) }
        harness.run(for: .seconds(5)) { false }
        #expect(harness.relay.status.paths == 0)
    }

    @Test(
        "s17: what links use of the way to the next hop is not taken from another link", arguments: [1, 3])
    func onwardBuilds(links: Int) {
        let start = Instant(nanoseconds: 1)
        var rate = SharedRate<Int, Never>(perSecond: 200, burst: 1_000, now: start)
        var (flood, honest) = (0, 0)
        for millisecond in 0..<20_000 as Range<Int64> {
            let now = start + .milliseconds(millisecond)
            for link in 0..<links where rate.take(link, now) { flood += 1 }
            if millisecond % 100 == 0, rate.take(-1, now) { honest += 1 }
        }
        #expect(honest == 200)
        #expect(flood > 3_000)
    }

    /// Sends the first packet of a session over a new path.
    private func beginSession(_ client: TestClient) throws {
        guard case .path = try client.build() else {
            Issue.record("no path")
            return
        }
        client.sendRaw(LegHello(leg: 0, kind: .newSession).encoded)
    }

    @Test("s14: when an exit is full of sessions the source with most gives up its oldest idle one")
    func sessionsOfAll() throws {
        let harness = try RelayHarness(exit: true, sessions: 4)
        let flood = try harness.client()
        var paths: [UInt64] = []
        for number in 1...4 {
            try beginSession(flood)
            paths.append(flood.pathID)
            #expect(harness.run { harness.relay.status.sessions == number })
        }
        let honest = try harness.client(at: 2)
        try beginSession(honest)
        #expect(harness.run { harness.relay.sessions.sessionCount == 4 && flood.destroyed.count == 1 })
        #expect(flood.destroyed == [paths[0]])
        #expect(honest.destroyed.isEmpty)
        // The flood then has as many sessions as the others. Its next session gets the place of one of its own.
        let other = try harness.client(at: 3)
        try beginSession(other)
        #expect(harness.run { flood.destroyed.count == 2 })
        try beginSession(flood)
        #expect(harness.run { flood.destroyed.count == 3 })
        #expect(flood.destroyed == Array(paths[..<3]))
        #expect(honest.destroyed.isEmpty && other.destroyed.isEmpty)
    }

    @Test("s14: further links of one address get no more sessions of a full exit") func sessionsOfOneAddress() throws {
        let harness = try RelayHarness(exit: true, sessions: 4)
        let honest = try harness.client()
        for number in 1...2 {
            try beginSession(honest)
            #expect(harness.run { harness.relay.status.sessions == number })
        }
        var flood: [TestClient] = []
        for number in 3...6 {
            flood.append(try harness.client(at: 2))
            try beginSession(flood[number - 3])
            // The third and fourth flood sessions get places of the address, which has as many as the other address.
            let isDone = harness.run {
                number <= 4 ? harness.relay.status.sessions == number : flood[number - 5].destroyed.count == 1
            }
            #expect(isDone)
        }
        #expect(harness.relay.sessions.sessionCount == 4 && honest.destroyed.isEmpty)
        #expect(flood.map(\.destroyed.count) == [1, 1, 0, 0])
    }

    @Test("s14: sessions that request nothing keep no client out of a full exit, not even one of their own source")
    func sessionsThatRequestNothing() throws {
        let harness = try RelayHarness(exit: true, sessions: 4)
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { accepted.append($0) }
        defer { listener.close() }
        let destination = Endpoint(try #require(listener.localAddress))
        // Two sources hold half each, and no session is without a stream; the streams request nothing.
        for number in 0..<4 {
            let flood = try harness.client(at: UInt32(1 + number % 2))
            _ = try flood.build()
            flood.beginSession()
            let request = OpenRequest(destination: Destination(host: .address(destination.address), port: 1)).encoded()
            _ = flood.connection.write(try flood.connection.openStream(), request.rawSpan.extracting(first: 2))
            flood.pump()
            #expect(harness.run { harness.relay.sessions.streamCount == number + 1 })
        }
        for number in 1...2 {
            let honest = try harness.client(at: UInt32(number))
            _ = try honest.build()
            honest.beginSession()
            #expect(try honest.open(destination) == .ok)
        }
        #expect(harness.relay.sessions.sessionCount == 4)
        // Those that are served stay.
        for _ in 0..<6 { try beginSession(try harness.client(at: 1)) }
        harness.run(for: .seconds(3)) { false }
        #expect(harness.relay.sessions.sessionCount == 4 && harness.relay.sessions.streamCount >= 2)
        #expect(accepted.count == 2)
        for stream in accepted { stream.close() }
    }

    @Test("s14: an exit that is full of sessions with streams lets a new source in") func busySessions() throws {
        let harness = try RelayHarness(exit: true, sessions: 2)
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { accepted.append($0) }
        defer { listener.close() }
        let destination = Endpoint(try #require(listener.localAddress))
        let flood = try harness.client()
        for _ in 0..<2 {
            guard case .path = try flood.build() else { return }
            flood.connection = Connection(role: .initiator, seed: 5)
            flood.beginSession()
            #expect(try flood.open(destination) == .ok)
        }
        let honest = try harness.client(at: 2)
        _ = try honest.build()
        honest.beginSession()
        #expect(try honest.open(destination) == .ok)
        #expect(harness.run { flood.destroyed.count == 1 })
        #expect(harness.relay.sessions.sessionCount == 2)
        for stream in accepted { stream.close() }
    }

    @Test("s14: a path without a session takes one place among those that are to be ended") func orphans() throws {
        let harness = try RelayHarness(exit: true)
        let noisy = try harness.client()
        let other = try harness.client(at: 2)
        let hello = LegHello(
            leg: 0, kind: .join(session: [UInt8](repeating: 1, count: 16), mac: [UInt8](repeating: 2, count: 16)))
        for client in [noisy, other] { guard case .path = try client.build() else { return } }
        // The packets go out one after the other, so none is lost. The next sweep ends their paths.
        let before = harness.relay.paths.endingCount
        for _ in 0..<20 { noisy.sendRaw(hello.encoded) }
        #expect(harness.run { harness.relay.paths.endingCount > before || !noisy.destroyed.isEmpty })
        harness.run(for: .milliseconds(20)) { false }
        #expect(harness.relay.paths.endingCount <= 1)
        other.sendRaw(hello.encoded)
        #expect(harness.run { other.destroyed == [other.pathID] && noisy.destroyed == [noisy.pathID] })
    }

    /// The node behind the relay, which answers builds when the test says so, and records the ended paths.
    private final class NextHop: ControlHandler {
        var builds: [ControlResponder] = []
        /// The link and the path id of the last build.
        var asked: (link: LinkID, pathID: UInt64)?
        var destroyed: [UInt64] = []
        let links: Links

        init(_ links: Links) { self.links = links }

        func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
            if message == PathMessage.build.kind {
                asked = PathRecords(body, recordsSize: BuildMessage.recordsSize).map { (link, $0.pathID) }
                return builds.append(responder)
            }
            if message == PathMessage.destroy.kind, let message = DestroyMessage(body) {
                destroyed.append(message.pathID)
            }
            links.answer(responder, [])
        }

        /// Answers that the paths are ready, with records that nobody can open.
        func answer(pathID: UInt64) {
            let records = [UInt8](repeating: 3, count: BuildMessage.replyRecordsSize)
            for responder in builds { links.answer(responder, PathRecords.encode(pathID: pathID, records)) }
            builds = []
        }

        func linkUp(_ link: LinkID, peer: LinkPeer) {}
        func linkDown(_ link: LinkID, reason: LinkDownReason) {}
    }

    @Test("s27: the next hop hears of a path that ended while it built it") func endedMeanwhile() throws {
        let harness = try RelayHarness()
        let next = NextHop(harness.silent)
        harness.silent.control = next
        let client = try harness.client()
        client.beginBuild(to: harness.silentID)
        #expect(harness.run { next.builds.count == 1 && harness.relay.status.paths == 1 })
        client.links.close(client.link)
        #expect(harness.run { harness.relay.status.paths == 0 })
        next.answer(pathID: 77)
        #expect(harness.run { next.destroyed == [77] })
    }

    @Test("s21: a next hop is not blamed for a path that this node ended while it built it", arguments: [true, false])
    func endedHere(takesPaths: Bool) throws {
        let harness = try RelayHarness()
        let next = NextHop(harness.silent)
        harness.silent.control = next
        let client = try harness.client()
        var result: Built?
        client.beginBuild(to: harness.silentID) { result = $0 }
        #expect(harness.run { next.builds.count == 1 && harness.relay.status.paths == 1 })
        harness.relay.builds.takesPaths = takesPaths
        harness.relay.paths.endAll()
        #expect(harness.run { result != nil })
        #expect(result == .refused(0, takesPaths ? .overloaded : .draining))
        next.answer(pathID: 77)
        #expect(harness.run { next.destroyed.contains(77) })
        #expect(harness.relay.status.paths == 0 && harness.relay.status.builds == 0)
    }

    @Test("s21: a refusal of the next hop is passed on although the hop has ended the path before it arrives")
    func lateRefusal() throws {
        let harness = try RelayHarness()
        let next = NextHop(harness.silent)
        harness.silent.control = next
        let client = try harness.client()
        var result: Built?
        client.beginBuild(to: harness.silentID) { result = $0 }
        #expect(harness.run { next.builds.count == 1 && harness.relay.status.paths == 1 })
        let (link, pathID) = try #require(next.asked)
        harness.silent.destroy(pathID, on: link)
        #expect(harness.run { harness.relay.status.paths == 0 })
        #expect(result == nil)
        next.answer(pathID: 0)
        #expect(harness.run { result != nil })
        // Nobody can open the records of this next hop.
        #expect(result == .broken)
    }

    @Test("s21: a broken record of a middle says nothing of it, for the hop before can break it") func brokenRecord()
        throws
    {
        let harness = try RelayHarness()
        let next = NextHop(harness.silent)
        harness.silent.control = next
        let client = try harness.client()
        for place in [0, 1] {
            let hops = [harness.node, harness.silentID].map {
                TestHop(
                    target: HopTarget(node: $0.key, onionKey: client.onionKey, suite: .chacha20poly1305),
                    addresses: harness.relay.listenAddresses)
            }
            var outcome: TestOutcome?
            let test = TestPath(
                maker: client.maker, packetSize: harness.network.packetSize, hops: hops, place: place,
                wantsCapacity: false, pathID: client.maker.pathID(at: UInt32(place))
            ) { found, _ in outcome = found }
            test.start()
            #expect(
                harness.run {
                    if !next.builds.isEmpty { next.answer(pathID: 5) }
                    return outcome != nil
                })
            #expect(outcome == .unclear)
        }
    }

    @Test("R3: a path that the next hop never answers is forgotten when its time is over") func halfOpenPath() throws {
        let harness = try RelayHarness { $0.limits.halfOpenSeconds = 1 }
        let client = try harness.client()
        var result: Built?
        client.beginBuild(to: harness.silentID) { result = $0 }
        #expect(harness.run { harness.relay.status.paths == 1 })
        // The path is gone before the build itself times out.
        #expect(harness.run(for: .seconds(6)) { harness.relay.status.paths == 0 })
        #expect(harness.run(for: .seconds(9)) { result != nil })
        #expect(result == .refused(0, .nextHopFailed), "the silent hop is to blame")
    }

    @Test("R3: a link that ends takes its paths with it") func linkEnds() throws {
        let harness = try RelayHarness()
        let client = try harness.client()
        #expect(paths(try results(harness, [client], 5)) == 5)
        client.links.close(client.link)
        #expect(harness.run { harness.relay.status.paths == 0 && harness.relay.status.links <= 1 })
    }

    @Test("R5: when sessions hold too much, the largest ends and the others stay") func memoryOfSessions() throws {
        let harness = try RelayHarness(exit: true)
        let small = try harness.client()
        let large = try harness.client()
        for client in [small, large] {
            guard case .path = try client.build() else {
                Issue.record("no path")
                return
            }
            // Bytes that cannot be read because the first byte is missing: 40 KB for one client, 400 KB for the other.
            let count = client === large ? 400 : 40
            client.sendRaw(LegHello(leg: 0, kind: .newSession).encoded)
            for number in 0..<count {
                var writer = ByteWriter()
                writer.raw(LegHello(leg: 0, kind: .newSession).encoded)
                writer.u8(0x0e)
                writer.varint(UInt64(number / 200) * 4)
                writer.varint(1 + UInt64(number % 200) * 1_000)
                writer.varint(1_000)
                writer.raw([UInt8](repeating: 3, count: 1_000))
                client.sendRaw(writer.bytes)
                if number % 50 == 49 { harness.run(for: .milliseconds(5)) { false } }
            }
        }
        #expect(harness.run { harness.relay.status.sessions == 2 && harness.relay.sessions.memoryUse > 400_000 })
        harness.relay.sessions.memoryLimit = 300_000
        #expect(harness.run { harness.relay.status.sessions == 1 })
        #expect(harness.run { large.destroyed == [large.pathID] })
        #expect(small.destroyed.isEmpty)
        #expect(harness.relay.status.paths == 1)
        #expect(harness.relay.sessions.memoryUse < 300_000)
    }

    @Test("s14: a session whose bytes stand still ends before a larger one that has none to move") func stalledSession()
        throws
    {
        let harness = try RelayHarness(exit: true)
        let (stuck, quiet) = (try harness.client(), try harness.client())
        let hello = LegHello(leg: 0, kind: .newSession).encoded
        for client in [stuck, quiet] {
            guard case .path = try client.build() else {
                Issue.record("no path")
                return
            }
            client.sendRaw(hello)
        }
        func send(_ client: TestClient, stream: UInt64, at offset: UInt64, _ count: Int) {
            var writer = ByteWriter()
            writer.raw(hello)
            writer.u8(0x0e)
            writer.varint(stream * 4)
            writer.varint(offset)
            writer.varint(UInt64(count))
            writer.raw([UInt8](repeating: 3, count: count))
            client.sendRaw(writer.bytes)
        }
        // One client's bytes cannot be read, because the first is missing. The other client has streams without a byte.
        let exit = harness.relay.sessions
        for number in 0..<10 { send(stuck, stream: 0, at: 1 + UInt64(number) * 1_000, 1_000) }
        #expect(harness.run { exit.memoryUse > 10_000 })
        let before = exit.memoryUse
        for number in 0..<120 { send(quiet, stream: UInt64(number), at: 0, 0) }
        #expect(harness.run { exit.memoryUse > before + 25_000 })
        let now = Instant(nanoseconds: harness.loop.now)
        exit.sweep(now: now)
        exit.memoryLimit = exit.memoryUse - 1
        exit.sweep(now: now + .seconds(6))
        #expect(exit.sessionCount == 1 && exit.memoryUse > 25_000)
        #expect(harness.run { stuck.destroyed == [stuck.pathID] })
        #expect(quiet.destroyed.isEmpty)
    }

    @Test("R9: without descriptors to spare an exit says so to its client, and serves again when there are some")
    func descriptorsOfAnExit() throws {
        let harness = try RelayHarness(exit: true)
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { accepted.append($0) }
        defer { listener.close() }
        let destination = Endpoint(try #require(listener.localAddress))
        let client = try harness.client()
        _ = try client.build()
        client.beginSession()
        let reserve = harness.loop.reservedDescriptors
        #expect(reserve > 0)
        harness.loop.reservedDescriptors = 1 << 30
        #expect(try client.open(destination) == .generalFailure)
        harness.loop.reservedDescriptors = reserve
        #expect(try client.open(destination) == .ok)
        #expect(harness.run { accepted.count == 1 })
        for stream in accepted { stream.close() }
    }

    @Test("R9: a client whose idle streams use up the descriptors of an exit loses one to another client's")
    func descriptorsOfOneClient() throws {
        let harness = try RelayHarness(exit: true)
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { accepted.append($0) }
        defer { listener.close() }
        let destination = Endpoint(try #require(listener.localAddress))
        let sockets = try #require(harness.relay.exit).sockets
        sockets.hasRoom = { [unowned sockets] in sockets.count < 4 }
        let clients = try [harness.client(at: 1), harness.client(at: 2)]
        for client in clients {
            _ = try client.build()
            client.beginSession()
        }
        for _ in 0..<4 { #expect(try clients[0].open(destination) == .ok) }
        #expect(try clients[0].open(destination) == .generalFailure)
        for _ in 0..<2 { #expect(try clients[1].open(destination) == .ok) }
        #expect(try clients[1].open(destination) == .generalFailure)
        #expect(harness.run { accepted.count == 6 })
        #expect(sockets.count == 4 && harness.relay.sessions.streamCount == 4)
        for stream in accepted { stream.close() }
    }

    /// Keeps the datagrams that arrive.
    private final class Tap: DatagramReceiver {
        var datagrams: [[UInt8]] = []
        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let packet = batch.packet(index)
                datagrams.append([UInt8](copying: packet.bytes))
            }
        }
    }

    @Test("O17: a copy whose header is right and whose payload is not does not displace the packet at a relay")
    func spoiledCopy() throws {
        let harness = try RelayHarness(exit: true)
        let client = try harness.client()
        guard case .path = try client.build() else {
            Issue.record("no path")
            return
        }
        let tap = Tap()
        let socket = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
        defer { socket.close() }
        client.links.withTable { $0.setAddress(socket.localAddress, of: client.link) }
        client.sendRaw(LegHello(leg: 0, kind: .newSession).encoded)
        #expect(harness.run { !tap.datagrams.isEmpty })
        // Other datagrams of the link go the same way.
        let target = SocketAddress(try #require(harness.relay.listenAddresses.first))
        for datagram in tap.datagrams {
            var spoiled = datagram
            spoiled[spoiled.count - 1] ^= 1
            socket.send(spoiled.rawSpan, to: target)
            socket.send(datagram.rawSpan, to: target)
        }
        // The count of another worker is up to a second old.
        #expect(harness.run { harness.relay.status.sessions == 1 && harness.relay.status.drops["badTag"] == 1 })
    }
}

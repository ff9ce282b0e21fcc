// One file: the tests share a harness and helpers.

import EventLoop
import Link
import OnionCrypto
import Testing
import Transport
import Wire

@testable import Links
@testable import Messages

/// What hostile peers send, over real sockets on one loop.
@Suite struct AbuseTests {
    /// Takes datagrams apart from any links.
    final class Tap: DatagramReceiver {
        var datagrams: [[UInt8]] = []
        var sources: [SocketAddress] = []
        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let packet = batch.packet(index)
                datagrams.append([UInt8](copying: packet.bytes))
                sources.append(batch.source(of: index))
            }
        }
    }

    @Test("R1, R2, R4: floods of garbage are counted, not answered, and leave nothing behind") func garbage() throws {
        let harness = try Harness()
        let node = try harness.node()
        let tap = Tap()
        let socket = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
        defer { socket.close() }
        var generator = SystemRandomNumberGenerator()
        let target = SocketAddress(node.endpoint)
        let size = harness.network.packetSize
        var sent = 0
        for round in 0..<40 {
            for number in 0..<50 {
                var datagram = SecureRandom.bytes(number % 5 == 0 ? Int.random(in: 0..<1_460, using: &generator) : size)
                if number % 5 < 3, datagram.count >= 4 {
                    datagram[0] = UInt8((round + number) % 7)
                    datagram[1] = 0
                    datagram[2] = 0
                    datagram[3] = 0
                }
                socket.send(datagram.rawSpan, to: target)
                sent += 1
            }
            let expected = UInt64(sent)
            #expect(harness.run { node.links.counters.drops.total >= expected })
        }
        #expect(tap.datagrams.isEmpty)
        let counts = node.links.withTable { ($0.count, $0.indices.count) }
        #expect(counts == (0, 0))
        #expect(node.links.counters.drops[.badMAC] > 0 && node.links.counters.drops[.unknownIndex] > 0)
        #expect(node.links.counters.drops[.wrongSize] > 0 && node.links.counters.drops[.unexpectedAnswer] > 0)
    }

    @Test("R1, R2: initiations without a cookie get a cookie of the same size and make no state") func cookies() throws
    {
        let harness = try Harness()
        let node = try harness.node { $0.responder.cookiesPerPrefix = 30 }
        let tap = Tap()
        let socket = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
        defer { socket.close() }
        for number in 0..<200 {
            var initiator = try LinkInitiator(
                network: harness.network, responder: node.nodeID.key, identity: nil,
                localIndex: 1_000 + UInt32(number), now: node.links.now)
            guard case .send(let datagram) = initiator.poll(now: node.links.now, wallClock: 0) else { return }
            socket.send(datagram.rawSpan, to: SocketAddress(node.endpoint))
        }
        #expect(harness.run { node.links.counters.cookiesSent + node.links.counters.drops[.cookieLimit] == 200 })
        #expect(node.links.counters.drops[.cookieLimit] > 100)
        #expect(harness.run { tap.datagrams.count == Int(node.links.counters.cookiesSent) })
        #expect(tap.datagrams.allSatisfy { $0.count == harness.network.packetSize && $0[0] == 4 })
        let counts = node.links.withTable { ($0.count, $0.indices.count) }
        #expect(counts == (0, 0))
    }

    @Test("R4: half-open links are bounded, and the oldest gives way") func halfOpen() throws {
        let harness = try Harness()
        let node = try harness.node { $0.maximumHalfOpen = 4 }
        let tap = Tap()
        let socket = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
        defer { socket.close() }
        for number in 0..<12 {
            let initiation = try knock(harness, node, socket, tap, index: 1_000 + UInt32(number))
            // R2: the answer is no longer than the question.
            #expect(tap.datagrams[1].count == initiation.count && tap.datagrams[1][0] == 3)
            // A replay of the same initiation makes nothing.
            socket.send(initiation.rawSpan, to: SocketAddress(node.endpoint))
            #expect(harness.run { node.links.counters.drops[.replayedInitiation] == UInt64(number + 1) })
        }
        #expect(node.links.status.halfOpen == 4)
        let counts = node.links.withTable { ($0.count, $0.indices.count) }
        #expect(counts == (4, 4))
        #expect(node.ups.isEmpty)
        // An honest client still gets in.
        let client = try harness.client()
        _ = try harness.connect(client, node)
    }

    @Test("R4: half-open links end by themselves") func halfOpenEnds() throws {
        let harness = try Harness()
        let node = try harness.node { $0.halfOpenTime = .milliseconds(100) }
        let tap = Tap()
        let socket = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
        defer { socket.close() }
        _ = try knock(harness, node, socket, tap, index: 1_000)
        #expect(node.links.status.halfOpen == 1)
        #expect(harness.run { node.links.status.halfOpen == 0 })
        let counts = node.links.withTable { ($0.count, $0.indices.count) }
        #expect(counts == (0, 0))
        #expect(node.ups.isEmpty && node.downs.isEmpty)
    }

    /// Goes through a client's handshake up to the response and leaves it at that; returns the initiation with cookie.
    private func knock(
        _ harness: Harness, _ node: Side, _ socket: DatagramSocket, _ tap: Tap, index: UInt32
    ) throws -> [UInt8] {
        var initiator = try LinkInitiator(
            network: harness.network, responder: node.nodeID.key, identity: nil, localIndex: index,
            now: node.links.now)
        tap.datagrams = []
        var initiation: [UInt8] = []
        for round in 1...2 {
            if case .send(let datagram) = initiator.poll(now: node.links.now, wallClock: 0) { initiation = datagram }
            socket.send(initiation.rawSpan, to: SocketAddress(node.endpoint))
            #expect(harness.run { tap.datagrams.count == round })
            let answer = tap.datagrams[0]
            if round == 1 { _ = initiator.receive(answer.rawSpan, now: node.links.now) }
        }
        return initiation
    }

    @Test("messages beyond the limits are refused: type, length, number") func limits() throws {
        let harness = try Harness()
        let node = try harness.node { $0.messagesPerLink = 3 }
        let client = try harness.client()
        let link = try harness.connect(client, node)
        node.onMessage = { _, _, _, _ in }
        var replies: [Result<[UInt8], ControlFailure>] = []
        for _ in 0..<5 {
            client.links.request(on: link.near, TestMessage.getDescriptor, body: []) { replies.append($0) }
        }
        #expect(harness.run { replies.count == 2 && node.messages.count == 3 })
        #expect(replies == [.failure(.refused), .failure(.refused)])
        // Answered in another order, each once; a second answer does nothing.
        for (number, message) in node.messages.enumerated().reversed() {
            node.links.answer(message.responder, [UInt8(number)])
            node.links.answer(message.responder, [99])
            node.links.refuse(message.responder)
        }
        #expect(harness.run { replies.count == 5 })
        #expect(Set(replies.compactMap { try? $0.get() }) == [[0], [1], [2]])

        // A body that its type does not allow, sent past the check of our own side.
        for (type, count) in [(UInt8(2), 9), (5, 41), (4, 1), (0, 0), (9, 3), (200, 0)] {
            let state = try #require(client.links.find(link.near))
            let stream = try state.exchange.connection.openStream()
            let bytes = [type] + [UInt8](repeating: 0, count: count)
            _ = state.exchange.connection.write(stream, bytes.rawSpan)
            state.exchange.connection.finish(stream)
            let before = node.links.counters.messagesRefused
            client.links.markDirty(state)
            #expect(harness.run { node.links.counters.messagesRefused == before + 1 })
        }
        #expect(node.messages.count == 3)
        #expect(node.downs.isEmpty)
    }

    @Test("a client's messages are limited in their rate") func rate() throws {
        let harness = try Harness()
        let node = try harness.node { $0.clientMessages = (rate: 1, burst: 10) }
        let client = try harness.client()
        let link = try harness.connect(client, node)
        var refused = 0
        var answered = 0
        for _ in 0..<30 {
            client.links.request(on: link.near, TestMessage.getDescriptor, body: [1]) {
                if $0 == .failure(.refused) { refused += 1 } else { answered += 1 }
            }
        }
        #expect(harness.run { refused + answered == 30 })
        // The burst, and at most one for each second that a run may take.
        #expect(answered >= 10 && answered <= 20)
    }

    @Test("a message without an answer times out, on both sides") func timeouts() throws {
        let harness = try Harness()
        let node = try harness.node { $0.answerTime = .milliseconds(100) }
        let client = try harness.client()
        let link = try harness.connect(client, node)
        node.onMessage = { _, _, _, _ in }
        var first: Result<[UInt8], ControlFailure>?
        client.links.request(on: link.near, TestMessage.getSnapshot, body: [], timeout: .milliseconds(50)) {
            first = $0
        }
        #expect(harness.run { first == .failure(.timedOut) })
        var second: Result<[UInt8], ControlFailure>?
        client.links.request(on: link.near, TestMessage.getSnapshot, body: [], timeout: .seconds(8)) { second = $0 }
        #expect(harness.run { second == .failure(.refused) })
    }

    @Test("O17, K8: replays and packets of no link have no effect") func replay() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        // A relay between them that sends everything twice would do the same as this: seal once, send twice.
        let tap = Tap()
        let middle = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
        defer { middle.close() }
        client.links.withTable { $0.setAddress(middle.localAddress, of: link.near) }
        #expect(client.send(on: link.near, pathID: 5, first: 9))
        #expect(harness.run { !tap.datagrams.isEmpty })
        let packet = tap.datagrams[0]
        var spoiled = packet
        spoiled[30] ^= 1
        var foreign = packet
        foreign[1] ^= 1
        let target = SocketAddress(node.endpoint)
        for datagram in [spoiled, foreign, packet, packet, packet] { middle.send(datagram.rawSpan, to: target) }
        #expect(harness.run { node.links.counters.drops.total >= 4 || node.refusedCommits > 0 })
        #expect(harness.run { node.packets.count == 1 })
        #expect(node.packets[0] == (5, 9))
        #expect(node.links.counters.drops[.badHeader] == 1)
        #expect(node.links.counters.drops[.unknownIndex] == 1)
        #expect(Int(node.links.counters.drops[.replayedPacket]) + node.refusedCommits == 2)
    }

    @Test("O17: a spoiled copy of a control packet does not displace it") func spoiledControl() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        let tap = Tap()
        let middle = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
        defer { middle.close() }
        client.links.withTable { $0.setAddress(middle.localAddress, of: link.near) }
        client.links.request(on: link.near, TestMessage.getDescriptor, body: [1, 2]) { _ in }
        // Header intact, payload not: it is known for spoiled only when the last check is done.
        let target = SocketAddress(node.endpoint)
        let isThere = harness.run {
            for (datagram, source) in zip(tap.datagrams, tap.sources) where source != target {
                var spoiled = datagram
                spoiled[spoiled.count - 1] ^= 1
                middle.send(spoiled.rawSpan, to: target)
                middle.send(datagram.rawSpan, to: target)
            }
            tap.datagrams = []
            tap.sources = []
            return node.messages.count == 1
        }
        #expect(isThere)
        #expect(node.links.counters.drops[.badControl] > 0 && node.links.counters.drops[.replayedPacket] == 0)
    }

    @Test("R2: an address that has proved nothing gets a challenge and nothing else") func stranger() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        let tap = Tap()
        let middle = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
        defer { middle.close() }
        let target = SocketAddress(node.endpoint)
        client.links.withTable { $0.setAddress(middle.localAddress, of: link.near) }
        #expect(client.send(on: link.near, pathID: 5, first: 9))
        #expect(harness.run { !tap.datagrams.isEmpty })
        client.links.withTable { $0.setAddress(target, of: link.near) }
        // A real packet of the client's, from where the client is not.
        let packet = tap.datagrams[0]
        middle.send(packet.rawSpan, to: target)
        func answers() -> [[UInt8]] { zip(tap.datagrams, tap.sources).filter { $0.1 == target }.map(\.0) }
        #expect(harness.run { node.packets.count == 1 && !answers().isEmpty })
        for number in UInt8(0)..<20 { #expect(node.send(on: link.far, pathID: 1 << 55 | 6, first: number)) }
        #expect(harness.run { client.packets.count == 20 })
        #expect(answers().map(\.count) == [harness.network.packetSize])
        #expect(node.links.counters.moves == 0)
    }

    @Test("R2: packets of one client from elsewhere do not keep another client from moving")
    func strangersOfOne() throws {
        let harness = try Harness()
        let node = try harness.node()
        let (greedy, other) = (try harness.client(), try harness.client())
        let tap = Tap()
        let middle = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
        defer { middle.close() }
        let target = SocketAddress(node.endpoint)
        var links: [(near: LinkID, far: LinkID)] = []
        // All of them come in one batch.
        for (client, count) in [(greedy, 12), (other, 1)] {
            let link = try harness.connect(client, node)
            links.append(link)
            client.links.withTable { $0.setAddress(middle.localAddress, of: link.near) }
            let before = tap.datagrams.count
            for number in 0..<count { #expect(client.send(on: link.near, pathID: 5, first: UInt8(number))) }
            #expect(harness.run { tap.datagrams.count >= before + count })
            harness.run(for: .milliseconds(5)) { false }
            client.links.withTable { $0.setAddress(target, of: link.near) }
        }
        let packets = tap.datagrams
        for packet in packets { middle.send(packet.rawSpan, to: target) }
        #expect(harness.run { node.packets.count == 13 })
        harness.run(for: .milliseconds(100)) { false }
        for link in links {
            let state = try #require(node.links.find(link.far))
            #expect(state.address.candidateEndpoint == Endpoint(middle.localAddress))
        }
    }

    @Test("O17: a spoiled packet is no sign of life, and its address gets no challenge, however often it is repeated")
    func spoiledIsNoLife() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let middle = Middle(SocketAddress(node.endpoint))
        let socket = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: middle)
        let elsewhere = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        defer {
            socket.close()
            elsewhere.close()
        }
        let link = try harness.connect(client, node, at: Endpoint(socket.localAddress))
        harness.run(for: .seconds(1)) { false }
        // The client is cut off; its next packet has a good header and never arrives.
        middle.isCut = true
        client.links.request(on: link.near, TestMessage.getDescriptor, body: [1, 2]) { _ in }
        #expect(harness.run { middle.kept != nil })
        var spoiled = try #require(middle.kept)
        spoiled[spoiled.count - 1] ^= 1
        let before = node.links.counters.drops[.badControl]
        for _ in 0..<800 where node.downs.isEmpty {
            socket.send(spoiled.rawSpan, to: SocketAddress(node.endpoint))
            elsewhere.send(spoiled.rawSpan, to: SocketAddress(node.endpoint))
            harness.run(for: .milliseconds(50)) { false }
            #expect(node.links.find(link.far)?.address.candidateEndpoint == nil)
        }
        #expect(node.links.counters.drops[.badControl] > before + 100)
        #expect(node.downs.map(\.reason) == [.dead])
    }

    /// Passes what comes from the client on to the node and what comes from the node on to the client, and counts it.
    final class Middle: DatagramReceiver {
        private let node: SocketAddress
        private var client: SocketAddress?
        /// Whether nothing is passed on, but the client's last packet is kept.
        var isCut = false
        var kept: [UInt8]?
        var sizes: [Int: Int] = [:]
        var types: Set<UInt8> = []

        init(_ node: SocketAddress) { self.node = node }

        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let source = batch.source(of: index)
                if source != node { client = source }
                let packet = batch.packet(index)
                let datagram = [UInt8](copying: packet.bytes)
                sizes[datagram.count, default: 0] += 1
                if datagram.count > 3, datagram[1...3].allSatisfy({ $0 == 0 }) { types.insert(datagram[0]) }
                guard !isCut else {
                    if source != node { kept = datagram }
                    continue
                }
                if let target = source == node ? client : node { socket.send(datagram.rawSpan, to: target) }
            }
        }
    }

    @Test(
        "O6: every datagram of a link has one size: handshake, messages, packets, new keys, the end",
        arguments: LinksTests.sizes)
    func oneSize(_ size: Int) throws {
        let harness = try Harness(packetSize: size)
        func change(_ configuration: inout LinksConfiguration) { configuration.keys.rekeyAfter = .milliseconds(160) }
        let node = try harness.node(change)
        let client = try harness.client(change)
        let middle = Middle(SocketAddress(node.endpoint))
        let socket = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: middle)
        defer { socket.close() }
        let link = try harness.connect(client, node, at: Endpoint(socket.localAddress))
        #expect(middle.types == [2, 3, 4])
        var replies = 0
        for count in [0, 1, 30] {
            client.links.request(on: link.near, TestMessage.getDescriptor, body: [UInt8](repeating: 1, count: count)) {
                _ in
                replies += 1
            }
        }
        node.links.request(on: link.far, TestMessage.getDescriptor, body: [2]) { _ in replies += 1 }
        for number in UInt8(0)..<20 {
            #expect(client.send(on: link.near, pathID: 5, first: number))
            #expect(node.send(on: link.far, pathID: 1 << 55 | 6, first: number))
        }
        #expect(harness.run { replies == 4 && node.packets.count == 20 && client.packets.count == 20 })
        #expect(harness.run { client.links.counters.rekeys > 0 })
        client.links.close(link.near)
        #expect(harness.run { !node.downs.isEmpty })
        #expect(Set(middle.sizes.keys) == [size] && middle.sizes[size, default: 0] > 50)
    }
}

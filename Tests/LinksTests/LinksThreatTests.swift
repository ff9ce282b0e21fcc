import EventLoop
import Link
import OnionCrypto
import Testing
import Transport
import Wire

@testable import Links
@testable import Messages

/// What strangers can cost a node's links.
@Suite struct LinksThreatTests {
    @Test("s08: a node that says it is the year 2554 moves nothing that traps") func clockLie() throws {
        let harness = try Harness()
        let victim = try harness.node()
        harness.wallClock = { .max }
        let liar = try harness.node()
        _ = try harness.connect(victim, liar)
        #expect(victim.links.clockError == nil)
        #expect(victim.links.isTimeDisputed)
    }

    @Test("s12: handshakes that one stranger has begun leave room to others and to the node itself")
    func handshakesOfStrangers() throws {
        let harness = try Harness()
        let node = try harness.node { $0.maximumHandshakes = 16 }
        let nowhere = Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 9)
        func ask(_ source: LinkSource?) -> () -> Bool {
            var isOver = false
            node.links.link(to: NodeID(SigningKey().publicKey), at: [nowhere], for: source) { _ in isOver = true }
            return { isOver }
        }
        let flood = (0..<100).map { _ in ask(.client(AddressShare(IPAddress(v4: 1)))) }
        #expect(harness.run { flood.count { !$0() } == 12 })
        let other = ask(.client(AddressShare(IPAddress(v4: 2))))
        let own = (0..<4).map { _ in ask(nil) }
        for _ in 0..<20 { _ = ask(.client(AddressShare(IPAddress(v4: 1)))) }
        harness.run(for: .milliseconds(20)) { false }
        #expect(node.links.status.handshakes == 16)
        #expect(!other() && own.allSatisfy { !$0() })
    }

    @Test("R5: when clients' links hold too much, the largest ends and the others stay") func memoryOfClients() throws {
        let harness = try Harness()
        let node = try harness.node { $0.maximumClientMemory = 400 << 10 }
        let honest = try harness.client()
        let greedy = try harness.client()
        let kept = try harness.connect(honest, node)
        let link = try harness.connect(greedy, node)
        // It asks for many answers, each too short for the memory of long ones, and never acknowledges them.
        node.onMessage = { side, _, _, responder in
            side.links.answer(responder, [UInt8](repeating: 1, count: 60_000))
        }
        for _ in 0..<20 { greedy.links.request(on: link.near, TestMessage.getDescriptor, body: []) { _ in } }
        #expect(harness.run { node.messages.count == 20 || !node.downs.isEmpty })
        greedy.links.closeSockets()
        #expect(harness.run { !node.downs.isEmpty })
        #expect(node.downs.map(\.reason) == [.memory])
        #expect(node.downs.first?.link == link.far)
        #expect(node.links.peer(of: kept.far) == .client)
    }

    @Test("R5: an idle link holds little") func idleLink() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        let use = try #require(node.links.find(link.far)).exchange.memoryUse
        #expect(use < 16 << 10)
    }

    @Test("R7: a control message is refused as soon as it is longer than its type allows") func longMessages() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        for (type, count) in [(TestMessage.build, 4_969), (.destroy, 9), (.getDescriptor, 33), (.publish, 262_145)] {
            let state = try #require(client.links.find(link.near))
            let stream = try state.exchange.connection.openStream()
            let bytes = [type.rawValue] + [UInt8](repeating: 0, count: count)
            var sent = 0
            // The stream is never finished: the length alone decides.
            let before = node.links.counters.messagesRefused
            let isRefused = harness.run {
                sent += state.exchange.connection.write(stream, bytes.rawSpan.extracting(sent..<bytes.count))
                client.links.markDirty(state)
                return node.links.counters.messagesRefused > before
            }
            #expect(isRefused)
            let far = try #require(node.links.find(link.far))
            #expect(far.exchange.incomingCount == 0)
        }
        #expect(node.messages.isEmpty && node.downs.isEmpty)
    }

    // MARK: Shares

    /// Clients of one address each, 127.0.0.x, as far as the machine takes such addresses.
    private func client(_ harness: Harness, _ number: UInt32) throws -> Side {
        let address = SocketAddress(Endpoint(address: IPAddress(v4: 0x7f00_0000 + number), port: 0))
        return try harness.client { $0.listen = [address] }
    }

    @Test("s12: addresses that fill the table leave a newcomer and a node a place, and their links end")
    func s12_fullTable() throws {
        let harness = try Harness()
        let node = try harness.node { $0.maximumLinks = 16 }
        var attackers: [(near: LinkID, far: LinkID)] = []
        // Twelve places are for clients; three addresses hold four of them each.
        for number in 0..<12 {
            attackers.append(try harness.connect(try client(harness, 10 + UInt32(number % 3)), node))
        }
        #expect(node.links.status.clients == 12)
        let newcomer = try harness.connect(try client(harness, 20), node)
        #expect(node.downs.map(\.reason) == [.gaveWay] && node.links.peer(of: newcomer.far) == .client)
        // Another of an address that has its share takes the place of one of its own kind.
        _ = try harness.connect(try client(harness, 10), node)
        #expect(node.links.status.clients == 12)
        #expect(node.links.peer(of: newcomer.far) == .client)
        // The quarter for nodes, and a link of the node's own.
        for _ in 0..<4 { _ = try harness.connect(try harness.node(), node) }
        #expect(node.links.status.nodes == 4 && node.links.status.clients == 12)
        let own = try harness.connect(node, try harness.node())
        #expect(node.links.peer(of: own.near) != nil)
        #expect(node.links.peer(of: newcomer.far) == .client)
        #expect(node.links.withTable { $0.count } <= 16)
        // Who gave way was told.
        let ended = harness.sides.filter { $0.downs.contains { $0.reason == .closedByPeer } }
        #expect(ended.count >= 2)
    }

    @Test("s12: the links of one address have a rate of messages together, and not each its own")
    func s12_messagesOfAnAddress() throws {
        let harness = try Harness()
        let node = try harness.node {
            $0.clientMessages = (rate: 1, burst: 4)
            $0.addressRateFactor = 2
        }
        let elsewhere = try client(harness, 30)
        var answered = 0
        var refused = 0
        func ask(_ side: Side, _ link: LinkID) {
            for _ in 0..<4 {
                side.links.request(on: link, TestMessage.getDescriptor, body: [1]) {
                    if case .success = $0 { answered += 1 } else { refused += 1 }
                }
            }
        }
        for _ in 0..<8 {
            let side = try harness.client()
            ask(side, try harness.connect(side, node).near)
        }
        #expect(harness.run { answered + refused == 32 })
        // The burst of two links, and two for each second that the run may take.
        #expect(answered >= 8 && answered <= 24)
        answered = 0
        refused = 0
        ask(elsewhere, try harness.connect(elsewhere, node).near)
        #expect(harness.run { answered + refused == 4 } && answered == 4)
    }

    @Test("s12: a node that starts again has its new link, and never more than two") func s12_nodeStartsAgain() throws {
        let harness = try Harness()
        let node = try harness.node()
        let peer = try harness.node()
        for _ in 0..<4 {
            _ = try harness.connect(peer, node)
            // Forgets everything without a word, as a process that is killed.
            for link in peer.links.list.all { peer.links.removeSilently(link.id) }
        }
        #expect(node.links.status.nodes == 2)
        #expect(node.downs.map(\.reason) == [.gaveWay, .gaveWay])
        _ = try harness.connect(peer, node)
    }

    // MARK: Answers

    @Test("s24: a link has one long answer at a time, and all of them in the end") func s24_oneAtATime() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        var long: [ControlResponder] = []
        node.onMessage = { side, message, _, responder in
            if message == .getDescriptors { long.append(responder) } else { side.links.answer(responder, [9]) }
        }
        var lengths: [Int] = []
        for _ in 0..<3 {
            client.links.request(on: link.near, TestMessage.getDescriptors, body: [UInt8](repeating: 0, count: 8)) {
                lengths.append((try? $0.get())?.count ?? -1)
            }
        }
        // What is short passes the long ones.
        client.links.request(on: link.near, TestMessage.getDescriptor, body: [1]) {
            lengths.append((try? $0.get())?.count ?? -1)
        }
        #expect(harness.run { lengths == [1] && long.count == 1 })
        let bytes = [UInt8](repeating: 5, count: 3 << 20)
        for number in 1...3 {
            #expect(long.count == number && lengths.count == number)
            node.links.answer(long[number - 1], bytes, part: (1 << 20)..<(1 << 20) + (number << 17))
            #expect(harness.run { lengths.count == number + 1 && long.count == min(3, number + 1) })
        }
        #expect(lengths == [1, 1 << 17, 2 << 17, 3 << 17])
        #expect(node.links.messages.answers.bytes == 0)
    }

    @Test("s24: links that do not read give way to one that does", arguments: [1, 20])
    func s24_slowReaders(addresses: UInt32) throws {
        let harness = try Harness()
        let node = try harness.node {
            $0.answerMemory = 16 << 20
            $0.liveness.pings = 100
        }
        let bytes = [UInt8](repeating: 5, count: 1 << 20)
        node.onMessage = { side, _, _, responder in side.links.answer(responder, bytes) }
        for number in 0..<20 {
            let side = try client(harness, 40 + UInt32(number) % addresses)
            let link = try harness.connect(side, node)
            side.links.request(on: link.near, TestMessage.getDescriptors, body: [UInt8](repeating: 0, count: 8)) { _ in
            }
            let before = node.messages.count
            #expect(harness.run { node.messages.count > before })
            side.links.closeSockets()
        }
        #expect(node.links.messages.answers.bytes > 8 << 20 && node.links.messages.answers.bytes <= 16 << 20)
        let reader = try client(harness, 99)
        let link = try harness.connect(reader, node)
        var answer: [UInt8]?
        let isThere = harness.run {
            if answer == nil, reader.links.find(link.near)?.exchange.requestCount == 0 {
                reader.links.request(on: link.near, TestMessage.getDescriptors, body: [UInt8](repeating: 0, count: 8)) {
                    answer = try? $0.get()
                }
            }
            return answer != nil
        }
        #expect(isThere && answer?.count == bytes.count)
    }

    @Test("s24: clients that do not read their answers do not cost a client that reads its link")
    func s24_readersKeepTheirLinks() throws {
        let harness = try Harness()
        let node = try harness.node {
            $0.maximumClientMemory = 12 << 20
            $0.answerMemory = 32 << 20
            $0.liveness.pings = 100
        }
        let bytes = [UInt8](repeating: 5, count: 2 << 20)
        node.onMessage = { side, _, _, responder in side.links.answer(responder, bytes) }
        let question = [UInt8](repeating: 0, count: 8)
        for number in 0..<12 as Range<UInt32> {
            let side = try client(harness, 40 + number)
            let link = try harness.connect(side, node)
            side.links.request(on: link.near, TestMessage.getDescriptors, body: question) { _ in }
            #expect(harness.run { node.messages.count > Int(number) })
            side.links.closeSockets()
        }
        let reader = try client(harness, 99)
        let link = try harness.connect(reader, node)
        for _ in 0..<4 {
            var answer: [UInt8]?
            reader.links.request(on: link.near, TestMessage.getDescriptors, body: question) { answer = try? $0.get() }
            #expect(harness.run { answer != nil } && answer?.count == bytes.count)
            harness.run(for: .seconds(1)) { false }
        }
        #expect(node.downs.isEmpty && node.links.messages.answers.bytes >= 24 << 20)
    }

    @Test("s24: a short part of a long list that is not read keeps no more than itself") func s24_parts() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        let bytes = [UInt8](repeating: 5, count: 4 << 20)
        let question = [UInt8](repeating: 0, count: 8)
        node.onMessage = nil
        for (end, held) in [(1 << 20, 1 << 20), (3 << 20, 4 << 20)] {
            let before = node.messages.count
            client.links.request(on: link.near, TestMessage.getDescriptors, body: question) { _ in }
            #expect(harness.run { node.messages.count > before })
            let far = try #require(node.links.find(link.far))
            let responder = try #require(node.messages.last?.responder)
            node.links.answer(responder, bytes, part: 0..<end)
            #expect(far.exchange.incoming.all.map(\.value.bytes.count) == [held])
            node.links.abandon(responder)
        }
    }

    @Test("s24: who asks for parts of long lists again and again is refused, and again answered later")
    func s24_copies() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        let bytes = [UInt8](repeating: 5, count: 16 << 20)
        let question = [UInt8](repeating: 0, count: 8)
        node.onMessage = nil
        func isAnswered(part: Range<Int>) throws -> Bool {
            let before = node.messages.count
            client.links.request(on: link.near, TestMessage.getDescriptors, body: question) { _ in }
            #expect(harness.run { node.messages.count > before })
            let far = try #require(node.links.find(link.far))
            let responder = try #require(node.messages.last?.responder)
            node.links.answer(responder, bytes, part: part)
            defer { node.links.abandon(responder) }
            return !far.exchange.incoming.isEmpty
        }
        let part = 0..<8 << 20
        #expect(try (0..<6).map { _ in try isAnswered(part: part) } == [true, true, true, true, false, false])
        // What is not copied costs nothing.
        #expect(try isAnswered(part: 0..<15 << 20))
        harness.run(for: .seconds(3)) { false }
        #expect(try isAnswered(part: part))
    }

    @Test("RQ3: of the longest onion requests as many fit into a link's allowance of bytes as may be under way")
    func rq3Lane() {
        let forward = MessageKind(raw: 40, longestBody: 66_982, longestAnswer: 65_825, lane: .requests)
        let answer = MessageKind(raw: 41, longestBody: 65_833, longestAnswer: 0, lane: .requests)
        let usual = MessageKind(raw: 9, longestBody: 1 << 20, longestAnswer: 0)
        let copies = MessageKind(raw: 44, longestBody: 139_264, longestAnswer: 4_161, lane: .store)
        let network = LinkNetwork(
            id: Bytes32(copying: [UInt8](repeating: 1, count: 32).rawSpan), packetSize: 1_392)
        let configuration = LinksConfiguration(
            network: network, listen: [], messages: [usual, answer, forward, copies])
        let allowance = configuration.onionRequests
        #expect(allowance.incoming == 64 && allowance.requests == 64)
        #expect(allowance.unfinishedBytes == allowance.incoming * forward.longestBody)
        let store = configuration.store
        #expect(store.incoming == 16 && store.requests == 16)
        #expect(store.unfinishedBytes == store.incoming * copies.longestBody)
        #expect(LinksConfiguration(network: network, listen: [], messages: [usual]).onionRequests.unfinishedBytes == 0)
    }
}

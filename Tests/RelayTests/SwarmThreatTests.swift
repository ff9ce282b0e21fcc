import Directory
import EventLoop
import Links
import OnionCrypto
import Requests
import SeededRandom
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Client
@testable import Relay

/// Neighbours and clients that misuse the store of whole relays.
@Suite struct SwarmThreatTests {
    @Test("SW19: what a client stores again and again asks the other replicas once")
    func sw19StoredAgain() throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        let item = bench.descriptor(1)
        let member = try bench.replicas(of: item).members[0]
        let session = try bench.requests.session(to: member)
        let store = StoreRequest.store(height: member.trustedSnapshot.height, item)
        for _ in 0..<30 {
            guard case .stored(_, let receipts) = try bench.ask(store, on: session, to: .store) else {
                throw Unexpected()
            }
            #expect(receipts.count >= 3)
            bench.requests.run(for: .milliseconds(200))
        }
        // Beside one question of each comparison, which finds nothing: descriptors are not compared.
        let swarm = try #require(member.swarm)
        #expect(swarm.asked - swarm.state.counts.comparisons == 4)
    }

    /// A message that a hostile neighbour sends; the copies in it that are valid are counted in `taken`.
    private func message(
        _ bench: SwarmBench, _ random: inout SeededGenerator, taken: inout Set<ItemID>, victim: Relay
    ) throws -> (SwarmMessage, [UInt8]) {
        let kind = SwarmMessage.allCases.randomElement(using: &random) ?? .compare
        let key = Bytes16((0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }) ?? .zeros
        let shard = UInt16.random(in: 0..<80, using: &random)
        let minute = bench.minute - bench.minute % 10
        var body: [UInt8]
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
            let count = Int.random(in: 0...2_000, using: &random)
            return (kind, (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
        case 1:
            body = Compare(
                key: key, cut: minute,
                .ranges(shard: shard, kind: .message, day: UInt16.random(in: 0...UInt16.max, using: &random))
            )
            .encoded()
        case 2: body = Compare(key: key, cut: minute, .days(shard: shard)).encoded()
        case 3:
            let range = RangeKey(shard: shard, kind: .message, number: minute / 10)
            body = FetchCopies(key: key, range: range, shortIDs: (0..<100).map { _ in random.next() }).encoded()
        default:
            let number = UInt32.random(in: 100..<400, using: &random)
            let item = bench.descriptor(number)
            if random.happens(50) {
                // Signed by nobody who may.
                var bytes = item.bytes
                bytes[bytes.count - 1 - Int.random(in: 0..<64, using: &random)] ^= 1
                let forged = try StoredItem(decoding: bytes.rawSpan, network: bench.id)
                body = Replicate(height: victim.trustedSnapshot.height, copies: [.item(forged)]).encoded()
            } else {
                body = Replicate(height: victim.trustedSnapshot.height, copies: [.item(item)]).encoded()
                let members = try bench.swarm(of: item).members
                if members.contains(victim.node), members.contains(bench.relays[0].node) { taken.insert(item.id) }
            }
            return (.replicate, body)
        }
        if random.happens(10) { body.removeLast() }
        return (body.first == 0 || kind == .replicate ? .compare : kind, body)
    }

    @Test(
        "SW12: a neighbour that sends whatever it likes brings nothing that is not signed, and others store and look up",
        arguments: [1, 2, 3] as [UInt64])
    func sw12Neighbour(seed: UInt64) throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        var random = SeededGenerator(seed: seed)
        let (hostile, victim) = (bench.relays[0], bench.relays[1])
        // A client has stored a descriptor with the victim.
        let item = bench.descriptor(try bench.number(from: 1, heldBy: victim))
        let session = try bench.requests.session(to: victim)
        let height = victim.trustedSnapshot.height
        guard case .stored = try bench.ask(.store(height: height, item), on: session, to: .store) else {
            throw Unexpected()
        }
        var taken: Set<ItemID> = [item.id]
        let link = try bench.link(from: hostile, to: victim)
        var (open, answered) = (0, 0)
        for _ in 0..<30 {
            for _ in 0..<16 {
                let (kind, body) = try message(bench, &random, taken: &taken, victim: victim)
                open += 1
                hostile.links.request(on: link, kind, body: body) { result in
                    open -= 1
                    if case .success = result { answered += 1 }
                }
            }
            #expect(bench.requests.run(for: .seconds(5)) { open == 0 })
        }
        #expect(answered > 50 && victim.swarm?.pending == 0)
        #expect(victim.swarm?.state.descriptors == taken.count)
        let lookup = StoreRequest.lookup(box: item.header.box, kind: .descriptor, most: 1, name: .zeros)
        #expect(try bench.ask(lookup, on: session, to: .lookup) == .items([item.bytes]))
        let other = bench.descriptor(try bench.number(from: 500, heldBy: victim))
        guard case .stored(_, let receipts) = try bench.ask(.store(height: height, other), on: session, to: .store)
        else { throw Unexpected() }
        #expect(receipts.count >= 3)
    }
}

/// The events that wait for the replica.
@Suite struct SwarmQueueTests {
    private func node(_ number: UInt8) -> NodeID {
        NodeID(Bytes32(copying: [UInt8](repeating: number, count: 32).rawSpan))
    }

    private func number(_ event: SwarmWorker.Event) -> UInt64? {
        switch event {
        case .asked(let number, _, _, _, _), .message(let number, _, _, _): number
        case .follow, .answered, .apply, .tick: nil
        }
    }

    @Test("SW19: requests of one node do not take the places of others, and those of clients none of replicas")
    func sw19Shares() {
        var queue = SwarmQueue()
        func ask(_ number: UInt64, by asker: UInt8) -> UInt64? {
            let event = SwarmWorker.Event.asked(
                number, via: node(asker), method: 1, arguments: [], binding: Bytes32())
            return queue.ask(event, by: .node(node(asker)))
        }
        // One node has its part, and then its own requests are turned away.
        let most = UInt64(SwarmQueue.requests.ofNode)
        for number in 0..<most { #expect(ask(number, by: 1) == nil) }
        #expect(ask(most, by: 1) == most)
        #expect(ask(most + 1, by: 2) == nil)
        // Messages of replicas, of which one has too many.
        func receive(_ number: UInt64, from peer: UInt8) -> UInt64? {
            queue.receive(.message(number, from: node(peer), .compare, [1]), from: node(peer))
        }
        for number in 1_000..<1_000 + UInt64(SwarmQueue.messages.ofNode) { #expect(receive(number, from: 3) == nil) }
        #expect(receive(2_000, from: 3) == 2_000 && receive(2_001, from: 4) == nil)
        // This node's own events come first, and a tick once.
        queue.post(.answered(question: 7, nil))
        queue.tick()
        queue.tick()
        let batch = queue.next()
        guard case .answered(7, nil)? = batch.first, case .tick = batch[1] else { return #expect(Bool(false)) }
        #expect(batch.count == 2 + SwarmQueue.batchEvents + SwarmQueue.messages.ofNode + 1)
        // The other node's request has its turn before the first one's second.
        #expect(Set(batch.compactMap(number).prefix(2)) == [0, most + 1])
        var rest: [UInt64] = []
        while true {
            let next = queue.next()
            guard !next.isEmpty else { break }
            rest += next.compactMap(number)
        }
        #expect(rest.count == Int(most) + 1 - SwarmQueue.batchEvents && rest.last == most - 1)
    }

    @Test("A batch has at most a mebibyte of messages, but one message however long")
    func bytes() {
        var queue = SwarmQueue()
        for number in 0..<12 as Range<UInt64> {
            let body = [UInt8](repeating: 0, count: 139_264)
            #expect(queue.receive(.message(number, from: node(1), .replicate, body), from: node(1)) == nil)
        }
        #expect(queue.next().count == SwarmQueue.batchBytes / 139_264)
    }
}

import OnionCrypto
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// What a client makes of the answers of replicas.
@Suite struct StoreTallyTests {
    private let box = Box(Key(1))
    private let now = firstMinute
    private let keys = (0..<9 as Range<UInt32>).map { Key(1_000 + $0) }

    private func snapshot(_ height: UInt64) -> Snapshot? {
        Snapshot(
            network: network, height: height, time: UnixTime(seconds: 9),
            entries: keys.map {
                Snapshot.Entry(
                    node: $0.node, operatorID: $0.publicKey, weight: 1, placement: UInt64(leading: $0.publicKey))
            })
    }

    private func swarm(_ height: UInt64 = 4) throws -> BoxSwarm {
        let made = try #require(snapshot(height))
        return try #require(BoxSwarm(of: box.id, by: made, shards: 64, swarmSize: 5))
    }

    private func key(_ node: NodeID) throws -> Key { try #require(keys.first { $0.node == node }) }

    @Test("SW3: receipts of several coordinators add up; forged, doubled and foreign ones do not count")
    func sw3Receipts() throws {
        let swarm = try self.swarm()
        let item = box.named(.descriptor, name("web"), created: now, content: [], certified: Key(3))
        func receipt(_ index: Int, by signer: Int? = nil, height: UInt64 = 4, id: ItemID? = nil) throws
            -> StoreAnswer.IndexedReceipt
        {
            let signer = try key(swarm.members[signer ?? index])
            let message = StoreReceipt.message(height: height, id: id ?? item.id, network: network)
            return .init(index: UInt8(index), receipt: signer.sign(message))
        }
        var tally = StoreTally(of: item.id, in: swarm, network: network)
        let coordinator = swarm.members[0]
        func add(_ height: UInt64, _ receipts: [StoreAnswer.IndexedReceipt]) -> StoreTally.Outcome {
            tally.add(.stored(height: height, receipts), from: coordinator)
        }
        // One good receipt, as often as it comes.
        for _ in 0..<4 { #expect(add(4, [try receipt(0)]) == .open) }
        #expect(tally.count == StoreCount(signed: 1, refusals: [], silent: 4))
        // By another replica than its place says, of another height or item, at a place that the swarm has not.
        #expect(add(4, [try receipt(1, by: 0), try receipt(2, by: 1)]) == .open)
        #expect(add(4, [try receipt(1, height: 5), try receipt(2, height: 5)]) == .open)
        #expect(add(5, [try receipt(1, height: 5), try receipt(2, height: 5)]) == .open)
        #expect(add(4, [try receipt(1, id: box.id), try receipt(2, id: box.id)]) == .open)
        #expect(add(4, [.init(index: 5, receipt: [UInt8](repeating: 0, count: 64))]) == .open)
        #expect(tally.add(nil, from: coordinator) == .open && tally.add(.items([]), from: coordinator) == .open)
        #expect(tally.count == StoreCount(signed: 1, refusals: [], silent: 4))
        #expect(add(4, [try receipt(3)]) == .open)
        guard case .stored(let proof) = add(4, [try receipt(1, by: 0), try receipt(4)]) else {
            return #expect(Bool(false))
        }
        #expect(Set(proof.receipts.keys) == Set([0, 3, 4].map { swarm.members[$0] }))
        #expect(proof.isGood(for: swarm, network: network))
        // A proof counts for this swarm at this height alone, and with all its receipts.
        #expect(!proof.isGood(for: try self.swarm(5), network: network))
        var fewer = proof.receipts
        fewer[swarm.members[0]] = nil
        #expect(!StoreProof(id: item.id, height: 4, receipts: fewer).isGood(for: swarm, network: network))
        fewer[swarm.members[0]] = proof.receipts[swarm.members[3]]
        #expect(!StoreProof(id: item.id, height: 4, receipts: fewer).isGood(for: swarm, network: network))
        #expect(!StoreProof(id: box.id, height: 4, receipts: proof.receipts).isGood(for: swarm, network: network))
    }

    @Test("SW20: one replica's refusal is not believed; that of two is, and of two newer versions the newest counts")
    func sw20Refusals() throws {
        let swarm = try self.swarm()
        func verdicts(_ refusals: [(Int, StoreRefusal)]) -> [StoreTally.Outcome] {
            var tally = StoreTally(of: box.id, in: swarm, network: network)
            return refusals.map { tally.add(.refused($0.1), from: swarm.members[$0.0]) }
        }
        #expect(
            verdicts([(0, .full), (0, .full), (1, .unknown), (2, .full)]) == [.open, .open, .open, .refused(.full)])
        let newer = [StoreRefusal.superseded(created: 70, counter: 1), .superseded(created: 60, counter: 9)]
        #expect(verdicts([(0, newer[0]), (1, newer[1])]) == [.open, .refused(newer[0])])
        // A call that ends tells each of them, with how many have said nothing.
        var tally = StoreTally(of: box.id, in: swarm, network: network)
        #expect(tally.count.isEmpty && tally.count.silent == 5)
        _ = tally.add(.refused(newer[0]), from: swarm.members[0])
        _ = tally.add(.refused(.full), from: swarm.members[3])
        #expect(tally.count == StoreCount(signed: 0, refusals: [.full, newer[0]], silent: 3) && !tally.count.isEmpty)
        // These may pass, or be otherwise elsewhere.
        let passing: [StoreRefusal] = [.busy(seconds: 3), .notReplica(height: 9)]
        for refusal in passing {
            #expect(verdicts((0..<5).map { ($0, refusal) }) == [StoreTally.Outcome](repeating: .open, count: 5))
        }
    }

    @Test("SW2: of a look-up's answer only what was asked for, authentic and valid now is taken")
    func sw2Lookups() throws {
        func item(
            _ title: String = "web", box: Box? = nil, created: UInt32? = nil, counter: UInt8 = 0,
            kind: ItemKind = .descriptor
        ) -> StoredItem {
            (box ?? self.box).named(
                kind, name(title), created: created ?? now, counter: counter, content: [1], certified: Key(3))
        }
        func taken(_ items: [StoredItem], name: Bytes16 = .zeros, most: Int = 8, minute: UInt32? = nil) throws
            -> [StoredItem]
        {
            let question = try #require(LookupQuestion(box: box.id, kind: .descriptor, name: name, most: most))
            return question.items(in: .items(items.map(\.bytes)), network: network, minute: minute ?? now)
        }
        let (one, two) = (item("a"), item("b"))
        #expect(try taken([two, one]) == [one, two])
        #expect(try taken([two, one], name: name("b")) == [two])
        #expect(try taken([two, one], most: 1) == [two])
        // Of one name the newest.
        #expect(try taken([one, item("a", counter: 3), item("a", counter: 2)]) == [item("a", counter: 3)])
        // Other boxes and kinds, what has expired or is from the future.
        #expect(try taken([item(box: Box(Key(2))), item(kind: .account)]).isEmpty)
        #expect(try taken([one], minute: now + 180).isEmpty && taken([one], minute: now + 179) == [one])
        #expect(try taken([one], minute: now - 41).isEmpty && taken([one], minute: now - 40) == [one])
        // Every altered byte.
        for place in stride(from: 0, to: one.bytes.count, by: 97) {
            var bytes = one.bytes
            bytes[place] ^= 1
            let question = try #require(LookupQuestion(box: box.id, kind: .descriptor, most: 8))
            #expect(question.items(in: .items([bytes]), network: network, minute: now).isEmpty)
        }
        let question = try #require(LookupQuestion(box: box.id, kind: .descriptor, most: 8))
        #expect(question.items(in: .refused(.full), network: network, minute: now).isEmpty)
        #expect(question.items(in: .items([one.bytes]), network: box.id, minute: now).isEmpty)
        #expect(LookupQuestion(box: box.id, kind: .message, most: 1) == nil)
        #expect(LookupQuestion(box: box.id, kind: .descriptor, most: 0) == nil)
        #expect(LookupQuestion(box: box.id, kind: .descriptor, most: 9) == nil)
    }

    @Test("SW2: a replica that hides an item does not speak for those that refuse a look-up or are late")
    func sw2EmptyAnswers() throws {
        let question = try #require(LookupQuestion(box: box.id, kind: .descriptor, most: 8))
        let item = box.named(.descriptor, name("web"), created: now, content: [], certified: Key(3))
        let (empty, good) = (StoreAnswer.items([]), StoreAnswer.items([item.bytes]))
        let (busy, elsewhere) = (StoreAnswer.refused(.busy(seconds: 3)), StoreAnswer.refused(.notReplica(height: 9)))
        /// The first result, and whether there is nothing if nobody else is left.
        func result(_ answers: [StoreAnswer?]) -> (found: [StoredItem]?, isEmpty: Bool) {
            var tally = LookupTally(of: question, replicas: 5, network: network)
            var found: [StoredItem]?
            for answer in answers where found == nil { found = tally.add(answer, at: now) }
            return (found, tally.isEmpty)
        }
        #expect(result([empty, empty, good]).found == [item] && result([busy, nil, good]).found == [item])
        #expect(result([empty, empty, empty]).found == [] && result([empty, busy, empty, empty]).found == [])
        let unclear: [[StoreAnswer?]] = [[], [busy], [elsewhere], [empty, busy], [busy, empty, empty], [empty, nil]]
        for answers in unclear {
            #expect(result(answers).found == nil && !result(answers).isEmpty, "\(answers)")
        }
        // Fewer than three replicas, and those that have left the swarm.
        for answers in [[empty], [empty, empty], [elsewhere, empty, elsewhere]] as [[StoreAnswer?]] {
            #expect(result(answers).found == nil && result(answers).isEmpty, "\(answers)")
        }
        var tally = LookupTally(of: question, replicas: 5, network: network)
        _ = tally.add(busy, at: now)
        _ = tally.add(empty, at: now)
        #expect(tally.count == StoreCount(signed: 1, refusals: [.busy(seconds: 3)], silent: 3))
        #expect(tally.agreedRefusal == nil)
    }
}

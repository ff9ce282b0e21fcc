import SeededRandom
import Swarm
import SwarmModel
import Wire

/// Every decoder of the store: a value that is read is written as the same bytes.
func store(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let choice = try? reader.u8() else { return }
    let bytes = (try? reader.array(reader.remaining)) ?? []
    let span = bytes.rawSpan
    func same(_ written: [UInt8]?) { precondition(written ?? bytes == bytes, "one form for each value") }
    switch choice % 16 {
    case 0: same((try? StoredItem(decoding: span, network: SwarmModel.network))?.bytes)
    case 1: same((try? Tombstone(decoding: span, network: SwarmModel.network))?.encoded())
    case 2: same((try? Replicate(decoding: span, network: SwarmModel.network))?.encoded())
    case 3: same((try? Compare(decoding: span))?.encoded())
    case 4: same((try? FetchCopies(decoding: span))?.encoded())
    case 5: same((try? SubscriptionOpen(decoding: span))?.encoded())
    case 6: same((try? Replicate.outcomes(decoding: span, count: 2)).map(Replicate.encode))
    case 7: _ = try? FetchCopies.copies(decoding: span, network: SwarmModel.network)
    case 8:
        var events = ByteReader(span)
        while let event = try? SubscriptionEvent(from: &events), events.remaining > 0 { _ = event.encoded() }
    case 9:
        let shards = (0..<4 as Range<UInt16>).map { Compare.ShardDigest(shard: $0, digest: Bytes32()) }
        let range = RangeKey(shard: 0, kind: .message, number: 0)
        let questions: [Compare.Question] = [
            .shards(shards), .days(shard: 0), .ranges(shard: 0, kind: .message, day: 0), .ids(range, after: 0),
        ]
        for question in questions { same((try? CompareAnswer(decoding: span, to: question))?.encoded()) }
    case 10:
        for method in StoreAnswer.Method.allCases { same((try? StoreAnswer(decoding: span, to: method))?.encoded()) }
    default:
        let method: UInt8 = [1, 2, 3, 4, 10][Int(choice) % 5]
        same((try? StoreRequest(method: method, arguments: span, network: SwarmModel.network))?.arguments())
    }
}

private let swarmItems: [Copy] = {
    let boxes = [Box(Key(1)), Box(Key(2))]
    return boxes.flatMap { box -> [Copy] in
        let messages = (0..<6 as Range<UInt64>).map { box.message($0, created: firstMinute + 10 * UInt32($0 % 3)) }
        let others = [
            box.contact(1, created: firstMinute), box.record(name("a"), created: firstMinute, content: [1]),
            box.record(name("a"), created: firstMinute, counter: 1, content: [2]),
            box.grant([.init(key: box.id)], created: firstMinute),
            box.grant([.init(key: Key(3).publicKey)], created: firstMinute, counter: 1),
            box.purge(before: firstMinute + 10, created: firstMinute + 70),
        ]
        return (messages + others).map { .item($0) } + messages.map { .tombstone(box.tombstone(of: $0)) }
    }
}()

/// A replica in a swarm of three whose peers and clients the input plays.
///
/// It does not trap, stores no item after the item's tombstone, and exceeds no bound.
func swarm(_ input: RawSpan) {
    let key = Key(1_000)
    let peers = [Key(1_001), Key(1_002)]
    let nodes = ([key] + peers).map { PlacedNode(node: $0.node, operatorID: $0.publicKey, placement: 7) }
    guard let map = SwarmMap(network: SwarmModel.network, shards: 64, swarmSize: 3, nodes: nodes) else {
        preconditionFailure("the map is allowed")
    }
    var now = UInt64(firstMinute) * 60_000
    var replica = Replica(
        network: SwarmModel.network, key: key.copy(), storage: MemoryStorage(logSalt: 1),
        settings: .init(quota: 40_000, recoveryRate: 1_000), random: SeededGenerator(seed: 1), hasEndedCleanly: true,
        now: now)
    var reader = ByteReader(input)
    var questions: [UInt64] = []
    var deleted: Set<ItemID> = []
    func step(_ event: Replica<MemoryStorage>.Event) {
        for case .ask(_, let kind, let body, let question) in replica.handle([event], now: now) {
            precondition(body.count <= kind.longestBody, "no message is longer than its type allows")
            questions.append(question)
        }
        precondition(replica.storage.bytesUsed <= 40_000, "the quota")
        for entry in replica.storage.allEntries where entry.isDeleted { deleted.insert(entry.id) }
        for id in deleted {
            precondition(replica.storage.entry(id)?.isDeleted != false, "deleted items do not come back")
        }
    }
    step(.snapshot(SwarmView(height: 1, map: map)))
    var count = 0
    while count < 100, let kind = try? reader.u8(), let detail = try? reader.u8() {
        count += 1
        let copy = swarmItems[Int(detail) % swarmItems.count]
        let peer = peers[Int(kind >> 7)].node
        switch kind % 10 {
        case 0: step(.message(ask: 1, from: peer, .replicate, Replicate(height: 1, copies: [copy]).encoded()))
        case 1:
            if case .item(let item) = copy {
                step(.request(ask: 2, via: peer, .store(height: 1, item), binding: SwarmModel.network))
            }
        case 2:
            now &+= UInt64(detail) << 14
            step(.tick)
        case 3, 4:
            // An answer of any bytes to the newest question.
            let length = Int(detail)
            if let question = questions.popLast() { step(.answer(question: question, try? reader.array(length))) }
        case 5: if let question = questions.popLast() { step(.answer(question: question, nil)) }
        case 6, 7, 8:
            let message: SwarmMessage = [.replicate, .compare, .fetchCopies][Int(kind % 3)]
            if let body = try? reader.array(Int(detail)) { step(.message(ask: 3, from: peer, message, body)) }
        default:
            let range = RangeKey(shard: map.shard(of: copy.header.box), kind: .message, number: firstMinute / 10)
            let question: Compare.Question =
                detail % 2 == 0 ? .days(shard: range.shard) : .ids(range, after: UInt64(detail))
            let compare = Compare(key: Bytes16(Array(0..<16)) ?? .zeros, cut: UInt32(now / 600_000) * 10, question)
            step(.message(ask: 4, from: peer, .compare, compare.encoded()))
        }
    }
}

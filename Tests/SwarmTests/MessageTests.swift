import SwarmModel
import Testing
import Wire

@testable import Swarm

/// The bytes of requests, answers and messages between replicas.
@Suite struct MessageTests {
    private let box = Box(Key(1))
    private let now = firstMinute
    private let binding = Bytes32(copying: [UInt8](repeating: 3, count: 32).rawSpan)
    private let key = Bytes16([UInt8](1...16)) ?? .zeros

    /// Checks that neither a prefix of `bytes` nor `bytes` with one byte more is read.
    private func endsWhereItEnds(_ bytes: [UInt8], _ read: ([UInt8]) throws -> Void, _ what: String) {
        let lengths = bytes.count < 600 ? Array(bytes.indices) : Array(0..<300) + [bytes.count - 1]
        for length in lengths {
            #expect(throws: WireError.self, "\(what), \(length)") { try read(Array(bytes.prefix(length))) }
        }
        #expect(throws: WireError.self, "\(what), longer") { try read(bytes + [0]) }
    }

    @Test("RQ7: requests come back, and end where they end")
    func rq7Requests() throws {
        let message = box.message(1, created: now)
        let requests: [StoreRequest] = [
            .store(height: 7, message),
            .delete(
                box: box.id,
                [
                    .init(id: message.id, proof: .token(Box.token(1))),
                    .init(id: message.id, proof: box.proof(of: message.id)),
                ]),
            .list(box.read(log: 8, after: 9, binding: binding), kinds: .all),
            .fetch(box.read(log: 8, binding: binding), offsets: [1, 3, .max]),
            .lookup(box: box.id, kind: .account, most: 8, name: .zeros),
        ]
        for request in requests {
            let bytes = request.arguments()
            let read = { (bytes: [UInt8]) throws(WireError) -> StoreRequest in
                try StoreRequest(method: request.method, arguments: bytes.rawSpan, network: network)
            }
            #expect(try read(bytes) == request)
            endsWhereItEnds(bytes, { _ = try read($0) }, "method \(request.method)")
        }
        for method: UInt8 in [0, 5, 6, 7, 8, 9, 11, 255] {
            let none: [UInt8] = []
            #expect(throws: WireError.unknownKind(UInt64(method))) {
                try StoreRequest(method: method, arguments: none.rawSpan, network: network)
            }
        }
    }

    @Test("RQ7: counts, kinds and bits that are not allowed are refused")
    func rq7Refused() throws {
        func refused(_ request: StoreRequest, _ place: Int, _ values: [UInt8]) {
            for value in values {
                var bytes = request.arguments()
                bytes[place] = value
                #expect(throws: WireError.self, "\(request.method): \(value)") {
                    try StoreRequest(method: request.method, arguments: bytes.rawSpan, network: network)
                }
            }
        }
        refused(.delete(box: box.id, [.init(id: box.id, proof: .token(.zeros))]), 32, [0, 2, 65, 255])
        refused(.delete(box: box.id, [.init(id: box.id, proof: .token(.zeros))]), 33, [0, 3])
        refused(.delete(box: box.id, [.init(id: box.id, proof: .token(.zeros))]), 33 + 1 + 32 + 16, [1])
        refused(.list(box.read(binding: binding), kinds: .all), 32, [0, 1, 2, 64, 128, 255])
        refused(.fetch(box.read(binding: binding), offsets: [1]), 40, [0, 2, 17])
        refused(.lookup(box: box.id, kind: .account, most: 8, name: .zeros), 32, [0, 3, 4, 5, 6])
        refused(.lookup(box: box.id, kind: .account, most: 8, name: .zeros), 33, [0, 9])
    }

    @Test("SW16: a read holds in its own request alone")
    func sw16Reads() {
        let read = box.read(log: 1, after: 2, binding: binding)
        #expect(read.isGood(binding: binding, network: network))
        #expect(!read.isGood(binding: network, network: network))
        #expect(!read.isGood(binding: binding, network: binding))
        let other = BoxRead(Key(2).publicKey, log: 1, signature: read.signature)
        #expect(!other.isGood(binding: binding, network: network))
    }

    @Test("RQ7: answers come back, and end where they end")
    func rq7Answers() throws {
        let receipt = [UInt8](repeating: 4, count: 64)
        let entry = StoreAnswer.Listing.Entry(offset: 4, shortID: .max, kind: .message, sizeClass: 5)
        let gone = StoreAnswer.Listing.Entry(offset: 9, shortID: 1, kind: .contact, sizeClass: 255)
        let listing = StoreAnswer.Listing(log: 3, isOutOfDate: true, hasMore: false, entries: [entry, gone])
        let item = box.message(1, created: now)
        let answers: [(StoreAnswer, StoreAnswer.Method)] = [
            (.stored(height: 3, [.init(index: 0, receipt: receipt), .init(index: 6, receipt: receipt)]), .store),
            (.deleted(64, replicas: 7), .delete), (.listed(listing), .list),
            (.items([item.bytes, box.tombstone(of: item).encoded()]), .fetch), (.items([item.bytes]), .lookup),
        ]
        for (answer, method) in answers {
            let read = { (bytes: [UInt8]) throws(WireError) in try StoreAnswer(decoding: bytes.rawSpan, to: method) }
            #expect(try read(answer.encoded()) == answer)
            endsWhereItEnds(answer.encoded(), { _ = try read($0) }, "\(method)")
        }
        let refusals: [StoreRefusal] = [
            .malformed, .unknown, .notReplica(height: 9), .full, .notAuthorised, .timeInvalid, .busy(seconds: 3),
            .superseded(created: 4, counter: 5),
        ]
        for refusal in refusals {
            for method in StoreAnswer.Method.allCases {
                let bytes = StoreAnswer.refused(refusal).encoded()
                #expect(try StoreAnswer(decoding: bytes.rawSpan, to: method) == .refused(refusal))
                endsWhereItEnds(bytes, { _ = try StoreAnswer(decoding: $0.rawSpan, to: method) }, "\(refusal)")
            }
        }
        for status: UInt8 in [5, 10, 255] {
            let bytes = [status]
            #expect(throws: WireError.unknownKind(UInt64(status))) {
                try StoreAnswer(decoding: bytes.rawSpan, to: .store)
            }
        }
        // A replica may appear only once.
        let twice = StoreAnswer.stored(
            height: 3, [.init(index: 2, receipt: receipt), .init(index: 2, receipt: receipt)])
        let twiceBytes = twice.encoded()
        #expect(throws: WireError.outOfRange) { try StoreAnswer(decoding: twiceBytes.rawSpan, to: .store) }
    }

    @Test func subscriptionsComeBack() throws {
        let open = SubscriptionOpen(box.read(log: 1, after: 2, binding: binding), kinds: .all)
        let bytes = open.encoded()
        #expect(bytes.count == SubscriptionOpen.size)
        #expect(try SubscriptionOpen(decoding: bytes.rawSpan) == open)
        endsWhereItEnds(bytes, { _ = try SubscriptionOpen(decoding: $0.rawSpan) }, "subscription")
        let events: [SubscriptionEvent] = [
            .item(offset: 3, box.message(1, created: now).bytes), .deleted(offset: 4, network),
            .caughtUp(log: 5, offset: 6), .moved(height: 7), .outOfDate(true), .outOfDate(false),
        ]
        let stream = events.flatMap { $0.encoded() }
        var reader = ByteReader(stream.rawSpan)
        for event in events { #expect(try SubscriptionEvent(from: &reader) == event) }
        #expect(reader.remaining == 0)
    }

    @Test("RQ7: messages between replicas come back, and end where they end")
    func rq7Messages() throws {
        let message = box.message(1, created: now)
        let large = Copy.item(box.message(2, created: now, sizeClass: 5))
        let replicates = [
            Replicate(height: 5, copies: [.item(message), .tombstone(box.tombstone(of: message))]),
            Replicate(height: 5, copies: [large, large]),
        ]
        for replicate in replicates {
            let bytes = replicate.encoded()
            #expect(bytes.count <= SwarmMessage.replicate.longestBody)
            #expect(try Replicate(decoding: bytes.rawSpan, network: network) == replicate)
            endsWhereItEnds(bytes, { _ = try Replicate(decoding: $0.rawSpan, network: network) }, "replicate")
        }
        let outcomes: [Replicate.Outcome] = [.held([UInt8](repeating: 1, count: 64)), .refused(4), .refused(9)]
        let answer = Replicate.encode(outcomes)
        #expect(try Replicate.outcomes(decoding: answer.rawSpan, count: 3) == outcomes)
        endsWhereItEnds(answer, { _ = try Replicate.outcomes(decoding: $0.rawSpan, count: 3) }, "outcomes")
        #expect(throws: WireError.self) { try Replicate.outcomes(decoding: answer.rawSpan, count: 2) }

        let range = RangeKey(shard: 3, kind: .message, number: 2_880_000)
        let states = [
            CompareAnswer.ShardState(shard: 3, isOutOfDate: true, isNotShared: false, digest: network),
            CompareAnswer.ShardState(shard: 9, isOutOfDate: false, isNotShared: true, digest: Bytes32()),
        ]
        let comparisons: [(Compare.Question, CompareAnswer)] = [
            (.shards([3, 5, 9].map { .init(shard: $0, digest: network) }), .shards(states)),
            (
                .days(shard: 3),
                .days([.init(kind: .account, day: 9, digest: network), .init(kind: .record, day: 1, digest: network)])
            ),
            (.ranges(shard: 3, kind: .contact, day: 4), .ranges([Bytes32](repeating: network, count: 144))),
            (
                .ids(range, after: 4),
                .ids([.init(shortID: 5, isDeleted: false), .init(shortID: .max, isDeleted: true)])
            ),
        ]
        for (question, answer) in comparisons {
            let compare = Compare(key: key, cut: now, question)
            let question = compare.encoded()
            #expect(try Compare(decoding: question.rawSpan) == compare)
            endsWhereItEnds(question, { _ = try Compare(decoding: $0.rawSpan) }, "compare")
            let bytes = answer.encoded()
            #expect(try CompareAnswer(decoding: bytes.rawSpan, to: compare.question) == answer)
            endsWhereItEnds(
                bytes, { _ = try CompareAnswer(decoding: $0.rawSpan, to: compare.question) }, "compare answer")
        }
        let fetch = FetchCopies(key: key, range: range, shortIDs: [9, 1, 5])
        #expect(fetch.shortIDs == [1, 5, 9])
        let fetchBytes = fetch.encoded()
        #expect(try FetchCopies(decoding: fetchBytes.rawSpan) == fetch)
        endsWhereItEnds(fetchBytes, { _ = try FetchCopies(decoding: $0.rawSpan) }, "fetch")
    }

    @Test("The longest of each message is as long as its type allows")
    func longest() {
        let shards = (0..<UInt16(SwarmLimits.compareShards)).map { Compare.ShardDigest(shard: $0, digest: network) }
        #expect(Compare(key: key, cut: 0, .shards(shards)).encoded().count <= SwarmMessage.compare.longestBody)
        let states = shards.map {
            CompareAnswer.ShardState(shard: $0.shard, isOutOfDate: false, isNotShared: false, digest: network)
        }
        #expect(CompareAnswer.shards(states).encoded().count <= SwarmMessage.compare.longestAnswer)
        let ids = (1...UInt64(SwarmLimits.compareIDs)).map { CompareAnswer.ShortState(shortID: $0, isDeleted: false) }
        #expect(CompareAnswer.ids(ids).encoded().count <= SwarmMessage.compare.longestAnswer)
        let range = RangeKey(shard: 0, kind: .message, number: 0)
        let fetch = FetchCopies(key: key, range: range, shortIDs: ids.map(\.shortID))
        #expect(fetch.encoded().count <= SwarmMessage.fetchCopies.longestBody)
        let outcomes = [Replicate.Outcome](repeating: .held([UInt8](repeating: 0, count: 64)), count: 64)
        #expect(Replicate.encode(outcomes).count == SwarmMessage.replicate.longestAnswer)
    }

    @Test("SW12: short ids and digests depend on every byte that they are made from")
    func sw12Digests() {
        let (a, b) = (box.message(1, created: now).id, box.message(2, created: now).id)
        #expect(ShortID.of(a, key: key) != ShortID.of(b, key: key))
        #expect(ShortID.of(a, key: key) != ShortID.of(a, key: .zeros))
        #expect(ShortID.of(a, binding: binding) != ShortID.of(a, binding: network))
        let digests = [
            RangeDigests.range([]), RangeDigests.range([(a, false)]), RangeDigests.range([(a, true)]),
            RangeDigests.range([(b, false)]), RangeDigests.range([(a, false), (b, false)]),
        ]
        #expect(Set(digests).count == digests.count)
        #expect(digests[0].isZero)
        let days = [CompareAnswer.DayDigest(kind: .message, day: 1, digest: a)]
        let other = [CompareAnswer.DayDigest(kind: .contact, day: 1, digest: a)]
        #expect(RangeDigests.shard(days) != RangeDigests.shard(other))
        #expect(RangeDigests.day([a, b]) != RangeDigests.day([b, a]))
    }
}

import OnionCrypto
import Testing
import Wire

@testable import Onion

/// Building paths: the messages that hops accept and refuse, and the replies that a client accepts.
@Suite struct BuildTests {
    static let places: [(Int, Int)] = (1...4).flatMap { hops in (0..<hops).map { (hops, $0) } }

    @Test(arguments: places) func aRefusalReachesTheClientWithHopAndReason(hops: Int, refuser: Int) throws {
        for status in BuildStatus.allCases where status != .ready {
            let chain = try Chain(hops)
            chain.refusal = { $0 == refuser ? status : nil }
            #expect(try chain.build() == .refused(refuser, status))
            for node in chain.nodes { #expect(node.table.count == 0) }
        }
    }

    /// Each record authenticates all later records, so the next hop finds a change anywhere.
    @Test(arguments: places) func o1_aChangedBuildDiesAtTheNextHop(hops: Int, into: Int) throws {
        for offset in [0, 8, 600, 1_127, 1_128, 1_159, 1_160, 1_239] {
            for record in 0..<4 {
                let chain = try Chain(hops)
                chain.onRecords = { index, records in
                    if index == into { records[record * 1_240 + offset] ^= 0x10 }
                    #expect(index <= into)
                }
                let outcome = try chain.build()
                #expect(outcome == (into == 0 ? .broken(0) : .refused(into - 1, .nextHopFailed)))
                #expect(chain.faults == [record == 0 && offset < 8 ? .unknownKey : .unreadable])
            }
        }
    }

    @Test(arguments: places) func o1_aChangedReplyBuildsNoPath(hops: Int, outOf: Int) throws {
        let own = (outOf + 1 == hops ? 4 : outOf + 1) - 1
        for place in own..<4 {
            for offset in [0, 31, 32, 95, 111] {
                let chain = try Chain(hops)
                chain.onReply = { index, reply in if index == outOf { reply[place * 112 + offset] ^= 1 } }
                let outcome = try chain.build()
                guard case .broken(let hop) = outcome, hop <= outOf else {
                    Issue.record("place \(place) offset \(offset): \(outcome)")
                    continue
                }
            }
        }
    }

    /// Bytes that a node writes at the places of nodes nearer to the client are gone after the next node.
    @Test(arguments: 2...4) func o15_marksInAReplyAreGoneAfterOneHop(hops: Int) throws {
        for outOf in 1..<hops {
            let own = (outOf + 1 == hops ? 4 : outOf + 1) - 1
            let chain = try Chain(hops)
            chain.onReply = { index, reply in
                if index == outOf { for byte in 0..<own * 112 { reply[byte] = 0xab } }
                if index == outOf - 1 {
                    for place in 0..<4 {
                        #expect(reply[place * 112..<place * 112 + 112].filter { $0 == 0xab }.count < 20)
                    }
                }
            }
            #expect(try chain.build() == .path)
        }
    }

    @Test func aReplyOfAnotherBuildIsNotBelieved() throws {
        let chain = try Chain(3)
        var recorded: [UInt8] = []
        chain.onReply = { index, reply in if index == 0 { recorded = reply } }
        #expect(try chain.build() == .path)
        chain.onReply = { index, reply in if index == 0 { reply = recorded } }
        #expect(try chain.build() == .broken(0))
    }

    @Test func o13_aRepeatedBuildIsRefusedAsUnreadable() throws {
        let chain = try Chain(2)
        try chain.build()
        for node in chain.nodes {
            let records = node.seenRecords
            for later in [0.0, 1_000, 2_999] {
                #expect(fault(node, records, now: at(later)) == .replayed)
            }
        }
        // A change of the onion key has no effect while the old key is valid.
        let node = chain.nodes[0]
        let pair = try KEM.PrivateKey()
        node.responder.keys.rotate(to: pair, now: at(10))
        #expect(fault(node, node.seenRecords, now: at(10)) == .replayed)
        // A BUILD that is changed only in a later record is not entered, so the real one still passes.
        let fresh = try Chain(1)
        let builder = try PathBuilder(hops: fresh.targets, network: testNetwork, time: testTime)
        var spoiled = builder.records
        spoiled[4_000] ^= 1
        #expect(fault(fresh.nodes[0], spoiled, now: at(0)) == .unreadable)
        #expect(outcome(fresh.nodes[0], builder.records, now: at(0)) == .terminal)
        #expect(fault(fresh.nodes[0], builder.records, now: at(0)) == .replayed)
    }

    /// What a node does with a build, without the keys.
    private enum Outcome: Equatable {
        case unreadable(BuildFault)
        case refused(BuildStatus)
        case onward, terminal
    }

    private func outcome(
        _ node: ChainNode, _ records: [UInt8], time: UnixTime = testTime, now: Instant
    ) -> Outcome {
        let outcome = node.responder.open(records.rawSpan, from: 0, time: time, now: now)
        switch consume outcome {
        case .unreadable(let fault): return .unreadable(fault)
        case .refuse(let status, _): return .refused(status)
        case .onward: return .onward
        case .terminal: return .terminal
        }
    }

    /// Why a node resets a build; nil if it does anything else.
    private func fault(_ node: ChainNode, _ records: [UInt8], now: Instant) -> BuildFault? {
        if case .unreadable(let fault) = outcome(node, records, now: now) { fault } else { nil }
    }

    private func enter(
        _ cache: inout BuildReplayCache, _ record: [UInt8], _ now: Instant, of source: UInt64? = nil,
        time: UInt64? = nil
    ) -> BuildReplayCache.Entry {
        // Each record has its own source, and the time at which it comes, unless a test names another.
        cache.enter(
            record.rawSpan, time: time ?? now.nanoseconds / 600_000_000_000, of: source ?? UInt64(record[0]), now: now)
    }

    private func decode(_ bytes: [UInt8]) throws -> BuildBody { try BuildBody(decoding: bytes.rawSpan) }

    @Test func o13_theReplayCacheForgetsNothingTooEarlyAndIsBounded() {
        var cache = BuildReplayCache(limit: 3, now: at(0))
        let records = (0..<5).map { [UInt8](repeating: UInt8($0), count: 1_240) }
        #expect(enter(&cache, records[0], at(2_999)) == .new)
        #expect(enter(&cache, records[0], at(3_000)) == .replayed)
        #expect(enter(&cache, records[0], at(5_999)) == .replayed)
        #expect(enter(&cache, records[0], at(6_000)) == .new)
        #expect(enter(&cache, records[1], at(6_000)) == .new)
        #expect(enter(&cache, records[2], at(6_000)) == .new)
        #expect(enter(&cache, records[3], at(6_000)) == .full)
        #expect(enter(&cache, records[2], at(6_000)) == .replayed)
        #expect(enter(&cache, records[3], at(9_000)) == .new)
        #expect(cache.count == 4)
        #expect(enter(&cache, records[0], at(20_000)) == .new)
        #expect(cache.count == 1)
    }

    @Test func o13_aClockThatIsSetBackMakesNoForgottenBuildValid() throws {
        for pauses in [[9_000.0], [3_000, 3_000], [2_999, 3_001], [1_500, 1_500, 3_000, 3_000]] {
            let chain = try Chain(1)
            func met(_ records: [UInt8], time: UnixTime, now: Double) -> Outcome {
                outcome(chain.nodes[0], records, time: time, now: at(now))
            }
            func build(_ time: UnixTime) throws -> [UInt8] {
                try PathBuilder(hops: chain.targets, network: testNetwork, time: time).records
            }
            let recorded = try build(testTime)
            #expect(met(recorded, time: testTime, now: 0) == .terminal)
            var passed = 0.0
            for pause in pauses {
                passed += pause
                let time = UnixTime(seconds: testTime.seconds + UInt64(passed))
                // While the clock is right, every valid time is accepted.
                for units in [-2, 0, 2] as [Int64] {
                    let own = UnixTime(seconds: UInt64(Int64(time.seconds) + units * 600))
                    #expect(met(try build(own), time: time, now: passed) == .terminal)
                }
            }
            #expect(met(recorded, time: testTime, now: passed) == .refused(.timeInvalid))
            // As soon as the clock is right again, builds pass.
            let right = UnixTime(seconds: testTime.seconds + UInt64(passed))
            #expect(met(try build(right), time: right, now: passed) == .terminal)
        }
    }

    @Test("s17: sources that fill the memory of builds leave room to others", arguments: [1, 4, 64])
    func s17_aFloodClosesItsSourcesAlone(sources: Int) {
        var cache = BuildReplayCache(limit: 4_000, now: at(0))
        func record(_ number: Int) -> [UInt8] { [UInt8(number & 255), UInt8(number >> 8 & 255), UInt8(number >> 16)] }
        for number in 0..<20_000 { _ = enter(&cache, record(number), at(1), of: UInt64(number % sources)) }
        #expect(enter(&cache, record(20_000), at(1), of: 0) == .full)
        for number in 0..<20 { #expect(enter(&cache, record(20_001 + number), at(1), of: 99) == .new) }
        #expect(enter(&cache, record(20_001), at(1), of: 0) == .replayed)
    }

    @Test func s17_aGenerationTakesAllBuildsThatANodeAnswers() {
        // The limits allow 1,000 builds a second from many links, and a new link still has room at the end.
        #expect(Double(BuildReplayCache.defaultLimit) > 1_000 * BuildReplayCache.generation.inSeconds)
    }

    @Test func aTimeIsValidWithinTwoUnits() throws {
        let unit: Int64 = 600
        for units in -4...4 {
            let chain = try Chain(2)
            let time = UnixTime(seconds: UInt64(1_800_000_123 + Int64(units) * unit))
            let expected: Built = abs(units) <= 2 ? .path : .refused(0, .timeInvalid)
            #expect(try chain.build(time: time) == expected)
        }
        #expect(BuildMessage.isValid(units: 0, at: UnixTime(seconds: 1_799)))
        #expect(!BuildMessage.isValid(units: .max, at: UnixTime(seconds: 0)))
    }

    @Test func k1_onionKeysLiveForTwoDays() throws {
        var keys = try OnionKeys(now: at(0))
        let first = keys.publicKey
        let day = 86_400.0
        #expect(try !keys.advance(at(day - 1)))
        #expect(try keys.advance(at(day)))
        let id = OnionKeys.id(of: Blake2b.digest(first.rawSpan))
        #expect(keys.publicKey != first && keys.key(id: id) != nil)
        #expect(try keys.advance(at(2 * day)))
        #expect(keys.key(id: id) == nil)
        // After a sleep of days no old key comes back.
        let second = OnionKeys.id(of: Blake2b.digest(keys.publicKey.rawSpan))
        #expect(try keys.advance(at(9 * day)))
        #expect(keys.key(id: second) == nil)
    }

    @Test func o10_aRestartedNodeOpensNoBuildForTheOneBefore() throws {
        let chain = try Chain(1)
        let targets = chain.targets
        chain.nodes = [try ChainNode(0)]
        let builder = try PathBuilder(hops: targets, network: testNetwork, time: testTime)
        #expect(fault(chain.nodes[0], builder.records, now: at(0)) == .unknownKey)
    }

    @Test func aBuildForAnotherNodeOrNetworkDoesNotOpen() throws {
        let chain = try Chain(1)
        var targets = chain.targets
        targets[0].node = Bytes32([UInt8](repeating: 9, count: 32))!
        let wrongNode = try PathBuilder(hops: targets, network: testNetwork, time: testTime)
        #expect(fault(chain.nodes[0], wrongNode.records, now: at(0)) == .unreadable)
        let wrongNetwork = try PathBuilder(hops: chain.targets, network: Bytes32(), time: testTime)
        #expect(fault(chain.nodes[0], wrongNetwork.records, now: at(0)) == .unreadable)
    }

    @Test func o12_anEphemeralOfLowOrderIsRefused() throws {
        let node = try ChainNode(0)
        let onionKey = node.onionKey
        let hash = Blake2b.digest(onionKey.rawSpan)
        let encapsulation = try KEM.encapsulate(to: node.onionKey)
        let opening =
            [UInt8](hash.array.prefix(8)) + encapsulation.ciphertext + [UInt8](repeating: 0, count: 32)
        let keys = BuildKeys(
            shared: encapsulation.secret, network: testNetwork, node: node.id, onionKeyHash: hash,
            opening: opening.rawSpan)
        let rest = [UInt8](repeating: 4, count: 3_720)
        let body = BuildBody(
            slot: 4, nextSlot: 0, suite: 2, timeUnits: BuildMessage.timeUnits(testTime), nextNode: Bytes32())
        let associated = opening + rest
        let sealed = keys.record.seal(body.encoded.rawSpan, associated: associated.rawSpan, counter: 0)
        #expect(fault(node, opening + sealed + rest, now: at(0)) == .unreadable)
        // The client refuses such an ephemeral key of a hop as well.
        let chain = try Chain(1)
        chain.onReply = { _, reply in reply.replaceSubrange(336..<368, with: [UInt8](repeating: 0, count: 32)) }
        #expect(try chain.build() == .broken(0))
    }

    /// A hop gets four records that reveal neither its place nor the length of the path.
    @Test func o5_everyHopGetsFourRecordsThatItHasNotSeenElsewhere() throws {
        var all: Set<[UInt8]> = []
        for hops in 1...4 {
            let chain = try Chain(hops)
            #expect(try chain.build() == .path)
            for node in chain.nodes {
                #expect(node.seenRecords.count == 4_960)
                for place in 0..<4 {
                    #expect(all.insert([UInt8](node.seenRecords[place * 1_240..<(place + 1) * 1_240])).inserted)
                }
            }
        }
    }

    /// A reply has four records that reveal neither who answered nor the length of the path.
    @Test func o5_everyReplyHasFourRecordsThatWereNotSeenElsewhere() throws {
        for hops in 1...4 {
            for refuser in -1..<hops {
                let chain = try Chain(hops)
                chain.refusal = { $0 == refuser ? .overloaded : nil }
                var seen: Set<[UInt8]> = []
                chain.onReply = { _, reply in
                    #expect(reply.count == 448)
                    for place in 0..<4 {
                        let record = [UInt8](reply[place * 112..<(place + 1) * 112])
                        #expect(record.filter { $0 == 0 }.count < 12)
                        #expect(seen.insert(record).inserted)
                    }
                }
                try chain.build()
                #expect(seen.count == 4 * (refuser < 0 ? hops : refuser + 1))
            }
        }
    }

    @Test func o5_theGuardOfThreeAndOfFourHopsIsAskedTheSame() throws {
        for hops in 3...4 {
            let chain = try Chain(hops)
            let builder = try PathBuilder(hops: chain.targets, network: testNetwork, time: testTime)
            let records = builder.records
            // Opens the guard's record as the guard does.
            let node = chain.nodes[0]
            guard let key = node.responder.keys.key(id: node.responder.keys.current.id) else {
                Issue.record("the guard does not hold its key")
                continue
            }
            let shared = try key.pair.decapsulate(records.rawSpan.extracting(8..<1_128))
            let build = BuildKeys(
                shared: shared, network: testNetwork, node: node.id, onionKeyHash: key.hash,
                opening: records.rawSpan.extracting(0..<1_160))
            let associated = BuildRecords.associated(records.rawSpan)
            let plain = build.record.open(
                records.rawSpan.extracting(1_160..<1_240), associated: associated.rawSpan, counter: 0)
            let body = try BuildBody(decoding: plain!.rawSpan)
            #expect(body.slot == 1 && body.nextSlot == 2 && body.nextNode == chain.nodes[1].id)
        }
    }

    @Test func aBodyWithAnythingUnusualIsRefused() throws {
        let next = Bytes32([UInt8](repeating: 5, count: 32))!
        let good = BuildBody(slot: 1, nextSlot: 2, suite: 2, timeUnits: 3, nextNode: next).encoded
        #expect(good.count == 64)
        #expect(throws: Never.self) { try decode(good) }
        for (offset, value) in [(0, UInt8(0)), (0, 2), (8, 1), (9, 0), (10, 1), (31, 0x80)] {
            var bad = good
            bad[offset] = value
            #expect(throws: WireError.self) { try decode(bad) }
        }
        for slot in 0...6 {
            for nextSlot in 0...6 {
                for node in [Bytes32(), next] {
                    let isAllowed =
                        (slot == 4 && nextSlot == 0 && node.isZero)
                        || ((1...3).contains(slot) && (nextSlot == slot + 1 || nextSlot == 4) && !node.isZero)
                    let body = BuildBody(
                        slot: UInt8(slot), nextSlot: UInt8(nextSlot), suite: 1, timeUnits: 0, nextNode: node)
                    let bytes = body.encoded
                    #expect((try? decode(bytes)) == (isAllowed ? body : nil))
                }
            }
        }
        for size in [0, 1, 63] {
            let short = [UInt8](good.prefix(size))
            #expect(throws: WireError.self) { try decode(short) }
        }
        let long = good + [0]
        #expect(throws: WireError.self) { try decode(long) }
    }

    @Test func anImpossiblePathIsNotBegun() throws {
        let chain = try Chain(4)
        for targets in [[], chain.targets + chain.targets] {
            #expect(throws: PathBuildError.hopCount) {
                _ = try PathBuilder(hops: targets, network: testNetwork, time: testTime)
            }
        }
        var targets = chain.targets
        targets[2].onionKey.removeLast()
        #expect(throws: PathBuildError.badOnionKey(2)) {
            _ = try PathBuilder(hops: targets, network: testNetwork, time: testTime)
        }
    }

    @Test(arguments: [0, 1, 455, 457, 5_000]) func aReplyOfTheWrongSizeIsBroken(size: Int) throws {
        let chain = try Chain(1)
        let builder = try PathBuilder(hops: chain.targets, network: testNetwork, time: testTime)
        let reply = [UInt8](repeating: 1, count: size)
        let result = builder.receive(reply.rawSpan, now: at(0))
        guard case .broken(0) = consume result else {
            Issue.record("believed")
            return
        }
    }
}

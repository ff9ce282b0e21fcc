import OnionCrypto
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// Peers that misbehave in comparisons: they stall, invent, deny, and cause work.
@Suite(.onBothStorages) struct HostileExchangeTests {
    private let box = Box(Key(1))
    private let now = firstMinute

    /// The answer of a peer that has exactly the items that it is asked about.
    private static func agree(_ kind: SwarmMessage, _ body: [UInt8]) -> [UInt8]? {
        guard kind == .compare else { return nil }
        return CompareAnswer.shards([]).encoded()
    }

    private func question(_ kind: SwarmMessage, _ body: [UInt8]) -> Compare.Question? {
        kind == .compare ? (try? Compare(decoding: body.rawSpan))?.question : nil
    }

    /// The answer of a peer that has no item of any shard, or of one shard.
    private func deny(_ body: [UInt8], only own: UInt16? = nil) -> [UInt8]? {
        switch question(.compare, body) {
        case nil: return nil
        case .shards(let asked):
            let differing = asked.filter { own == nil || $0.shard == own }
            return CompareAnswer.shards(
                differing.map { .init(shard: $0.shard, isOutOfDate: false, isNotShared: false, digest: Bytes32()) }
            ).encoded()
        case .days: return CompareAnswer.days([]).encoded()
        case .ranges: return CompareAnswer.ranges([Bytes32](repeating: Bytes32(), count: 144)).encoded()
        case .ids: return CompareAnswer.ids([]).encoded()
        }
    }

    @Test("SW12: comparisons end at their deadline, and those that wait the longest begin first")
    func sw12Deadline() throws {
        var bench = try Bench(peers: 24, swarmSize: 15)
        var asked: Set<NodeID> = []
        // No peer ever answers.
        for _ in 0..<26 {
            bench.now += 60_000
            for case .ask(let peer, .compare, _, _) in bench.handle([.tick]) { asked.insert(peer) }
        }
        #expect(asked.count == 24)
    }

    @Test("SW12: an answer that comes after the deadline is not taken for that of the next comparison")
    func sw12LateAnswer() throws {
        var bench = try Bench(peers: 2)
        var questions: [UInt64] = []
        for _ in 0..<12 {
            bench.now += 60_000
            for case .ask(let peer, .compare, _, let question) in bench.handle([.tick])
            where peer == bench.peers[0].node {
                questions.append(question)
            }
        }
        #expect(questions.count >= 2)
        let peer = bench.peers[0].node
        let current = bench.replica.peers[peer]?.exchange?.question
        _ = bench.handle([.answer(question: questions[0], [1, 2, 3])])
        #expect(bench.replica.peers[peer]?.exchange?.question == current)
    }

    @Test("SW12: a peer whose ids are used up does not hold the comparison at one shard")
    func sw12Resumes() throws {
        var bench = try Bench(peers: 2)
        let liar = bench.peers[0].node
        var shards: Set<UInt16> = []
        let today = UInt16(now / 1_440) - 1
        bench.run(minutes: 20) { peer, kind, body in
            guard peer == liar, let question = question(kind, body) else { return kind == .fetchCopies ? [] : nil }
            switch question {
            case .shards(let asked):
                let states = asked.map {
                    CompareAnswer.ShardState(shard: $0.shard, isOutOfDate: false, isNotShared: false, digest: network)
                }
                return CompareAnswer.shards(states).encoded()
            case .days(let shard):
                shards.insert(shard)
                return CompareAnswer.days([.init(kind: .message, day: today, digest: network)]).encoded()
            case .ranges: return CompareAnswer.ranges([Bytes32](repeating: network, count: 144)).encoded()
            case .ids(_, let after):
                let ids = (1...4_000 as ClosedRange<UInt64>).map {
                    CompareAnswer.ShortState(shortID: after + $0, isDeleted: false)
                }
                return CompareAnswer.ids(ids).encoded()
            }
        }
        #expect(shards.count > 3)
        // Ids were asked for, and no copies came.
        #expect(bench.replica.peers[liar]?.pauses.isEmpty == false)
    }

    @Test("SW12: a range with more ids than a peer may list goes on where it stopped, and so does all behind it")
    func sw12LargeRange() throws {
        var (bench, source) = (try Bench(), try Bench())
        let (created, shard) = (now - 60, bench.shard(of: box))
        let page = SwarmLimits.compareIDs
        let unsigned = [UInt8](repeating: 0, count: SigningKey.signatureSize)
        for number in 0...UInt64(page + 100) {
            let header = ItemHeader(kind: .message, box: box.id, created: created, hint: number)
            let body = [UInt8](repeating: 0, count: 2_048 - 128)
            let item = try #require(StoredItem(header, body: body, network: network) { _ in unsigned })
            source.replica.holdings.take(.item(item), shard: shard, minute: now)
            // One is refused, so that the range always differs.
            if number > 0 { bench.replica.holdings.take(.item(item), shard: shard, minute: now) }
        }
        let (one, other) = (box.message(1, created: created), box.contact(2, created: created))
        #expect(source.bring([.item(one), .item(other)]) == [0, 0])
        let (me, peer) = (bench.peers[0], bench.peers[0].node)
        bench.replica.peers[bench.peers[1].node]?.nextCompare = .max
        for _ in 0..<60 where bench.state(other) != true {
            bench.now += 60_000
            source.now = bench.now
            // There is room for one page of ids at each time, as if the range had ten times as many.
            let rest = Int(bench.replica.peers[peer]?.idsAsked.available(bench.now) ?? 0)
            bench.replica.peers[peer]?.idsAsked.takeAll(upTo: max(0, rest - page * 9 - 100), bench.now)
            bench.play(bench.handle([.tick])) { _, kind, body in source.reply(to: kind, body, from: me) }
        }
        #expect(bench.state(one) == true && bench.state(other) == true)
        // It took several comparisons, and what was listed first was listed up to the first cut.
        #expect(bench.now > Bench.start + 2 * 480_000 && bench.replica.peers[peer]?.places.isEmpty == true)
        #expect(bench.replica.roles[shard]?.matched[peer] == now)
    }

    @Test("SW4: a peer that only lacks something is compared again without a longer pause")
    func sw4OnlyGives() throws {
        var bench = try Bench(peers: 2)
        #expect(bench.bring([.item(box.message(1, created: now - 60))]) == [0])
        let own = bench.shard(of: box)
        var brought = 0
        bench.run(minutes: 100) { _, kind, body in
            switch kind {
            case .replicate:
                brought += 1
                return Replicate.encode([.refused(4)])
            case .fetchCopies: return []
            case .compare: return deny(body, only: own)
            }
        }
        #expect(brought >= 2 * 8)
    }

    @Test("SW4: what a peer lacks is brought as soon as its budget of work allows, in the same comparison")
    func sw4PushesWait() throws {
        var bench = try Bench(peers: 2)
        #expect(bench.bring([.item(box.message(1, created: now - 60))]) == [0])
        let (own, peer) = (bench.shard(of: box), bench.peers[0].node)
        bench.replica.peers[bench.peers[1].node]?.nextCompare = .max
        var (minute, begun, brought) = (0, 0, 0)
        while minute < 30, brought == 0 {
            minute += 1
            bench.now += 60_000
            if begun == 0 { bench.replica.peers[peer]?.work.takeAll(upTo: .max, bench.now) }
            bench.play(bench.handle([.tick])) { _, kind, body in
                switch kind {
                case .replicate:
                    brought = minute
                    return Replicate.encode([.refused(4)])
                case .fetchCopies: return []
                case .compare:
                    if begun == 0 { begun = minute }
                    return deny(body, only: own)
                }
            }
        }
        #expect(begun > 0 && brought == begun + 1)
    }

    @Test("SW12: a peer that hands nothing over is paused once for the same questions")
    func sw12PausedOnce() throws {
        var bench = try Bench(peers: 2)
        let (own, peer) = (bench.shard(of: box), bench.peers[0].node)
        bench.replica.peers[bench.peers[1].node]?.nextCompare = .max
        #expect(bench.bring([.item(box.message(1, created: now - 60))]) == [0])
        var pauses: Set<UInt64> = []
        for _ in 0..<60 {
            bench.now += 60_000
            // It names an item and does not answer when that is asked for; later there is no room for its ids.
            if !pauses.isEmpty { bench.replica.peers[peer]?.idsAsked.takeAll(upTo: .max, bench.now) }
            bench.play(bench.handle([.tick])) { _, kind, body in
                switch question(kind, body) {
                case .ids?: CompareAnswer.ids([.init(shortID: 7, isDeleted: false)]).encoded()
                case .ranges?: CompareAnswer.ranges([Bytes32](repeating: network, count: 144)).encoded()
                case nil: nil
                default: deny(body, only: own)
                }
            }
            if let pause = bench.replica.peers[peer]?.pauses[own] { pauses.insert(pause.length) }
        }
        #expect(pauses == [600_000])
    }

    @Test("SW4: all shards of a pair are compared, however many")
    func sw4ManyShards() throws {
        var bench = try Bench(peers: 2, shards: 2_048)
        var asked: [NodeID: Set<UInt16>] = [:]
        bench.run(minutes: 2) { peer, kind, body in
            if case .shards(let digests)? = question(kind, body) {
                asked[peer, default: []].formUnion(digests.map(\.shard))
            }
            return Self.agree(kind, body)
        }
        #expect(bench.peers.map { asked[$0.node]?.count } == [2_048, 2_048])
    }

    @Test("SW12: what is sent again, fetched, hashed and brought counts as the peer's work")
    func sw12Work() throws {
        var bench = try Bench(quota: 1 << 32)
        let items = (0..<2 as Range<UInt64>).map { box.message($0, created: now - 60, sizeClass: 5) }
        let peer = bench.peers[0]
        let body = Replicate(height: 1, copies: items.map { .item($0) }).encoded()
        var count = 0
        while count < 600, bench.reply(to: .replicate, body) != nil { count += 1 }
        #expect(count == Int(SwarmLimits.workBurst) / body.count)
        let rest = bench.replica.peers[peer.node]?.work.available(bench.now) ?? 0
        _ = bench.replica.peers[peer.node]?.work.take(Int(rest), bench.now)
        // At this moment the peer gets no more work of any kind.
        let shard = bench.shard(of: box)
        let range = RangeKey(shard: shard, kind: .message, number: (now - 60) / 10)
        let key = Bytes16([UInt8](1...16)) ?? .zeros
        let fetch = FetchCopies(key: key, range: range, shortIDs: items.map { ShortID.of($0.id, key: key) })
        let digests = [Compare.ShardDigest(shard: shard, digest: network)]
        let compare = Compare(key: key, cut: now, .shards(digests)).encoded()
        #expect((bench.reply(to: .fetchCopies, fetch.encoded()) ?? []).isEmpty)
        #expect(bench.reply(to: .fetchCopies, fetch.encoded(), from: bench.peers[1])?.count == 2 * (5 + 65_536))
        func isShared(_ answer: [UInt8]?) -> Bool? {
            guard let answer,
                case .shards(let states)? = try? CompareAnswer(decoding: answer.rawSpan, to: .shards(digests))
            else { return nil }
            return states.first?.isNotShared == false
        }
        #expect(isShared(bench.reply(to: .compare, compare)) != true)
        #expect(isShared(bench.reply(to: .compare, compare, from: bench.peers[1])) == true)
        // Nothing is brought to the peer either.
        bench.replica.peers[peer.node]?.nextCompare = 0
        bench.replica.peers[bench.peers[1].node]?.nextCompare = 0
        var brought: [NodeID: Int] = [:]
        bench.play(bench.handle([.tick])) { peer, kind, body in
            if kind == .replicate { brought[peer, default: 0] += 1 }
            return kind == .compare ? deny(body) : nil
        }
        #expect(brought[peer.node] == nil && brought[bench.peers[1].node] == 1)
        bench.now += SwarmLimits.workWindow
        #expect(bench.reply(to: .replicate, body) != nil)
    }

    @Test("SW12: a short question for a day's ranges costs its asker what it costs here", arguments: [1, 3])
    func sw12Ranges(round: Int) throws {
        var bench = try Bench()
        let key = Bytes16([UInt8](1...16)) ?? .zeros
        let (peer, other) = (bench.peers[0], bench.peers[1])
        let day = UInt16(now / 1_440) - 1
        let question: Compare.Question =
            round == 1
            ? .shards([.init(shard: 3, digest: network)]) : .ranges(shard: 3, kind: .message, day: day)
        let body = Compare(key: key, cut: now, question).encoded()
        var (count, sent) = (0, 0)
        while count < 100_000, let answer = bench.reply(to: .compare, body) {
            count += 1
            sent += answer.count
            if round == 1, answer.count == 2 { break }
        }
        #expect(count < Int(SwarmLimits.workBurst) / (SwarmLimits.workPerQuestion + body.count))
        #expect(sent < Int(SwarmLimits.workBurst))
        // Another neighbour has its own budget, and this one gets a sixty-fourth of it back in a second.
        #expect(bench.reply(to: .compare, body, from: other) != nil)
        bench.now += 2_000
        var again = 0
        while again < 10_000, bench.reply(to: .compare, body, from: peer) != nil { again += 1 }
        let rate = Int(SwarmLimits.workBurst / (SwarmLimits.workWindow / 1_000))
        #expect(1...2 * rate / SwarmLimits.workPerQuestion + 1 ~= again)
    }

    @Test("SW12: ranges that are hashed anew for a peer count as its work, also when its budget does not hold all")
    func sw12Dirty() throws {
        var bench = try Bench()
        let (peer, shard) = (bench.peers[0].node, bench.shard(of: box))
        let created = now - 1_440
        for number in 0..<100 as Range<UInt64> {
            bench.replica.holdings.take(.item(box.message(number, created: created)), shard: shard, minute: created)
        }
        let question = Compare.Question.ranges(shard: shard, kind: .message, day: UInt16(created / 1_440))
        let body = Compare(key: .zeros, cut: now, question).encoded()
        func spent() -> Int {
            let now = bench.now
            let before = bench.replica.peers[peer]?.work.available(now) ?? 0
            #expect(bench.reply(to: .compare, body)?.count == 144 * 32)
            return Int(before - (bench.replica.peers[peer]?.work.available(now) ?? 0))
        }
        let flat = SwarmLimits.workPerQuestion + body.count + 144 * 32
        #expect([spent(), spent()] == [flat + 100 * RangeDigests.entrySize, flat])
    }

    @Test("SW4: all cuts within ten minutes are one, so that a kept digest is the right one")
    func sw4Cuts() throws {
        let shards = [Compare.ShardDigest(shard: 3, digest: network)]
        for cut in now...now + 10 {
            let body = Compare(key: .zeros, cut: cut, .shards(shards)).encoded()
            #expect(((try? Compare(decoding: body.rawSpan)) != nil) == (cut % 10 == 0))
        }
        var bench = try Bench()
        bench.now += 7 * 60_000
        var cuts: Set<UInt32> = []
        bench.run(minutes: 3) { _, kind, body in
            if kind == .compare, let message = try? Compare(decoding: body.rawSpan) { cuts.insert(message.cut % 10) }
            return Self.agree(kind, body)
        }
        #expect(cuts == [0])
    }

    @Test("SW4: a clock that is set back stops no comparison")
    func sw4ClockSetBack() throws {
        var bench = try Bench()
        bench.run(minutes: 2) { Self.agree($1, $2) }
        bench.now -= 86_400_000
        var count = 0
        bench.run(minutes: 45) {
            count += 1
            return Self.agree($1, $2)
        }
        #expect(count >= 2 * 2)
        #expect(bench.replica.isComplete(3))
    }

    @Test("SW10: what a fetch did not bring is given back to the rate of joining")
    func sw10RecoveryRate() throws {
        var bench = try Bench(recoveryRate: 1)
        let items = (0..<6 as Range<UInt64>).map { box.message($0, created: now - 60 - 10 * UInt32($0)) }
        var other = try Bench()
        #expect(other.bring(items.map { .item($0) }) == [0, 0, 0, 0, 0, 0])
        bench.replica.peers[bench.peers[0].node]?.nextCompare = 0
        bench.replica.peers[bench.peers[1].node]?.nextCompare = .max
        let me = bench.peers[0]
        bench.play(bench.handle([.tick])) { _, kind, body in other.reply(to: kind, body, from: me) }
        #expect(items.map { bench.state($0) } == [true, true, true, true, true, true])
    }
}

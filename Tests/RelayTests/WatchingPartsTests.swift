import Testing
import Wire

@testable import Relay

/// A tester's warnings about its own node, and its treatment of its own stalls.
@Suite struct WatchingPartsTests {
    private func time(_ seconds: Int64) -> Instant { Instant(nanoseconds: 1_000_000_000) + .seconds(seconds) }

    @Test("S7: a node that is not staked, which others do not test, is not told that it cannot be reached")
    func unreached() {
        let warning = OperatorWarning(at: time(0))
        let text = { (seconds: Int64, standing: OperatorWarning.Standing, others: Int) in
            warning.kind(standing, others: others, interval: .seconds(1), at: self.time(seconds))?.text
        }
        #expect(text(41, .staked, 3)?.hasPrefix("No client and no test of another node has come for 41 s") == true)
        #expect(text(41, .unstaked, 3) == nil && text(86_400, .unstaked, 300) == nil)
        // The node knows too few others that could test it, or has not waited long enough.
        #expect(text(41, .staked, 2) == nil && text(40, .staked, 3) == nil)
    }

    @Test func aClientEndsTheSilence() {
        var warning = OperatorWarning(at: time(0))
        warning.clientCame(at: time(30))
        #expect(warning.silence(at: time(41)) == .seconds(11))
        #expect(warning.kind(.staked, others: 3, interval: .seconds(1), at: time(41)) == nil)
    }

    @Test("S3: a decommissioned node is warned, one in maintenance is not") func standing() {
        let warning = OperatorWarning(at: time(0))
        let text = { warning.kind($0, others: 9, interval: .seconds(1), at: self.time(100))?.text }
        #expect(text(.decommissioned)?.hasPrefix("This node is decommissioned") == true)
        #expect(text(.inMaintenance) == nil)
    }

    @Test("w4: suspicions of two operators within ten minutes are told, and any number of one operator's is not")
    func w4TwoOperatorsSuspect() {
        let operators = (1...3 as ClosedRange<UInt8>).map { Bytes32([UInt8](repeating: $0, count: 32))! }
        var warning = OperatorWarning(at: time(0))
        let text = { (warning: OperatorWarning, seconds: Int64) in
            warning.kind(.staked, others: 2, interval: .seconds(1), at: self.time(seconds))?.text
        }
        for second in 1...50 as ClosedRange<Int64> { warning.suspect(by: operators[0], at: time(second)) }
        #expect(text(warning, 51) == nil)
        // The first one's suspicions are forgotten by then.
        warning.suspect(by: operators[1], at: time(700))
        #expect(text(warning, 701) == nil)
        warning.suspect(by: operators[2], at: time(800))
        #expect(text(warning, 801)?.hasPrefix("Other nodes report that this one does not serve") == true)
        // More of one operator's do not drive out the other's.
        for second in 801...900 as ClosedRange<Int64> { warning.suspect(by: operators[2], at: time(second)) }
        #expect(text(warning, 901) != nil && text(warning, 1_301) == nil)
    }

    @Test("w4: suspicions do not hide that nobody reaches the node") func w4SilenceComesFirst() {
        var warning = OperatorWarning(at: time(0))
        for number in 1...2 as ClosedRange<UInt8> {
            warning.suspect(by: Bytes32([UInt8](repeating: number, count: 32))!, at: time(30))
        }
        let kind = { warning.kind(.staked, others: 3, interval: .seconds(1), at: self.time($0)) }
        #expect(kind(40) == .suspected && kind(41) == .unreached(.seconds(41)))
        // In a network whose storage tests count, the reports may be about these.
        let both = warning.kind(.staked, others: 3, interval: .seconds(1), mayLose: true, at: time(40))
        #expect(both == .suspectedOfLoss && both?.text.contains("loses items") == true)
    }

    @Test func aWarningIsToldOnceAndSoIsItsEnd() {
        var warning = OperatorWarning(at: time(0))
        let silence = OperatorWarning.Kind.unreached
        let news = [nil, silence(.seconds(41)), silence(.seconds(42)), nil, nil].map { warning.isNews($0) }
        #expect(news == [false, true, false, true, false])
    }

    @Test("s24: an operator's nodes that ask for links back leave places for another's") func linkBacks() {
        func id(_ number: UInt64) -> Bytes32 {
            var writer = ByteWriter()
            for value in [number, 1, 1, 1] { writer.u64(value) }
            return Bytes32(copying: writer.bytes.rawSpan)
        }
        var places = LinkBackPlaces()
        var next: UInt64 = 0
        func take(_ owner: UInt64, at seconds: Int64) -> Bool {
            next += 1
            return places.take(NodeID(id(next)), of: id(owner), now: time(seconds))
        }
        // Ten operators, each with as many nodes as it likes.
        for owner in 0..<10 as Range<UInt64> {
            let taken = (0..<100).count { _ in take(owner, at: Int64(owner / 2)) }
            #expect(taken >= 1 && taken <= LinkBackPlaces.limit / 4)
        }
        let others = (10..<15 as Range<UInt64>).map { take($0, at: 5) }
        #expect(others == [true, true, true, true, true])
        // A node is answered once in ten seconds.
        let node = NodeID(id(1_000_000))
        let answers = [6, 15, 16].map { places.take(node, of: id(99), now: time($0)) }
        #expect(answers == [true, false, true])
    }

    @Test("w2: without a ledger a node is overdue two epochs after it was listed, and anew when it is listed again")
    func overdue() {
        let nodes = (1...3 as ClosedRange<UInt8>).map { NodeID(Bytes32([UInt8](repeating: $0, count: 32))!) }
        var overdue = Overdue(epochSeconds: 60)
        overdue.follow([nodes[0]], now: time(0))
        overdue.follow([nodes[0], nodes[1]], now: time(100))
        let found = { (overdue: Overdue, seconds: Int64) in
            nodes.map { overdue.isWatchedLong($0, now: self.time(seconds)) }
        }
        #expect(found(overdue, 130) == [false, false, false])
        #expect(found(overdue, 131) == [true, false, false])
        #expect(found(overdue, 231) == [true, true, false])
        overdue.follow([nodes[1]], now: time(240))
        overdue.follow([nodes[0], nodes[1]], now: time(250))
        #expect(found(overdue, 380) == [false, true, false])
    }

    @Test("w2: with a ledger, a tester that has just started waits as long for a descriptor as for that of a new node")
    func w2NewTester() {
        let node = NodeID(Bytes32([UInt8](repeating: 1, count: 32))!)
        var overdue = Overdue(epochSeconds: 60)
        overdue.follow([node], now: time(0))
        let isMissing = { (activeSince: UInt64?, seconds: Int64) in
            overdue.isMissing(
                node, activeSince: activeSince.map(UnixTime.init(seconds:)),
                at: UnixTime(seconds: 100_000 + UInt64(seconds)), now: self.time(seconds))
        }
        // It became active long before the tester started.
        #expect([0, 130, 131].map { isMissing(1_000, $0) } == [false, false, true])
        // It has become active again since.
        #expect([131, 230, 231].map { isMissing(100_100, $0) } == [false, false, true])
        #expect(!isMissing(.max, 1_000))
        #expect([130, 131].map { isMissing(nil, $0) } == [false, true])
    }

    @Test("w3: a node that has to show that it serves has two epochs for it, from the first test that did not show it")
    func unproven() {
        let node = NodeID(Bytes32([UInt8](repeating: 1, count: 32))!)
        var overdue = Overdue(epochSeconds: 60)
        overdue.follow([node], now: time(0))
        let first = [1_000, 1_130, 1_131].map { overdue.isUnprovenLong(node, now: time($0)) }
        overdue.proven(node)
        let second = [1_140, 1_270, 1_271].map { overdue.isUnprovenLong(node, now: time($0)) }
        overdue.follow([], now: time(1_280))
        let third = [1_290, 1_500].map { overdue.isUnprovenLong(node, now: time($0)) }
        #expect(first == [false, false, true] && second == [false, false, true] && third == [false, false])
    }

    @Test func anotherKindOfWarningIsNews() {
        var warning = OperatorWarning(at: time(0))
        let kinds: [OperatorWarning.Kind] = [.suspected, .unreached(.seconds(41)), .decommissioned, .decommissioned]
        #expect(kinds.map { warning.isNews($0) } == [true, true, true, false])
    }

    @Test("s2: a test under way while this process stood still tells nothing; the next one does") func stalls() {
        var stalls = StallWatch(at: time(0))
        for second in 1...10 { stalls.tick(at: time(Int64(second))) }
        #expect(!stalls.voids(testSince: time(5), at: time(10)))
        // Frozen for seven seconds. Tests that time out at once, before the next tick, are void, and so are later ones.
        #expect(stalls.voids(testSince: time(9), at: time(17)))
        stalls.tick(at: time(17))
        #expect(stalls.voids(testSince: time(9), at: time(18)))
        #expect(stalls.voids(testSince: time(17), at: time(18)))
        stalls.tick(at: time(18))
        #expect(!stalls.voids(testSince: time(18), at: time(19)))
    }
}

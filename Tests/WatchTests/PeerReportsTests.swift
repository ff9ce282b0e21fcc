import OnionCrypto
import Testing
import Wire

@testable import Watch

/// What an oxend daemon makes of the reports on one node, by its own definitions and times (`reachable_stats`).
private struct Reachability {
    private var lastPass: Instant?, firstFailure: Instant?, lastFailure: Instant?

    mutating func report(_ passed: Bool, at now: Instant) {
        if passed {
            (lastPass, firstFailure) = (now, nil)
        } else {
            (lastFailure, firstFailure) = (now, firstFailure ?? now)
        }
    }

    /// Whether the daemon votes against the node now.
    func isUnreachable(at now: Instant) -> Bool {
        guard let lastFailure, let firstFailure, lastPass.map({ $0 < lastFailure }) ?? true else { return false }
        return now - lastFailure < .seconds(300) && now - firstFailure >= .seconds(3_900)
    }
}

/// A relay beside a daemon: its tests of thirty others, in steps of ten seconds and epochs of an hour.
private struct Beside {
    let ids = (0..<30).map { NodeID(key($0).publicKey) }
    private(set) var tester: Tester
    private var reports: PeerReports
    private var daemon: [NodeID: Reachability] = [:]
    private var random: SeededGenerator
    private(set) var second = 0
    /// The seconds at which the daemon would have voted against a node, one in a minute.
    private(set) var votes: [Int: [Int]] = [:]
    /// The seconds at which the tester held the first node dead.
    private(set) var dead: [Int] = []

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        (tester, reports) = Self.process(ids, seed: seed, at: 0)
    }

    private static func process(_ ids: [NodeID], seed: UInt64, at second: Int) -> (Tester, PeerReports) {
        let now = instant(Double(second))
        var tester = Tester(timing: .init(epochSeconds: 3_600), seed: seed, now: now)
        tester.follow(ids)
        tester.exitOperators = ids.count
        return (tester, PeerReports(interval: .seconds(120), now: now))
    }

    /// The relay starts anew; the daemon goes on.
    mutating func restart() { (tester, reports) = Self.process(ids, seed: random.next(), at: second) }

    /// The relay's process stands still.
    mutating func pause(until end: Int) { second = end }

    /// Goes on; `outcome` returns what comes of a test of the node with a number, as a middle or as the first hop.
    mutating func run(until end: Int, _ outcome: (_ number: Int, _ isMiddle: Bool, _ second: Int) -> TestOutcome) {
        while second < end {
            let now = instant(Double(second))
            for node in reports.due(tester, among: { _ in true }, now: now) {
                daemon[node, default: Reachability()].report(false, at: now)
            }
            while let node = tester.next(now) { test(node, outcome) }
            if tester.isDead(ids[0], now: now) { dead.append(second) }
            if second % 60 == 0 {
                for (number, node) in ids.enumerated() where daemon[node]?.isUnreachable(at: now) == true {
                    votes[number, default: []].append(second)
                }
            }
            second += 10
        }
    }

    private mutating func test(_ node: NodeID, _ outcome: (Int, Bool, Int) -> TestOutcome) {
        guard let number = ids.firstIndex(of: node) else { return }
        let now = instant(Double(second))
        let isMiddle = tester.isToBeHidden(node) ?? random.next().isMultiple(of: 2)
        let others = (0..<2).map { _ in ids[(number + 1 + Int(random.next() % 29)) % 30] }
        let found = outcome(number, isMiddle, second)
        tester.finished(
            node, found, at: isMiddle ? .middle : .first(mayHide: true), over: others, before: others[1].key, now: now)
        let isPass =
            switch found {
            case .passed, .passedOn: true
            case .failed, .refused, .unclear: false
            }
        let told = reports.result(of: node, isPass: isPass, by: tester, among: { _ in true }, now: now)
        if let told { daemon[node, default: Reachability()].report(told, at: now) }
    }
}

/// A daemon that votes by the reports of a relay beside it.
@Suite struct PeerReportsTests {
    enum Fault: CaseIterable {
        /// Its process has ended.
        case killed
        /// It serves in one test of eight.
        case flaps
        /// It serves as the first hop, and drops what it gets as a middle.
        case drops
        /// The same, and its neighbours refuse the builds that it passes on as the first hop.
        case dropsAmongFriends
        /// It says that it is overloaded.
        case refuses

        func outcome(_ isMiddle: Bool, _ second: Int) -> TestOutcome {
            switch self {
            case .killed: return .failed
            case .flaps:
                var chance = SeededGenerator(seed: UInt64(second))
                return chance.next().isMultiple(of: 8) ? .passed(capacity: nil) : .failed
            case .drops: return isMiddle ? .unclear : .passed(capacity: nil)
            case .dropsAmongFriends: return isMiddle ? .unclear : .passedOn
            case .refuses: return .refused
            }
        }
    }

    @Test(
        "w1: the daemon votes against a dead node as long as it stays dead, and against no other",
        arguments: Fault.allCases)
    func w1StaysDead(_ fault: Fault) throws {
        var relay = Beside(seed: 3)
        let end = 72_000
        relay.run(until: end) { number, isMiddle, second in
            number == 0 && second >= 7_200 ? fault.outcome(isMiddle, second) : .passed(capacity: nil)
        }
        let death = try #require(relay.dead.first)
        let due = (death + 3_900 + 300)..<end
        #expect(due.count > 10_000 && relay.votes[0] == (death..<end).filter { $0 % 60 == 0 && $0 >= death + 3_900 })
        #expect(Set(relay.votes.keys) == [0])
    }

    @Test("w1: outages that have ended are not added up, nor those before a restart of the tester")
    func w1OutagesThatEnded() {
        for seed in UInt64(0)..<4 {
            var relay = Beside(seed: seed)
            for cycle in 1...10 {
                relay.run(until: cycle * 7_200) { number, _, second in
                    number == 0 && second % 7_200 < 2_400 && second > 7_200 ? .failed : .passed(capacity: nil)
                }
                if cycle.isMultiple(of: 3) { relay.restart() }
            }
            #expect(!relay.dead.isEmpty && relay.votes.isEmpty, "seed \(seed): \(relay.votes)")
        }
    }

    @Test("w1: a tester that was cut off makes its daemon vote against nobody") func w1CutOff() {
        for seed in UInt64(0)..<20 {
            var relay = Beside(seed: seed)
            relay.run(until: 30_000) { _, isMiddle, second in
                guard 7_200..<18_000 ~= second else { return .passed(capacity: nil) }
                return isMiddle ? .unclear : .failed
            }
            #expect(relay.votes.isEmpty, "seed \(seed): \(relay.votes)")
        }
    }

    @Test("w1: a tester that stood still reports nothing of the time before") func w1StoodStill() {
        var found = 0
        for seed in UInt64(0)..<20 {
            var relay = Beside(seed: seed)
            let outcome = { (number: Int, _: Bool, second: Int) -> TestOutcome in
                number == 0 && 7_200..<9_600 ~= second ? .failed : .passed(capacity: nil)
            }
            relay.run(until: 9_590, outcome)
            if !relay.dead.isEmpty { found += 1 }
            relay.pause(until: 12_600)
            relay.run(until: 18_000, outcome)
            #expect(relay.votes.isEmpty, "seed \(seed): \(relay.votes)")
        }
        #expect(found > 10)
    }
}

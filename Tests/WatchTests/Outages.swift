import Testing
import Wire

@testable import Registry
@testable import Watch

/// A network with a part away for a time, by seed.
///
/// A third is ⌊n / 3⌋ nodes. They are away at different times, or leave and return together, or are cut off together
/// and run on among themselves, with the ledger or without it. Three seeds in a row have one case each. Beyond a third,
/// the network is cut into two parts; one has more than ⌊n / 3⌋ nodes and at most half of them, or two of three.
///
/// With digests in place of signatures (``World/hasDigests``) everything else is exercised: tests, ballots, votes and
/// their places, verdicts, floor, credit and return. Neither form exercises encoded messages, links, paths, the
/// ledger's own blocks (a verdict is in the state 0.1 s after it was handed in) or liars.
final class Outages {
    enum Kind: String, CaseIterable {
        /// The process ends, and starts later without its memory.
        case stopped
        /// The process is frozen, and then goes on with its memory.
        case frozen
        /// The process ends and starts at once.
        case restarted
        /// The node runs but hears no other node.
        case cutOff
    }

    private enum Case {
        case oneByOne, together, third, parts
    }

    /// One absence of a node.
    struct Outage {
        let kind: Kind
        let from: Double
        let to: Double
        func covers(_ time: Double) -> Bool { time >= from && time < to }
    }

    /// The totals of the runs.
    struct Told {
        var outages: [String: Int] = [:]
        var decommissioned = 0, recommissioned = 0, refused = 0, tests = 0
        /// The unbroken absences of two epochs or more, and the number of them in which the node was judged.
        var long = 0, longJudged = 0
        /// The latest verdict and the latest return after the end of a node's outage, in epochs.
        var latestOut = -Double.infinity, latestBack = -Double.infinity
    }

    private let count: Int
    private let seed: UInt64
    private let kind: Case
    private let epoch: Double
    private let credit: Double
    private let start: Double
    private let world: World
    /// Whether the ledger is with the nodes that are cut off.
    private var hasLedger = false
    private var random: SeededGenerator
    /// The absences of each node, by time; a node that comes and goes has several.
    private var outages: [[Outage]]
    /// The time at which a node that was away has learned of the newest block.
    private var caughtUp: [Double]

    init(_ count: Int, seed: UInt64, isBeyondAThird: Bool = false, hasDigests: Bool = false) throws {
        self.count = count
        self.seed = seed
        kind = isBeyondAThird ? .parts : [.oneByOne, .together, .third][Int(seed % 3)]
        random = SeededGenerator(seed: seed &* 31 &+ UInt64(count))
        let epoch = Self.epoch(of: count)
        let credit = 4 * epoch
        (self.epoch, self.credit, start) = (epoch, credit, 4 * epoch)
        outages = [[Outage]](repeating: [], count: count)
        caughtUp = [Double](repeating: 0, count: count)
        world = try World(
            count, seed: seed, blockSeconds: max(2, epoch / 30), epochSeconds: UInt64(epoch), hasDigests: hasDigests
        ) {
            $0.creditAtStart = UInt32(credit)
            $0.creditGrace = UInt32(epoch)
        }
        world.goesOn = true
        plan()
        connect()
    }

    /// The length of an epoch in seconds; in large networks each node is tested as often as in a real one, not more.
    static func epoch(of count: Int) -> Double { count > 10 ? 600 : 30 }

    // MARK: Who is away

    private func plan() {
        switch kind {
        case .oneByOne:
            for node in chosen(count / 3) { outages[node] = absences(of: Kind.allCases.randomElement(using: &random)!) }
        case .together:
            let kind = Kind.allCases[Int(seed / 3 % 4)]
            let one = absences(of: kind)
            for node in chosen(count / 3, around: one) { outages[node] = one }
        case .third, .parts:
            let length = Double.random(in: 0.2 * epoch...credit - 1, using: &random)
            let one = Outage(kind: .cutOff, from: start, to: start + length)
            let size = kind == .third ? count / 3 : Int.random(in: count / 3 + 1...max(2, count / 2), using: &random)
            for node in chosen(size, around: [one]) { outages[node] = [one] }
            hasLedger = kind == .third && Bool.random(using: &random)
        }
    }

    /// One absence, or up to three within the time that the credit covers.
    private func absences(of kind: Kind) -> [Outage] {
        let from = start + Double.random(in: 0..<epoch, using: &random)
        // A process may also be frozen for only a moment.
        let least = kind == .frozen ? 1 : 0.02 * epoch
        let to = from + Double.random(in: least...(kind == .restarted ? 0.2 * epoch : credit - 1), using: &random)
        let pieces = Int.random(in: 1...3, using: &random)
        guard pieces > 1, kind != .restarted else { return [Outage(kind: kind, from: from, to: to)] }
        let cuts = (0..<2 * pieces - 2).map { _ in Double.random(in: from...to, using: &random) }.sorted()
        let ends = [from] + cuts + [to]
        return (0..<pieces).map { Outage(kind: kind, from: ends[2 * $0], to: ends[2 * $0 + 1]) }
    }

    /// `size` nodes: random ones or, in two of three cases, the quorum just before they leave or after they return.
    private func chosen(_ size: Int, around away: [Outage] = []) -> ArraySlice<Int> {
        let choice = Int.random(in: 0..<3, using: &random)
        guard choice > 0, let first = away.first, let last = away.last else {
            return (0..<count).shuffled(using: &random).prefix(size)
        }
        // The block of height n + 1 comes after n intervals between blocks.
        let height = UInt64((choice == 1 ? first.from : last.to) / world.blockSeconds) + (choice == 1 ? 1 : 3)
        let ranks = world.ids.map {
            NodeID(RegistryState.rank(of: $0, network: network, height: height, seed: World.hash(height)))
        }
        return (0..<count).sorted { ranks[$0] < ranks[$1] }.prefix(size)
    }

    private func outage(of node: Int, at time: Double) -> Outage? { outages[node].first { $0.covers(time) } }

    // MARK: Effects of the outages

    private func connect() {
        for node in 0..<count {
            for outage in outages[node] {
                caughtUp[node] = outage.to + Double.random(in: 0.5...world.blockSeconds, using: &random)
                switch outage.kind {
                case .frozen: world.stalls[node].append(.init(from: outage.from, to: outage.to))
                case .stopped, .restarted: world.at(outage.to) { $0.restart(node) }
                case .cutOff: break
                }
            }
        }
        let (outages, epoch) = (self.outages, self.epoch)
        let cut = self.outages.lazy.compactMap(\.first).first ?? Outage(kind: .cutOff, from: start, to: start)
        let late = caughtUp.indices.map { caughtUp[$0] - (outages[$0].last?.to ?? 0) }
        let (isApart, hasLedger) = (kind == .third || kind == .parts, self.hasLedger)
        world.reaches = { a, b, time in
            let first = outages[a].isEmpty ? nil : outages[a].first { $0.covers(time) }
            // A node that is cut off runs on.
            if a == b { return first.map { $0.kind == .cutOff } ?? true }
            let second = outages[b].isEmpty ? nil : outages[b].first { $0.covers(time) }
            return isApart ? (first == nil) == (second == nil) : first == nil && second == nil
        }
        world.hears = { node, time in
            guard hasLedger else { return !outages[node].contains { time >= $0.from && time < $0.to + late[node] } }
            return !outages[node].isEmpty || time < cut.from || time >= cut.to + late[node]
        }
        // Links to a process that has lost its keys, or that others have given up, end after a while.
        world.hasDeadLinks = { node, time in
            outages[node].contains { time >= $0.to && time < $0.to + min(15, epoch / 8) }
        }
    }

    // MARK: The run

    func run(_ told: inout Told) throws {
        let back = outages.map { $0.last?.to ?? 0 }
        var late: [Int] = []
        for node in 0..<count where !outages[node].isEmpty {
            world.at(back[node] + 3 * epoch) { if $0.standing(node) != .active { late.append(node) } }
        }
        world.run(until: (back.max() ?? start) + 3 * epoch)
        let context: Comment = "\(count) nodes, seed \(seed), \(kind): \(outages), \(world.verdicts)"
        for node in 0..<count {
            for outage in outages[node] {
                told.outages[outage.kind.rawValue, default: 0] += 1
                guard outage.to - outage.from >= 2 * epoch else { continue }
                told.long += 1
                let isJudged = world.verdicts.contains { $0.node == node && outage.covers($0.time) }
                told.longJudged += isJudged ? 1 : 0
            }
        }
        told.refused += world.refused
        told.tests += world.tests
        for verdict in world.verdicts {
            guard verdict.verdict == .decommission else {
                told.recommissioned += 1
                told.latestBack = max(told.latestBack, (verdict.time - back[verdict.node]) / epoch)
                continue
            }
            told.decommissioned += 1
            // A verdict takes time, but a node that has been back for a quarter of an epoch is not judged.
            let outage = outages[verdict.node].last { $0.from < verdict.time }
            let late = outage.map { (verdict.time - $0.to) / epoch } ?? .infinity
            told.latestOut = max(told.latestOut, late)
            #expect(late < 0.25, context)
        }
        #expect(late.isEmpty, context)
        for number in 0..<count { #expect(world.standing(number) == .active, context) }
        #expect(world.state.locks.isEmpty && world.state.isBalanced)
    }
}

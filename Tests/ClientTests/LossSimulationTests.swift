import SeededRandom
import Testing
import Wire

@testable import Client
@testable import Directory

/// The blame for paths that end too soon: guards, second hops and exits, some of them hostile, without sockets.
@Suite struct LossSimulationTests {
    private static func node(_ number: UInt8) -> NodeID {
        NodeID(Bytes32(copying: ([UInt8](repeating: 3, count: 31) + [number]).rawSpan))
    }

    private struct LivePath {
        let number: UInt64
        let entry: NodeID, middle: NodeID, exit: NodeID
        let since: Int
        /// The session whose leg it is; nil for a spare path.
        var session: Int?
        /// The second in which another party ends it.
        var ends: Int?
    }

    private struct LiveSession {
        var exit: NodeID
        let since: Int
        var losses = LegLosses()
        var nextApart = 0, apartPause = 15
    }

    /// A model of `PathPool` and `ClientSession`, in steps of a second: three sessions and three spare paths.
    private struct World {
        var generator: SeededGenerator
        var guards = Guards()
        var pauses = GuardPauses()
        var trust = ExitTrust()
        var paths: [LivePath] = []
        var sessions: [LiveSession?] = [nil, nil, nil]
        var second = 0
        var nextSpare = 0, spareFailures = 0
        let middles = (10..<14).map { LossSimulationTests.node($0) }
        let exits = (20..<40).map { LossSimulationTests.node($0) }
        /// The seconds until another party ends a path that is ready now; nil: it does not.
        var fate: (inout World, LivePath) -> Int? = { _, _ in nil }
        // The results.
        var aside: [NodeID] = [], distrusted: [NodeID] = []
        var built: [NodeID: Int] = [:], moved = 0
        var over: [NodeID: Int] = [:]

        init(_ seed: UInt64) {
            generator = SeededGenerator(seed: seed)
            for number in 0..<2 as Range<UInt8> { add(number) }
        }

        mutating func add(_ number: UInt8) {
            _ = guards.add(
                LossSimulationTests.node(number), at: UnixTime(seconds: 1), isListed: { _ in true }, using: &generator)
        }

        var now: Instant { Instant(nanoseconds: UInt64(second + 1) * 1_000_000_000) }
        var inUse: [NodeID] { guards.primaries.map(\.node) }
        mutating func chance(_ share: Double) -> Bool { Double.random(in: 0...1, using: &generator) < share }
        func legs(_ session: Int) -> [LivePath] { paths.filter { $0.session == session } }

        mutating func build(to named: NodeID?, beside legs: [LivePath], avoiding: [NodeID], session: Int?) {
            let entries = inUse
            let avoided = pauses.passedOver(of: entries, at: now).map { [$0] } ?? legs.map(\.entry)
            let better = entries.filter { !avoided.contains($0) }
            let distrusted = trust.distrusted(at: now)
            let usual = exits.filter { exit in !distrusted.contains(exit) && !avoiding.contains(exit) }
            let free = middles.filter { middle in !avoiding.contains(middle) && !legs.contains { $0.middle == middle } }
            guard let entry = (better.isEmpty ? entries : better).randomElement(using: &generator),
                let exit = named ?? usual.randomElement(using: &generator),
                let middle = (free.isEmpty ? middles : free).randomElement(using: &generator)
            else { return }
            let number = guards.pathReady([entry, middle, exit])
            var path = LivePath(
                number: number, entry: entry, middle: middle, exit: exit, since: second, session: session)
            let fate = self.fate
            if let after = fate(&self, path) { path.ends = second + max(1, after) }
            paths.append(path)
            built[exit, default: 0] += 1
            over[entry, default: 0] += 1
        }

        mutating func end(_ path: LivePath, isLink: Bool = false, isFirst: Bool = true) {
            paths.removeAll { $0.number == path.number }
            let isYoung = second - path.since < 60
            if isLink {
                guard isYoung else { return }
                return tell(path, isFirst ? .young : .unknown)
            }
            tell(path, isYoung ? .young : .early)
            pauses.lost(over: path.entry, at: now)
            if isYoung {
                let before = trust.isDistrusted(path.exit, at: now)
                trust.lost(
                    path.exit, behind: path.middle, over: path.entry,
                    since: Instant(nanoseconds: UInt64(path.since + 1) * 1_000_000_000), at: now)
                if !before, trust.isDistrusted(path.exit, at: now) { distrusted.append(path.exit) }
                if path.session == nil {
                    spareFailures = min(spareFailures + 1, 6)
                    nextSpare = second + max(1, (50 << spareFailures) / 1_000)
                }
            }
            if let session = path.session {
                let now = now
                sessions[session]?.losses.lost(middle: isYoung ? path.middle : nil, over: path.entry, at: now)
            }
        }

        private mutating func tell(_ path: LivePath, _ end: PathLoss) {
            guard guards.pathEnded(path.number, through: path.entry, end).isSetAside else { return }
            aside.append(path.entry)
            add(UInt8(2 + aside.count))
        }

        mutating func step() {
            second += 1
            for path in paths where path.ends.map({ $0 <= second }) ?? false { end(path) }
            paths.removeAll { second - $0.since >= 900 }
            for place in sessions.indices { keep(place) }
            let spares = paths.filter { $0.session == nil }
            if spares.count < 3, second >= nextSpare {
                build(to: nil, beside: [], avoiding: spares.map(\.exit), session: nil)
            }
        }

        private mutating func keep(_ place: Int) {
            guard let session = sessions[place] else {
                guard let spare = paths.firstIndex(where: { $0.session == nil }) else { return }
                paths[spare].session = place
                sessions[place] = LiveSession(exit: paths[spare].exit, since: second)
                return
            }
            let since = Instant(nanoseconds: UInt64(session.since + 1) * 1_000_000_000)
            let isOver = session.losses.isOver(at: now)
            if isOver, session.losses.isExitsDoing(at: now), !trust.isDistrusted(session.exit, at: now) {
                trust.distrust(session.exit, at: now)
                distrusted.append(session.exit)
            }
            if isOver || trust.isDistrusted(session.exit, at: now, since: since) {
                paths.removeAll { $0.session == place }
                sessions[place] = nil
                moved += 1
                return
            }
            let (legs, now) = (self.legs(place), now)
            let shares = legs.count > 1 && Set(legs.map(\.entry)).count == 1
            let isApart = shares && second >= session.nextApart && pauses.passedOver(of: inUse, at: now) == nil
            guard legs.count < 2 || isApart,
                sessions[place]?.losses.mayBuild(isLegless: legs.isEmpty, at: now) == true
            else {
                if legs.count > 2, let extra = legs.first(where: { leg in legs.count { $0.entry == leg.entry } > 1 }) {
                    paths.removeAll { $0.number == extra.number }
                }
                return
            }
            if isApart {
                sessions[place]?.nextApart = second + session.apartPause
                sessions[place]?.apartPause = min(2 * session.apartPause, 600)
            }
            build(
                to: session.exit, beside: legs, avoiding: session.losses.middlesToAvoid(at: now), session: place)
        }

        mutating func loseLink() {
            guard let entry = inUse.randomElement(using: &generator) else { return }
            for (place, path) in paths.filter({ $0.entry == entry }).enumerated() {
                end(path, isLink: true, isFirst: place == 0)
            }
        }
    }

    @Test(
        "s07, s05: a guard that ends young paths without a friend moves its client from hardly an exit, and is set aside",
        arguments: [0, 2, 4, 7] as [UInt64])
    func hostileGuard(_ seed: UInt64) {
        var world = World(seed)
        let hostile = world.inUse[Int(seed % 2)]
        let friends = Set(world.exits.prefix(4))
        // One in twenty of the other paths dies by itself.
        world.fate = { world, path in
            if path.entry == hostile, !friends.contains(path.exit) {
                return Int.random(in: 0...20, using: &world.generator)
            }
            return world.chance(0.05) ? Int.random(in: 0...900, using: &world.generator) : nil
        }
        while world.second < 72_000, world.aside.isEmpty { world.step() }
        #expect(world.aside == [hostile], "seed \(seed)")
        #expect(world.over[hostile, default: 0] <= 250, "seed \(seed): \(world.over[hostile, default: 0]) paths")
        #expect(Double(world.moved) <= 1 + Double(world.second) / 3_600, "seed \(seed): \(world.moved) sessions moved")
    }

    @Test(
        "s07: an exit that ends what comes to it loses its session after a handful of paths, and no guard is blamed",
        arguments: 0..<4 as Range<UInt64>)
    func hostileExit(_ seed: UInt64) {
        var world = World(seed)
        let hostile = world.exits[0]
        world.sessions[0] = LiveSession(exit: hostile, since: 0)
        // It ends all legs or, by seed, all but the one in use.
        let takesAll = seed.isMultiple(of: 2)
        world.fate = { world, path in
            guard path.exit == hostile else { return nil }
            let isFirst = !world.paths.contains { $0.exit == hostile }
            return takesAll || !isFirst ? Int.random(in: 0...40, using: &world.generator) : nil
        }
        var (most, starts) = (0, [Int]())
        while world.second < 3_600 {
            world.step()
            starts.append(world.built[hostile, default: 0])
            if starts.count > 600 { most = max(most, starts[starts.count - 1] - starts[starts.count - 601]) }
        }
        #expect(most <= 12, "seed \(seed): \(most) paths to it in ten minutes")
        #expect(world.aside.isEmpty && world.distrusted.allSatisfy { $0 == hostile }, "seed \(seed)")
    }

    @Test(
        "s07, s05: on a bad network neither a guard is set aside nor are exits left one after the other",
        arguments: 0..<4 as Range<UInt64>)
    func badNetwork(_ seed: UInt64) {
        var world = World(seed)
        world.fate = { world, _ in world.chance(0.1) ? Int.random(in: 0...600, using: &world.generator) : nil }
        while world.second < 7_200 {
            world.step()
            if world.chance(1.0 / 300) { world.loseLink() }
        }
        #expect(world.aside.isEmpty && world.distrusted.count <= 1 && world.moved <= 2, "seed \(seed)")
    }
}

import Directory
import EventLoop
import LoopTesting
import SeededRandom
import Sessions
import Testing
import Wire

@testable import Client

/// A node's limit on requests: a token bucket that is full at first.
private struct Bucket {
    let perSecond: Double, burst: Double
    var tokens: Double
    var last = 0.0
    var refused = 0

    init(_ perSecond: Int, _ burst: Int) {
        (self.perSecond, self.burst, tokens) = (Double(perSecond), Double(burst), Double(burst))
    }

    mutating func take(at second: Double) -> Bool {
        tokens = min(burst, tokens + max(0, second - last) * perSecond)
        last = max(last, second)
        guard tokens >= 1 else {
            refused += 1
            return false
        }
        tokens -= 1
        return true
    }
}

/// The client's pacing within the limits of nodes.
@Suite struct PaceTests {
    private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64(seconds * 1e9)) }
    private func node(_ number: UInt8) -> NodeID {
        NodeID(Bytes32(copying: [UInt8](repeating: number, count: 32).rawSpan))
    }

    @Test("P3: builds over all guards in use make no other guard come into use; middles that are in use stay avoided")
    func guardsInUse() {
        let (first, second, other) = (node(1), node(2), node(3))
        func avoided(
            _ others: [NodeID], slow: [NodeID] = [], silent: [NodeID] = [], passedOver: NodeID? = nil
        ) -> [NodeID] {
            PathPool.avoided(others, guards: [first, second], slow: slow, silent: silent, passedOver: passedOver)
        }
        #expect(avoided([first, other]) == [first, other])
        #expect(avoided([first, other, second, node(4)]) == [other, node(4)])
        #expect(avoided([first, other], passedOver: second) == [other, second])
        #expect(avoided([first, second, other], slow: [second]) == [other, second])
        #expect(avoided([other], silent: [first], passedOver: second) == [other, first])
        #expect(avoided([second, other], silent: [first]) == [other, first])
        #expect(avoided([other], silent: [first, second], passedOver: second) == [other, second])
        #expect(avoided([other], slow: [second], silent: [first]) == [other, second])
        #expect(PathPool.avoided([other], guards: [], slow: [], silent: [], passedOver: nil) == [other])
    }

    @Test("RQ4: a guard that sends its other onion key gets builds again") func renewedByDirectory() throws {
        let world = try DirectoryWorld(7)
        #expect(world.start())
        let (room, node) = (world.client.pool.room, world.nodes[0])
        world.restoreGuards([0])
        let now = world.client.pool.now
        room.began(node.id, now)
        // The pauses of four resets would last until five seconds from now.
        for second in 0..<4 as Range<Int64> {
            let time = now + .seconds(second)
            room.reset(node.id, since: time, time)
        }
        #expect(!room.admits(node.id, for: .lost, now))
        node.own = try ListClientTests.version(of: node, world)
        world.directory.refetchGuard(node.id)
        #expect(world.loop.run(for: .milliseconds(500)) { room.admits(node.id, for: .lost, world.client.pool.now) })
    }

    @Test("RQ4: a guard with another onion key, which reset builds for that, has refused nothing") func renewed() {
        let room = GuardRoom(NetworkLimits())
        room.began(node(1), at(1))
        room.reset(node(1), since: at(1), at(1.1))
        let isRefused = !room.admits(node(1), for: .identity, at(2))
        room.renewed(node(1), at(2))
        let isExcused = room.admits(node(1), for: .identity, at(2))
        #expect(isRefused && isExcused)
        // Builds to the earlier key are reset after the new one was heard.
        room.reset(node(1), since: at(1), at(2.01))
        let isExcusedLater = room.admits(node(1), for: .identity, at(2.01))
        room.reset(node(1), since: at(2.01), at(2.1))
        let isReset = !room.admits(node(1), for: .identity, at(2.4))
        #expect(isExcusedLater && isReset)
        // It gets no more than before the refusals.
        room.renewed(node(1), at(2.4))
        room.renewed(node(1), at(2.4))
        var count = 0
        while room.admits(node(1), for: .lost, at(2.4)) {
            room.began(node(1), at(2.4))
            count += 1
        }
        #expect(count < NetworkLimits().clientBuildBurst)
    }

    @Test("R3: a client without a path builds one soon after a guard's refusal, though spare paths wait half a minute")
    func firstPath() {
        let room = GuardRoom(NetworkLimits())
        room.began(node(1), at(1))
        room.refused(node(1), at(1.1))
        let first = SparePaths.urgency(hasPath: false, isBuilding: false, forIdentity: false)
        let isSoon = room.admits(node(1), for: first, at(1.5))
        #expect(isSoon)
        // With a path, or with another build on its way, a build waits like any other.
        for (hasPath, isBuilding) in [(false, true), (true, false), (true, true)] {
            let next = SparePaths.urgency(hasPath: hasPath, isBuilding: isBuilding, forIdentity: false)
            let isLate = !room.admits(node(1), for: next, at(25))
            #expect(isLate)
        }
    }

    @Test(
        "R2: a node refuses none of what is paced, though delays of up to 0.5 s bunch it", arguments: [1, 2, 3, 4, 5])
    func noRefusal(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let (rate, burst) = (Int.random(in: 2...300, using: &random), Int.random(in: 4...1_500, using: &random))
        var pace = Pace(perSecond: rate, burst: burst, now: at(0))
        var bucket = Bucket(rate, burst)
        var arrivals: [Double] = []
        var second = 0.0
        while second < 30 {
            // Bursts and pauses: as many requests as the pace admits, then none for a while.
            while pace.admits(at(second)) {
                pace.take()
                arrivals.append(second + Double.random(in: 0...0.5, using: &random))
            }
            second += Double.random(in: 0...0.8, using: &random)
        }
        for arrival in arrivals.sorted() { _ = bucket.take(at: arrival) }
        #expect(bucket.refused == 0)
        #expect(Double(arrivals.count) > 28 * Double(rate), "what the node takes is used")
    }

    @Test(
        "R2: a node that refuses all the same is left alone for longer each time, and refusals of one moment count as one"
    )
    func pauses() {
        var pace = Pace(perSecond: 100, burst: 100, now: at(0))
        var pauses: [Double] = []
        var now = at(10)
        for _ in 0..<8 {
            for _ in 0..<20 { pace.refused(now) }
            pauses.append((pace.pausedUntil - now).inSeconds)
            let isAdmitted = pace.admits(now)
            #expect(!isAdmitted)
            now = pace.pausedUntil
        }
        #expect(pauses == [0.25, 0.5, 1, 2, 4, 8, 8, 8])
        #expect(pace.refusals == 8)
        pace.accepted()
        pace.refused(now)
        #expect((pace.pausedUntil - now).inSeconds == 0.25)
        let isAdmitted = pace.admits(at(1_000))
        #expect(isAdmitted)
    }

    @Test("R3: the less urgent a build, the more it leaves of a guard's rate and of its places")
    func urgency() {
        var limits = NetworkLimits()
        (limits.clientBuildsPerSecond, limits.clientBuildBurst, limits.pathsPerClientLink) = (1, 64, 320)
        let room = GuardRoom(limits)
        let node = node(1)
        let order: [GuardRoom.Urgency] = [.spare, .standby, .identity, .lost]
        var counts: [Int] = []
        for urgency in order {
            while room.admits(node, for: urgency, at(0)) { room.began(node, at(0)) }
            counts.append(room.paths(of: node))
        }
        // Half, a quarter, a sixteenth and none of 63.5 are left.
        #expect(counts == [31, 47, 59, 63])
        for second in 1...2_000 {
            let now = at(Double(second))
            for urgency in order.reversed() where room.admits(node, for: urgency, now) { room.began(node, now) }
        }
        #expect(room.paths(of: node) == 310)
        #expect(order.map { room.hasPlace(node, for: $0) } == [false, false, false, false])
        for _ in 0..<20 { room.ended(node) }
        #expect(order.map { room.hasPlace(node, for: $0) } == [false, false, true, true])
        let hasOther = room.admits(self.node(2), for: .spare, at(2_000))
        #expect(hasOther, "another guard has room of its own")
    }

    @Test("a node that takes one at a time gets one at a time", arguments: [1, 2, 3])
    func smallest(burst: Int) {
        var limits = NetworkLimits()
        (limits.clientBuildsPerSecond, limits.clientBuildBurst, limits.pathsPerClientLink) = (1, burst, 1)
        let room = GuardRoom(limits)
        for urgency in [GuardRoom.Urgency.spare, .standby, .identity, .lost] {
            let isAdmitted = room.admits(node(1), for: urgency, at(0))
            #expect(isAdmitted)
        }
        room.began(node(1), at(0))
        let before = room.admits(node(1), for: .lost, at(100))
        room.ended(node(1))
        let after = room.admits(node(1), for: .lost, at(100))
        #expect(!before && after)
    }

    @Test("apps get their turns in the order in which they came, without those that wait no more")
    func queue() {
        final class App: SessionApp {
            let number: Int
            var isOver = false
            init(_ number: Int) { self.number = number }
            func open(on session: Session) {}
            func fail(_ reason: NoSession) {}
        }
        var queue = AppQueue()
        let apps = (0..<1_000).map(App.init)
        for app in apps { queue.append(app) }
        for app in apps where app.number % 3 == 0 { app.isOver = true }
        var order: [Int] = []
        while let app = queue.next() as? App {
            order.append(app.number)
            if app.number == 500 { queue.append(App(1_000)) }
        }
        #expect(order == (0...1_000).filter { $0 % 3 != 0 || $0 == 1_000 })
        let isWaiting = queue.isWaiting
        #expect(!isWaiting && queue.count == 0)
    }
}

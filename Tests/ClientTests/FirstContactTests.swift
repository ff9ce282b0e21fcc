import Directory
import EventLoop
import Links
import LoopTesting
import Testing
import Wire

@testable import Client

/// Attacks on a client by hostile sources of descriptors and time, over real links on one loop.
@Suite struct FirstContactTests {
    private static let day: Int64 = 86_400

    @Test("s05: sources that hand out their friends' descriptors only do not choose the path")
    func routeCapture() throws {
        // Four of the seven bootstrap nodes are friends.
        let world = try DirectoryWorld(24, friends: 4, hides: true) { $0.bootstrap = Array($0.bootstrap.prefix(7)) }
        #expect(world.start())
        #expect(world.directory.descriptorCount == 24)
        #expect(try world.captured(of: 60) < 10)
    }

    @Test("s05: a client that finds nobody but friends of one another draws no guard and builds no path, and says why")
    func nobodyElse() throws {
        let world = try DirectoryWorld(24, friends: 4, hides: true) { $0.bootstrap = Array($0.bootstrap.prefix(1)) }
        world.client.start()
        #expect(world.loop.run { world.directory.rounds.failures > 0 })
        #expect(world.directory.descriptorCount == 4)
        #expect(!world.directory.canChoose(hops: 3) && world.directory.guards.sample.isEmpty)
        #expect(throws: PathRefusal.tooLittleKnown) {
            try world.directory.select(hops: 3, terminal: .any, avoiding: [])
        }
        let problem = world.client.status.problem?.text ?? ""
        #expect(problem.contains("20 of 24 nodes are lacking") && problem.contains("needed: 80 %"))
    }

    @Test("s05: before the first guard is drawn nodes of three operators are asked")
    func threeAreAsked() throws {
        let world = try DirectoryWorld(6)
        #expect(world.start())
        let asked = world.nodes.count { node in
            node.questions.contains { [.getDescriptors, .getDescriptorChanges].contains($0.message) }
        }
        #expect(asked >= 3)
    }

    @Test("s05: a guard that leaves out the guards does not have a client that comes back draw others")
    func guardsAreLeftOut() throws {
        let world = try DirectoryWorld(12)
        world.restoreGuards([0, 1])
        // The two guards leave out a sixth of the weight, so the client may still choose paths.
        for node in world.nodes.prefix(2) { node.descriptors.removeFirst(2) }
        #expect(world.start())
        _ = try world.directory.select(hops: 3, terminal: .exit(.tcp), avoiding: [])
        #expect(Set(world.directory.guards.sample.map(\.node)) == Set(world.nodes.prefix(2).map(\.id)))
    }

    @Test("s05: a guard that has a link and does not answer does not hold up a client that comes back")
    func silentGuard() throws {
        let world = try DirectoryWorld(6)
        world.restoreGuards([0])
        world.nodes[0].isSilent = true
        world.client.start()
        #expect(world.loop.run { !world.nodes[0].questions.isEmpty })
        #expect(world.nodes.dropFirst().allSatisfy { $0.questions.isEmpty })
        // The client has now waited for the guard as long as for any answer.
        world.directory.schedule.since = world.directory.now + (.zero - Inquiry.patience)
        #expect(world.loop.run(for: .seconds(10)) { world.directory.canChoose(hops: 3) })
    }

    @Test("s05: the word of nodes that are staked no more settles nothing")
    func strangers() throws {
        let world = try DirectoryWorld(9, strangers: 3, change: { $0.bootstrap = Array($0.bootstrap.suffix(3)) })
        #expect(world.start())
        #expect(world.directory.descriptorCount == 6)
        let asked = world.nodes.prefix(6).count { node in
            node.questions.contains { [.getDescriptors, .getDescriptorChanges].contains($0.message) }
        }
        #expect(asked >= 3)
    }

    @Test("s05: a client whose network comes back is not late, and one that cannot choose asks each second")
    func pauses() throws {
        let world = try DirectoryWorld(3)
        let directory = world.directory
        for _ in 0..<10 {
            // A round in which no node could be asked.
            directory.rounds.current = InquiryRounds.Round()
            directory.advanceRound()
        }
        #expect(directory.rounds.next <= directory.now + .seconds(8))
        directory.schedule.next = directory.now + .seconds(600)
        directory.refreshSoon()
        #expect(directory.schedule.next == directory.now + .seconds(1))
    }

    @Test("s05: in a small network some nodes may be down", arguments: [[3], [4, 0], [6, 1, 2, 4]])
    func smallNetwork(_ numbers: [Int]) throws {
        let (count, down) = (numbers[0], Set(numbers.dropFirst()))
        let world = try DirectoryWorld(count, down: down)
        #expect(world.start())
        #expect(world.directory.rounds.down.count == down.count)
    }

    @Test("s06: the clocks of friends do not expire the others' descriptors")
    func clockCapture() throws {
        let world = try DirectoryWorld(24, friends: 4, ahead: 61 * Self.day, hides: true) {
            $0.bootstrap = Array($0.bootstrap.prefix(8))
        }
        #expect(world.start())
        #expect(world.directory.descriptorCount >= 20)
        #expect(try world.captured(of: 60) == 0)
        let error = Int64(world.directory.time.seconds) - Int64(world.loop.wallClock / 1_000_000_000)
        #expect(abs(error) <= 1)
        #expect(world.client.status.problem != nil)
    }

    @Test(
        "s06: a clock that is wrong by hours or months is worked around when enough agree, and told",
        arguments: [7_200, 61 * 86_400])
    func wrongClock(off: Int64) throws {
        // All nodes are ahead, which looks to the client like an own clock that is behind.
        let world = try DirectoryWorld(7, friends: 7, ahead: off, change: { $0.snapshotMaximumAge = 0 })
        #expect(world.start())
        let error = Int64(world.directory.time.seconds) - Int64(world.loop.wallClock / 1_000_000_000)
        #expect(abs(error - off) <= 2)
        let problem = world.directory.clockProblem?.text ?? ""
        #expect(problem.contains("behind") && problem.contains("their time is used"))
    }

    @Test("s06: a lie by one guard shifts no record of a build")
    func oneGuardsClock() throws {
        let world = try DirectoryWorld(5, friends: 1, ahead: 1_200)
        #expect(world.start())
        let error = Int64(world.directory.time.seconds) - Int64(world.loop.wallClock / 1_000_000_000)
        #expect(abs(error) <= 1)
    }

    @Test("s06: a lone guard does not keep its days while the machine was off")
    func daysOfALoneGuard() throws {
        // The guard's clock claims that no time has passed since the last run.
        let world = try DirectoryWorld(8, friends: 1, ahead: -40 * Self.day)
        world.restoreGuards([0], days: 40)
        #expect(world.start())
        let left = { world.directory.guards.sample.first { $0.node == world.nodes[0].id }?.left ?? 0 }
        #expect(world.loop.run(for: .seconds(5)) { left() < 11 * 86_400 })
        #expect(left() > 9 * 86_400)
    }

    @Test("s23: a hop that fails is named to nobody")
    func failedHopsAreNotNamed() throws {
        let world = try DirectoryWorld(8)
        #expect(world.start())
        // Builds fail at each hop. A node may be asked by name only about itself.
        let hops = try world.directory.select(hops: 3, terminal: .exit(.tcp), avoiding: [])
        let before = world.nodes.reduce(0) { $0 + $1.questions.count { $0.message == .getDescriptorChanges } }
        for _ in 0..<5 {
            world.directory.refused(hops, hop: 2, status: nil)
            world.directory.refused(hops, hop: 1, status: .nextHopFailed)
            world.directory.refused(hops, hop: 0, status: .nextHopFailed)
        }
        let changes = { world.nodes.reduce(0) { $0 + $1.questions.count { $0.message == .getDescriptorChanges } } }
        #expect(world.loop.run { changes() > before })
        _ = world.loop.run(for: .milliseconds(300)) { false }
        #expect(changes() - before <= 2)
        // Another failure does not bring the next question forward.
        let directory = world.directory
        directory.schedule.next = directory.now + .seconds(60)
        directory.refused(hops, hop: 2, status: nil)
        #expect(directory.schedule.next > directory.now)
        for node in world.nodes {
            let named = node.questions.filter { $0.message == .getDescriptor }.map(\.body)
            #expect(named.allSatisfy { $0 == node.id.key.array })
        }
    }

    @Test("s25: a network file that is too old leads nowhere, and the client says what to do")
    func oldNetworkFile() throws {
        let world = try DirectoryWorld(3, ageOfSnapshot: 31 * 86_400)
        #expect(world.network.snapshotMaximumAge == 30 * 86_400)
        #expect(!world.directory.canChoose(hops: 3))
        let problem = world.client.status.problem?.text ?? ""
        #expect(problem.contains("744 hours old") && problem.contains("network file"))
    }

    @Test("s27: in everyday use the client asks its guards alone")
    func guardsAreEnough() throws {
        let world = try DirectoryWorld(8)
        #expect(world.start())
        let guards = Set(world.directory.guards.primaries.map(\.node))
        _ = try world.directory.select(hops: 3, terminal: .exit(.tcp), avoiding: [])
        let primaries = Set(world.directory.guards.primaries.map(\.node)).union(guards)
        let others = world.nodes.filter { !primaries.contains($0.id) }
        // The answers to the questions of the first contact arrive.
        _ = world.loop.run(for: .milliseconds(300)) { false }
        let before = others.reduce(0) { $0 + $1.questions.count }
        for _ in 0..<5 {
            world.directory.schedule.next = world.directory.now
            _ = world.loop.run(for: .milliseconds(250)) { false }
        }
        #expect(others.reduce(0) { $0 + $1.questions.count } == before)
    }
}

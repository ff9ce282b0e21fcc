import Glibc
import Testing
import Wire

@testable import Registry
@testable import Watch

private func setting(_ name: String) -> UInt64? {
    unsafe getenv(name).flatMap { unsafe UInt64(String(cString: $0)) }
}

/// The number of seeds from `WATCH_FIRST` on; if it is set, votes carry digests, and large networks are tried too.
private let seeds = setting("WATCH_SEEDS")

private let first = setting("WATCH_FIRST") ?? 0

/// The sizes of the networks, or `WATCH_NODES` alone.
private let sizes = setting("WATCH_NODES").map { [Int($0)] } ?? [3, 5, 10] + (seeds == nil ? [] : [50, 300])

/// Networks with a part away for a time: no other node is put out, and all nodes that return are active again.
///
/// The long form is built with optimisation in its own folder: `WATCH_SEEDS=200 WATCH_NODES=300 TUNIC_TESTS=WatchTests
/// swift test -c release -Xswiftc -enable-testing --scratch-path .build-watch --filter 's2(AThird|BeyondAThird)'`.
struct OutageTests {
    /// Runs the seeds of one size; without `WATCH_SEEDS` there are `usual` of them, with signatures.
    private func run(_ count: Int, usual: UInt64, isBeyondAThird: Bool) throws {
        var told = Outages.Told()
        for seed in first..<first + (seeds ?? usual) {
            try Outages(count, seed: seed, isBeyondAThird: isBeyondAThird, hasDigests: seeds != nil).run(&told)
        }
        if let seeds { print("\(count) nodes, seeds \(first)..<\(first + seeds), \(isBeyondAThird): \(told)") }
    }

    @Test(
        "S2: with a third away no healthy node is put out, and all that come back in time are active again",
        arguments: sizes)
    func s2AThirdAway(_ count: Int) throws { try run(count, usual: count < 10 ? 3 : 2, isBeyondAThird: false) }

    @Test(
        "S2: with more than a third cut off nobody is put out for good, nor of the greater part at all",
        arguments: sizes)
    func s2BeyondAThird(_ count: Int) throws { try run(count, usual: 1, isBeyondAThird: true) }

    @Test("S2: a quarter that dies at once is put out when its credit is over, and nobody else", arguments: sizes)
    func s2AQuarterDies(_ count: Int) throws {
        let dead = count / 4
        for seed in first..<first + min(seeds ?? 1, 10) {
            let epoch = Outages.epoch(of: count)
            let world = try World(
                count, seed: seed, blockSeconds: max(2, epoch / 30), epochSeconds: UInt64(epoch),
                hasDigests: seeds != nil
            ) {
                $0.creditAtStart = UInt32(epoch)
                $0.creditGrace = UInt32(epoch)
            }
            world.goesOn = true
            world.reaches = { a, b, time in !((a < dead || b < dead) && time >= 8 * epoch) }
            world.run(until: 14 * epoch)
            #expect((0..<count).allSatisfy { world.standing($0) == ($0 < dead ? nil : .active) }, "seed \(seed)")
        }
    }

    @Test func digestsInPlaceOfSignaturesChangeNoVerdict() throws {
        let verdicts = try [false, true].map { hasDigests in
            let world = try World(6, seed: 3, hasDigests: hasDigests)
            world.reaches = { a, b, time in !((a < 2 || b < 2) && time >= 30 && time < 90) }
            world.run(until: 140)
            return world.verdicts.map { "\($0.time) \($0.verdict) \($0.node)" }
        }
        #expect(verdicts[0] == verdicts[1] && verdicts[0].count == 4)
    }

    @Test("S2: a network of three with a dead node goes on, and is whole again when it is back")
    func s2ThreeNodesOfTheGuide() throws {
        let world = try World(3, seed: 1)
        world.goesOn = true
        world.reaches = { a, b, time in !((a == 2 || b == 2) && time >= 60 && time < 1_500) }
        world.run(until: 1_600)
        #expect(world.verdicts.isEmpty)
        for number in 0..<3 { #expect(world.standing(number) == .active) }
    }

    @Test("S1: three short outages cost three times their length, and nothing else")
    func s1ThreeShortOutages() throws {
        let world = try World(6, seed: 2) {
            $0.creditAtStart = 600
            $0.creditGrace = 60
        }
        world.reaches = { a, b, time in
            !((a == 4 || b == 4) && [100, 300, 500].contains { time >= $0 && time < $0 + 27 })
        }
        world.run(until: 600)
        #expect(world.verdicts.allSatisfy { $0.node == 4 })
        #expect(world.standing(4) == .active)
        let node = try #require(world.state.nodes[world.ids[4]])
        #expect(node.credit(at: world.state.time, world.state.parameters) > 600 - 3 * 60)
    }

    @Test("S2: half of the network gone for good costs nobody else his place, and the rest goes on")
    func s2HalfGoneForGood() throws {
        let world = try World(10, seed: 3) {
            $0.creditAtStart = 120
            $0.creditGrace = 30
        }
        world.goesOn = true
        world.reaches = { a, b, time in !((a < 3 || b < 3) && time >= 60) }
        world.run(until: 700)
        for number in 3..<10 { #expect(world.standing(number) == .active) }
        for number in 0..<3 { #expect(world.standing(number) == nil) }
    }
}

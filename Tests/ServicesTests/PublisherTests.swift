import OnionCrypto
import ServicesModel
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Services

extension ServiceWorld {
    /// How often a majority has signed.
    var storedCount: Int { news.count { if case .stored = $0 { true } else { false } } }
    /// The failures of rounds.
    var failures: [PublishingFailure] {
        news.compactMap { if case .failed(_, let failure) = $0 { failure } else { nil } }
    }
    /// How often another process was found.
    var copies: Int { news.count { if case .copied = $0 { true } else { false } } }
    /// The versions that were stored in a box, in their order.
    func versions(in box: Bytes32) -> [Asked] {
        var seen: Set<ItemID> = []
        return stores.filter { $0.box == box && seen.insert($0.item?.id ?? Bytes32()).inserted }
    }
    /// The boxes of a service in the present periods.
    func boxes(of service: Service) -> [Bytes32] {
        swarms.period.withPrevious.map { service.reader(in: $0).box }
    }
}

@Suite struct PublisherTests {
    private let service = Service(1)

    @Test("A service is stored under both periods within six seconds, and anew each hour")
    func publishesAndRenews() {
        let world = ServiceWorld(seed: 1)
        world.start(service)
        world.run(.seconds(7))
        #expect(world.storedCount == 2 && world.failures.isEmpty)
        let boxes = world.boxes(of: service)
        for box in boxes { #expect(world.versions(in: box).count == 1) }
        for period in world.swarms.period.withPrevious { #expect(world.holders(of: service, in: period) == 7) }
        world.run(.seconds(24 * 3_600))
        for box in boxes {
            let made = world.versions(in: box).map(\.at)
            #expect(20...29 ~= made.count)
            for (one, two) in zip(made, made.dropFirst()) {
                #expect(two - one >= .seconds(49 * 60) && two - one <= .seconds(71 * 60))
            }
        }
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored && $0.state.hiding.isEmpty } == true)
    }

    @Test(
        "SV2: the two periods of a service share no time and no version, and each store goes to one replica of one box")
    func sv2_apart() throws {
        var close = 0
        var first: [TimeSpan] = []
        for seed in 0..<24 as Range<UInt64> {
            let world = ServiceWorld(seed: seed, nodes: 60)
            world.start(service)
            world.run(.seconds(6 * 3_600))
            let boxes = world.boxes(of: service)
            let (one, two) = (world.versions(in: boxes[0]), world.versions(in: boxes[1]))
            first.append(one[0].at < two[0].at ? two[0].at - one[0].at : one[0].at - two[0].at)
            for (a, b) in zip(one.dropFirst(2), two.dropFirst(2)) {
                let distance = a.at < b.at ? b.at - a.at : a.at - b.at
                if distance < .seconds(5) { close += 1 }
            }
            #expect(world.stores.allSatisfy { boxes.contains($0.box) })
        }
        #expect(first.allSatisfy { $0 <= .seconds(5) } && first.count { $0 > .milliseconds(500) } > 12)
        // Some 100 pairs, whose distance is spread over 20 minutes and more.
        #expect(close < 6, "\(close)")
    }

    @Test(
        "SV3: with three of seven replicas dead it is stored; with four it says so, and pauses grow until one is back")
    func deadReplicas() {
        let world = ServiceWorld(seed: 2)
        let members = world.members(of: service)
        world.kill(members.prefix(3))
        world.start(service)
        world.run(.seconds(31))
        #expect(world.storedCount == 2)
        world.kill(members.prefix(4))
        world.publish(service.descriptor(9))
        world.run(.seconds(3_600))
        let failed = world.failures
        #expect(
            !failed.isEmpty
                && failed.allSatisfy {
                    if case .undecided(let count) = $0 { count.signed == 3 && count.silent == 4 } else { false }
                })
        // Nine pauses of up to ten minutes, with rounds of half a minute between them.
        #expect(7...14 ~= failed.count, "\(failed.count)")
        #expect(world.publishers[0]?.states[0].state.isStored == false)
        world.restart(members.prefix(4))
        world.run(.seconds(800))
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored } == true)
    }

    @Test(
        "SV3: after a restart a service goes on from the version that replicas name, and its newest one is stored"
    )
    func sv3_restart() {
        for seed in 0..<6 as Range<UInt64> {
            let world = ServiceWorld(seed: seed)
            world.start(service)
            world.run(.seconds(20))
            for number in 0..<6 as Range<UInt64> {
                world.publish(service.descriptor(number), by: Int(number))
                world.run(.seconds(15))
                world.publishers[Int(number)] = nil
                let before = world.storedCount
                world.start(service, service.descriptor(100 + number))
                world.run(.seconds(25))
                #expect(world.storedCount >= before + 2)
            }
            let boxes = world.boxes(of: service)
            for box in boxes {
                let last = world.versions(in: box).last?.item?.id
                let replica = world.swarms.swarm(of: box)?.members.first
                #expect(world.items(at: replica, in: box).map(\.id) == [last])
            }
            #expect(world.copies == 0)
        }
    }

    @Test("SV3: replicas that name versions lead a service nowhere: it stays where others store, and is stored")
    func sv3_invented() throws {
        for seed in 0..<12 as Range<UInt64> {
            let world = ServiceWorld(seed: seed, nodes: 60)
            let boxes = world.swarms.period.withPrevious.map { world.members(of: service, in: $0) }
            for (box, other) in zip(boxes, boxes.reversed()) {
                world.set(.refuses, box.filter { !other.contains($0) }.prefix(2))
            }
            world.start(service)
            world.run(.seconds(1_200))
            #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored } == true, "seed \(seed)")
            for asked in world.stores {
                let minute = world.minute(at: asked.at)
                #expect(try #require(asked.item).header.created <= minute + 30)
            }
        }
    }

    @Test("SV3: two replicas cannot make a service publish without pauses")
    func sv3_pauses() {
        for (seed, conduct) in zip(0..<10 as Range<UInt64>, [Conduct.refuses, .outdoes] + [.refuses, .outdoes]) {
            let world = ServiceWorld(seed: seed)
            world.set(conduct, world.nodes)
            world.start(service)
            world.run(.seconds(3_600))
            #expect(world.storedCount == 0)
            // Two periods, at most fourteen rounds of seven replicas each, some with up to three versions more.
            #expect(world.stores.count < 400, "\(world.stores.count)")
        }
    }

    @Test("A box whose replicas change is published at once, a new period within five minutes, an old one no more")
    func changes() throws {
        let world = ServiceWorld(seed: 5)
        world.start(service)
        world.run(.seconds(60))
        let old = world.boxes(of: service)
        let leaving = try #require(
            world.members(of: service).first { node in
                world.swarms.swarm(of: old[1])?.members.contains(node) == false
            })
        let began = world.now
        world.move(without: [leaving])
        world.run(.seconds(8))
        let new = world.versions(in: old[0])
        #expect(new.count == 2 && new[1].at - began <= .seconds(1))
        #expect(world.versions(in: old[1]).count == 1)
        // A later snapshot of the same nodes changes nothing.
        world.move(without: [leaving])
        world.run(.seconds(8))
        #expect(world.versions(in: old[0]).count == 2)
        let moved = world.now
        world.move(later: 12 * 3_600)
        let boxes = world.boxes(of: service)
        #expect(boxes[1] == old[0])
        world.run(.seconds(301))
        let first = try #require(world.versions(in: boxes[0]).first)
        #expect(first.at - moved <= .seconds(300))
        let count = world.versions(in: old[1]).count
        world.run(.seconds(5 * 3_600))
        #expect(world.versions(in: old[1]).count == count)
        #expect(world.publishers[0]?.states.map(\.period) == world.swarms.period.withPrevious)
    }

    @Test("SV2: a new period is no moment at which all services publish")
    func sv2_newPeriod() {
        var waits: [Double] = []
        for seed in 0..<40 as Range<UInt64> {
            let world = ServiceWorld(seed: seed)
            world.start(service)
            world.run(.seconds(60))
            let moved = world.now
            world.move(later: 12 * 3_600)
            world.run(.seconds(301))
            if let first = world.versions(in: world.boxes(of: service)[0]).first {
                waits.append((first.at - moved).inSeconds)
            }
        }
        #expect(waits.count == 40 && waits.count { $0 < 60 } < 20 && waits.count { $0 > 200 } > 3)
    }

    @Test("Changes one after the other are published ten seconds apart, the last one at last")
    func manyChanges() {
        let world = ServiceWorld(seed: 6)
        world.start(service)
        world.run(.seconds(20))
        for number in 0..<120 as Range<UInt64> {
            world.publish(service.descriptor(number))
            world.run(.milliseconds(500))
        }
        world.run(.seconds(15))
        for box in world.boxes(of: service) {
            let made = world.versions(in: box).map(\.at)
            #expect(made.count <= 9)
            #expect(zip(made, made.dropFirst()).allSatisfy { $1 - $0 >= .seconds(10) })
        }
        // The same again changes nothing.
        let count = world.stores.count
        world.publish(service.descriptor(119))
        world.run(.seconds(30))
        #expect(world.stores.count == count)
        let found = world.find(service)
        world.run(.seconds(10)) { world.results[found] != nil }
        #expect(world.descriptors(found) == [service.descriptor(119)])
    }

    @Test("After a time without network what failed is stored at once, and all else stays as it is")
    func networkIsBack() throws {
        let world = ServiceWorld(seed: 16)
        world.start(service)
        world.run(.seconds(60))
        let count = world.stores.count
        world.networkIsBack()
        world.run(.seconds(20))
        #expect(world.stores.count == count)
        world.loss = 100
        world.run(.seconds(4 * 3_600))
        let all = try #require(world.publishers[0])
        #expect(all.states.allSatisfy { $0.state.failure == .noAnswer })
        // Past the rounds that may be under way.
        world.run(.seconds(600)) { world.publishers[0]?.publications.values.allSatisfy { $0.round == nil } == true }
        world.loss = 0
        world.networkIsBack()
        world.run(.seconds(8))
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored } == true)
        // A network that comes and goes ends no round.
        world.publish(service.descriptor(3))
        for _ in 0..<100 {
            world.networkIsBack()
            world.run(.milliseconds(200))
        }
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored } == true)
    }

    @Test("Stores that cannot be sent are no silence of replicas: they are sent within the round, or the round says so")
    func notSent() {
        let world = ServiceWorld(seed: 17)
        world.sendsNothing = true
        world.start(service)
        world.run(.seconds(15))
        #expect(world.failures.isEmpty)
        world.sendsNothing = false
        world.run(.seconds(5))
        #expect(world.storedCount == 2 && world.failures.isEmpty)
        world.sendsNothing = true
        world.publish(service.descriptor(3))
        world.run(.seconds(40))
        #expect(!world.failures.isEmpty && world.failures.allSatisfy { $0 == .notAsked })
        // Replicas whose keys are not known are passed over.
        let other = ServiceWorld(seed: 18)
        let swarms = other.swarms.period.withPrevious.map { other.members(of: service, in: $0) }
        other.unknown = Set(swarms.joined()).subtracting(swarms.map { $0[0] })
        other.start(service)
        other.run(.seconds(7))
        #expect(other.storedCount == 2)
    }

    @Test("SV3: a service whose machine has slept is not held for stored, and is stored at once")
    func sv3_sleep() {
        let world = ServiceWorld(seed: 19)
        world.start(service)
        world.run(.seconds(60))
        let boxes = world.boxes(of: service)
        // A version that is younger than any gets is left alone.
        world.sleep(.seconds(65 * 60))
        world.run(.seconds(10))
        #expect(boxes.allSatisfy { world.versions(in: $0).count == 1 })
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored } == true)
        world.sleep(.seconds(115 * 60))
        world.run(.zero)
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.holders.isEmpty && !$0.state.isStored } == true)
        world.run(.seconds(8))
        #expect(boxes.allSatisfy { world.versions(in: $0).count == 2 })
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored } == true)
        let found = world.look(service)
        #expect(world.descriptors(found) == [service.descriptor()])
        // From then on it is renewed as ever.
        world.run(.seconds(45 * 60))
        #expect(boxes.allSatisfy { world.versions(in: $0).count == 2 })
        world.run(.seconds(30 * 60))
        #expect(boxes.allSatisfy { world.versions(in: $0).count == 3 })
    }

    @Test("A version counts as stored by those who have signed for it, not for the one before, and are still replicas")
    func holders() throws {
        let world = ServiceWorld(seed: 20)
        world.start(service)
        world.run(.seconds(60))
        let box = world.boxes(of: service)[0]
        var state: PublishingState? { world.publishers[0]?.states[0].state }
        #expect(state?.holders.count == 7)
        // One replica leaves: the others still hold it.
        let members = world.members(of: service)
        world.move(without: [members[0]])
        #expect(state?.holders == Set(members.dropFirst()))
        world.run(.seconds(60))
        // A new version is being stored.
        world.kill(world.nodes)
        let count = world.versions(in: box).count
        world.run(.seconds(75 * 60)) { world.versions(in: box).count > count }
        #expect(state?.failure == nil && state?.holders.isEmpty == true && state?.isStored == false)
        // Four of seven leave: three are no majority.
        let other = ServiceWorld(seed: 21)
        other.start(service)
        other.run(.seconds(60))
        other.move(without: Set(other.members(of: service).prefix(4)))
        #expect(other.publishers[0]?.states[0].state.holders.isEmpty == true)
    }

    @Test("Nothing is published any more once there is nothing to publish")
    func nothing() {
        let world = ServiceWorld(seed: 7)
        world.start(service)
        world.run(.seconds(20))
        world.publish(nil)
        let (count, tests) = (world.stores.count, world.tests.count)
        world.run(.seconds(10_000))
        #expect(world.stores.count == count && world.tests.count == tests)
        #expect(world.publishers[0]?.nextDeadline == nil)
        world.publish(service.descriptor())
        world.run(.seconds(20))
        #expect(world.stores.count > count)
    }

    @Test(
        "SV3: a clock that was ahead or behind is told, and once it is right the service is stored",
        arguments: [7_200, -7_200])
    func sv3_clock(skew: Int64) {
        let world = ServiceWorld(seed: 8)
        world.serviceSkew = skew
        world.start(service)
        world.run(.seconds(120))
        #expect(world.storedCount == 0 && world.failures.contains(.clock))
        world.serviceSkew = 0
        world.run(.seconds(1_000))
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored } == true)
        let found = world.find(service)
        world.run(.seconds(10)) { world.results[found] != nil }
        #expect(world.descriptors(found) == [service.descriptor()])
    }

    @Test("A network without a store is told, and a service begins when there is one")
    func noStore() throws {
        var publisher = DescriptorPublisher(
            service.key, instance: service.instance, network: SwarmModel.network, random: SystemRandomNumberGenerator())
        let now = Instant(nanoseconds: 1)
        let snapshot = try #require(
            Snapshot(network: SwarmModel.network, height: 1, time: firstTime, entries: []))
        let none = ServiceSwarms(snapshot, shards: 0, swarmSize: 7)
        #expect(publisher.moved(to: none, now: now, time: firstTime).isEmpty)
        #expect(publisher.publish(service.descriptor(), now: now, time: firstTime).isEmpty)
        #expect(publisher.nextDeadline == nil)
        #expect(publisher.states.allSatisfy { $0.state.failure == .noStore && !$0.state.isStored })
    }

    @Test("A descriptor of another instance is not published")
    func unusable() {
        let world = ServiceWorld(seed: 9)
        world.start(service, Service(2).descriptor())
        world.run(.seconds(20))
        #expect(world.stores.isEmpty && !world.failures.isEmpty && world.failures.allSatisfy { $0 == .unusable })
    }
}

import OnionCrypto
import ServicesModel
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Services

/// A service's tests of its own replicas.
@Suite struct ReplicaTestTests {
    private let service = Service(1)

    @Test("SV3: a replica that has signed and hides the descriptor is named, and four of seven make it be stored anew")
    func sv3_hidden() {
        let world = ServiceWorld(seed: 10)
        let members = world.members(of: service)
        world.set(.hides, members.prefix(1))
        world.start(service)
        world.run(.seconds(100))
        #expect(world.publishers[0]?.states[0].state.hiding == [members[0]])
        #expect(world.versions(in: world.boxes(of: service)[0]).count == 1)
        // Replicas lose their memories: it is stored anew before it would be renewed.
        var repaired = 0
        for seed in 0..<20 as Range<UInt64> {
            let world = ServiceWorld(seed: seed)
            world.start(service)
            world.run(.seconds(100))
            let lost = world.members(of: service).prefix(5)
            world.restart(lost)
            #expect(world.holders(of: service) == 2)
            world.run(.seconds(48 * 60)) { world.holders(of: service) == 7 }
            if world.holders(of: service) == 7 { repaired += 1 }
        }
        #expect(repaired > 8, "\(repaired)")
    }

    @Test("SV3: replicas that hide a descriptor cause one more version in ten minutes at most")
    func sv3_repairs() {
        let world = ServiceWorld(seed: 11)
        world.set(.hides, world.nodes)
        world.start(service)
        world.run(.seconds(3_600))
        for box in world.boxes(of: service) {
            let made = world.versions(in: box).map(\.at)
            #expect(3...7 ~= made.count, "\(made.count)")
            #expect(zip(made.dropFirst(), made.dropFirst(2)).allSatisfy { $1 - $0 >= .seconds(600) })
        }
    }

    @Test("SV3, SV29: tests are asked as a client asks, at times that do not repeat")
    func sv29_times() {
        let world = ServiceWorld(seed: 12)
        world.start(service)
        world.run(.seconds(24 * 3_600))
        let boxes = Set(world.boxes(of: service))
        #expect(world.tests.allSatisfy { boxes.contains($0.box) && $0.item == nil })
        var gaps: [Double] = []
        for box in boxes {
            for member in world.swarms.swarm(of: box)?.members ?? [] {
                let times = world.tests.filter { $0.box == box && $0.replica == member }.map(\.at)
                #expect(times.count > 30)
                gaps += zip(times, times.dropFirst()).map { ($1 - $0).inSeconds }
            }
        }
        // A renewal within the hour draws again, so gaps are shorter than half an hour in the mean.
        #expect(gaps.count { $0 < 120 } > gaps.count / 20 && gaps.count { $0 > 1_800 } > gaps.count / 10)
    }

    @Test("SV3: two processes with the secrets of one instance find each other out; a restarted one finds nobody")
    func sv3_copied() {
        let world = ServiceWorld(seed: 13)
        world.start(service)
        world.run(.seconds(1_000))
        world.start(service, service.descriptor(5))
        world.run(.seconds(3 * 3_600))
        // Each owner is told once.
        #expect(1...2 ~= world.copies, "\(world.copies)")
        // They do not publish against each other without end.
        for box in world.boxes(of: service) { #expect(world.versions(in: box).count < 90) }
        let other = ServiceWorld(seed: 14)
        other.start(service)
        other.run(.seconds(1_000))
        other.publishers[0] = nil
        other.start(service)
        other.run(.seconds(3 * 3_600))
        #expect(other.copies == 0)
        // Two instances of one service do not disturb each other.
        let two = ServiceWorld(seed: 15)
        two.start(service)
        two.start(Service(1, instance: 1))
        two.run(.seconds(3 * 3_600))
        #expect(two.copies == 0 && two.failures.isEmpty)
        #expect(two.publishers.allSatisfy { $0?.states.allSatisfy { $0.state.hiding.isEmpty } == true })
    }

    /// Has all replicas refuse the time of the first publisher's next version.
    private func refuseTime(_ world: ServiceWorld, _ number: UInt64) {
        world.said = StoreAnswer.refused(.timeInvalid).encoded()
        let before = world.failures.count
        world.publish(service.descriptor(number))
        world.run(.seconds(17)) { world.failures.count > before }
        #expect(world.failures.count == before + 1 && world.failures.last == .clock)
        world.said = nil
    }

    @Test("SV3: replicas that call a time invalid hide no other process")
    func sv3_copiedAmongLiars() {
        let world = ServiceWorld(seed: 16)
        world.start(service)
        world.run(.seconds(1_000))
        world.start(service, service.descriptor(5))
        for number in 0..<24 as Range<UInt64> where !world.copied.contains(0) {
            refuseTime(world, 10 + number)
            world.run(.seconds(8 * 60))
        }
        #expect(world.copied.contains(0))
    }

    @Test("SV3: a version that a clock ahead has made, and that somebody kept, is no other process's")
    func sv3_keptVersion() throws {
        let world = ServiceWorld(seed: 17)
        world.serviceSkew = 7_200
        world.start(service)
        world.run(.seconds(20))
        let box = world.boxes(of: service)[0]
        let kept = try #require(world.versions(in: box).last?.item)
        world.serviceSkew = 0
        world.run(.seconds(600))
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored } == true)
        refuseTime(world, 1)
        world.run(.seconds(100 * 60))
        world.plant(kept, at: world.members(of: service))
        world.run(.seconds(2 * 3_600))
        #expect(world.copies == 0)
        // It was found, and gone on from.
        let newest = try #require(world.versions(in: box).last?.item)
        #expect(newest.header.created >= kept.header.created)
        #expect(world.publishers[0]?.states.allSatisfy { $0.state.isStored } == true)
    }
}

import OnionCrypto
import SeededRandom
import ServicesModel
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Services

/// What look-ups of different apps and isolation keys have in common: nothing.
@Suite struct LookupShareTests {
    private let service = Service(1)

    @Test("R3: isolation keys share no look-up and no answer; callers of one share both")
    func r3_isolation() {
        let world = ServiceWorld(seed: 1)
        world.start(service)
        world.run(.seconds(20))
        let numbers = [1, 1, 2].map { world.find(service, source: 1, isolation: $0) }
        #expect(world.client.count == 2)
        world.run(.seconds(11)) { numbers.allSatisfy { world.results[$0] != nil } }
        #expect(world.lookups.count == 2)
        _ = world.look(service, isolation: 3)
        #expect(world.lookups.count == 3)
        // A new identity forgets, and the others do not.
        world.perform(world.client.forget(isolations: [1]))
        _ = world.look(service, isolation: 2)
        #expect(world.lookups.count == 3)
        _ = world.look(service, isolation: 1)
        #expect(world.lookups.count == 4)
    }

    @Test("R3: an app that looks up many services has its share of look-ups and of what is remembered")
    func r3_shares() {
        let world = ServiceWorld(seed: 2)
        world.start(service)
        world.run(.seconds(20))
        _ = world.look(service, source: 7, isolation: 7)
        let known = world.lookups.count
        // 400 names that nobody has, 200 at once.
        let names = (10..<410 as Range<UInt32>).map { Service($0) }
        var numbers: [UInt64] = []
        for part in [names.prefix(200), names.suffix(200)] {
            numbers += part.map { world.find($0, source: 1, isolation: 1) }
            #expect(world.client.count <= 31)
            // Another app is not kept waiting.
            let other = world.find(service, source: 2, isolation: UInt64(20 + numbers.count))
            world.run(.seconds(5)) { world.results[other] != nil }
            #expect(world.descriptors(other) == [service.descriptor()])
            world.run(.seconds(11))
        }
        #expect(numbers.contains { world.failure($0) == .tooMany })
        for name in names { _ = world.look(name, source: 1, isolation: 1) }
        #expect(world.client.cache.count <= 256 + 3)
        let asked = world.lookups.count
        _ = world.look(service, source: 7, isolation: 7)
        #expect(world.lookups.count == asked && known == 1)
        world.check()
    }

    @Test("R3: in a full memory an app that is new gets a place: the oldest of the one with most goes, or of all")
    func r3_newcomer() {
        func key(_ number: Int) -> DescriptorCache.Key {
            .init(isolation: UInt64(number), service: service.address)
        }
        let full = DescriptorCache.entries
        var cache = DescriptorCache()
        for number in 0..<full { cache.change(key(number), source: UInt64(number)) { _ in } }
        _ = cache.entry(key(0))
        cache.change(key(full), source: UInt64(full)) { _ in }
        #expect(cache.count == full && cache.entry(key(full)) != nil)
        #expect(cache.entry(key(0)) != nil && cache.entry(key(1)) == nil)
        // Four apps have a quarter each: a fifth one takes of them, and one of the four only of its own.
        cache = DescriptorCache()
        for number in 0..<full { cache.change(key(number), source: UInt64(number % 4)) { _ in } }
        cache.change(key(full), source: 3) { _ in }
        #expect(cache.count == full && cache.entry(key(3)) == nil)
        for number in 1...9 { cache.change(key(full + number), source: 9) { _ in } }
        #expect(cache.count == full && (1...9).allSatisfy { cache.entry(key(full + $0)) != nil })
    }

    @Test("A client without a snapshot, or whose network has no store, says so, and takes no place for it")
    func noStore() throws {
        let now = Instant(nanoseconds: 1)
        var lookups = ServiceLookups(patience: .seconds(1), random: SystemRandomNumberGenerator())
        func fails() -> Bool {
            let (number, actions) = lookups.find(
                service.address, for: .init(source: 1, isolation: 1), now: now, time: firstTime)
            guard actions.count == 1, case .ended(number, .failure(.noStore)) = actions[0] else { return false }
            return lookups.count == 0 && lookups.nextDeadline == nil
        }
        for _ in 0..<100 { #expect(fails()) }
        let snapshot = try #require(Snapshot(network: SwarmModel.network, height: 1, time: firstTime, entries: []))
        lookups.moved(to: ServiceSwarms(snapshot, shards: 0, swarmSize: 7))
        for _ in 0..<100 { #expect(fails()) }
    }

    @Test("R3: with all places taken the source with most gives one up, and its callers are told")
    func r3_fullTable() {
        let world = ServiceWorld(seed: 3)
        world.loss = 100
        var numbers: [UInt64] = []
        for source in 0..<4 as Range<UInt64> {
            for name in 0..<10 as Range<UInt32> {
                numbers.append(world.find(Service(100 + name), source: source, isolation: source))
            }
        }
        #expect(world.client.count == 40)
        let new = world.find(service, source: 9, isolation: 9)
        #expect(world.client.count == 40 && world.results[new] == nil)
        #expect(numbers.count { world.failure($0) == .tooMany } == 1)
        // A 65th caller of one look-up is refused.
        let more = (0..<70).map { _ in world.find(service, source: 9, isolation: 9) }
        #expect(more.count { world.failure($0) == .tooMany } == 7)
        world.run(.seconds(11))
        #expect(world.client.count == 0)
    }

    @Test(
        "Services, clients and replicas of all conducts over a bad network, by seed", arguments: 0..<6 as Range<UInt64>
    )
    func everything(seed: UInt64) {
        let world = ServiceWorld(seed: seed)
        var random = SeededGenerator(seed: seed &+ 99)
        let services = (1...3 as ClosedRange<UInt32>).map { Service($0) }
        for service in services { world.start(service) }
        world.loss = Int.random(in: 0...30, using: &random)
        world.delay = .random(in: 10...3_000, using: &random)
        for step in 0..<120 as Range<UInt64> {
            switch Int.random(in: 0..<9, using: &random) {
            case 0:
                world.set(
                    Conduct.allCases.randomElement(using: &random) ?? .mixed,
                    [world.nodes.randomElement(using: &random)!])
            case 1: world.kill([world.nodes.randomElement(using: &random)!])
            case 2: world.restart([world.nodes.randomElement(using: &random)!])
            case 3: world.publish(services[Int(step) % 3].descriptor(step), by: Int(step) % 3)
            case 4: world.move(without: Set(world.nodes.shuffled(using: &random).prefix(3)))
            case 5: world.serviceSkew = .random(in: -3_600...3_600, using: &random)
            case 6: world.clientSkew = .random(in: -3_600...3_600, using: &random)
            default: _ = world.find(services[Int(step) % 3], isolation: step % 5)
            }
            world.run(.seconds(.random(in: 1...120, using: &random)))
        }
        world.run(.seconds(20))
        // Without faults everything is found again.
        world.loss = 0
        world.delay = 200
        (world.serviceSkew, world.clientSkew) = (0, 0)
        world.set(.honest, world.nodes)
        world.restart(world.nodes.filter { _ in true })
        world.move()
        for (number, service) in services.enumerated() { world.publish(service.descriptor(1_000), by: number) }
        world.run(.seconds(2_600))
        world.perform(world.client.forget())
        for service in services { #expect(world.descriptors(world.look(service)) == [service.descriptor(1_000)]) }
        #expect(world.publishers.allSatisfy { $0?.states.allSatisfy { $0.state.isStored } == true })
        world.check()
    }
}

import OnionCrypto
import SeededRandom
import ServicesModel
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Services

extension ServiceWorld {
    /// What a look-up has found, by introduction points; nil: it failed, or goes on.
    func descriptors(_ number: UInt64) -> [ServiceDescriptor]? { try? results[number]?.get().map(\.descriptor) }
    /// Why a look-up has failed.
    func failure(_ number: UInt64) -> LookupFailure? {
        if case .failure(let failure)? = results[number] { failure } else { nil }
    }
    /// Looks a service up, to the end.
    func look(
        _ service: Service, source: UInt64 = 1, isolation: UInt64 = 1, keys: [ClientKey] = []
    ) -> UInt64 {
        let number = find(service, source: source, isolation: isolation, keys: keys)
        run(.seconds(11)) { results[number] != nil }
        return number
    }
}

@Suite struct LookupTests {
    private let service = Service(1)

    private func world(_ seed: UInt64, nodes: Int = 20, clients: [ClientKey]? = nil) -> ServiceWorld {
        let world = ServiceWorld(seed: seed, nodes: nodes)
        world.start(service, clients: clients)
        world.run(.seconds(20))
        return world
    }

    @Test("A service is found at the first replica, and then told without a question until its life ends")
    func findsAndRemembers() {
        let world = world(1)
        let first = world.look(service)
        #expect(world.descriptors(first) == [service.descriptor()] && world.lookups.count == 1)
        world.publish(nil)
        #expect(world.descriptors(world.look(service)) == [service.descriptor()] && world.lookups.count == 1)
        world.run(.seconds(3 * 3_600))
        #expect(world.failure(world.look(service)) == .absent && world.lookups.count == 7)
        world.check()
    }

    @Test(
        "A service is found with three of seven replicas of each box dead, in time", arguments: 0..<10 as Range<UInt64>)
    func deadReplicas(seed: UInt64) {
        let world = world(seed)
        for period in world.swarms.period.withPrevious {
            world.kill(world.members(of: service, in: period).prefix(3))
        }
        #expect(world.descriptors(world.look(service)) == [service.descriptor()])
        world.check()
    }

    @Test("A client and a service that are a period apart find each other")
    func periods() {
        let world = world(2)
        // The client has a snapshot of the next period, the service has not.
        let publisher = world.publishers[0]
        world.publishers[0] = nil
        world.move(later: 12 * 3_600)
        #expect(world.descriptors(world.look(service)) == [service.descriptor()])
        world.publishers[0] = publisher
    }

    @Test(
        "SV1, SV3: whatever single conduct three of seven replicas show, the newest descriptor is found",
        arguments: Conduct.allCases)
    func sv3_conducts(conduct: Conduct) {
        var found = 0
        for seed in 0..<10 as Range<UInt64> {
            let world = world(seed)
            world.publish(service.descriptor(7))
            world.run(.seconds(20))
            for period in world.swarms.period.withPrevious {
                world.set(conduct, world.members(of: service, in: period).prefix(3))
            }
            let number = world.look(service)
            // Old versions are authentic: one that is not old enough to be stale may be taken first.
            let versions =
                conduct == .stale || conduct == .mixed
                ? [service.descriptor(), service.descriptor(7)]
                : [
                    service.descriptor(7)
                ]
            if let all = world.descriptors(number) {
                found += 1
                #expect(all.count == 1 && versions.contains(all[0]))
            }
            world.check()
        }
        #expect(found == 10, "\(conduct): \(found)")
    }

    @Test("SV1: an answer with more than was asked for is not read, however good its descriptors are")
    func sv1_moreThanAsked() throws {
        let world = world(3)
        let box = try #require(world.boxes(of: service).first)
        let item = try #require(world.items(at: world.members(of: service).first, in: box).first).bytes
        for count in [3, 8] {
            world.said = StoreAnswer.items([[UInt8]](repeating: item, count: count)).encoded()
            #expect(world.failure(world.look(service)) == .invalid(.size))
            world.perform(world.client.forget())
        }
        // Fifteen bytes behind a good answer are no answer either.
        world.said = StoreAnswer.items([item]).encoded() + [UInt8](repeating: 0, count: 15)
        #expect(world.failure(world.look(service)) == .invalid(.size))
        world.perform(world.client.forget())
        world.said = StoreAnswer.items([item]).encoded()
        #expect(world.descriptors(world.look(service)) == [service.descriptor()])
    }

    @Test("SV3: an old version that does not work is followed by the newest, and never comes back")
    func sv3_rollback() throws {
        for seed in 0..<20 as Range<UInt64> {
            let world = world(seed)
            world.publish(service.descriptor(7))
            world.run(.seconds(20))
            let members = world.swarms.period.withPrevious.flatMap { world.members(of: service, in: $0).prefix(3) }
            world.set(.stale, members)
            var number = world.look(service)
            if world.descriptors(number) == [service.descriptor()] {
                let found = try #require(try world.results[number]?.get())
                world.client.failed(found, of: service.address, for: .init(source: 1, isolation: 1), now: world.now)
                number = world.look(service)
            }
            #expect(world.descriptors(number) == [service.descriptor(7)], "seed \(seed)")
            // The client holds the newest: the old one of the same box is refused from now on.
            let found = try #require(try world.results[number]?.get())
            world.client.failed(
                found, of: service.address, for: .init(source: 1, isolation: 1), now: world.now)
            let again = world.look(service)
            if let newer = try? world.results[again]?.get() {
                // The other box has an old version that this client has not seen.
                #expect(newer.allSatisfy { $0.period != found[0].period })
            } else {
                #expect(world.failure(again) == .unchanged)
            }
        }
    }

    @Test("SV3: what could not be used is forgotten, also after the minute in which it ends no look-up")
    func sv3_forgotten() throws {
        let world = world(10)
        let first = world.look(service)
        let found = try #require(try world.results[first]?.get())
        world.client.failed(found, of: service.address, for: .init(source: 1, isolation: 1), now: world.now)
        world.run(.seconds(61))
        let asked = world.lookups.count
        #expect(world.descriptors(world.look(service)) == [service.descriptor()])
        #expect(world.lookups.count == asked + 1)
    }

    @Test("SV3: an older version than the one that a client has seen is not taken, though it asked anew")
    func sv3_held() throws {
        let world = world(9)
        let box = try #require(world.boxes(of: service).first)
        let old = try #require(world.items(at: world.members(of: service).first, in: box).first).bytes
        world.run(.seconds(1_200))
        world.publish(service.descriptor(7))
        world.run(.seconds(20))
        let new = try #require(world.items(at: world.members(of: service).first, in: box).first).bytes
        func show(_ item: [UInt8]) -> UInt64 {
            world.said = StoreAnswer.items([item]).encoded()
            return world.look(service)
        }
        let first = show(new)
        #expect(world.descriptors(first) == [service.descriptor(7)])
        // The new one is of no use either; the old one is authentic, and behind it.
        let found = try #require(try world.results[first]?.get())
        world.client.failed(found, of: service.address, for: .init(source: 1, isolation: 1), now: world.now)
        let fault = world.failure(show(old))
        #expect(fault == .invalid(.superseded) || fault == .invalid(.box))
    }

    @Test("SV3: a descriptor older than a service lets it become ends no look-up while there may be a newer one")
    func sv3_stale() {
        for seed in 0..<20 as Range<UInt64> {
            let world = world(seed)
            world.set(.stale, world.swarms.period.withPrevious.flatMap { world.members(of: service, in: $0).prefix(3) })
            world.run(.seconds(110 * 60))
            world.publish(service.descriptor(7))
            world.run(.seconds(20))
            let number = world.look(service)
            #expect(world.descriptors(number) == [service.descriptor(7)], "seed \(seed)")
        }
        // With nothing else the old one is better than none.
        let world = world(1)
        world.publishers[0] = nil
        world.run(.seconds(110 * 60))
        let began = world.now
        #expect(world.descriptors(world.look(service)) == [service.descriptor()])
        #expect(world.now - began <= .seconds(4))
    }

    @Test("SV3: replicas that withhold a descriptor must be all that are asked")
    func sv3_withheld() {
        var missed = 0
        for seed in 0..<100 as Range<UInt64> {
            let world = world(seed)
            for period in world.swarms.period.withPrevious {
                world.set(.hides, world.members(of: service, in: period).prefix(4))
            }
            if world.descriptors(world.look(service)) == nil { missed += 1 }
        }
        // Three of each box are asked: (4·3·2 / 7·6·5)² = 1.3 %.
        #expect(missed <= 5, "\(missed)")
    }

    @Test("SV3: replicas that withhold a descriptor of one period do not keep a client from that of the other one")
    func sv3_wholeBox() {
        for seed in 0..<10 as Range<UInt64> {
            for period in ServiceWorld(seed: seed).swarms.period.withPrevious {
                let world = world(seed, nodes: 60)
                world.set(.hides, world.members(of: service, in: period))
                #expect(world.descriptors(world.look(service)) == [service.descriptor()])
            }
        }
    }

    @Test("SV3: a slow replica delays a look-up by the patience alone, and late answers are no trouble")
    func sv3_slow() {
        for seed in 0..<20 as Range<UInt64> {
            let world = world(seed, nodes: 60)
            world.set(.slow, world.members(of: service))
            let began = world.now
            #expect(world.descriptors(world.look(service)) == [service.descriptor()])
            #expect(world.now - began <= .seconds(5))
            // Nobody waits for the slow ones any more.
            #expect(world.asking.isEmpty)
            world.run(.seconds(20))
            world.check()
        }
    }

    @Test("SV3: questions that a client cannot send are no answers of replicas: it asks again within the time")
    func sv3_notSent() {
        let world = world(11)
        world.sendsNothing = true
        let began = world.now
        var number = world.find(service)
        world.run(.seconds(4))
        #expect(world.results[number] == nil && 4...10 ~= world.lookups.count)
        world.sendsNothing = false
        world.run(.seconds(3)) { world.results[number] != nil }
        #expect(world.descriptors(number) == [service.descriptor()])
        // The failure is told apart, and not remembered.
        world.perform(world.client.forget())
        world.sendsNothing = true
        let asked = world.lookups.count
        number = world.look(service)
        #expect(world.failure(number) == .notAsked && world.lookups.count - asked <= 21)
        #expect(world.now - began <= .seconds(18))
        world.sendsNothing = false
        #expect(world.descriptors(world.look(service)) == [service.descriptor()])
    }

    @Test("SV3: replicas whose keys a client does not know are passed over at once")
    func sv3_unknown() {
        let world = world(12)
        for period in world.swarms.period.withPrevious {
            world.unknown.formUnion(world.members(of: service, in: period).dropFirst())
        }
        let began = world.now
        #expect(world.descriptors(world.look(service)) == [service.descriptor()])
        #expect(world.now - began <= .seconds(1))
        world.unknown = Set(world.nodes)
        #expect(world.failure(world.look(service, isolation: 2)) == .notAsked)
        #expect(world.now - began <= .seconds(1))
    }

    @Test("SV2: no node is asked for two boxes of a service, as long as there are others")
    func sv2_oneBoxEach() {
        for seed in 0..<50 as Range<UInt64> {
            let world = ServiceWorld(seed: seed, nodes: 16)
            _ = world.look(service)
            let asked = world.lookups.map(\.replica)
            #expect(asked.count == 6 && Set(asked).count == 6)
            #expect(Set(world.lookups.map(\.box)).count == 2)
        }
    }

    @Test("R3: a name that is not there is not looked up each time: 5 s, doubled up to 120 s")
    func r3_negative() {
        let world = ServiceWorld(seed: 4)
        var asked: [Instant] = []
        for _ in 0..<3_600 {
            let before = world.lookups.count
            let number = world.find(service)
            if world.lookups.count > before { asked.append(world.now) }
            world.run(.seconds(1))
            if let failure = world.failure(number) { #expect(failure == .absent) }
        }
        world.run(.seconds(10))
        let gaps = zip(asked, asked.dropFirst()).map { ($1 - $0).inSeconds }
        #expect(gaps.first.map { 5...12 ~= $0 } == true)
        #expect(gaps.dropFirst(6).allSatisfy { 119...130 ~= $0 })
        // A service that comes is found at the next look-up; whoever forgets asks at once.
        world.start(service)
        world.run(.seconds(20))
        world.perform(world.client.forget())
        #expect(world.descriptors(world.look(service)) == [service.descriptor()])
    }

    @Test("After a time without answers the next look-up comes after five seconds, whatever failed before")
    func noAnswer() {
        let world = world(5)
        world.loss = 100
        for _ in 0..<10 {
            #expect(world.failure(world.look(service)) == .noAnswer)
            world.run(.seconds(6))
        }
        world.loss = 0
        #expect(world.descriptors(world.look(service)) == [service.descriptor()])
    }

    @Test("Both instances of a service are found, each in its newest version")
    func instances() {
        let other = Service(1, instance: 1)
        var both = 0
        for seed in 0..<20 as Range<UInt64> {
            let world = world(seed)
            world.start(other, other.descriptor(3))
            world.run(.seconds(20))
            if world.descriptors(world.look(service))?.count == 2 { both += 1 }
        }
        #expect(both == 20)
    }

    @Test(
        "SV19: a restricted service is found with its key; without it the reason is told, and a new key counts at once"
    )
    func sv19_restricted() {
        let (key, wrong) = (ClientKey(), ClientKey())
        let world = world(6, clients: [key])
        #expect(world.failure(world.look(service)) == .clientKeyMissing)
        // A key counts at once.
        #expect(world.failure(world.look(service, keys: [wrong])) == .clientKeyWrong)
        #expect(world.descriptors(world.look(service, keys: [wrong, key])) == [service.descriptor()])
    }

    @Test("SV19: what one client key finds, or does not find, is no answer for another one, also while it is looked up")
    func sv19_otherKeys() {
        let (key, wrong) = (ClientKey(), ClientKey())
        let world = world(7, clients: [key])
        // At once: each has a look-up of its own, which callers with the same keys share.
        let numbers = [[], [wrong], [key], [wrong, key], [key, wrong]].map { world.find(service, keys: $0) }
        #expect(world.client.count == 4)
        world.run(.seconds(11)) { numbers.allSatisfy { world.results[$0] != nil } }
        func isRight(_ numbers: [UInt64]) -> Bool {
            world.failure(numbers[0]) == .clientKeyMissing && world.failure(numbers[1]) == .clientKeyWrong
                && numbers.dropFirst(2).allSatisfy { world.descriptors($0) == [service.descriptor()] }
        }
        #expect(isRight(numbers))
        // What is known is told again to those who asked, each its own.
        let asked = world.lookups.count
        let again = [[], [wrong], [key], [wrong, key], [key, wrong]].map { world.find(service, keys: $0) }
        #expect(isRight(again) && world.lookups.count == asked)
        // The results of four sets of keys are kept.
        let others = (0..<4).map { _ in world.look(service, keys: [ClientKey()]) }
        #expect(others.allSatisfy { world.failure($0) == .clientKeyWrong })
        let place = DescriptorCache.Key(isolation: 1, service: service.address)
        var cache = world.client.cache
        #expect(cache.entry(place)?.known.count == 4)
    }
}

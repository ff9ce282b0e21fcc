import EventLoop
import Link
import Testing
import Wire

@testable import Relay

/// Look-ups of an exit beside names whose servers never answer.
@Suite struct ExitResolverTests {
    private final class Session {}

    /// Sessions of one source.
    private struct Source {
        let sessions: [Session]
        let shares: [StreamShare]

        init(_ number: Int, sessions count: Int) {
            sessions = (0..<count).map { _ in Session() }
            let source = LinkSource.client(AddressShare(IPAddress(v4: 0x0b00_0000 + UInt32(number) << 8)))
            shares = sessions.map { StreamShare(source: source, session: ObjectIdentifier($0)) }
        }
    }

    /// An exit's resolver in a simulated world: `good.test` has an address, names below `dead.test` get no answer.
    private final class Exit {
        let world = SimulatedWorld(seed: 1)
        let loop: Loop
        let resolver: ExitResolver
        private var next = 0

        init() throws {
            loop = Loop(simulated: world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001, port: 0)]))
            world.names["good.test"] = [SocketAddress(ipv4: 0xc000_0201, port: 0)]
            world.silentNames = { $0.hasSuffix("dead.test") }
            resolver = try ExitResolver(on: loop)
        }

        deinit {
            resolver.close()
            loop.close()
        }

        func askDead(_ share: StreamShare) -> ExitResolver.Query? {
            next += 1
            return resolver.resolve(HostName("n\(next).dead.test")!, port: 1, for: share) { _ in }
        }

        /// Whether a look-up of `share` is answered, in less than five seconds beside `meanwhile`.
        func isAnswered(_ share: StreamShare, meanwhile: () -> Void) -> Bool {
            var answer: Resolver.Answer?
            let query = resolver.resolve(HostName("good.test")!, port: 80, for: share) { answer = $0 }
            guard query != nil else { return false }
            for _ in 0..<10 where answer == nil {
                meanwhile()
                world.run(for: 490_000_000)
            }
            return answer == .success([SocketAddress(ipv4: 0xc000_0201, port: 80)])
        }
    }

    @Test(
        "s14: look-ups that nobody answers, of sessions that displace each other's, keep no newcomer out",
        arguments: [(1, 12), (20, 12), (1_000, 2)])
    func displacedLookups(sources: Int, sessions: Int) throws {
        let exit = try Exit()
        let flood = (0..<sources).map { Source($0, sessions: sessions) }
        // One session after the other asks for as many as it gets places, which are those of the sessions before.
        func floods() {
            for source in flood { for share in source.shares { while exit.askDead(share) != nil {} } }
        }
        // c-ares works on each of them for 7.5 s: the flood goes on for more than twice as long.
        for second in 0..<16 {
            floods()
            #expect(exit.resolver.workCount <= LookupSlots.capacity)
            exit.world.run(for: 500_000_000)
            let newcomer = Source(1_000_000 + second, sessions: 1)
            #expect(exit.isAnswered(newcomer.shares[0], meanwhile: floods), "\(second) s")
        }
    }

    @Test("s14: a cancelled look-up keeps its slot until the resolver is done with it") func cancelledLookups() throws {
        let exit = try Exit()
        let flood = Source(1, sessions: 40)
        for _ in 0..<300 {
            for share in flood.shares { if let query = exit.askDead(share) { exit.resolver.cancel(query) } }
        }
        let most = exit.resolver.workCount
        #expect(most <= 2_048 + 64)
        exit.world.run(for: 7_000_000_000)
        #expect(exit.resolver.workCount == most)
        exit.world.run(for: 1_000_000_000)
        #expect(exit.resolver.workCount == 0 && exit.resolver.count == 0)
    }

    @Test("s14: a session without a look-up has a slot beside a session of its source that has all it may have")
    func sessionsOfASource() throws {
        let exit = try Exit()
        let source = Source(1, sessions: 20)
        for share in source.shares.dropLast() { for _ in 0..<1_000 { _ = exit.askDead(share) } }
        #expect(exit.isAnswered(source.shares[19]) {})
    }

    @Test("More look-ups of a session than it has slots wait for each other, and all are answered") func queue() throws
    {
        let exit = try Exit()
        let source = Source(1, sessions: 1)
        var answers = 0
        for _ in 0..<1_000 {
            let query = exit.resolver.resolve(HostName("good.test")!, port: 1, for: source.shares[0]) { answer in
                if case .success = answer { answers += 1 }
            }
            #expect(query != nil)
        }
        let worked = exit.resolver.workCount
        #expect(worked < 1_000 && exit.resolver.count == 1_000)
        exit.world.run(for: 200_000_000)
        #expect(answers == 1_000 && exit.resolver.workCount == 0 && exit.resolver.count == 0)
    }

    @Test("A look-up that waits in a queue can be cancelled, and its place is free at once")
    func cancelledInQueue() throws {
        let exit = try Exit()
        let source = Source(1, sessions: 1)
        let queries = (0..<1_000).compactMap { _ in exit.askDead(source.shares[0]) }
        let worked = exit.resolver.workCount
        #expect(queries.count == 1_000 && worked < 1_000)
        for query in queries { exit.resolver.cancel(query) }
        #expect(exit.resolver.count == worked && exit.resolver.workCount == worked)
    }

    @Test("s14: a thousand sources with as many look-ups as they may have leave slots for more than as many others")
    func slots() {
        var slots = LookupSlots()
        for number in 0..<1_000 {
            for share in Source(number, sessions: 64).shares {
                while slots.take(for: share) != nil {}
            }
        }
        #expect(slots.count < LookupSlots.capacity - 1_000)
        for number in 0..<1_000 {
            #expect(slots.take(for: Source(10_000 + number, sessions: 1).shares[0]) != nil)
        }
        // An entry is counted until it is given back.
        let share = Source(20_000, sessions: 1).shares[0]
        guard let slot = slots.take(for: share) else {
            Issue.record("no slot")
            return
        }
        #expect(slots.take(for: share) == nil)
        slots.release(slot)
        #expect(slots.take(for: share) != nil)
    }
}

// One file: the tests share a harness and its helpers.

import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Link

/// The work and memory that strangers can cost a responder, on a clock that only the test moves.
@Suite struct LinkThreatTests {
    // MARK: Cookies

    /// An honest initiator that links while a flood lasts.
    private final class Honest {
        var initiator: LinkInitiator
        let source: Endpoint
        var isServed = false

        init(_ initiator: consuming LinkInitiator, _ source: Endpoint) {
            self.initiator = initiator
            self.source = source
        }
    }

    /// How many of 30 clients and of 30 nodes get an answer within 600 ms of a flood of initiations from forged
    /// addresses.
    private func served(
        flood perSecond: Int, known: Bool = true, from forged: (Int, [Endpoint]) -> Endpoint
    ) throws -> (clients: Int, nodes: Int) {
        var parties = Handshakes()
        var attacker = parties.initiator(index: 9_999)
        var spoofed = [parties.initiation(&attacker)]
        attacker = parties.initiator(isNode: true, index: 9_999)
        spoofed.append(parties.initiation(&attacker))
        var honest: [Honest] = []
        // Begins each honest handshake at its own time, all over 300 ms.
        func source(_ number: Int) -> Endpoint {
            Endpoint(address: IPAddress(v4: 0x0b00_0007 + UInt32(number) * 0x0101_0203), port: 1_090)
        }
        let nodes = (30..<60).map(source)
        if known { parties.known = Set(nodes) }
        for step in 0..<60 {
            for number in 0..<perSecond / 100 {
                let from = forged(step * (perSecond / 100) + number, nodes)
                _ = parties.meet(spoofed[number & 1], from: from)
            }
            if step >= 5, step < 35 {
                let number = step - 5
                honest.append(Honest(parties.initiator(index: 1_000), source(number)))
                let peer = LinkIdentity(SigningKey())
                honest.append(Honest(parties.initiator(isNode: true, by: peer, index: 1_001), source(30 + number)))
            }
            for each in honest {
                // A cookie is followed by the next initiation at once.
                for _ in 0..<2 where !each.isServed && parties.now >= each.initiator.nextDeadline {
                    switch parties.meet(parties.initiation(&each.initiator), from: each.source) {
                    case .accepted: each.isServed = true
                    case .cookie(let cookie): _ = each.initiator.receive(cookie.rawSpan, now: parties.now)
                    case .dropped: break
                    }
                }
            }
            parties.now = parties.now + .milliseconds(10)
        }
        let good = honest.filter(\.isServed)
        let served = good.count { nodes.contains($0.source) }
        return (good.count - served, served)
    }

    @Test("s16: forged initiations from everywhere use up nobody's cookies", arguments: [4_000, 20_000])
    func s16_forgedInitiationsFromEverywhere(perSecond: Int) throws {
        var random = SeededGenerator(seed: 16)
        let result = try served(flood: perSecond, known: false) { _, _ in
            Endpoint(address: IPAddress(v4: UInt32(truncatingIfNeeded: random.next())), port: 9)
        }
        #expect(result.clients >= 27 && result.nodes >= 27)
    }

    @Test("s16: a few prefixes that ask for all cookies leave others their part", arguments: [true, false])
    func s16_cookiesOfFewPrefixes(isIPv4: Bool) {
        var now = Instant(nanoseconds: 1_000_000_000)
        var rates = CookieRates(perAddress: 2_000, perPrefix: 8_000, inAll: 16_000, now: now)
        func address(_ prefix: Int, _ host: Int) -> IPAddress {
            isIPv4
                ? IPAddress(v4: UInt32(0x0b00_0000 + prefix << 16 + host))
                : IPAddress(high: UInt64(0x2001_0000 + prefix) << 32 | UInt64(host) << 8, low: 1)
        }
        var (floods, honest) = (0, 0)
        for step in 0..<300 {
            // Five prefixes ask for five times the total rate, an honest one for 10 cookies each 10 ms.
            for number in 0..<800 where rates.take(address(number % 5, step * 7 + number), now: now) { floods += 1 }
            for number in 0..<10 where rates.take(address(99, number), now: now) { honest += 1 }
            now = now + .milliseconds(10)
        }
        // Until the number of prefixes is known, a few cookies are lost.
        #expect(honest >= 2_850)
        // The flood gets what no other prefix asks for.
        #expect(floods > 3 * 10_000 && floods <= 16_000 * 4)
        // One address and one prefix each have their own limit.
        now = now + .seconds(10)
        #expect((0..<9_000).count { _ in rates.take(address(50, 1), now: now) } == 2_000)
        now = now + .seconds(10)
        #expect((0..<20_000).count { rates.take(address(51, $0 % 10), now: now) } == 8_000)
    }

    @Test("s16: one address or many that ask for all cookies leave a newcomer one", arguments: [1, 20, 1_000])
    func s16_aNewcomersCookie(addresses: Int) {
        var now = Instant(nanoseconds: 1_000_000_000)
        var rates = CookieRates(perAddress: 2_000, perPrefix: 8_000, inAll: 16_000, now: now)
        // Newcomers of different prefixes send an initiation each 0.4 s; one that is not served tries again.
        var served = 0
        for step in 0..<500 {
            // 80,000 a second in all.
            for number in 0..<800 {
                let flood = (step * 800 + number) % addresses
                _ = rates.take(IPAddress(v4: 0x0b00_0001 + UInt32(flood) << 16), now: now)
            }
            if step % 40 == 39, rates.take(IPAddress(v4: 0xc000_0001 + UInt32(served) << 16), now: now) { served += 1 }
            now = now + .milliseconds(10)
        }
        #expect(served >= 6, "of 12 in 5 s")
    }

    @Test("s16: forged initiations from the addresses of nodes shut out neither clients nor nodes")
    func s16_forgedInitiationsFromNodes() throws {
        let result = try served(flood: 4_000) { number, nodes in nodes[number % nodes.count] }
        #expect(result.clients >= 27 && result.nodes >= 27)
    }

    @Test("s16: a node whose prefix is flooded links without a cookie, as its descriptor names its address")
    func s16_nodesOfAFloodedPrefix() throws {
        var parties = Handshakes { $0.cookiesPerPrefix = 5 }
        var attacker = parties.initiator()
        let spoofed = parties.initiation(&attacker)
        for port in UInt16(1)...300 {
            _ = parties.meet(spoofed, from: Endpoint(address: parties.source.address, port: port))
        }
        var node = parties.initiator(isNode: true)
        check(parties.meet(parties.initiation(&node)) == .dropped(.cookieLimit))
        parties.known = [parties.source]
        parties.now = parties.now + .milliseconds(300)
        guard case .accepted = parties.meet(parties.initiation(&node)) else { return check(Bool(false)) }
        // Initiations from there without a cookie have their own rate: 4 at once, of which one is used.
        var tries = 0
        for _ in 0..<20 {
            node = parties.initiator(isNode: true)
            parties.now = parties.now + .milliseconds(1)
            if case .accepted = parties.meet(parties.initiation(&node)) { tries += 1 }
        }
        check(tries == 3)
    }

    @Test("s16: 4,500 forged initiations a second from a client's own /16 cost it no cookie")
    func s16_forgedInitiationsOfANeighbourhood() {
        var parties = Handshakes()
        var random = SeededGenerator(seed: 161)
        var attacker = parties.initiator(index: 9_999)
        let spoofed = parties.initiation(&attacker)
        func neighbour() -> Endpoint {
            Endpoint(address: IPAddress(v4: 0x0a00_0000 + UInt32(random.next() & 0xffff)), port: 9)
        }
        var served = 0
        for step in 0..<100 {
            for _ in 0..<45 { _ = parties.meet(spoofed, from: neighbour()) }
            if step % 5 == 4, case .accepted = parties.client(from: neighbour()) { served += 1 }
            parties.now = parties.now + .milliseconds(10)
        }
        #expect(served == 20)
    }

    @Test("s16: cookies go to one address, and to all, at a bounded rate") func s16_boundedCookies() {
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var one = CookieRates(perAddress: 2_000, perPrefix: 8_000, inAll: 16_000, now: now)
        var all = one
        var random = SeededGenerator(seed: 162)
        var (toOne, inAll) = (0, 0)
        for _ in 0..<50 {
            for _ in 0..<100 { if one.take(IPAddress(v4: 0x0a00_0001), now: now) { toOne += 1 } }
            for _ in 0..<800 {
                if all.take(IPAddress(v4: UInt32(truncatingIfNeeded: random.next())), now: now) { inAll += 1 }
            }
            now = now + .milliseconds(10)
        }
        #expect(toOne <= 3_000 && inAll <= 24_000)
    }

    // MARK: Work

    @Test(
        "s18: a flood of handshakes with cookies gets a bounded number, and newcomers come first",
        arguments: [12, 200, 800])
    func s18_boundedHandshakes(addresses: Int) {
        // A tenth of a responder's budget and of the flood: 500 a second, from networks of their own.
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var budget = HandshakeBudget(fresh: 35, others: 10, returning: 5, burst: 50, now: now)
        func source(_ number: Int) -> AddressShare { AddressShare(IPAddress(v4: 0x0b00_0000 + UInt32(number) << 8)) }
        var (granted, next) = (0, 0)
        func flood(_ steps: Int) {
            for _ in 0..<steps {
                for _ in 0..<5 {
                    if budget.take(source(next % addresses), now: now) { granted += 1 }
                    next += 1
                }
                now = now + .milliseconds(10)
            }
        }
        flood(2_000)
        // Each budget has a burst.
        #expect(granted <= 50 * 23)
        // Tries as an initiator does.
        func isServed(_ newcomer: AddressShare) -> Bool {
            for wait in [25, 50, 100, 200] {
                if budget.take(newcomer, now: now) { return true }
                flood(wait)
            }
            return budget.take(newcomer, now: now)
        }
        // Newcomers that link once, and again a little later.
        var (inTime, again) = (0, 0)
        for number in 0..<10 {
            if isServed(source(20_000 + number)) { inTime += 1 }
            flood(110)
            if isServed(source(20_000 + number)) { again += 1 }
        }
        #expect(inTime == 10)
        // While there are fewer networks than handshakes a second, each network has its part.
        if addresses == 12 { #expect(again == 10) }
    }

    @Test("s18: many new sources of few networks leave newcomers their part") func s18_newSourcesShareByNetwork() {
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var budget = HandshakeBudget(fresh: 700, others: 150, returning: 150, burst: 64, now: now)
        var next = 0
        // 65,536 sources of 256 networks: when one comes again, it has had no handshake for a minute.
        func flood(_ milliseconds: Int) {
            for _ in 0..<milliseconds {
                now = now + .milliseconds(1)
                for _ in 0..<20 {
                    let source = AddressShare(IPAddress(v4: 0x0b00_0000 + UInt32(next % 65_536)))
                    _ = budget.take(source, now: now)
                    next += 257
                }
            }
        }
        flood(1_000)
        for number in 0..<4 {
            let newcomer = AddressShare(IPAddress(v4: 0x0c00_0000 + UInt32(number) << 8))
            // Tries as an initiator does.
            var isServed = false
            for wait in [250, 500, 1_000] where !isServed {
                isServed = budget.take(newcomer, now: now)
                flood(wait)
            }
            check(isServed)
        }
    }

    @Test("s18: new sources and all others have budgets of their own") func s18_newSourcesAndOthers() {
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var budget = HandshakeBudget(fresh: 70, others: 30, returning: 1, burst: 8, now: now)
        func source(_ number: Int) -> AddressShare { AddressShare(IPAddress(v4: 0x0b00_0000 + UInt32(number) << 8)) }
        // Ten seconds of a thousand tries each; `next` names the source of a try.
        func granted(_ next: (Int) -> AddressShare) -> Int {
            var granted = 0
            for attempt in 0..<10_000 {
                if budget.take(next(attempt), now: now) { granted += 1 }
                now = now + .milliseconds(1)
            }
            return granted
        }
        check((680...720).contains(granted { source($0) }))
        // The first sources that had a handshake count as known for a minute.
        check((280...320).contains(granted { source($0 % 8) }))
        // Neither group excludes the other.
        let both = granted { source($0 % 2 == 0 ? $0 % 8 : 20_000 + $0) }
        check((960...1_040).contains(both))
    }

    /// The client's address had a handshake less than a minute ago, so it is none of the new sources.
    @Test(
        "s12: a client that comes back beside a flood of links waits for less than five seconds",
        arguments: [true, false])
    func s12_returningClients(keepsLinks: Bool) {
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var budget = HandshakeBudget(fresh: 700, others: 150, returning: 150, burst: 64, now: now)
        func source(_ number: Int) -> AddressShare { AddressShare(IPAddress(v4: 0x0b00_0000 + UInt32(number) << 8)) }
        // 2,000 links a second from 8,000 networks, as in bench/flood.
        var next = 0
        var linked: Set<Int> = []
        func flood(_ milliseconds: Int) {
            for _ in 0..<milliseconds {
                now = now + .milliseconds(1)
                for _ in 0..<2 {
                    let number = next % 8_000
                    if budget.take(source(number), hasLink: linked.contains(number), now: now), keepsLinks {
                        linked.insert(number)
                    }
                    next += 1
                }
            }
        }
        // A flood that ends its links has used its sources' returns by then.
        flood(keepsLinks ? 20_000 : 150_000)
        var late = 0
        for number in 0..<20 {
            let client = source(20_000 + number)
            // Tries as an initiator does that has a cookie; says after how many milliseconds it is served.
            func served() -> Int {
                var waited = 0
                for wait in [250, 500, 1_000, 1_000, 1_000, 1_000, 1_000] {
                    if budget.take(client, now: now) { return waited }
                    flood(wait)
                    waited += wait
                }
                return .max
            }
            if served() >= 5_000 { late += 1 }
            flood(1_000)
            if served() >= 5_000 { late += 1 }
        }
        // Two of a hundred clients share both of their buckets with sources of the flood.
        #expect(late <= 4)
    }

    @Test("s12: a source comes back once before the others until it is new again") func s12_oneReturn() {
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var budget = HandshakeBudget(fresh: 1, others: 1, returning: 1, burst: 1, now: now)
        let source = AddressShare(IPAddress(v4: 0x0b00_0001))
        func granted(hasLink: Bool = false) -> Int {
            (0..<200).count { _ in budget.take(source, hasLink: hasLink, now: now) }
        }
        // As a new one, as one that is back, and as any other.
        #expect(granted() == 3)
        now = now + .seconds(59)
        #expect(granted() == 1)
        now = now + .seconds(60)
        #expect(granted() == 3)
        // With a link up it does not come back before the others.
        now = now + .seconds(60)
        #expect(granted(hasLink: true) == 2)
    }

    @Test("s18: who has got a cookie asks again each second, or as its answers take") func s18_retriesAfterACookie() {
        /// The times at which a client sends, in milliseconds since the start; the cookie takes `roundTrip`, or nil:
        /// none comes.
        func times(_ roundTrip: TimeSpan?) -> [Int64] {
            var parties = Handshakes()
            let start = parties.now
            var initiator = parties.initiator()
            var sent: [Int64] = []
            var cookie: (bytes: [UInt8], at: Instant)?
            while true {
                switch initiator.poll(now: parties.now, wallClock: parties.wallClock) {
                case .failed: return sent
                case .wait: break
                case .send(let datagram):
                    sent.append((parties.now - start).nanoseconds / 1_000_000)
                    if let roundTrip, cookie == nil, case .cookie(let bytes) = parties.meet(datagram) {
                        cookie = (bytes, parties.now + roundTrip)
                    }
                }
                if let due = cookie, due.at <= parties.now {
                    guard case .cookie = initiator.receive(due.bytes.rawSpan, now: parties.now) else { return [] }
                    cookie = (due.bytes, start + .seconds(100))
                    continue
                }
                parties.now = min(initiator.nextDeadline, cookie?.at ?? initiator.nextDeadline)
            }
        }
        check(times(nil) == [0, 250, 750, 1_750, 3_750, 7_750])
        let quick = times(.milliseconds(100))
        check(quick.prefix(5) == [0, 100, 350, 850, 1_850] && quick.suffix(2) == [8_850, 9_850] && quick.count == 13)
        // The answer to each initiation arrives before the second initiation after it.
        check(times(.milliseconds(700)) == [0, 250, 700, 1_400, 2_800, 4_200, 5_600, 7_000, 8_400, 9_800])
        // The cookie for the first initiation comes after the third, and is accepted.
        check(times(.milliseconds(1_300)).prefix(5) == [0, 250, 750, 1_300, 2_600])
    }

    @Test("s18: the responder works on no more handshakes than its budget has") func s18_budget() {
        var parties = Handshakes { $0.handshakeBurst = 20 }
        var accepted = 0
        for number in 0..<60 {
            let source = Endpoint(address: IPAddress(v4: 0x0b00_0000 + UInt32(number) << 8), port: 7)
            switch parties.client(from: source) {
            case .accepted: accepted += 1
            case .dropped(let reason): check(reason == .handshakeLimit)
            case .cookie: Issue.record("a cookie was shown")
            }
        }
        #expect(accepted == 20)
    }

    @Test("s27: nodes' tests of a flooded node come first") func s27_testsOfAFloodedNode() {
        var parties = Handshakes { $0.handshakeBurst = 20 }
        let nodes = (0..<10).map { Endpoint(address: IPAddress(v4: 0x0c00_0000 + UInt32($0) << 8), port: 7) }
        parties.known = Set(nodes)
        for number in 0..<60 {
            _ = parties.client(from: Endpoint(address: IPAddress(v4: 0x0b00_0000 + UInt32(number) << 8), port: 7))
        }
        for node in nodes {
            // A test comes from another port than that of the node's links.
            let tester = Endpoint(address: node.address, port: 9_999)
            guard case .accepted = parties.client(from: tester) else { return check(Bool(false)) }
        }
    }

    // MARK: The memory of initiations

    @Test(
        "s18: a full memory of initiations shuts nobody out, and nothing in it works twice",
        arguments: [1, 20, 1_000])
    func s18_fullMemoryOfInitiations(addresses: Int) throws {
        var parties = Handshakes {
            $0.clientInitiations = 40
            $0.initiationsPerSource = 1_000_000
            $0.sourceBurst = 1_000_000
            $0.handshakeBurst = 500
            $0.cookiesPerAddress = 1_000_000
            $0.cookiesPerPrefix = 1_000_000
            $0.cookies = 1_000_000
        }
        struct Taken {
            let datagram: [UInt8]
            let source: Endpoint
        }
        var taken: [Taken] = []
        var refused = 0
        for number in 0..<200 {
            let address = IPAddress(v4: 0x0b00_0000 + UInt32(number % addresses))
            let source = Endpoint(address: address, port: UInt16(number))
            var initiator = parties.initiator()
            guard case .cookie(let cookie) = parties.meet(parties.initiation(&initiator), from: source),
                case .cookie = initiator.receive(cookie.rawSpan, now: parties.now)
            else { return check(Bool(false)) }
            let datagram = parties.initiation(&initiator)
            if case .accepted = parties.meet(datagram, from: source) {
                taken.append(Taken(datagram: datagram, source: source))
            } else {
                refused += 1
            }
            parties.now = parties.now + .milliseconds(5)
            // Whether an initiation is still remembered or its cookie is void: it makes no second link.
            for each in taken.suffix(90) {
                switch parties.meet(each.datagram, from: each.source) {
                case .accepted: Issue.record("an initiation worked twice")
                case .cookie, .dropped: break
                }
            }
        }
        #expect(refused == 0)
    }

    @Test("s18: replays find no gap, whenever secrets change", arguments: 1...6 as ClosedRange<UInt64>)
    func s18_replaysFindNoGap(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var jar = CookieJar(now: now)
        var cache = InitiationCache(capacity: 8)
        struct Taken {
            let key: Bytes32
            let initiation: [UInt8]
        }
        let source = Endpoint(address: IPAddress(v4: 1), port: 1)
        var taken: [Taken] = []
        for number in 0..<400 {
            if random.next() % 4 == 0 { now = now + .seconds(Int64(random.next() % 300)) }
            // The cookie was given out before up to two changes of the secret.
            let cookie = jar.cookie(for: source)
            for _ in 0..<random.next() % 3 { jar.rotate(at: now) }
            now = now + .milliseconds(10)
            jar.advance(to: now)
            cache.advance(toRotation: jar.rotation)
            let body = [UInt8](repeating: UInt8(number & 0xff), count: 31) + [UInt8(number >> 8)]
            let initiation = body + Blake2b.mac16(key: cookie.rawSpan, body.rawSpan)
            if jar.verify(initiation.rawSpan, from: source) {
                let key = Blake2b.digest(initiation.rawSpan)
                if !cache.hasRoom {
                    jar.rotate(at: now)
                    cache.advance(toRotation: jar.rotation)
                }
                cache.insert(key)
                taken.append(Taken(key: key, initiation: initiation))
            }
            for each in taken where jar.verify(each.initiation.rawSpan, from: source) {
                #expect(cache.contains(each.key))
            }
            #expect(cache.count <= 16)
        }
    }

    // MARK: Clocks

    /// A wall clock in nanoseconds since 1970.
    private static let midday: UInt64 = 1_700_000_000_000_000_000
    private static let second: UInt64 = 1_000_000_000

    @Test(
        "s27: a node whose clock was ahead links as soon as it is right",
        arguments: [3_600, 80_000, 90_000, 100_000_000])
    func s27_aClockThatWasAhead(ahead: UInt64) {
        var parties = Handshakes()
        var initiator = parties.initiator(isNode: true)
        let wrong = parties.wallClock + ahead * Self.second
        guard case .send(let early) = initiator.poll(now: parties.now, wallClock: wrong) else {
            return check(Bool(false))
        }
        let met = parties.meet(early)
        if ahead > 86_400 {
            check(met == .dropped(.staleTimestamp))
        } else {
            guard case .accepted = met else { return check(Bool(false)) }
        }
        // The process goes on: its timestamps never go back, and restart when no peer would accept them.
        parties.now = parties.now + .seconds(5)
        var next = parties.initiator(isNode: true)
        guard case .accepted = parties.meet(parties.initiation(&next)) else { return check(Bool(false)) }
    }

    @Test(
        "s27: a node that was started anew with the right clock is never shut out by its former clock",
        arguments: [3_600, 80_000])
    func s27_neverShutOut(ahead: UInt64) {
        var memory = TimestampMemory()
        let wrong = Self.midday + ahead * Self.second
        check(memory.accept(wrong, wallClock: Self.midday))
        for minute in UInt64(1)...2_000 {
            let now = Self.midday + minute * 60 * Self.second
            // The two clocks may differ by some minutes.
            check(memory.accept(now - 300 * Self.second + 7, wallClock: now))
            check(!memory.accept(wrong, wallClock: now))
        }
    }

    @Test("s27: however clocks go, no timestamp is accepted twice", arguments: 1...20 as ClosedRange<UInt64>)
    func s27_noTimestampTwice(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var memory = TimestampMemory()
        var now = Self.midday
        var accepted: Set<UInt64> = []
        var offered: [UInt64] = [0, 1, .max]
        for _ in 0..<3_000 {
            switch random.next() % 8 {
            case 0: now += random.next() % (7_200 * Self.second)
            case 1: now -= random.next() % (60 * Self.second)
            case 2: offered.append(now + random.next() % (172_800 * Self.second))
            default: offered.append(now + random.next() % (1_000 * Self.second))
            }
            let stamp = offered[Int(random.next() % UInt64(offered.count))]
            if memory.accept(stamp, wallClock: now) {
                #expect(accepted.insert(stamp).inserted, "seed \(seed)")
                #expect(stamp <= now || stamp - now <= 86_400 * Self.second)
            }
        }
        #expect(accepted.count > 100)
    }

    @Test("s27: timestamps that are ahead are remembered in bounded number") func s27_boundedAhead() {
        var memory = TimestampMemory()
        let stamps = (UInt64(1)...200).map { Self.midday + 3_600 * Self.second + $0 }
        let accepted = stamps.filter { memory.accept($0, wallClock: Self.midday) }
        #expect(accepted.count == 64)
        check(memory.accept(Self.midday, wallClock: Self.midday))
    }
}

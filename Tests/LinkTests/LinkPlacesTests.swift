import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Link

/// Which links get a place in the table of links, on a clock that only the test moves.
@Suite struct LinkPlacesTests {
    /// The links' states, in an object so that reading one copies nothing.
    private final class States {
        private var all: [Int: LinkPlaces<Int>.State] = [:]

        subscript(_ link: Int) -> LinkPlaces<Int>.State? {
            get { all[link] }
            set { all[link] = newValue }
        }
        var keys: [Int] { all.keys.sorted() }
        var count: Int { all.count }
    }

    /// A responder's table: every handshake is valid, and the peer decides how its link goes on.
    private struct Table {
        var places: LinkPlaces<Int>
        let states = States()
        var now = Instant(nanoseconds: 1_000_000_000_000)
        private var next = 0
        /// Links that were replaced.
        var gone: [Int] = []

        init(capacity: Int) { places = LinkPlaces(capacity: capacity) }

        /// A handshake of `source`; its link, or nil.
        mutating func link(_ source: LinkSource, paths: Int = 0, isUp: Bool = true) -> Int? {
            take(places.room(for: source, now: now) { states[$0]! }, source, paths, isUp)
        }

        mutating func own(_ node: Bytes32) -> Int? {
            take(places.roomForOwn { states[$0]! }, .node(node), 1, true)
        }

        private mutating func take(
            _ room: LinkPlaces<Int>.Room, _ source: LinkSource, _ paths: Int, _ isUp: Bool
        ) -> Int? {
            switch room {
            case .free: break
            case .none: return nil
            case .after(let victim): drop(victim)
            }
            next += 1
            places.insert(next, for: source)
            states[next] = LinkPlaces.State(paths: paths, quietSince: now, since: now, isUp: isUp)
            return next
        }

        mutating func drop(_ link: Int) {
            places.remove(link)
            states[link] = nil
            gone.append(link)
        }

        func isThere(_ link: Int) -> Bool { states[link] != nil }
        mutating func wait(_ milliseconds: Int64) { now = now + .milliseconds(milliseconds) }
    }

    /// A client; each number has a network of its own.
    private func client(_ number: Int) -> LinkSource {
        .client(AddressShare(IPAddress(v4: 0x0b00_0000 + UInt32(number) << 8)))
    }

    /// The /56 with this number of one /48.
    private func subscriber(_ number: Int) -> LinkSource {
        .client(AddressShare(IPAddress(high: 0x2001_0db8_0001_0000 + UInt64(number) << 8, low: 1)))
    }

    private func node(_ number: Int) -> Bytes32 { Blake2b.digest([UInt8(number & 0xff), UInt8(number >> 8)].rawSpan) }

    /// Tries every 250 ms while `flood` goes on; the link and the time that it took, at most 5 s.
    private func newcomer(
        _ table: inout Table, _ source: LinkSource, flood: (inout Table, Int) -> Void
    ) -> (link: Int, milliseconds: Int)? {
        for step in 0..<500 {
            flood(&table, step)
            if step % 25 == 0, let link = table.link(source) { return (link, step * 10) }
            table.wait(10)
        }
        return nil
    }

    @Test(
        "s12: a client and a node get in within 5 s of a flood, and stay while they build a path",
        arguments: [1, 20, 1_000], [0, 1])
    func s12_newcomers(addressesOfEight: Int, paths: Int) throws {
        // An eighth of a relay's table, and an eighth of the addresses.
        var table = Table(capacity: 1_024)
        let addresses = (addressesOfEight + 7) / 8
        // 20 handshakes a second from each address, at most 200 in all. For this table that is as much as 1,600 for one
        // of 8,192, and a core cannot do 1,600.
        let rate = min(addresses * 20, 200) / 100
        func flood(_ table: inout Table, _ step: Int) {
            for number in 0..<max(1, rate) where rate > 0 || step % 5 == 0 {
                _ = table.link(client((step * max(1, rate) + number) % addresses), paths: paths)
            }
        }
        for step in 0..<1_500 {
            flood(&table, step)
            table.wait(10)
        }
        #expect(table.places.clientCount <= 768)
        for source in [client(5_000), .node(node(1))] {
            let entered = try #require(newcomer(&table, source, flood: flood))
            #expect(entered.milliseconds <= 1_000)
            for step in 0..<150 {
                flood(&table, step)
                table.wait(10)
            }
            #expect(table.isThere(entered.link))
            table.states[entered.link]!.paths = 1
        }
        for step in 0..<500 {
            flood(&table, step)
            table.wait(10)
        }
        #expect(table.places.links(of: client(5_000)).count == 1 && table.places.links(of: .node(node(1))).count == 1)
        #expect(table.places.count <= 1_024)
    }

    @Test("s12: an address has 64 links, and more only as long as as many are free")
    func s12_mostOfAnAddress() {
        var table = Table(capacity: 1_024)
        for _ in 0..<1_000 { _ = table.link(client(0), paths: 1) }
        #expect(table.places.clientCount == 384)
        // The next link takes the place of an idle one; without an idle one it is refused.
        let idle = table.places.links(of: client(0))[7]
        table.states[idle]!.paths = 0
        check(table.link(client(0)) == nil)
        table.wait(3_000)
        check(table.link(client(0), paths: 1) != nil)
        check(table.gone == [idle])
        check(table.link(client(0)) == nil)
        // Others fill the rest, 64 each, and then take the places that the first has above 64.
        for number in 1...20 { for _ in 0..<64 { _ = table.link(client(number), paths: 1) } }
        #expect(table.places.clientCount == 768)
        let counts = (0...20).map { table.places.links(of: client($0)).count }
        #expect(counts.max()! - counts.min()! <= 1)
        // The same while its network has fewer than it may have.
        var other = Table(capacity: 1_024)
        for number in 0...10 { for _ in 0..<64 { check(other.link(client(number), paths: 1) != nil) } }
        check(other.link(client(0)) == nil)
        check(other.link(client(11)) != nil)
    }

    @Test("s12: hundreds of users of one address have a link each while nobody else wants the places")
    func s12_manyUsersOfOneAddress() {
        var table = Table(capacity: 8_192)
        for _ in 0..<3_000 { check(table.link(client(0), paths: 2) != nil) }
        #expect(table.gone.isEmpty)
    }

    @Test("s12: an address keeps more than 64 links beside many other users, as far as there is room")
    func s12_manyUsersBesideOthers() {
        var table = Table(capacity: 1_024)
        for number in 1...400 { check(table.link(client(number), paths: 1) != nil) }
        for _ in 0..<150 { check(table.link(client(0), paths: 1) != nil) }
        #expect(table.gone.isEmpty)
    }

    @Test(
        "s12: 256 sources of one /48 leave half of the table free, and each newcomer of other networks gets in",
        arguments: [0, 1])
    func s12_oneNetwork(paths: Int) {
        var table = Table(capacity: 1_024)
        for number in 0..<3_000 { _ = table.link(subscriber(number % 256), paths: paths) }
        #expect(table.places.clientCount == 384)
        for number in 0..<700 {
            _ = table.link(subscriber(number % 256), paths: paths)
            check(table.link(client(number), paths: 1) != nil)
        }
        #expect((0..<700).allSatisfy { table.places.links(of: client($0)).count == 1 })
        #expect(table.places.clientCount == 768)
    }

    @Test("s12: in a full table networks have equal parts, and the sources of one share its part")
    func s12_equalNetworks() {
        var table = Table(capacity: 1_024)
        for round in 0..<64 {
            for number in 0..<16 { _ = table.link(client(number), paths: 1) }
            for number in 0..<256 where number % 64 == round { _ = table.link(subscriber(number), paths: 1) }
        }
        for number in 0..<2_000 { _ = table.link(subscriber(number % 256), paths: 1) }
        let ofNetwork = (0..<256).reduce(0) { $0 + table.places.links(of: subscriber($1)).count }
        #expect(table.places.clientCount <= 768 && ofNetwork <= 96)
        #expect((0..<16).allSatisfy { table.places.links(of: client($0)).count >= 32 })
    }

    @Test("s12: where every address has one link, the one that has been idle for longest gives way")
    func s12_oneEach() {
        var table = Table(capacity: 64)
        var links: [Int] = []
        for number in 0..<48 {
            table.wait(1)
            links.append(table.link(client(number), paths: number % 2) ?? 0)
        }
        table.wait(1_000)
        check(table.link(client(100)) == nil)
        table.wait(1_000)
        table.states[links[0]]!.quietSince = table.now
        check(table.link(client(100)) != nil)
        #expect(table.gone == [links[2]])
        // Links with a path stay, whoever comes.
        for number in 200..<400 {
            table.wait(100)
            _ = table.link(client(number))
        }
        #expect(links.enumerated().allSatisfy { $0.offset % 2 == 0 || table.isThere($0.element) })
    }

    @Test("s12: a quarter is left to nodes, another to clients, and the own links find a place")
    func s12_quarters() {
        var table = Table(capacity: 400)
        for number in 0..<1_000 { _ = table.link(client(number), paths: 1) }
        #expect(table.places.count == 300)
        for number in 0..<1_000 { _ = table.link(.node(node(number)), paths: 1) }
        #expect(table.places.count == 400 && table.places.clientCount == 300)
        for number in 0..<200 { check(table.own(node(2_000 + number)) != nil) }
        #expect(table.places.count == 400 && table.places.clientCount == 100)
        // A quarter is left to clients, however many own links are asked for.
        for number in 0..<200 { check(table.own(node(3_000 + number)) == nil) }
        #expect(table.places.count == 400 && table.places.clientCount == 100)
        let idle = table.places.links(of: .node(node(2_000)))[0]
        table.states[idle]!.paths = 0
        check(table.own(node(4_000)) != nil && table.gone.last == idle)

        var other = Table(capacity: 400)
        for number in 0..<1_000 { _ = other.link(.node(node(number)), paths: 1) }
        #expect(other.places.count == 300)
        for number in 0..<100 { check(other.link(client(number)) != nil) }
    }

    @Test("s12: a node has two links, the newest among them, and two half-open ones") func s12_linksOfANode() {
        var table = Table(capacity: 64)
        var last = 0
        for _ in 0..<10 {
            last = table.link(.node(node(1)), isUp: false)!
            #expect(table.places.links(of: .node(node(1))).count <= 2)
        }
        #expect(table.isThere(last))
        var up: [Int] = []
        for number in 0..<6 {
            let link = table.link(.node(node(2)), paths: number == 0 ? 1 : 0, isUp: false)!
            table.states[link]!.isUp = true
            table.wait(1)
            let states = table.states
            if let surplus = table.places.surplus(of: .node(node(2)), state: { states[$0]! }) { table.drop(surplus) }
            up.append(link)
        }
        // The link that carries a path was kept in place of those that carry none.
        #expect(table.places.links(of: .node(node(2))) == [up[0], up[5]])
    }

    @Test("s12: links that close do not let a node have more half-open ones, and go before those")
    func s12_closingLinksOfANode() {
        var table = Table(capacity: 64)
        let source = LinkSource.node(node(1))
        func close(_ link: Int) {
            table.states[link] = LinkPlaces.State(
                paths: 0, quietSince: Instant(nanoseconds: 0), since: Instant(nanoseconds: 0), isUp: true,
                isClosing: true)
        }
        var (links, halfOpen): ([Int], [Int]) = ([], [])
        for _ in 0..<2 { links.append(table.link(source)!) }
        for _ in 0..<2 { halfOpen.append(table.link(source, isUp: false)!) }
        for link in links { close(link) }
        // The third half-open one has the place of the first.
        halfOpen.append(table.link(source, isUp: false)!)
        #expect(table.gone == [halfOpen[0]])
        // One comes up and closes: of three that are not up, the one that closes goes first.
        close(halfOpen[1])
        halfOpen.append(table.link(source, isUp: false)!)
        #expect(table.gone == [halfOpen[0], links[0]])
        #expect(table.isThere(halfOpen[2]) && table.isThere(halfOpen[3]))
    }

    @Test("s12: whether an address has a link up is told by its own links") func s12_linksUp() {
        var table = Table(capacity: 40)
        func isUp(_ number: Int) -> Bool { table.places.isUp(client(number)) { table.states[$0]! } }
        #expect(!isUp(1))
        let halfOpen = table.link(client(1), isUp: false)!
        _ = table.link(client(2))
        _ = table.link(.node(node(1)))
        #expect(!isUp(1) && isUp(2) && !isUp(3))
        table.states[halfOpen]!.isUp = true
        #expect(isUp(1))
        table.drop(halfOpen)
        #expect(!isUp(1))
    }

    @Test("s12: of an address with many links a part is examined, another one after each new link")
    func s12_aPartOfAnAddress() throws {
        var table = Table(capacity: 4_096)
        var links: [Int] = []
        while links.count < 1_500 {
            let link = table.link(client(1), paths: 1)
            links.append(try #require(link))
        }
        for number in 2..<40 { for _ in 0..<32 { _ = table.link(client(number), paths: 1) } }
        table.wait(10_000)
        // One of the address's links has no path.
        let idle = links[1_000]
        table.states[idle]!.paths = 0
        var asked = 0
        func look(_ table: Table) -> LinkPlaces<Int>.Room {
            asked = 0
            let states = table.states
            return table.places.room(for: client(1), now: table.now) { link in
                asked += 1
                return states[link]!
            }
        }
        var room = look(table)
        #expect(room == .none)
        for number in 100..<200 where room == .none {
            #expect(asked <= LinkPlaces<Int>.mostAsked)
            _ = table.link(client(number), paths: 1)
            room = look(table)
        }
        #expect(room == .after(idle))
        #expect(asked <= LinkPlaces<Int>.mostAsked)
    }

    @Test("s12: counts hold whatever happens", arguments: 1...20 as ClosedRange<UInt64>)
    func s12_countsHold(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = Table(capacity: 40)
        for _ in 0..<2_000 {
            let number = Int(random.next() % 12)
            switch random.next() % 8 {
            case 0: if let link = table.states.keys.first { table.drop(link) }
            case 1:
                let links = table.states.keys
                guard !links.isEmpty else { continue }
                let link = links[Int(random.next() % UInt64(links.count))]
                table.states[link]!.paths = Int(random.next() % 2)
                table.places.move(link, to: AddressShare(IPAddress(v4: UInt32(number))))
            case 2: _ = table.own(node(number))
            case 3, 4: _ = table.link(.node(node(number)), paths: Int(random.next() % 2), isUp: random.next() % 2 == 0)
            default: _ = table.link(client(number), paths: Int(random.next() % 2))
            }
            table.wait(Int64(random.next() % 400))
            #expect(table.places.count == table.states.count && table.places.count <= 40)
            let clients = table.states.keys.count {
                if case .client = table.places.source(of: $0) { true } else { false }
            }
            #expect(table.places.clientCount == clients && clients <= 30, "seed \(seed)")
        }
    }

    @Test(
        "s12: half-open links of a flood give way to each other before they do to a newcomer's",
        arguments: [1, 20, 1_000])
    func s12_halfOpen(addresses: Int) {
        var links = HalfOpenLinks<Int, Int>()
        var now = Instant(nanoseconds: 1_000_000_000)
        for number in 0..<5_000 {
            _ = links.insert(number, of: number % addresses, now: now)
            now = now + .microseconds(50)
        }
        check(links.insert(-1, of: -1, now: now) != -1)
        // A round trip of 200 ms, with 4,000 more links.
        for number in 5_000..<9_000 {
            check(links.insert(number, of: number % addresses, now: now) != -1)
            now = now + .microseconds(50)
        }
        #expect(links.count <= 1_024)
    }
}

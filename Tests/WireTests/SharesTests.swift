import Testing
import Wire

/// Places of a bounded table among its sources.
struct SharesTests {
    /// Takes a place as the owner of a table does: the largest source gives one up if it must.
    private static func take(_ shares: inout Shares<Int>, _ source: Int) -> Bool {
        switch shares.take(for: source) {
        case .granted: return true
        case .makeRoom(let largest):
            shares.release(largest)
            return shares.take(for: source) == .granted
        case .shareUsed, .full: return false
        }
    }

    @Test func oneSourceHoldsItsShareAndNoMore() {
        var shares = Shares<Int>(capacity: 100, most: 10)
        for _ in 0..<10 { #expect(Self.take(&shares, 1)) }
        #expect(shares.take(for: 1) == .shareUsed)
        #expect(shares.count == 10)
    }

    @Test(arguments: [1, 20, 1_000]) func aNewcomerGetsAPlaceWhileAFloodLasts(sources: Int) {
        var shares = Shares<Int>(capacity: 512, most: 512)
        for round in 0..<20_000 { _ = Self.take(&shares, round % sources) }
        #expect(shares.count == 512)
        // With fewer sources than places the newcomer gets one of the largest's. With more, each has one, and the
        // newcomer must wait.
        #expect(Self.take(&shares, -1) == (sources < 512))
    }

    @Test func equalSourcesHaveEqualShares() {
        var shares = Shares<Int>(capacity: 64, most: 64)
        for _ in 0..<64 { #expect(Self.take(&shares, 0)) }
        for round in 0..<1_000 { _ = Self.take(&shares, round % 4) }
        for source in 0..<4 { #expect(shares.places(of: source) == 16) }
        #expect(shares.count == 64)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func countsAgreeWithASlowVersion(seed: UInt64) {
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var shares = Shares<Int>(capacity: 40, most: 15)
        var table: [Int] = []
        for _ in 0..<5_000 {
            let source = random(9)
            if random(3) == 0, let place = table.firstIndex(of: source) {
                table.remove(at: place)
                shares.release(source)
            } else {
                let own = table.count { $0 == source }
                let most = (0..<9).map { each in table.count { $0 == each } }.max() ?? 0
                switch shares.take(for: source) {
                case .granted:
                    #expect(own < 15 && table.count < 40)
                    table.append(source)
                case .makeRoom(let largest):
                    #expect(table.count == 40 && table.count { $0 == largest } == most && most >= own + 2)
                case .shareUsed: #expect(own == 15)
                case .full: #expect(table.count == 40 && most < own + 2)
                }
            }
            #expect(shares.count == table.count)
            #expect(shares.places(of: source) == table.count { $0 == source })
        }
    }

    @Test func aSourceMayHaveMoreWhileTheTableIsEmptyEnough() {
        var shares = Shares<Int>(capacity: 100, most: 10, freely: 50)
        for _ in 0..<50 { #expect(Self.take(&shares, 1)) }
        #expect(shares.take(for: 1) == .shareUsed)
        for source in 2..<7 { for _ in 0..<10 { #expect(Self.take(&shares, source)) } }
        #expect(shares.take(for: 2) == .shareUsed)
        #expect(shares.take(for: 7) == .makeRoom(1))
        // `add` counts places beyond any share.
        shares.add(2, places: 3)
        #expect(shares.places(of: 2) == 13 && shares.count == 103)
        shares.release(2, places: 13)
        #expect(shares.places(of: 2) == 0 && shares.count == 90)
    }

    @Test func entriesOfSeveralPlaces() {
        var shares = Shares<Int>(capacity: 20, most: 12)
        #expect(shares.take(for: 1, places: 12) == .granted)
        #expect(shares.take(for: 1, places: 1) == .shareUsed)
        #expect(shares.admission(for: 2, places: 9) == .makeRoom(1))
        #expect(shares.admission(for: 2, places: 12) == .full)
        #expect(shares.take(for: 2, places: 8) == .granted)
        #expect(shares.largest == 1)
        shares.release(1, places: 12)
        #expect(shares.largest == 2 && shares.count == 8)
    }

    @Test func addressesCountForTheirSubscriber() throws {
        func share(_ text: String) throws -> AddressShare { AddressShare(try #require(IPAddress(text))) }
        #expect(try share("192.0.2.1") != share("192.0.2.2"))
        #expect(try share("2001:db8:0:100::1") == share("2001:db8:0:1ff:ffff::2"))
        #expect(try share("2001:db8:0:100::1") != share("2001:db8:0:200::1"))
        #expect(try share("::ffff:192.0.2.1") == share("192.0.2.1"))
    }

    @Test("s12: the sources of a network and of a /48 belong together") func s12_networks() throws {
        func share(_ text: String) throws -> AddressShare { AddressShare(try #require(IPAddress(text))) }
        #expect(try share("2001:db8:1:100::1") != share("2001:db8:1:200::1"))
        #expect(try share("2001:db8:1:100::1").network == share("2001:db8:1:ff00::1").network)
        #expect(try share("2001:db8:1:100::1").network != share("2001:db8:2:100::1").network)
        #expect(try share("192.0.2.1").network == share("192.0.2.255").network)
        #expect(try share("192.0.2.1").network != share("192.0.3.1").network)
    }

    @Test("s12: places by group and source agree with a slow version", arguments: 1...10 as ClosedRange<UInt64>)
    func s12_groupedShares(seed: UInt64) {
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var shares = GroupedShares<Int, Int>(capacity: 1_000)
        var table: [Int] = []
        for _ in 0..<1_000 {
            let source = random(12)
            if random(3) == 0, let place = table.firstIndex(of: source) {
                table.remove(at: place)
                shares.release(source, in: source % 3)
            } else {
                table.append(source)
                shares.add(source, in: source % 3)
            }
            func held(_ group: Int) -> Int { table.count { $0 % 3 == group } }
            let own = table.count { $0 == source }
            #expect(shares.count == table.count && shares.places(of: source, in: source % 3) == own)
            guard let largest = shares.largest, let first = shares.largest(in: largest) else {
                #expect(table.isEmpty)
                continue
            }
            #expect(shares.places(of: largest) == held(largest) && held(largest) == (0..<3).map(held).max())
            let inLargest = (0..<12).filter { $0 % 3 == largest }.map { source in table.count { $0 == source } }
            #expect(table.count { $0 == first } == inLargest.max())
        }
    }

    // MARK: Rates

    @Test(
        "s17: who got nothing counts as well, so that those that empty a small bucket leave a part of the rate",
        arguments: [1, 2, 1_000])
    func s17_newcomersOfARate(flood: Int) {
        let start = Instant(nanoseconds: 1)
        var rate = SharedRate<Int, Never>(perSecond: 1_000, burst: 50, now: start)
        var served = 0
        for millisecond in 0..<5_000 as Range<Int64> {
            let now = start + .milliseconds(millisecond)
            for request in 0..<5 { _ = rate.take((Int(millisecond) * 5 + request) % flood, now) }
            if millisecond % 1_000 == 900, rate.take(-1, now) { served += 1 }
        }
        #expect(served >= 4)
    }

    @Test("s17: in a network, too, a newcomer has its part of the rate of builds")
    func s17_newcomerOfANetwork() {
        let start = Instant(nanoseconds: 1)
        var rate = SharedRate<Int, Int>(perSecond: 1_000, burst: 1_000, now: start)
        var served = 0
        for millisecond in 0..<10_000 as Range<Int64> {
            let now = start + .milliseconds(millisecond)
            // Another network floods, and an address of the newcomer's.
            for request in 0..<4 { _ = rate.take(request % 2, in: request % 2, now) }
            if millisecond % 10 == 9, rate.take(-1, in: 0, now) { served += 1 }
        }
        #expect(served >= 900)
    }

    // MARK: Memory

    @Test("s14: many small holders of one source give memory back before large ones of others")
    func s14_manySmallHolders() {
        var holders = (0..<8_192).map { _ in MemoryHolder(source: 1, bytes: 128 << 10) }
        holders += (0..<20).map { MemoryHolder(source: 2 + $0, bytes: 16 << 20) }
        let losers = MemoryHolder.losers(of: holders, limit: 1 << 30)
        #expect(losers.allSatisfy { $0 < 8_192 })
        let held = holders.reduce(0) { $0 + $1.bytes } - losers.reduce(0) { $0 + holders[$1].bytes }
        #expect(held <= 1 << 30 && held > 1 << 30 - 1 << 20)
        #expect(MemoryHolder.losers(of: holders, limit: 1 << 31).isEmpty)
    }

    @Test("s14: beside a flood behind the same neighbour a download goes on, and what is stalled ends")
    func s14_sameSource() {
        var holders = (0..<8_192).map { _ in MemoryHolder(source: 1, bytes: 128 << 10, isStalled: true) }
        holders.append(MemoryHolder(source: 1, bytes: 32 << 20))
        holders.append(MemoryHolder(source: 2, bytes: 32 << 20, isStalled: true))
        let losers = MemoryHolder.losers(of: holders, limit: 1 << 30)
        #expect(!losers.isEmpty && losers.allSatisfy { $0 < 8_192 })
    }
}

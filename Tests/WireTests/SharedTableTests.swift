import Testing
import Wire

/// Which entry of a bounded table is replaced.
struct SharedTableTests {
    @Test func theLargestSourceGivesUpItsOldestIdleEntry() {
        var table = SharedTable<String, String, Int>(capacity: 4, most: 4)
        for entry in 0..<4 { #expect(table.insert(entry, for: "flood") == .inserted) }
        table.setBusy(0, true)
        #expect(table.insert(10, for: "newcomer") == .replaced(1))
        #expect(table.insert(11, for: "newcomer") == .replaced(2))
        #expect(table.insert(12, for: "newcomer") == .refused)
        #expect(table.insert(20, for: "flood") == .refused)
        #expect(table.count(of: "flood") == 2 && table.count == 4)
    }

    @Test("s14: a newcomer gets a place while one group or many fill the table", arguments: [1, 20, 1_000], [1, 2])
    func s14_aNewcomerGetsAPlace(groups: Int, membersOfEach: Int) {
        var table = SharedTable<Int, Int, Int>(capacity: 4_000, most: 4_000)
        for entry in 0..<4_000 {
            let group = entry % groups
            #expect(table.insert(entry, for: group * 2 + entry / groups % membersOfEach, in: group) == .inserted)
            table.setBusy(entry, true)
        }
        guard case .replaced = table.insert(9_999, for: 9_999, in: 9_999) else {
            Issue.record("the newcomer got no place")
            return
        }
        #expect(table.count == 4_000 && table.count(of: 9_999, in: 9_999) == 1)
    }

    @Test("s14: whoever comes through a source that holds its part gets in", arguments: [1, 20, 1_000])
    func s14_oneOfManyBehindASource(sources: Int) {
        var table = SharedTable<Int, Int, Int>(capacity: 4_000, most: 4_000)
        for entry in 0..<4_000 { _ = table.insert(entry, for: entry % sources, replacesOwn: true) }
        // Sources that hold the same do not take places of one another.
        let shares = (0..<sources).map { table.count(of: $0) }
        for number in 0..<4_000 {
            let source = number * 7 % sources
            guard case .replaced(let gone) = table.insert(10_000 + number, for: source, replacesOwn: true) else {
                Issue.record("\(number) got no place")
                return
            }
            #expect(gone % sources == source)
        }
        #expect((0..<sources).map { table.count(of: $0) } == shares)
        // Entries in use stay.
        for entry in 10_000..<14_000 { table.setBusy(entry, true) }
        #expect(table.insert(20_000, for: 0, replacesOwn: true) == .refused)
    }

    @Test func aTableWithPlacesIsFullWhenItsOwnerSaysSo() {
        var table = SharedTable<String, String, Int>(capacity: 100, most: 100)
        #expect(table.insert(0, for: "flood", in: "flood", isFull: true) == .refused)
        for entry in 1...3 { #expect(table.insert(entry, for: "flood", in: "flood") == .inserted) }
        #expect(table.insert(4, for: "flood", in: "flood", isFull: true) == .refused)
        #expect(table.insert(5, for: "newcomer", in: "newcomer", isFull: true) == .replaced(1))
        #expect(table.count == 3)
    }

    @Test func anEntryInUseGoesWhenItsSourceHasNoOther() {
        var table = SharedTable<String, String, Int>(capacity: 2, most: 2)
        for entry in 0..<2 { _ = table.insert(entry, for: "flood") }
        for entry in [1, 0] { table.setBusy(entry, true) }
        #expect(table.insert(2, for: "newcomer") == .replaced(1))
    }

    @Test func whenAllHoldTheSameTheOldestIdleEntryGoes() {
        var table = SharedTable<String, String, Int>(capacity: 3, most: 3)
        for (entry, source) in ["a", "b", "c"].enumerated() { _ = table.insert(entry, for: source) }
        table.setBusy(0, true)
        #expect(table.insert(3, for: "d") == .replaced(1))
        #expect(table.insert(4, for: "d") == .refused)
        for entry in [2, 3] { table.setBusy(entry, true) }
        #expect(table.insert(5, for: "e") == .refused)
    }

    @Test("s14: a full group whose members are all new takes places of its own, and none of others'")
    func s14_newMembersOfAFullGroupTakeItsOwnPlaces() {
        var table = SharedTable<String, Int, Int>(capacity: 6, most: 6)
        for entry in 0..<2 { #expect(table.insert(entry, for: entry, in: "honest") == .inserted) }
        for entry in 10..<14 { #expect(table.insert(entry, for: entry, in: "flood") == .inserted) }
        for entry in 20..<30 {
            guard case .replaced(let gone) = table.insert(entry, for: entry, in: "flood") else {
                Issue.record("\(entry) got no place")
                continue
            }
            #expect(gone >= 10)
        }
        #expect(table.count == 6)
        #expect(table.count(of: 0, in: "honest") == 1 && table.count(of: 1, in: "honest") == 1)
    }

    @Test func whatIsNotInUseAnyMoreIsYoungAgain() {
        var table = SharedTable<String, String, Int>(capacity: 3, most: 3)
        for entry in 0..<3 { _ = table.insert(entry, for: "one") }
        table.setBusy(0, true)
        table.setBusy(0, false)
        #expect(table.insert(9, for: "two") == .replaced(1))
        table.remove(2)
        table.remove(2)
        #expect(table.insert(10, for: "one") == .inserted)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func agreesWithASlowVersion(seed: UInt64) {
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var table = SharedTable<Int, Int, Int>(capacity: 12, most: 8)
        // Entries by age, the oldest first.
        var slow: [(entry: Int, source: Int, isBusy: Bool)] = []
        for entry in 0..<4_000 {
            switch random(4) {
            case 0:
                guard !slow.isEmpty else { break }
                table.remove(slow.remove(at: random(slow.count)).entry)
            case 1:
                guard !slow.isEmpty else { break }
                var changed = slow.remove(at: random(slow.count))
                changed.isBusy = random(2) == 0
                slow.append(changed)
                table.setBusy(changed.entry, changed.isBusy)
            default:
                let source = random(5)
                let before = slow
                let own = before.count { $0.source == source }
                let most = (0..<5).map { each in before.count { $0.source == each } }.max() ?? 0
                let insertion = table.insert(entry, for: source)
                if own >= 8 || (before.count == 12 && most < own + 2 && (own > 0 || !before.contains { !$0.isBusy })) {
                    #expect(insertion == .refused)
                } else {
                    if before.count == 12 {
                        guard case .replaced(let victim) = insertion,
                            let place = before.firstIndex(where: { $0.entry == victim })
                        else {
                            Issue.record("the table is full, and nobody gave way")
                            return
                        }
                        let loser = before[place].source
                        let candidates = most >= own + 2 ? before.filter { $0.source == loser } : before
                        if most >= own + 2 { #expect(candidates.count == most) }
                        #expect(victim == (candidates.first { !$0.isBusy } ?? candidates[0]).entry)
                        slow.remove(at: place)
                    } else {
                        #expect(insertion == .inserted)
                    }
                    slow.append((entry, source, false))
                }
            }
            #expect(table.count == slow.count)
        }
    }

    @Test("s14: many sources of one group leave another group its part") func s14_manySourcesOfAGroup() {
        var table = SharedTable<Int, Int, Int>(capacity: 64, most: 64)
        for number in 0..<200 { _ = table.insert(number, for: number, in: 0) }
        #expect(table.count == 64)
        for number in 1_000..<1_032 { #expect(table.insert(number, for: 1_000, in: 1) != .refused) }
        #expect(table.count(of: 1_000, in: 1) == 32)
        #expect(table.insert(2_000, for: 1_000, in: 1) == .refused)
        // In a group the source with the most entries loses one.
        #expect(table.insert(3_000, for: 999, in: 1) != .refused)
        #expect(table.count(of: 1_000, in: 1) == 31)
    }

    @Test(
        "s14: a table full of busy entries lets a newcomer in whose source has two fewer than the largest, and no other",
        arguments: [1, 20, 1_000])
    func s14_busyEntries(sources: Int) {
        let capacity = 20_000
        var table = SharedTable<Int, Int, Int>(capacity: capacity, most: capacity)
        for entry in 0..<capacity {
            #expect(table.insert(entry, for: entry % sources, replacesOwn: true) == .inserted)
            table.setBusy(entry, true)
        }
        // Over a source that the flood does not use a newcomer has as many as each of the others.
        let part = capacity / (sources + 1)
        for entry in capacity..<capacity + part {
            #expect(table.insert(entry, for: -1, replacesOwn: true) != .refused)
            table.setBusy(entry, true)
        }
        // Over the flood's own sources it is refused while all their entries are busy.
        #expect(table.insert(-1, for: 0, replacesOwn: true) == .refused)
        table.setBusy(capacity - 1, false)
        #expect(table.insert(-1, for: sources - 1, replacesOwn: true) == .replaced(capacity - 1))
    }
}

import Testing

@testable import Links

@Suite struct IndexTableTests {
    @Test("every index leads to its place until it is freed") func roundTrip() throws {
        var table = IndexTable(capacity: 600, worker: 3)
        var taken: [UInt32: UInt32] = [:]
        for place in UInt32(0)..<600 {
            let index = try #require(table.take(for: place))
            #expect(index >> 24 == 3)
            #expect(taken[index] == nil)
            taken[index] = place
        }
        for (index, place) in taken { #expect(table.find(index) == place) }
        for index in taken.keys { table.free(index) }
        for index in taken.keys { #expect(table.find(index) == nil) }
        #expect(table.count == 0)
        #expect(table.find(0) == nil)
    }

    @Test("a full table gives no index") func full() {
        var table = IndexTable(capacity: 1, worker: 0)
        var count = 0
        while table.take(for: 1) != nil { count += 1 }
        #expect(count == 1_024)
    }
}

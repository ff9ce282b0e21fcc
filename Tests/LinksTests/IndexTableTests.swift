import Testing

@testable import Links

@Suite struct IndexTableTests {
    @Test("every index leads to its place until it is freed") func roundTrip() throws {
        var table = IndexTable(capacity: 600, worker: 3)
        var taken: [UInt32: UInt32] = [:]
        for place in UInt32(0)..<600 {
            let taking = table.take(for: place)
            let index = try #require(taking)
            #expect(index >> 24 == 3)
            #expect(taken[index] == nil)
            taken[index] = place
        }
        for (index, place) in taken {
            let found = table.find(index)
            #expect(found == place)
        }
        for index in taken.keys { table.free(index) }
        for index in Array(taken.keys) + [0] {
            let found = table.find(index)
            #expect(found == nil)
        }
        let count = table.count
        #expect(count == 0)
    }

    @Test("an index that another table of the worker has drawn leads to its place, and moves") func lead() throws {
        var drawn = IndexTable(capacity: 600, worker: 3)
        var table = IndexTable(capacity: 600, worker: 3)
        var indices: [UInt32] = []
        for place in UInt32(0)..<600 {
            let taking = drawn.take(for: IndexTable.reserved)
            let index = try #require(taking)
            table.lead(index, to: place)
            indices.append(index)
        }
        table.lead(indices[7], to: 900)
        for (place, index) in indices.enumerated() {
            let found = table.find(index)
            #expect(found == (place == 7 ? 900 : UInt32(place)))
        }
        for index in indices { table.free(index) }
        let count = table.count
        #expect(count == 0)
    }

    @Test("a full table gives no index") func full() {
        var table = IndexTable(capacity: 1, worker: 0)
        var count = 0
        while table.take(for: 1) != nil { count += 1 }
        #expect(count == 512)
    }
}

import Testing

@testable import Onion

/// Places for values, up to a fixed maximum.
@Suite struct PlaceStoreTests {
    @Test("A store takes as many values as it was made for, and a place that is free again takes another")
    func full() {
        for maximum in [1, 63, 64, 65, 200] {
            var store = PlaceStore<Int>(maximum: maximum)
            var places: [UInt32] = []
            for value in 0..<maximum { places.append(store.insert(value)) }
            #expect(Set(places).count == maximum)
            for (value, place) in places.enumerated() where value % 3 == 0 {
                let removed = store.remove(place)
                #expect(removed == value)
                places[value] = store.insert(value)
            }
            #expect(Set(places).count == maximum)
        }
    }

    @Test(
        "R7: a store with as many values as it was made for is full, so that none is written behind its memory",
        arguments: [1, 3, 64, 65])
    func overfull(maximum: Int) {
        var store = PlaceStore<Int>(maximum: maximum)
        for value in 0..<maximum {
            let wasFull = store.isFull
            _ = store.insert(value)
            #expect(!wasFull)
        }
        let isFull = store.isFull
        let removed = store.remove(0)
        let isFullAfter = store.isFull
        #expect(isFull && removed == 0 && !isFullAfter)
    }
}

import Testing

@testable import Onion

/// Places for values, up to a number that was set at the beginning.
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

    @Test("R7: one value more than a store was made for ends the process, and is not written behind its memory")
    func overfull() async {
        await #expect(processExitsWith: .failure) {
            // Its chunk would be the second of one.
            var store = PlaceStore<Int>(maximum: PlaceStore<Int>.perChunk)
            for value in 0...PlaceStore<Int>.perChunk { _ = store.insert(value) }
        }
        await #expect(processExitsWith: .failure) {
            var store = PlaceStore<Int>(maximum: 3)
            for value in 0..<4 { _ = store.insert(value) }
        }
    }
}

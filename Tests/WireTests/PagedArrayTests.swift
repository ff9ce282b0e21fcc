import Testing
import Wire

@Suite struct PagedArrayTests {
    @Test func anElementIsInitialUntilItIsWritten() {
        var array = PagedArray(repeating: 7, count: 1_000)
        #expect(array.count == 1_000)
        #expect((0..<1_000).allSatisfy { array[$0] == 7 })
        for index in [0, 63, 64, 999] { array[index] = index }
        for index in 0..<1_000 { #expect(array[index] == ([0, 63, 64, 999].contains(index) ? index : 7)) }
        array[63] += 1
        #expect(array[63] == 64)
    }

    @Test func memoryIsTakenOnlyForPagesThatWereWritten() {
        var array = PagedArray(repeating: UInt64(0), count: 1 << 16)
        #expect(array[40_000] == 0)
        #expect(array.written == 0)
        array[1] = 1
        array[2] = 1
        array[40_000] = 1
        #expect(array.written == 2 * 64)
        for index in 0..<1 << 16 { array[index] = 1 }
        #expect(array.written == 1 << 16)
    }

    @Test func aCopyIsAValue() {
        var one = PagedArray(repeating: 0, count: 100)
        one[5] = 1
        var other = one
        other[5] = 2
        #expect(one[5] == 1 && other[5] == 2)
    }
}

import Testing

@testable import Transport

/// The sending half of a stream, without packets.
@Suite struct SendHalfTests {
    @Test("a half whose end was sent is not unsent, whether the end is under way, lost or acknowledged")
    func isUnsent() {
        var half = SendHalf(limit: 1_000)
        var pool = BytePool()
        #expect(holds(half.isUnsent))
        half.finish()
        #expect(holds(half.isUnsent && half.canSend))
        half.sent(offset: 0, count: 0, isNew: true, fin: true)
        #expect(holds(!half.isUnsent))
        half.lose(offset: 0, count: 0, fin: true)
        #expect(holds(!half.isUnsent && half.canSend))
        half.sent(offset: 0, count: 0, isNew: true, fin: true)
        half.acknowledge(offset: 0, count: 0, fin: true, pool: &pool)
        #expect(holds(!half.isUnsent && half.isDone))
    }
}

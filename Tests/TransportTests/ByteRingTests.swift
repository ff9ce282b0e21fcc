import Testing
import Wire

@testable import Transport

@Suite struct ByteRingTests {
    private func bytes(_ range: Range<UInt64>) -> [UInt8] { range.map { UInt8(truncatingIfNeeded: $0 &* 37) } }

    private func shown(_ ring: borrowing ByteRing, at offset: UInt64, count: Int) -> [UInt8] {
        ring.withBytes(at: offset, count: count) { unsafe $0.withUnsafeBytes { unsafe [UInt8]($0) } }
    }

    /// An app gets a burst in one write wherever in the stream it begins.
    @Test func aBurstIntoAnEmptyRingIsShownInOnePiece() {
        var pool = BytePool()
        var ring = ByteRing()
        var offset: UInt64 = 11_111
        for length in [1, 2_048, 12_288, 12_288, 700, 24_576] as [UInt64] {
            var end = offset
            while end < offset + length {
                let next = min(end + 1_210, offset + length)
                let piece = bytes(end..<next)
                ring.write(piece.rawSpan, at: end, keeping: offset, pool: &pool)
                end = next
            }
            #expect(shown(ring, at: offset, count: Int(length)) == bytes(offset..<end))
            ring.release(to: &pool)
            offset = end
        }
        #expect(pool.lent == 0)
    }

    /// What is kept stays right while the ring goes round and grows.
    @Test func bytesStayWhereTheirOffsetsSay() {
        var pool = BytePool()
        var ring = ByteRing()
        var (low, high): (UInt64, UInt64) = (5, 5)
        for step in 0..<200 as Range<UInt64> {
            let next = high + 300 + step * 7
            let piece = bytes(high..<next)
            ring.write(piece.rawSpan, at: high, keeping: low, pool: &pool)
            high = next
            var read: [UInt8] = []
            while read.count < Int(high - low) {
                read += shown(ring, at: low + UInt64(read.count), count: Int(high - low) - read.count)
            }
            #expect(read == bytes(low..<high))
            low += (high - low) * (step % 3) / 3
        }
    }
}

import SeededRandom
import Testing
import Wire

@testable import Transport

@Suite struct ByteRingTests {
    private func bytes(_ range: Range<UInt64>) -> [UInt8] { range.map { UInt8(truncatingIfNeeded: $0 &* 37) } }

    private func shown(_ ring: borrowing ByteRing, at offset: UInt64, count: Int) -> [UInt8] {
        ring.withBytes(at: offset, count: count) { unsafe $0.withUnsafeBytes { unsafe [UInt8]($0) } }
    }

    /// An app gets a burst in one write, wherever in the stream the burst begins.
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

    /// Kept bytes stay right while the ring wraps and grows.
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

    /// Writes behind holes, anywhere in the window and over each other, are read as they were written.
    @Test(arguments: 0..<6 as Range<UInt64>) func s01_everyByteIsReadWhereItWasWritten(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var pool = BytePool()
        var ring = ByteRing()
        var (low, high): (UInt64, UInt64) = (seed * 1_000, seed * 1_000)
        var runs = RangeSet()
        for _ in 0..<200 {
            let offset = low + UInt64.random(in: 0...20_000, using: &generator)
            let end = offset + UInt64.random(in: 0...1_500, using: &generator)
            ring.write(bytes(offset..<end).rawSpan, at: offset, keeping: low, pool: &pool)
            runs.insert(offset, end)
            if end > offset { high = max(high, end) }
            for run in runs.runs where run.low >= low {
                var read: [UInt8] = []
                while read.count < Int(run.high - run.low) {
                    read += shown(ring, at: run.low + UInt64(read.count), count: Int(run.high - run.low) - read.count)
                }
                #expect(read == bytes(run.low..<run.high))
                var copy = [UInt8](repeating: 0, count: read.count + 7)
                var target = copy.mutableRawSpan
                ring.read(at: run.low, count: read.count, into: &target, at: 7)
                #expect(copy[7...] == read[...])
            }
            if Bool.random(using: &generator) {
                low = min(high, low + UInt64.random(in: 0...3_000, using: &generator))
                runs.remove(0, low)
            }
            if low == high { ring.release(to: &pool) }
        }
    }
}

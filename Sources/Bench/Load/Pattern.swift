internal import EventLoop
internal import Glibc

/// The bytes that streams carry: pseudo-random, with a prime period just above 1 MiB.
///
/// Each stream starts at its own place. So a byte that is lost, repeated, altered or taken from another stream makes
/// the comparison of its chunk fail.
public enum Pattern {
    /// The number of bytes after which the pattern repeats.
    public static let period = 1_048_583
    /// The most bytes that ``withChunk(at:count:_:)`` gives.
    public static let longestChunk = 256 << 10

    /// One period, followed by its beginning, so that a chunk from any place is contiguous.
    private static let bytes: [UInt8] = {
        var value: UInt64 = 0x9e37_79b9_7f4a_7c15
        var bytes = [UInt8](repeating: 0, count: period + longestChunk)
        for index in 0..<period {
            value ^= value << 13
            value ^= value >> 7
            value ^= value << 17
            bytes[index] = UInt8(truncatingIfNeeded: value >> 32)
        }
        for index in 0..<longestChunk { bytes[period + index] = bytes[index] }
        return bytes
    }()

    /// The place at which the stream with this number starts.
    public static func firstPlace(ofStream number: UInt32) -> Int { Int(UInt64(number) * 104_729 % UInt64(period)) }

    /// The place `count` bytes after `place`.
    public static func place(_ place: Int, advancedBy count: Int) -> Int { (place + count) % period }

    /// The byte at `place`, which is below ``period``.
    public static func byte(at place: Int) -> UInt8 { bytes[place] }

    /// Whether `received` equals the pattern from `place` on.
    public static func matches(_ received: borrowing RawSpan, at place: Int) -> Bool {
        var place = place
        var offset = 0
        while offset < received.byteCount {
            let count = min(received.byteCount - offset, longestChunk)
            let isSame = unsafe received.withUnsafeBytes { received in
                unsafe bytes.withUnsafeBytes { expected in
                    unsafe memcmp(received.baseAddress! + offset, expected.baseAddress! + place, count) == 0
                }
            }
            guard isSame else { return false }
            offset += count
            place = Pattern.place(place, advancedBy: count)
        }
        return true
    }

    /// Calls `body` with the `count` bytes at `place`, at most ``longestChunk``.
    static func withChunk<Result>(
        at place: Int, count: Int = longestChunk, _ body: (borrowing RawSpan) throws(UVError) -> Result
    ) throws(UVError) -> Result {
        unsafe try body(bytes.span.bytes.extracting(place..<place + min(count, longestChunk)))
    }
}

/// The bytes that the receiving end of a stream found right, and its first fault.
public final class Tally {
    /// Bytes that arrived and were as expected.
    public internal(set) var bytes: UInt64 = 0
    /// The first fault.
    public internal(set) var fault: LoadFault?

    /// A tally without bytes or a fault.
    public init() {}
}

/// The receiving end's place in the pattern.
public struct PatternCheck {
    private var place: Int

    /// The place at which the stream with this number starts.
    public init(stream number: UInt32) { place = Pattern.firstPlace(ofStream: number) }

    /// Checks the next bytes and counts them.
    ///
    /// Returns false if they differ from the pattern.
    public mutating func take(_ received: borrowing RawSpan, into tally: Tally) -> Bool {
        guard Pattern.matches(received, at: place) else {
            tally.fault = tally.fault ?? LoadFault(.corrupt, "bytes differ")
            return false
        }
        place = Pattern.place(place, advancedBy: received.byteCount)
        tally.bytes += UInt64(received.byteCount)
        return true
    }
}

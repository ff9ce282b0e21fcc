import Wire

/// The changes that an input makes to a valid message.
///
/// A change is an offset (two bytes) and a byte that is combined with the byte there by exclusive or.
struct Mutation {
    /// The offsets whose bytes differ in the end.
    private(set) var changed: Set<Int> = []

    /// Applies the rest of `input` to `message`, at most 64 changes.
    init(_ input: inout ByteReader, on message: inout [UInt8]) {
        let original = message
        var count = 0
        while count < 64, !message.isEmpty, let place = try? input.u16(), let mask = try? input.u8() {
            message[Int(place) % message.count] ^= mask
            count += 1
        }
        for index in message.indices where message[index] != original[index] { changed.insert(index) }
    }

    /// Whether a byte in `range` differs.
    func touches(_ range: Range<Int>) -> Bool { changed.contains { range.contains($0) } }
}

/// The start time of all targets; only differences matter.
let start = Instant(nanoseconds: 1_000_000_000_000)
let wallClock = UnixTime(seconds: 1_800_000_123)

/// Calls `step` until the input is used up; each number that a step asks for, below a bound, is made of the next byte.
func run(_ input: RawSpan, _ step: ((Int) -> Int) -> Void) {
    let bytes = [UInt8](copying: input)
    var place = 0
    while place < bytes.count {
        step { bound in
            guard bound > 0, place < bytes.count else { return 0 }
            defer { place += 1 }
            return bound <= 256 ? Int(bytes[place]) % bound : Int(bytes[place]) * (bound / 256)
        }
    }
}

public import Wire

extension ListSigning {
    /// The rounds of which this node has signed a list, so that it signs no other list of them.
    ///
    /// After a list of one round it signs none of an earlier round of that cycle. It may sign in earlier cycles: if its
    /// clock was ahead, the round is one of the future. So the rounds are remembered one by one.
    public struct Signed: Hashable, Sendable {
        /// The maximum number of rounds in ``rounds``.
        public static let limit = 64

        /// No list of this round or of an earlier one is signed any more.
        public private(set) var floor: UInt64 = 0
        /// The later rounds of which a list was signed, ascending.
        public private(set) var rounds: [UInt64] = []

        private static let version: UInt8 = 2
        /// The size of the form before: the last round u64, and the digest of its list.
        private static let sizeBefore = 40

        /// No signature so far.
        public init() {}

        /// Whether a list of `round` may be signed.
        public func allows(_ round: UInt64) -> Bool {
            let cycle = ListSchedule.cycle(of: round)
            return round > floor && !rounds.contains { $0 >= round && ListSchedule.cycle(of: $0) == cycle }
        }

        /// Notes a signature of `round`; above the limit the earliest round moves ``floor``.
        mutating func add(_ round: UInt64) {
            guard round > floor, !rounds.contains(round) else { return }
            rounds.insert(round, at: rounds.firstIndex { $0 > round } ?? rounds.count)
            if rounds.count > Self.limit { floor = rounds.removeFirst() }
        }

        /// The encoding, for the disk: version u8, floor u64, count u16, rounds u64.
        public func encoded() -> [UInt8] {
            var writer = ByteWriter(capacity: 11 + 8 * rounds.count)
            writer.u8(Self.version)
            writer.u64(floor)
            writer.u16(UInt16(rounds.count))
            for round in rounds { writer.u64(round) }
            return writer.bytes
        }

        /// Reads the output of ``encoded()``, or the form before; throws for anything else.
        public init(decoding span: RawSpan) throws(WireError) {
            var reader = ByteReader(span)
            if reader.remaining == Self.sizeBefore {
                floor = try reader.u64()
                return
            }
            guard try reader.u8() == Self.version else { throw .outOfRange }
            floor = try reader.u64()
            let count = Int(try reader.u16())
            guard count <= Self.limit else { throw .outOfRange }
            var last = floor
            for _ in 0..<count {
                let round = try reader.u64()
                guard round > last else { throw .outOfRange }
                rounds.append(round)
                last = round
            }
            try reader.end()
        }
    }
}

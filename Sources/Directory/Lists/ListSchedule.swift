internal import OnionCrypto
public import Wire

/// When lists of descriptors are made, and by which nodes (protocol.md, section 10.9).
///
/// A cycle lasts an epoch, at most an hour. It begins halfway between two snapshots, so that all nodes then trust the
/// same one. It has one to four rounds. One node may propose a list in each round; the last round takes the rest of the
/// cycle. All times are Unix times; the schedule does not depend on the number of snapshots.
public struct ListSchedule: Hashable, Sendable {
    /// The longest cycle in seconds.
    public static let longestCycle: UInt64 = 3_600
    /// The maximum number of rounds of a cycle; round numbers advance by this in each cycle.
    public static let maximumRounds = 4

    /// The length of a cycle in seconds.
    public let period: UInt64
    /// The length of each round but the last, in seconds; a node demands a descriptor that it has had for longer.
    public let step: UInt64
    /// The number of rounds of a cycle.
    public let rounds: Int

    /// The schedule of a network whose epochs last `epoch` seconds, at least 1.
    public init(epoch: UInt64) {
        period = min(max(epoch, 1), Self.longestCycle)
        step = max(1, min(120, period / 16))
        rounds = Int(min(UInt64(Self.maximumRounds), (period / 2 + step - 1) / step + (period < 2 ? 1 : 0)))
    }

    /// The cycle at `time`.
    public func cycle(at time: UnixTime) -> UInt64 {
        let (sum, overflow) = time.seconds.addingReportingOverflow(period / 2)
        return (overflow ? .max : sum) / period
    }

    /// The number of the round at `time`: four times the cycle, and the round's place in it.
    public func round(at time: UnixTime) -> UInt64 {
        let place = min(UInt64(rounds) - 1, (time.seconds - start(at: time).seconds) / step)
        let (first, overflow) = cycle(at: time).multipliedReportingOverflow(by: UInt64(Self.maximumRounds))
        return overflow ? .max : first + place
    }

    /// The cycle of a round.
    public static func cycle(of round: UInt64) -> UInt64 { round / UInt64(maximumRounds) }

    /// The place of a round in its cycle, from 0.
    public static func place(of round: UInt64) -> Int { Int(round % UInt64(maximumRounds)) }

    /// The start of the cycle at `time`; 0 for the first cycle.
    public func start(at time: UnixTime) -> UnixTime {
        let begin = cycle(at: time) * period
        return UnixTime(seconds: begin - min(begin, period / 2))
    }

    /// Whether the round with this place in the cycle at `time` began at least `delay` seconds ago.
    public func isOpen(_ place: Int, at time: UnixTime, for delay: UInt64 = 0) -> Bool {
        place < rounds && time.seconds - start(at: time).seconds >= UInt64(place) * step + delay
    }

    /// A list of the cycle at `time` must contain the descriptors that arrived up to this time.
    public func cut(at time: UnixTime) -> UnixTime {
        let start = start(at: time).seconds
        return UnixTime(seconds: start - min(start, step))
    }

    /// A list of `round` must contain the descriptors that arrived up to this time.
    public func cut(of round: UInt64) -> UnixTime {
        let (begin, overflow) = Self.cycle(of: round).multipliedReportingOverflow(by: period)
        let before = period / 2 + step
        return UnixTime(seconds: overflow ? .max : begin - min(begin, before))
    }

    /// The place among `count` voters of the node that may propose in `round`; drawn anew for each snapshot and round.
    public static func proposer(of round: UInt64, snapshot: Bytes32, count: Int) -> Int {
        precondition(count > 0, "a snapshot has voters")
        var writer = ByteWriter(capacity: 80)
        writer.prefix(.listProposer)
        writer.bytes32(snapshot)
        writer.u64(round)
        let digest = Blake2b.digest(writer.bytes.rawSpan).array
        return Int(digest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) } % UInt64(count))
    }
}

extension DescriptorList {
    /// The digest that names the list; it covers the round and the snapshot.
    public var digest: Bytes32 {
        Blake2b.digest((MessagePrefix.list.bytes + encoded()).rawSpan)
    }

    /// The message that a node signs for the list with this digest.
    static func message(digest: Bytes32, network: Bytes32) -> [UInt8] {
        MessagePrefix.listSignature.bytes + network.array + digest.array
    }
}

internal import OnionCrypto
public import Wire

/// When lists of descriptors are made, and by whom (protocol.md, section 10.9).
///
/// A round lasts an epoch, at most an hour, and begins halfway between two snapshots, so that all nodes trust the same one then.
/// Times are Unix times; nothing here depends on how many snapshots there were.
public struct ListSchedule: Hashable, Sendable {
    /// The longest round in seconds.
    public static let longestRound: UInt64 = 3_600
    /// The most nodes that may propose in one round.
    public static let maximumRanks = 4

    /// The length of a round in seconds.
    public let period: UInt64
    /// How long each rank has before the next may propose, in seconds; and how old a descriptor must be to be demanded.
    public let step: UInt64
    /// How many nodes may propose in a round, one after the other.
    public let ranks: Int

    /// The schedule of a network whose epochs last `epoch` seconds, at least 1.
    public init(epoch: UInt64) {
        period = min(max(epoch, 1), Self.longestRound)
        step = max(1, min(120, period / 16))
        ranks = Int(min(UInt64(Self.maximumRanks), (period / 2 + step - 1) / step + (period < 2 ? 1 : 0)))
    }

    /// The round at `time`.
    public func round(at time: UnixTime) -> UInt64 {
        let (sum, overflow) = time.seconds.addingReportingOverflow(period / 2)
        return (overflow ? .max : sum) / period
    }

    /// When the round at `time` began, at most `time`; 0 for the first.
    public func start(at time: UnixTime) -> UnixTime {
        let begin = round(at: time) * period
        return UnixTime(seconds: begin - min(begin, period / 2))
    }

    /// Whether the proposal of `rank` may be signed at `time`, in its round, and has been for `delay` seconds.
    public func isOpen(_ rank: Int, at time: UnixTime, for delay: UInt64 = 0) -> Bool {
        rank < ranks && time.seconds - start(at: time).seconds >= UInt64(rank) * step + delay
    }

    /// The latest arrival, for the round at `time`, of a descriptor that its list must have.
    public func cut(at time: UnixTime) -> UnixTime {
        let start = start(at: time).seconds
        return UnixTime(seconds: start - min(start, step))
    }

    /// The place among `count` voters of the node that may propose with `rank`; drawn anew for each snapshot, round and rank.
    public static func proposer(rank: Int, round: UInt64, snapshot: Bytes32, count: Int) -> Int {
        precondition(count > 0, "a snapshot has voters")
        var writer = ByteWriter(capacity: 80)
        writer.raw("tunic list proposer".utf8)
        writer.u8(0)
        writer.bytes32(snapshot)
        writer.u64(round)
        writer.u8(UInt8(rank))
        let digest = Blake2b.digest(writer.bytes.rawSpan).array
        return Int(digest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) } % UInt64(count))
    }
}

extension DescriptorList {
    /// The digest that names the list; it covers its round and its snapshot.
    public var digest: Bytes32 {
        Blake2b.digest(([UInt8]("tunic descriptor list".utf8) + [0] + encoded()).rawSpan)
    }

    /// What a node signs for the list with this digest.
    static func message(digest: Bytes32, network: Bytes32) -> [UInt8] {
        [UInt8]("tunic descriptor list signature".utf8) + [0] + network.array + digest.array
    }
}

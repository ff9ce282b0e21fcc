public import Wire

/// The digests with which two replicas find their differences.
public enum RangeDigests {
    /// The bytes of an entry in the hash of its range.
    public static let entrySize = 33

    /// The digest of a range from its ids, ascending, each with whether it was deleted; zeros for an empty range.
    public static func range(_ entries: [(id: ItemID, isDeleted: Bool)]) -> Bytes32 {
        guard !entries.isEmpty else { return Bytes32() }
        return Prefix.range.digest(capacity: 4 + entries.count * entrySize) { writer in
            writer.u32(UInt32(clamping: entries.count))
            for entry in entries {
                writer.bytes32(entry.id)
                writer.u8(entry.isDeleted ? 2 : 1)
            }
        }
    }

    /// The digest of a day from those of its 144 ranges.
    static func day(_ ranges: [Bytes32]) -> Bytes32 {
        Prefix.day.digest(capacity: ranges.count * 32) { writer in
            for digest in ranges { writer.bytes32(digest) }
        }
    }

    /// The digest of a shard from the days that have entries.
    static func shard(_ days: [CompareAnswer.DayDigest]) -> Bytes32 {
        let answer = CompareAnswer.days(days).encoded()
        return Prefix.shardDigest.digest(capacity: answer.count) { $0.raw(answer) }
    }
}

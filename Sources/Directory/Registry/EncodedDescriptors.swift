public import Wire

/// A store's descriptors at one generation, encoded once for all answers to GET_DESCRIPTORS (protocol.md, section 8).
///
/// They are in order of publication, so the answer for any time is a contiguous part of the bytes.
public struct EncodedDescriptors: Sendable {
    /// The encoded list.
    public let bytes: [UInt8]
    /// The publication time of each descriptor and the place where it begins.
    private let entries: [(published: UInt64, start: Int)]
    private let generation: UInt64
    /// The expiry of the last one that had expired when they were encoded, and of the first one to expire after that:
    /// between them the bytes are current, also after the clock has gone back.
    private let begin: UnixTime, end: UnixTime

    /// The descriptors of `store` that are valid at `now`.
    public init(_ store: DescriptorStore, at now: UnixTime) {
        let list = store.since(UnixTime(seconds: 0), at: now)
        var entries: [(published: UInt64, start: Int)] = []
        entries.reserveCapacity(list.count)
        var start = 0
        for signed in list {
            entries.append((signed.descriptor.published.seconds, start))
            start += signed.bytes.count + 2
        }
        self.entries = entries
        bytes = SignedDescriptor.encodeList(list)
        generation = store.generation
        begin = store.all.lazy.map(\.descriptor.expires).filter { $0 <= now }.max() ?? UnixTime(seconds: 0)
        end = list.lazy.map(\.descriptor.expires).min() ?? UnixTime(seconds: .max)
    }

    /// Whether the bytes are current for `store` at `now`.
    public func isCurrent(for store: DescriptorStore, at now: UnixTime) -> Bool {
        generation == store.generation && begin <= now && now < end
    }

    /// The part of `bytes` with the descriptors published at `time` or later, oldest first, cut before `byteLimit`.
    public func since(_ time: UnixTime, byteLimit: Int) -> Range<Int> {
        let first = index { entries[$0].published >= time.seconds }
        let start = first < entries.count ? entries[first].start : bytes.count
        guard bytes.count - start > byteLimit else { return start..<bytes.count }
        // The first one that begins after the limit: the one before it does not fit.
        let cut = index { entries[$0].start > start + byteLimit }
        return start..<entries[cut - 1].start
    }

    /// The first index at which `holds` is true; it must be true for all later ones.
    private func index(where holds: (Int) -> Bool) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if holds(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

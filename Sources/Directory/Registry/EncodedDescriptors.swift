public import Wire

/// The descriptors of a store at one version, encoded once for all answers to GET_DESCRIPTORS (protocol.md, section 8).
///
/// They stand in the order of their publication, so that the answer for any time is one part of the bytes.
public struct EncodedDescriptors: Sendable {
    /// All of them.
    public let bytes: [UInt8]
    /// The time of each and where it begins.
    private let entries: [(published: UInt64, start: Int)]
    private let generation: UInt64
    /// When the first of them expires.
    private let end: UnixTime

    /// What `store` holds at `now`.
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
        end = list.lazy.map(\.descriptor.expires).min() ?? UnixTime(seconds: .max)
    }

    /// Whether `store` would be encoded so at `now`.
    public func isCurrent(for store: DescriptorStore, at now: UnixTime) -> Bool {
        generation == store.generation && now < end
    }

    /// The part of `bytes` with what was published at `time` or later, oldest first, cut before `byteLimit`.
    public func since(_ time: UnixTime, byteLimit: Int) -> Range<Int> {
        let first = index { entries[$0].published >= time.seconds }
        let start = first < entries.count ? entries[first].start : bytes.count
        guard bytes.count - start > byteLimit else { return start..<bytes.count }
        // The first that begins behind the limit: the one before it would not fit.
        let cut = index { entries[$0].start > start + byteLimit }
        return start..<entries[cut - 1].start
    }

    /// The first index at which `holds` is true, which it is for all behind it.
    private func index(where holds: (Int) -> Bool) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if holds(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

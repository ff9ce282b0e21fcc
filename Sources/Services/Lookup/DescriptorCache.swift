internal import Swarm
internal import Wire

/// What a client knows of services, for each isolation key by itself; in memory only.
///
/// Otherwise one site could see by the time of an answer what another one has visited.
struct DescriptorCache {
    /// A service within an isolation key.
    struct Key: Hashable {
        let isolation: UInt64
        let service: ServiceAddress
    }

    /// The result of the last look-up with the same client keys.
    struct Known {
        var found: [FoundDescriptor] = []
        var failure: LookupFailure?
        /// Until when the failure is told without a new look-up.
        var failsUntil = Instant(nanoseconds: 0)
        /// How many look-ups have failed in a row.
        var failures = 0
        fileprivate var changed: UInt64 = 0
    }

    struct Entry {
        let source: UInt64
        /// What is known, by the keys of those who asked: what one key finds, or not, is no answer for another one.
        private(set) var known: [ClientKeys: Known] = [:]
        /// The newest versions that were seen of each name: an older one is not taken any more.
        var held: [Bytes16: DescriptorVersion] = [:]
        /// Digests of descriptors that could not be used, and until when they do not count.
        ///
        /// The version of the other period says the same, and has another id.
        var useless: [Bytes32: Instant] = [:]
        var used: UInt64 = 0
        private var changes: UInt64 = 0

        init(source: UInt64) { self.source = source }

        /// Changes what is known for callers with these keys; beyond the limit the oldest of other keys is forgotten.
        mutating func change(for keys: ClientKeys, _ body: (inout Known) -> Void) {
            changes += 1
            var new = known.removeValue(forKey: keys) ?? Known()
            body(&new)
            new.changed = changes
            if known.count >= DescriptorCache.keySets,
                let oldest = known.min(by: { $0.value.changed < $1.value.changed })?.key
            {
                known[oldest] = nil
            }
            known[keys] = new
        }

        /// Forgets the descriptors with these digests, with whatever keys they were found.
        mutating func forget(_ digests: Set<Bytes32>) {
            for keys in known.keys { known[keys]?.found.removeAll { digests.contains($0.digest) } }
        }
    }

    /// The most entries, and the most of one source.
    static let entries = 1_024
    static let entriesOfSource = 256
    /// The most names whose versions are remembered of a service: eight in each of two boxes.
    static let names = 2 * SwarmLimits.boxDescriptors
    /// The most sets of client keys with a result of one service.
    static let keySets = 4

    private var table: [Key: Entry] = [:]
    private var shares = Shares<UInt64>(capacity: Self.entries, most: Self.entriesOfSource)
    private var clock: UInt64 = 0

    var count: Int { table.count }

    /// The entry of `key`, which counts as used.
    mutating func entry(_ key: Key) -> Entry? {
        guard table[key] != nil else { return nil }
        clock += 1
        table[key]?.used = clock
        return table[key]
    }

    /// Changes the entry of `key`, which is made if there is a place for it.
    mutating func change(_ key: Key, source: UInt64, _ body: (inout Entry) -> Void) {
        clock += 1
        var entry: Entry
        if let old = table[key] {
            entry = old
        } else {
            makeRoom(for: source)
            entry = Entry(source: source)
        }
        body(&entry)
        if entry.held.count > Self.names {
            // Names of past periods go first.
            let newest = entry.held.sorted { $0.value.stamp > $1.value.stamp }.prefix(Self.names)
            entry.held = Dictionary(uniqueKeysWithValues: newest.map { ($0.key, $0.value) })
        }
        entry.used = clock
        table[key] = entry
    }

    mutating func remove(where isOld: (Key) -> Bool) {
        for key in table.keys.filter(isOld) { remove(key) }
    }

    private mutating func remove(_ key: Key) {
        guard let entry = table.removeValue(forKey: key) else { return }
        shares.release(entry.source)
    }

    /// Takes a place for `source`; in a full table the source with the most gives up the entry that it has not used for
    /// longest.
    ///
    /// A source with its share, or with as many as any other, gives up one of its own. A newcomer is never refused: where
    /// every source has one entry, the oldest of all goes.
    private mutating func makeRoom(for source: UInt64) {
        while true {
            switch shares.take(for: source) {
            case .granted: return
            case .makeRoom(let loser): removeOldest { $0 == loser }
            case .shareUsed: removeOldest { $0 == source }
            case .full:
                let isNew = shares.places(of: source) == 0
                removeOldest { isNew || $0 == source }
            }
        }
    }

    private mutating func removeOldest(where isOfSource: (UInt64) -> Bool) {
        let own = table.filter { isOfSource($0.value.source) }
        guard let oldest = own.min(by: { $0.value.used < $1.value.used })?.key else {
            preconditionFailure("a source without an entry has no place")
        }
        remove(oldest)
    }
}

internal import Wire

/// Items of kind 1, held in memory only; newer versions replace them, and in a full table those that are rarely looked
/// up go first.
///
/// No change takes a pass over all items: a name that gives way is found in as many steps as the logarithm of its
/// source's names.
struct DescriptorTable: Sendable {
    typealias Source = DescriptorPlaces.Source

    private struct Key: Hashable {
        let box: Bytes32
        let name: Bytes16
    }

    private struct Entry {
        var item: StoredItem
        /// Who brought the first version, or a later one if that coordinator had less of the shard.
        var source: Source
        /// Tells the entry from an earlier one of the same name, or of another source.
        var number: UInt64
        /// The quarters of an hour, of the last four, in which it was looked up; bit 0 is the current one.
        var lookups: UInt8 = 0
        /// The times of the last stores, in milliseconds.
        var stores: [UInt64] = []

        /// Who gives way first has the lowest rank; within a quarter of an hour it never gets lower.
        var rank: Rank {
            Rank(lookups: (lookups & 15).nonzeroBitCount, created: item.header.created, number: number)
        }
    }

    private struct Rank: Comparable, Sendable {
        let lookups: Int
        let created: UInt32
        let number: UInt64

        static func < (a: Rank, b: Rank) -> Bool {
            (a.lookups, a.created, a.number) < (b.lookups, b.created, b.number)
        }
    }

    /// An entry in its source's queue; the entry may have gone since.
    private struct Candidate: Sendable {
        let key: Key
        let number: UInt64
    }

    /// The most stores of one name in a window, in milliseconds.
    private static let storeLimit = (count: 10, window: UInt64(100_000))

    private var entries: [Key: Entry] = [:]
    private var names: [Bytes32: Set<Bytes16>] = [:]
    private var quarter: UInt32 = 0
    private var places: DescriptorPlaces
    /// The entries of each source in the order in which they give way.
    ///
    /// A rank may have risen since it was noted.
    private var queues: [Source: RankHeap<Rank, Candidate>] = [:]
    /// The entries by the minute in which they expire: some twenty different ones.
    private var expiries: [UInt32: Set<Key>] = [:]
    private var lastNumber: UInt64 = 0
    /// How many entries were looked at to find those that give way.
    private(set) var steps: UInt64 = 0

    /// An empty table, of whose `capacity` three quarters are used.
    init(capacity: Int = SwarmLimits.descriptors) {
        places = DescriptorPlaces(capacity: max(1, capacity / 4 * 3))
    }

    /// How many are held.
    var count: Int { entries.count }
    /// How many can be held.
    var capacity: Int { places.capacity }

    /// The version of a name that is held.
    func version(of box: Bytes32, _ name: Bytes16) -> StoredItem? { entries[Key(box: box, name: name)]?.item }

    /// Whether exactly this item is held, so that nothing has to be done.
    func holds(_ item: StoredItem) -> Bool {
        item.version.map { version(of: item.header.box, $0.name) == item } ?? false
    }

    /// Whether `item` may be taken; this needs no public-key work, so it stops a stranger's flood cheaply.
    mutating func check(_ item: StoredItem, now: UInt64) throws(StoreRefusal) {
        guard let name = item.version?.name else { throw .malformed }
        let key = Key(box: item.header.box, name: name)
        guard var entry = entries[key] else {
            guard names[key.box]?.count ?? 0 < SwarmLimits.boxDescriptors else { throw .full }
            return
        }
        entry.stores.removeAll { $0 > now || now - $0 >= Self.storeLimit.window }
        entries[key] = entry
        guard entry.stores.count < Self.storeLimit.count else { throw .busy(seconds: 100) }
        guard item.isNewer(than: entry.item) else {
            throw .superseded(created: entry.item.header.created, counter: entry.item.version?.counter ?? 0)
        }
    }

    /// Takes an item from `source` that passed ``check(_:now:)`` and is authentic; false if other sources need the
    /// room.
    mutating func take(_ item: StoredItem, from source: Source, now: UInt64) -> Bool {
        guard let name = item.version?.name else { return false }
        let key = Key(box: item.header.box, name: name)
        if let old = entries[key]?.item {
            forgetExpiry(of: key, at: old.header.expires)
            entries[key]?.item = item
            move(key, to: source)
        } else {
            guard makeRoom(for: source) else { return false }
            lastNumber += 1
            entries[key] = Entry(item: item, source: source, number: lastNumber)
            names[key.box, default: []].insert(name)
            count(key)
        }
        entries[key]?.stores.append(now)
        expiries[item.header.expires, default: []].insert(key)
        return true
    }

    /// Counts an entry for the source of its newest version if that is safer for it.
    ///
    /// Otherwise a service that once stored at a coordinator with many names would stay among the first to give way,
    /// wherever it stores later. The same version again moves nothing: anyone can bring that, also a hostile node that
    /// then brings as many others as it can.
    private mutating func move(_ key: Key, to source: Source) {
        guard let old = entries[key]?.source, places.isBetter(source, than: old) else { return }
        lastNumber += 1
        entries[key]?.source = source
        entries[key]?.number = lastNumber
        release(old)
        count(key)
    }

    /// Counts an entry for its source.
    private mutating func count(_ key: Key) {
        guard let entry = entries[key] else { return }
        places.add(entry.source)
        let candidate = Candidate(key: key, number: entry.number)
        queues[entry.source, default: RankHeap()].insert(candidate, rank: entry.rank)
    }

    /// The items of a box with this name; zeros: with any name.
    mutating func lookUp(_ box: Bytes32, name: Bytes16, minute: UInt32) -> [StoredItem] {
        turn(minute)
        let wanted = (names[box] ?? []).filter { name.isZero || $0 == name }.sorted()
        return wanted.compactMap { name in
            let key = Key(box: box, name: name)
            guard let item = entries[key]?.item, item.header.expires > minute else { return nil }
            entries[key]?.lookups |= 1
            return item
        }
    }

    /// Drops items that have expired.
    mutating func expire(minute: UInt32) {
        turn(minute)
        for time in expiries.keys where time <= minute {
            for key in expiries.removeValue(forKey: time) ?? [] { remove(key) }
        }
    }

    /// Begins a new quarter of an hour, in which all ranks may be lower.
    private mutating func turn(_ minute: UInt32) {
        let now = minute / 15
        guard now != quarter else { return }
        let steps = now > quarter ? min(now - quarter, 4) : 0
        quarter = now
        guard steps > 0 else { return }
        for key in entries.keys { entries[key]?.lookups <<= UInt8(steps) }
        for source in queues.keys { rebuildQueue(of: source) }
    }

    /// Makes a place free for `source`, if there is one that others need less (``DescriptorPlaces/loser(for:)``).
    ///
    /// The name goes that was looked up in the fewest quarters, at a tie the oldest.
    private mutating func makeRoom(for source: Source) -> Bool {
        while !places.hasRoom {
            guard let loser = places.loser(for: source), giveWay(loser) else { return false }
        }
        return true
    }

    /// Removes the entry of a source that gives way first; false if the source has none.
    private mutating func giveWay(_ source: Source) -> Bool {
        while let first = queues[source]?.first {
            steps += 1
            guard let entry = entry(of: first.element) else {
                queues[source]?.removeFirst()
                continue
            }
            let rank = entry.rank
            guard rank == first.rank else {
                // A newer version or a look-up has raised it since; that paid for this step.
                queues[source]?.setFirstRank(rank)
                continue
            }
            queues[source]?.removeFirst()
            remove(first.element.key)
            return true
        }
        return false
    }

    private func entry(of candidate: Candidate) -> Entry? {
        entries[candidate.key].flatMap { $0.number == candidate.number ? $0 : nil }
    }

    private mutating func rebuildQueue(of source: Source) {
        let entries = entries
        steps += UInt64(queues[source]?.count ?? 0)
        queues[source]?.rebuild { candidate in
            entries[candidate.key].flatMap { $0.number == candidate.number ? $0.rank : nil }
        }
    }

    private mutating func remove(_ key: Key) {
        guard let old = entries.removeValue(forKey: key) else { return }
        forgetExpiry(of: key, at: old.item.header.expires)
        names[key.box]?.remove(key.name)
        if names[key.box]?.isEmpty ?? false { names[key.box] = nil }
        release(old.source)
    }

    /// Returns the place of an entry that is gone, or counts for another source.
    private mutating func release(_ source: Source) {
        places.release(source)
        // Its candidate may stay until it comes first, or until half of the queue has gone.
        let left = places.places(of: source)
        if left == 0 {
            queues[source] = nil
        } else if let count = queues[source]?.count, count > 2 * left {
            rebuildQueue(of: source)
        }
    }

    private mutating func forgetExpiry(of key: Key, at time: UInt32) {
        expiries[time]?.remove(key)
        if expiries[time]?.isEmpty ?? false { expiries[time] = nil }
    }
}

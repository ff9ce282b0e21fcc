internal import Wire

/// Items of kind 1, held in memory only; newer versions replace them, and in a full table those that are rarely looked
/// up go first.
struct DescriptorTable: Sendable {
    private struct Key: Hashable {
        let box: Bytes32
        let name: Bytes16
    }

    private struct Entry {
        var item: StoredItem
        /// The node that brought the name first.
        let source: NodeID
        /// The quarters of an hour, of the last four, in which it was looked up; bit 0 is the current one.
        var lookups: UInt8 = 0
        /// The times of the last stores, in milliseconds.
        var stores: [UInt64] = []
    }

    /// The most stores of one name in a window, in milliseconds.
    private static let storeLimit = (count: 10, window: UInt64(100_000))

    private var entries: [Key: Entry] = [:]
    private var names: [Bytes32: Set<Bytes16>] = [:]
    private var quarter: UInt32 = 0
    /// The places by the node that brought the name.
    private var shares: Shares<NodeID>

    /// An empty table, of whose `capacity` three quarters are used.
    init(capacity: Int = SwarmLimits.descriptors) {
        let places = max(1, capacity / 4 * 3)
        shares = Shares(capacity: places, most: places)
    }

    /// How many are held.
    var count: Int { entries.count }

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
    mutating func take(_ item: StoredItem, from source: NodeID, now: UInt64) -> Bool {
        guard let name = item.version?.name else { return false }
        let key = Key(box: item.header.box, name: name)
        guard entries[key] != nil || makeRoom(for: source) else { return false }
        entries[key, default: Entry(item: item, source: source)].item = item
        entries[key]?.stores.append(now)
        names[key.box, default: []].insert(name)
        return true
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
        for (key, entry) in entries where entry.item.header.expires <= minute { remove(key) }
    }

    private mutating func turn(_ minute: UInt32) {
        let now = minute / 15
        guard now != quarter else { return }
        let steps = now > quarter ? min(now - quarter, 4) : 0
        quarter = now
        guard steps > 0 else { return }
        for key in entries.keys { entries[key]?.lookups <<= UInt8(steps) }
    }

    /// Takes a place for `source`.
    ///
    /// If none is free, the source with the most loses the name that was looked up in the fewest quarters, at a tie the
    /// oldest. A source with as many as any loses one of its own.
    private mutating func makeRoom(for source: NodeID) -> Bool {
        while true {
            switch shares.take(for: source) {
            case .granted: return true
            case .makeRoom(let other): if !giveWay(other) { return false }
            case .full, .shareUsed: if !giveWay(source) { return false }
            }
        }
    }

    private mutating func giveWay(_ source: NodeID) -> Bool {
        let victim = entries.filter { $0.value.source == source }.min { Self.rank($0) < Self.rank($1) }
        guard let victim else { return false }
        remove(victim.key)
        return true
    }

    private static func rank(_ line: (key: Key, value: Entry)) -> (Int, UInt32, Bytes32) {
        ((line.value.lookups & 15).nonzeroBitCount, line.value.item.header.created, line.value.item.id)
    }

    private mutating func remove(_ key: Key) {
        guard let old = entries.removeValue(forKey: key) else { return }
        shares.release(old.source)
        names[key.box]?.remove(key.name)
        if names[key.box]?.isEmpty ?? false { names[key.box] = nil }
    }
}

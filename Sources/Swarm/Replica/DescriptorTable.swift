internal import Wire

/// Items of kind 1: in memory alone, replaced by newer versions, and given up when they are many and nobody looks them up.
struct DescriptorTable: Sendable {
    private struct Key: Hashable {
        let box: Bytes32
        let name: Bytes16
    }

    private struct Entry {
        var item: StoredItem
        /// In which of the last four quarters of an hour it was looked up; bit 0 is this one.
        var lookups: UInt8 = 0
        /// When it was stored lately, in milliseconds.
        var stores: [UInt64] = []
    }

    /// So many stores of one name in so many milliseconds.
    private static let storeLimit = (count: 10, window: UInt64(100_000))

    private var entries: [Key: Entry] = [:]
    private var names: [Bytes32: Set<Bytes16>] = [:]
    private var quarter: UInt32 = 0
    private let capacity: Int

    /// An empty table.
    init(capacity: Int = SwarmLimits.descriptors) { self.capacity = capacity }

    /// How many are held.
    var count: Int { entries.count }

    /// The version of a name that is held.
    func version(of box: Bytes32, _ name: Bytes16) -> StoredItem? { entries[Key(box: box, name: name)]?.item }

    /// Whether `item` may be taken, which costs no public-key work; a stranger's flood ends here.
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
        guard entry.item.id == item.id || item.isNewer(than: entry.item) else {
            throw .superseded(created: entry.item.header.created, counter: entry.item.version?.counter ?? 0)
        }
    }

    /// Takes an item that passed ``check(_:now:)`` and is authentic.
    mutating func take(_ item: StoredItem, now: UInt64) {
        guard let name = item.version?.name else { return }
        let key = Key(box: item.header.box, name: name)
        if entries[key] == nil { makeRoom() }
        entries[key, default: Entry(item: item)].item = item
        entries[key]?.stores.append(now)
        names[key.box, default: []].insert(name)
    }

    /// The items of a box that have a name, or any.
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

    /// Drops what has expired.
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

    /// Beyond three quarters, one gives way that was looked up in the fewest quarters, of equals the oldest.
    private mutating func makeRoom() {
        guard entries.count >= capacity / 4 * 3 else { return }
        let victim = entries.min { Self.rank($0) < Self.rank($1) }
        if let victim { remove(victim.key) }
    }

    private static func rank(_ line: (key: Key, value: Entry)) -> (Int, UInt32, Bytes32) {
        ((line.value.lookups & 15).nonzeroBitCount, line.value.item.header.created, line.value.item.id)
    }

    private mutating func remove(_ key: Key) {
        entries[key] = nil
        names[key.box]?.remove(key.name)
        if names[key.box]?.isEmpty ?? false { names[key.box] = nil }
    }
}

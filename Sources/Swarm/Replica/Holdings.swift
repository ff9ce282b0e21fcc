internal import Wire

/// The entries of a replica, and the rules by which an item is taken, replaced, deleted and dropped.
///
/// The rules depend on the entries and the time, never on the peer. So replicas that were shown the same items hold the
/// same.
struct Holdings<Storage: ItemStorage> {
    let network: Bytes32
    var storage: Storage
    private(set) var digests = ShardDigests()
    var random: any RandomNumberGenerator & Sendable
    /// The boxes with new entries since this was emptied.
    var changedBoxes: Set<Bytes32> = []
    /// The current salt of log ids, even while the disk refuses to store it.
    private(set) var salt: UInt64
    /// The box at which the last step of the sweeps ended; the next one begins behind it.
    private var swept: Bytes32?
    /// How many messages may be swept.
    private var sweeping = ByteBudget(capacity: SwarmLimits.sweepsPerSecond, window: 1_000, now: 0)

    init(network: Bytes32, storage: Storage, random: any RandomNumberGenerator & Sendable) {
        self.network = network
        self.storage = storage
        self.random = random
        salt = storage.logSalt
    }

    /// Gives the boxes new log ids, so that readers start again.
    mutating func renumber() {
        salt = random.next()
        storage.logSalt = salt
    }

    /// Forgets state derived from entries that a failed commit has undone.
    mutating func undo() {
        digests = ShardDigests()
        changedBoxes = []
        renumber()
    }

    /// Writes the salt again if a failed commit has undone it.
    mutating func keepSalt() { if storage.logSalt != salt { storage.logSalt = salt } }

    /// The keys that may write messages into a box.
    func writers(of box: Bytes32) -> WriteKeys {
        WriteKeys(box: box, grant: version(of: box, .record, NamedVersion.grantName)?.grant)
    }

    /// The version of a name that is held.
    func version(of box: Bytes32, _ kind: ItemKind, _ name: Bytes16) -> StoredItem? {
        storage.version(of: box, kind, name).flatMap { item($0.id) }
    }

    /// An item that is held.
    func item(_ id: ItemID) -> StoredItem? {
        storage.bytes(of: id).flatMap { try? StoredItem(decoding: $0.rawSpan, network: network) }
    }

    /// Whether nothing has to be done about `copy`: it is held, or the item was deleted.
    func isKnown(_ copy: Copy) -> Bool {
        guard let entry = storage.entry(copy.id) else { return false }
        // The box key's tombstone replaces one that depends on a grant.
        return copy.isTombstone ? entry.isDeleted && (entry.isFinal || !copy.isFinal) : true
    }

    /// Whether `copy` is a tombstone for an entry that is held.
    func deletes(_ copy: Copy) -> Bool { copy.isTombstone && storage.entry(copy.id) != nil }

    /// By how many bytes the storage grows if `copy` is taken.
    func growth(of copy: Copy) -> Int {
        let room = StoredEntry.room(copy.bytes.count)
        if let held = storage.entry(copy.id) { return room - held.room }
        guard case .item(let item) = copy, let name = item.version?.name else { return room }
        return room - (storage.version(of: copy.header.box, copy.header.kind, name)?.room ?? 0)
    }

    /// Whether a replica may hold `copy` at this time; this needs no public-key work.
    func check(_ copy: Copy, minute: UInt32) throws(StoreRefusal) {
        let header = copy.header
        guard header.created <= minute + SwarmLimits.copyAhead, header.expires > minute else {
            throw .timeInvalid
        }
        switch copy {
        case .item(let item):
            if let name = item.version?.name, let held = version(of: header.box, header.kind, name),
                held.id != item.id, !item.isNewer(than: held)
            {
                throw .superseded(created: held.header.created, counter: held.version?.counter ?? 0)
            }
        case .tombstone: break
        }
        if header.kind == .message, header.created < purged(header.box) { throw .timeInvalid }
        if header.kind == .contact { try checkRank(copy) }
    }

    /// Refuses a contact request or its tombstone that would be dropped at once.
    private func checkRank(_ copy: Copy) throws(StoreRefusal) {
        let isDeleted = copy.isTombstone
        // The box key's tombstones have no rank.
        if copy.isFinal { return }
        let box = copy.header.box
        let usage = storage.usage(of: box, .contact)
        let hasAllTombstones = usage.tombstones - usage.finals >= SwarmLimits.boxContactTombstones
        let new = entry(of: copy, shard: 0, offset: 0)
        if isDeleted ? hasAllTombstones : usage.items >= SwarmLimits.boxContacts,
            let weakest = storage.weakest(of: box, isDeleted: isDeleted), new.isWeaker(than: weakest)
        {
            throw .full
        }
        if !isDeleted, let floor = contactFloor(box), new.isWeaker(than: floor) { throw .full }
    }

    /// The weakest tombstone of a box with the full number of them; tombstones of weaker items may have been dropped.
    private func contactFloor(_ box: Bytes32) -> StoredEntry? {
        let usage = storage.usage(of: box, .contact)
        guard usage.tombstones - usage.finals >= SwarmLimits.boxContactTombstones else { return nil }
        return storage.weakest(of: box, isDeleted: true)
    }

    /// The minute before which messages of a box are refused.
    private func purged(_ box: Bytes32) -> UInt32 {
        version(of: box, .record, NamedVersion.purgeName)?.purge?.before ?? 0
    }

    private func entry(of copy: Copy, shard: UInt16, offset: UInt64) -> StoredEntry {
        let header = copy.header
        var isDeleted = false
        var name: Bytes16?
        switch copy {
        case .item(let item): name = item.version?.name
        case .tombstone: isDeleted = true
        }
        return StoredEntry(
            id: copy.id, box: header.box, range: RangeKey(shard: shard, kind: header.kind, number: header.range),
            isDeleted: isDeleted, isFinal: copy.isFinal, offset: offset, size: copy.bytes.count, name: name,
            effort: header.kind == .contact ? copy.effort : 0)
    }

    /// Keeps `copy`, which passed ``check(_:minute:)`` and is authentic, and drops what it replaces.
    mutating func take(_ copy: Copy, shard: UInt16, minute: UInt32) {
        let box = copy.header.box
        var record = storage.box(box) ?? BoxRecord(firstSeen: minute, log: random.next(), next: 1)
        let new = entry(of: copy, shard: shard, offset: record.next)
        let oldWriters = copy.isGrant ? writers(of: box) : nil
        record.next += 1
        storage.setBox(box, record)
        let replaced = new.name.flatMap { storage.version(of: box, new.kind, $0) }
        storage.keep(new, bytes: copy.bytes)
        if let replaced, replaced.id != new.id { storage.remove(replaced.id) }
        changedBoxes.insert(box)
        if let oldWriters { beginSweep(box, before: oldWriters) }
        if case .item(let item) = copy, item.purge != nil { beginSweep(box, before: writers(of: box)) }
        if new.kind == .contact { dropWeak(box) }
    }

    private mutating func dropWeak(_ box: Bytes32) {
        func drop(_ excess: Int, isDeleted: Bool) {
            for _ in 0..<max(0, excess) {
                if let weakest = storage.weakest(of: box, isDeleted: isDeleted) { storage.remove(weakest.id) }
            }
        }
        let usage = storage.usage(of: box, .contact)
        drop(usage.tombstones - usage.finals - SwarmLimits.boxContactTombstones, isDeleted: true)
        drop(usage.items - SwarmLimits.boxContacts, isDeleted: false)
        guard let floor = contactFloor(box) else { return }
        while let weakest = storage.weakest(of: box, isDeleted: false), weakest.isWeaker(than: floor) {
            storage.remove(weakest.id)
        }
    }

    /// Notes that messages are to be dropped that the box's purge or grant no longer allows.
    ///
    /// `old` are the writers until now.
    private mutating func beginSweep(_ box: Bytes32, before old: WriteKeys) {
        // Messages that an earlier sweep has not reached may be of writers from before `old`.
        let verifies = old.sharesHint(with: writers(of: box)) || storage.sweeps()[box] != nil
        storage.setSweep(box, BoxSweep(verifies: verifies))
    }

    /// Continues the sweeps, box by box, by as many messages as the milliseconds since the last call allow.
    ///
    /// So a box whose grant changes again and again costs no more than others, and they have their turns.
    mutating func sweep(at now: UInt64) {
        let limit = Int(clamping: sweeping.available(now))
        // Each step looks at all boxes that are being swept.
        guard limit >= SwarmLimits.sweepStep else { return }
        let boxes = storage.sweeps().keys.sorted()
        let first = swept.flatMap { last in boxes.firstIndex { $0 > last } } ?? 0
        var taken = 0
        for box in boxes[first...] + boxes[..<first] where taken < limit {
            taken += max(1, sweep(box, limit: limit - taken))
            swept = box
        }
        _ = sweeping.take(taken, now)
    }

    private mutating func sweep(_ box: Bytes32, limit: Int) -> Int {
        guard var sweep = storage.sweeps()[box] else { return 0 }
        let (writers, purged) = (writers(of: box), purged(box))
        let found = storage.entries(of: box, ItemKinds(.message), above: sweep.after, limit: limit)
        for entry in found {
            sweep.after = entry.offset
            guard entry.created >= purged else {
                storage.remove(entry.id)
                continue
            }
            guard let copy = copy(entry) else { continue }
            // A message whose writer had the same key before needs no new verification.
            let isCovered =
                entry.isFinal
                || writers.author(of: copy.header) != nil
                    && (!sweep.verifies || copy.isAuthentic(network: network, writers: writers))
            if !isCovered { storage.remove(entry.id) }
        }
        storage.setSweep(box, found.count < limit ? nil : sweep)
        return found.count
    }

    /// The copy of an entry, as it is passed on; nil if its bytes are missing.
    func copy(_ entry: StoredEntry) -> Copy? {
        guard let bytes = storage.bytes(of: entry.id) else { return nil }
        if entry.isDeleted {
            return (try? Tombstone(decoding: bytes.rawSpan, network: network)).map(Copy.tombstone)
        }
        return (try? StoredItem(decoding: bytes.rawSpan, network: network)).map(Copy.item)
    }

    /// Removes entries that have expired; the end of a grant also ends its messages.
    ///
    /// The result is whether there were any.
    mutating func expire(minute: UInt32, limit: Int) -> Bool {
        let ids = storage.expired(at: minute, limit: limit)
        for id in ids {
            guard let entry = storage.entry(id) else { continue }
            let isGrant = entry.kind == .record && entry.name == NamedVersion.grantName
            let old = isGrant ? writers(of: entry.box) : nil
            storage.remove(id)
            if let old { beginSweep(entry.box, before: old) }
        }
        return !ids.isEmpty
    }

    /// Removes some entries of a shard; true if none is left.
    mutating func drop(shard: UInt16, limit: Int) -> Bool {
        let ids = storage.items(of: shard, limit: limit)
        for id in ids { storage.remove(id) }
        guard ids.count < limit else { return false }
        digests.forget(shard)
        return true
    }

    /// How many bytes were hashed for the digests of ranges, days and shards so far.
    var hashed: Int { digests.hashed + storage.hashedBytes }

    /// The digest of a shard at `cut`.
    mutating func digest(of shard: UInt16, cut: UInt32) -> Bytes32 { digests.digest(of: shard, cut: cut, &storage) }

    /// The days of a shard that have entries at `cut`.
    mutating func days(of shard: UInt16, cut: UInt32) -> [CompareAnswer.DayDigest] {
        digests.days(of: shard, cut: cut, &storage)
    }

    /// The digests of a day's ranges at `cut`.
    mutating func ranges(of shard: UInt16, _ kind: ItemKind, day: UInt16, cut: UInt32) -> [Bytes32] {
        ShardDigests.ranges(of: shard, kind, day: day, cut: cut, &storage)
    }

    /// The entries of a range by their short ids.
    func shortIDs(of range: RangeKey, key: Bytes16) -> [(shortID: UInt64, entry: StoredEntry)] {
        storage.entries(in: range).map { (ShortID.of($0.id, key: key), $0) }.sorted { $0.0 < $1.0 }
    }

    /// The log id of a box that readers see; 0 for an empty box.
    func log(of box: Bytes32) -> UInt64 { storage.box(box).map { SwarmMap.mix($0.log ^ salt) } ?? 0 }
}

extension Copy {
    /// Whether it is a version of a box's grant.
    fileprivate var isGrant: Bool { if case .item(let item) = self { item.grant != nil } else { false } }
}

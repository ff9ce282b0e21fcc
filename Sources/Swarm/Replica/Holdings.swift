internal import Wire

/// What a replica holds, and the rules by which an item is taken, replaced, deleted and dropped.
///
/// They depend on what is held and on the time, never on who brings it: so replicas that were shown the same hold the same.
struct Holdings<Storage: ItemStorage> {
    let network: Bytes32
    var storage: Storage
    private(set) var digests = ShardDigests()
    var random: any RandomNumberGenerator & Sendable
    /// The boxes with new entries since this was emptied.
    var changedBoxes: Set<Bytes32> = []

    init(network: Bytes32, storage: Storage, random: any RandomNumberGenerator & Sendable) {
        self.network = network
        self.storage = storage
        self.random = random
    }

    /// Who may write messages into a box.
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

    /// Whether nothing is to be done about `copy`: it is held, or was deleted.
    func isKnown(_ copy: Copy) -> Bool {
        guard let entry = storage.entry(copy.id) else { return false }
        if case .item = copy { return true }
        return entry.isDeleted
    }

    /// Whether a replica may hold `copy` at all at this time, which costs no public-key work.
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

    /// Refuses what would give way at once.
    private func checkRank(_ copy: Copy) throws(StoreRefusal) {
        let isDeleted = if case .tombstone = copy { true } else { false }
        let usage = storage.usage(of: copy.header.box, .contact)
        let isFull =
            isDeleted
            ? usage.tombstones >= SwarmLimits.boxContactTombstones : usage.items >= SwarmLimits.boxContacts
        guard isFull, let weakest = storage.weakest(of: copy.header.box, isDeleted: isDeleted) else { return }
        if entry(of: copy, shard: 0, offset: 0).isWeaker(than: weakest) { throw .full }
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
            isDeleted: isDeleted, offset: offset, size: copy.bytes.count, name: name,
            effort: header.kind == .contact ? copy.effort : 0)
    }

    /// Keeps `copy`, which passed ``check(_:minute:)`` and is authentic, and does what follows from it.
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
        if let oldWriters { dropUncovered(box, before: oldWriters) }
        if case .item(let item) = copy, let purge = item.purge { drop(box, before: purge.before) }
        if new.kind == .contact { dropWeak(box, isDeleted: new.isDeleted) }
    }

    private mutating func dropWeak(_ box: Bytes32, isDeleted: Bool) {
        let usage = storage.usage(of: box, .contact)
        let excess =
            isDeleted
            ? usage.tombstones - SwarmLimits.boxContactTombstones : usage.items - SwarmLimits.boxContacts
        guard excess > 0 else { return }
        for _ in 0..<excess {
            if let weakest = storage.weakest(of: box, isDeleted: isDeleted) { storage.remove(weakest.id) }
        }
    }

    private mutating func drop(_ box: Bytes32, before: UInt32) {
        for entry in storage.entries(of: box, ItemKinds(.message), above: 0, limit: .max) where entry.created < before {
            storage.remove(entry.id)
        }
    }

    /// Drops the messages that the box's grant does not cover.
    private mutating func dropUncovered(_ box: Bytes32, before old: WriteKeys) {
        let new = writers(of: box)
        guard new != old else { return }
        for entry in storage.entries(of: box, ItemKinds(.message), above: 0, limit: .max) {
            guard let copy = copy(entry) else { continue }
            let author = new.author(of: copy.header)
            // A key that wrote it before need not be asked again.
            let isCovered =
                author != nil
                && (author == old.author(of: copy.header) || copy.isAuthentic(network: network, writers: new))
            if !isCovered { storage.remove(entry.id) }
        }
    }

    /// What is held of an entry, as it is passed on.
    func copy(_ entry: StoredEntry) -> Copy? {
        guard let bytes = storage.bytes(of: entry.id) else { return nil }
        if entry.isDeleted {
            return (try? Tombstone(decoding: bytes.rawSpan, network: network)).map(Copy.tombstone)
        }
        return (try? StoredItem(decoding: bytes.rawSpan, network: network)).map(Copy.item)
    }

    /// Removes what has expired; the end of a grant ends what it covered.
    mutating func expire(minute: UInt32, limit: Int) {
        for id in storage.expired(at: minute, limit: limit) {
            guard let entry = storage.entry(id) else { continue }
            let isGrant = entry.kind == .record && entry.name == NamedVersion.grantName
            let old = isGrant ? writers(of: entry.box) : nil
            storage.remove(id)
            if let old { dropUncovered(entry.box, before: old) }
        }
    }

    /// Removes some of a shard; true when nothing is left of it.
    mutating func drop(shard: UInt16, limit: Int) -> Bool {
        let ids = storage.items(of: shard, limit: limit)
        for id in ids { storage.remove(id) }
        guard ids.count < limit else { return false }
        digests.forget(shard)
        return true
    }

    /// The digest of a shard at `cut`.
    mutating func digest(of shard: UInt16, cut: UInt32) -> Bytes32 { digests.digest(of: shard, cut: cut, &storage) }

    /// The days of a shard that have something at `cut`.
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
    func log(of box: Bytes32) -> UInt64 { storage.box(box).map { SwarmMap.mix($0.log ^ storage.logSalt) } ?? 0 }
}

extension Copy {
    /// Whether it is a version of a box's grant.
    fileprivate var isGrant: Bool { if case .item(let item) = self { item.grant != nil } else { false } }
}

public import Swarm
public import Wire

extension SwarmStore: ItemStorage {
    /// How much all entries count in the node's quota, in bytes.
    public var bytesUsed: Int { contents.values.reduce(0) { $0 + $1.bytes } }

    /// Mixed into the log ids that readers see.
    public var logSalt: UInt64 {
        get { salt }
        set {
            salt = newValue
            writing { () throws(StoreError) in try setSalt(newValue) }
        }
    }

    // MARK: Entries

    /// The entry of an id.
    public func entry(_ id: ItemID) -> StoredEntry? { row(id)?.entry }

    /// The bytes of an item or of a tombstone.
    public func bytes(of id: ItemID) -> [UInt8]? { row(id).flatMap { body($0) } }

    /// Keeps an entry; it replaces one with the same id.
    public func keep(_ entry: StoredEntry, bytes: [UInt8]) {
        writing { () throws(StoreError) in
            let key = EntryKey(entry)
            if let old = row(entry.id) {
                try forget(old)
            } else if damaged.contains(key), let box = try remove(key) {
                // The damaged row is still in the counts.
                try countAgain(entry.range.shard, and: Set([Bytes32(box), entry.box].compactMap(\.self)))
            }
            guard var box = boxRow(entry.box) else {
                return assertionFailure("a box has a record before its first entry")
            }
            try database.run("INSERT INTO bodies (bytes) VALUES (?)", [.blob(bytes)])
            let row = EntryRow(entry, body: database.lastRow, bodySum: checksum(bytes))
            try database.run(
                """
                INSERT OR REPLACE INTO entries
                (shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """, row.values)
            box.usage[entry.kind, default: BoxUsage()].add(entry, 1)
            setBoxRow(entry.box, box)
            note(entry, 1)
            if let until = expiredUntil, entry.expires <= until { expiredUntil = nil }
        }
    }

    /// Removes an entry, and the record of its box with the box's last entry.
    public func remove(_ id: ItemID) {
        guard let row = row(id) else { return }
        writing { () throws(StoreError) in
            try forget(row)
            if let box = boxRow(row.entry.box), box.isEmpty { setBoxRow(row.entry.box, nil) }
        }
    }

    /// Removes a row and its bytes.
    private func forget(_ row: EntryRow) throws(StoreError) {
        try database.run(
            "DELETE FROM entries WHERE shard = ? AND kind = ? AND range = ? AND id = ?", EntryKey(row.entry).values)
        try database.run("DELETE FROM bodies WHERE number = ?", [.integer(row.body)])
        damaged.remove(EntryKey(row.entry))
        if var box = boxRow(row.entry.box) {
            box.usage[row.entry.kind, default: BoxUsage()].add(row.entry, -1)
            setBoxRow(row.entry.box, box)
        }
        note(row.entry, -1)
    }

    /// Notes an entry more (1) or less (-1) in a range and a shard.
    private func note(_ entry: StoredEntry, _ change: Int) {
        let shard = entry.range.shard
        contents[shard, default: ShardTotals()].entries += change
        contents[shard, default: ShardTotals()].bytes += change * entry.room
        work.changedShards.insert(shard)
        tables.note(entry.range, change)
        changeCounts[shard, default: 0] += 1
    }

    // MARK: Boxes

    /// The data of a box.
    public func box(_ key: Bytes32) -> BoxRecord? { boxRow(key)?.record }

    /// Sets the data of a box, before its first entry is kept.
    public func setBox(_ key: Bytes32, _ record: BoxRecord) {
        var row = boxRow(key) ?? BoxRow(record)
        row.record = record
        writing { () throws(StoreError) in setBoxRow(key, row) }
    }

    /// The use of a box by a kind.
    public func usage(of box: Bytes32, _ kind: ItemKind) -> BoxUsage { boxRow(box)?.usage[kind] ?? BoxUsage() }

    /// At most `limit` entries of a box above an offset, by ascending offset.
    public func entries(of box: Bytes32, _ kinds: ItemKinds, above offset: UInt64, limit: Int) -> [StoredEntry] {
        guard limit > 0, let offset = Int64(exactly: offset) else { return [] }
        return rows { take throws(StoreError) in
            try database.run(
                """
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries INDEXED BY entry_places WHERE (?3 >> 2) & 1 AND box = ?1 AND kind = 2 AND place > ?2
                UNION ALL
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries INDEXED BY entry_places WHERE (?3 >> 3) & 1 AND box = ?1 AND kind = 3 AND place > ?2
                UNION ALL
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries INDEXED BY entry_places WHERE (?3 >> 4) & 1 AND box = ?1 AND kind = 4 AND place > ?2
                UNION ALL
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries INDEXED BY entry_places WHERE (?3 >> 5) & 1 AND box = ?1 AND kind = 5 AND place > ?2
                ORDER BY place LIMIT ?4
                """, [.blob(box.array), .integer(offset), .integer(Int64(kinds.bits)), .integer(Int64(limit))],
                row: take)
        }
    }

    /// The version of a name.
    public func version(of box: Bytes32, _ kind: ItemKind, _ name: Bytes16) -> StoredEntry? {
        rows { take throws(StoreError) in
            try database.run(
                """
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries INDEXED BY entry_names
                WHERE box = ? AND kind = ? AND name = ? ORDER BY place DESC LIMIT 1
                """, [.blob(box.array), .integer(Int64(kind.rawValue)), .blob(name.array)], row: take)
        }.first
    }

    /// The entry of kind 5 that is dropped first: among items, or among tombstones by a token.
    public func weakest(of box: Bytes32, isDeleted: Bool) -> StoredEntry? {
        rows { take throws(StoreError) in
            try database.run(
                """
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries INDEXED BY entry_efforts
                WHERE kind = 5 AND box = ? AND form = ? ORDER BY effort, id DESC LIMIT 1
                """, [.blob(box.array), .integer(isDeleted ? 1 : 0)], row: take)
        }.first
    }

    // MARK: Ranges and shards

    /// The numbers of the ranges of a shard and kind that have entries, ascending.
    public func ranges(of shard: UInt16, _ kind: ItemKind) -> [UInt32] {
        if let known = tables.numbers(of: shard, kind) { return known }
        guard contents[shard] != nil else { return [] }
        var counts: [UInt32: Int] = [:]
        let isRead = reading(false) { () throws(StoreError) in
            try database.run(
                "SELECT range, count(*) FROM entries WHERE shard = ? AND kind = ? GROUP BY range",
                [.integer(Int64(shard)), .integer(Int64(kind.rawValue))]
            ) { row in
                if let number = UInt32(exactly: row.integer(0)) { counts[number] = Int(row.integer(1)) }
            }
            return true
        }
        if isRead { tables.set(shard, kind, counts) }
        return tables.numbers(of: shard, kind) ?? []
    }

    /// How many entries a range has.
    public func count(in range: RangeKey) -> Int {
        _ = ranges(of: range.shard, range.kind)
        return tables.count(in: range)
    }

    /// The entries of a range by ascending id.
    public func entries(in range: RangeKey) -> [StoredEntry] {
        rows { take throws(StoreError) in
            try database.run(
                """
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries WHERE shard = ? AND kind = ? AND range = ? ORDER BY id
                """,
                [.integer(Int64(range.shard)), .integer(Int64(range.kind.rawValue)), .integer(Int64(range.number))],
                row: take)
        }
    }

    /// The digest of a range, cached until an entry of it changes.
    public func digest(of range: RangeKey) -> Bytes32 {
        if let known = tables.digest(of: range) { return known }
        let ids = entries(in: range).map { ($0.id, $0.isDeleted) }
        hashedBytes += ids.count * RangeDigests.entrySize
        let digest = RangeDigests.range(ids)
        tables.set(digest, of: range)
        return digest
    }

    /// A number that changes with each change of a shard's entries.
    public func changes(of shard: UInt16) -> UInt64 { changeCounts[shard] ?? 0 }

    /// The shards that have entries, each with what they have.
    public func totals() -> [UInt16: ShardTotals] { contents.filter { $0.value.entries > 0 } }

    /// At most `limit` entries that have expired.
    public func expired(at minute: UInt32, limit: Int) -> [ItemID] {
        // Times are whole minutes, and nothing comes that has expired already.
        if let until = expiredUntil, until == minute { return [] }
        var found: [ItemID] = []
        for shard in contents.keys.sorted() {
            for kind in ItemKind.allCases where kind.isKept && minute >= kind.life && found.count < limit {
                let last = (minute - kind.life) / SwarmLimits.rangeMinutes
                found += rows { take throws(StoreError) in
                    try database.run(
                        """
                        SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                        FROM entries WHERE shard = ? AND kind = ? AND range <= ? ORDER BY range LIMIT ?
                        """,
                        [
                            .integer(Int64(shard)), .integer(Int64(kind.rawValue)), .integer(Int64(last)),
                            .integer(Int64(limit - found.count)),
                        ], row: take)
                }.map(\.id)
            }
        }
        if found.count < limit { expiredUntil = found.isEmpty ? minute : nil }
        return found
    }

    /// At most `limit` entries of a shard.
    public func items(of shard: UInt16, limit: Int) -> [ItemID] {
        rows { take throws(StoreError) in
            try database.run(
                """
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries WHERE shard = ? LIMIT ?
                """, [.integer(Int64(shard)), .integer(Int64(limit))], row: take)
        }.map(\.id)
    }

    /// The boxes being swept.
    public func sweeps() -> [Bytes32: BoxSweep] { swept }

    /// Sets the progress of a box's sweep; nil: it is finished.
    public func setSweep(_ box: Bytes32, _ sweep: BoxSweep?) {
        guard swept[box] != sweep else { return }
        swept[box] = sweep
        writing { () throws(StoreError) in
            guard let sweep else { return try database.run("DELETE FROM sweeps WHERE box = ?", [.blob(box.array)]) }
            try database.run(
                "INSERT OR REPLACE INTO sweeps (box, after, verifies) VALUES (?, ?, ?)",
                [.blob(box.array), .integer(Int64(clamping: sweep.after)), .integer(sweep.verifies ? 1 : 0)])
        }
    }

    /// The shards of the replica.
    public func shards() -> [UInt16: ShardRecord] { records }

    /// Sets the record of a shard; nil: the replica no longer has it.
    public func setShard(_ shard: UInt16, _ record: ShardRecord?) {
        records[shard] = record
        writing { () throws(StoreError) in
            guard let record else {
                return try database.run("DELETE FROM shards WHERE shard = ?", [.integer(Int64(shard))])
            }
            try database.run(
                "INSERT OR REPLACE INTO shards (shard, record) VALUES (?, ?)",
                [.integer(Int64(shard)), .blob(record.bytes)])
        }
    }
}

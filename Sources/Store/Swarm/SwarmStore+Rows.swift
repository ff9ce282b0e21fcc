internal import OnionCrypto
internal import Swarm
internal import Wire

extension SwarmStore {
    /// The row of an id; nil if there is none, or it is damaged.
    func row(_ id: ItemID) -> EntryRow? {
        readRows { take throws(StoreError) in
            try database.run(
                """
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries INDEXED BY entry_ids WHERE id = ? LIMIT 1
                """, [.blob(id.array)], row: take)
        }.first
    }

    /// The entries that `select` finds, without damaged ones.
    func rows(_ select: ((Database.Row) -> Void) throws(StoreError) -> Void) -> [StoredEntry] {
        readRows(select).map(\.entry)
    }

    /// The rows that `select` finds, without damaged ones, which are noted.
    private func readRows(_ select: ((Database.Row) -> Void) throws(StoreError) -> Void) -> [EntryRow] {
        var found: [EntryRow] = []
        return reading([]) { () throws(StoreError) in
            try select { row in
                if let entry = EntryRow(row) { found.append(entry) } else { damaged.insert(EntryKey(row)) }
            }
            return found
        }
    }

    /// The bytes of an entry; nil if they are damaged, which is noted.
    func body(_ row: EntryRow) -> [UInt8]? {
        reading(nil) { () throws(StoreError) in
            var bytes: [UInt8]?
            try database.run("SELECT bytes FROM bodies WHERE number = ?", [.integer(row.body)]) { bytes = $0.blob(0) }
            if let bytes, bytes.count == row.entry.size, checksum(bytes) == row.bodySum { return bytes }
            damaged.insert(EntryKey(row.entry))
            return nil
        }
    }

    // MARK: Boxes

    /// The row of a box; nil if there is no such box.
    ///
    /// A row that is damaged, or missing beside entries, is made anew from the entries; readers then begin again.
    func boxRow(_ key: Bytes32) -> BoxRow? {
        if let known = work.boxes[key] { return known }
        if let row = reading(nil, { () throws(StoreError) in try readBox(key) }) {
            work.boxes[key] = .some(row)
            return row
        }
        let counted = reading(nil) { () throws(StoreError) in try countedBox(key, firstSeen: 0) }
        work.boxes[key] = .some(counted)
        if let counted { writing { () throws(StoreError) in setBoxRow(key, counted) } }
        return counted
    }

    /// Sets the row of a box, within a transaction; nil: the box has no entry any more.
    func setBoxRow(_ key: Bytes32, _ row: BoxRow?) {
        work.boxes[key] = .some(row)
        work.changedBoxes.insert(key)
    }

    private func readBox(_ key: Bytes32) throws(StoreError) -> BoxRow? {
        var bytes: [UInt8]?
        try database.run("SELECT row FROM boxes WHERE key = ?", [.blob(key.array)]) { bytes = $0.blob(0) }
        return bytes.flatMap { BoxRow(decoding: $0) }
    }

    /// The row of a box by its entries; nil if it has none.
    func countedBox(_ key: Bytes32, firstSeen: UInt32) throws(StoreError) -> BoxRow? {
        var rows: [EntryRow] = []
        try database.run(
            """
            SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
            FROM entries INDEXED BY entry_places WHERE box = ?
            """, [.blob(key.array)]
        ) { row in
            if let entry = EntryRow(row) { rows.append(entry) } else { damaged.insert(EntryKey(row)) }
        }
        guard !rows.isEmpty else { return nil }
        let last = rows.map(\.entry.offset).max() ?? 0
        var box = BoxRow(BoxRecord(firstSeen: firstSeen, log: SecureRandom.u64(), next: last + 1))
        for row in rows { box.usage[row.entry.kind, default: BoxUsage()].add(row.entry, 1) }
        return box
    }
}

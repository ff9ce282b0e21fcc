internal import Swarm
internal import Wire

extension SwarmStore {
    /// Compares the next `limit` entries with their checksums, in the order of shards and times.
    ///
    /// It also returns pages to the file system that removed entries have left.
    public func verify(limit: Int) {
        var seen = 0
        let key = verified?.values ?? [.integer(-1), .integer(0), .integer(0), .blob([])]
        reading(()) { () throws(StoreError) in
            var rows: [EntryRow] = []
            try database.run(
                """
                SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
                FROM entries WHERE (shard, kind, range, id) > (?, ?, ?, ?) ORDER BY shard, kind, range, id LIMIT ?
                """, key + [.integer(Int64(limit))]
            ) { row in
                seen += 1
                verified = EntryKey(row)
                if let entry = EntryRow(row) { rows.append(entry) } else { damaged.insert(EntryKey(row)) }
            }
            for row in rows { _ = body(row) }
        }
        if seen < limit { verified = nil }
        var free: Int64 = 0
        reading(()) { () throws(StoreError) in try database.run("PRAGMA freelist_count") { free = $0.integer(0) } }
        guard free > Self.freePages else { return }
        writing { () throws(StoreError) in try database.run("PRAGMA incremental_vacuum(64)") }
    }

    /// How many free pages stay in the file: 16 MiB.
    private static let freePages: Int64 = 1_024

    /// Removes the entries that were found damaged since the last call, so that other replicas can bring them again.
    public func removeDamaged() -> [UInt16: Int] {
        guard !damaged.isEmpty else { return [:] }
        let keys = damaged
        damaged = []
        var shards: [UInt16: Int] = [:]
        writing { () throws(StoreError) in
            var boxes: Set<Bytes32> = []
            for key in keys {
                let shard = UInt16(truncatingIfNeeded: key.shard)
                guard let box = try remove(key) else { continue }
                shards[shard, default: 0] += 1
                if let box = Bytes32(box) { boxes.insert(box) }
            }
            for shard in shards.keys { try countAgain(shard, and: boxes) }
        }
        return work.fault == nil ? shards : [:]
    }

    /// Removes a row if it is still damaged, and returns its box as it was read; nil if it is not damaged.
    func remove(_ key: EntryKey) throws(StoreError) -> [UInt8]? {
        var box: [UInt8]?
        var row: EntryRow?
        try database.run(
            """
            SELECT shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal
            FROM entries WHERE shard = ? AND kind = ? AND range = ? AND id = ?
            """, key.values
        ) {
            box = $0.blob(4)
            row = EntryRow($0)
        }
        if let row, body(row) != nil { return nil }
        damaged.remove(key)
        try database.run("DELETE FROM entries WHERE shard = ? AND kind = ? AND range = ? AND id = ?", key.values)
        // A row that was read but is not found by its own key shows that the table itself is damaged.
        guard let box, database.changedRows == 1 else { throw .damaged(path: database.path) }
        // The number of a damaged row may be that of another entry's bytes.
        if let row { try database.run("DELETE FROM bodies WHERE number = ?", [.integer(row.body)]) }
        return box
    }

    /// Counts a shard, its boxes and `others` anew, and forgets its digests.
    func countAgain(_ shard: UInt16, and others: Set<Bytes32>) throws(StoreError) {
        var totals = ShardTotals()
        var boxes = others
        try database.run(
            "SELECT count(*), sum(max(size, ?)) FROM entries WHERE shard = ?",
            [.integer(Int64(SwarmLimits.leastRoom)), .integer(Int64(shard))]
        ) { (totals.entries, totals.bytes) = (Int($0.integer(0)), Int($0.integer(1))) }
        contents[shard] = totals
        work.changedShards.insert(shard)
        tables.forget(shard)
        changeCounts[shard, default: 0] += 1
        try database.run("SELECT DISTINCT box FROM entries WHERE shard = ?", [.integer(Int64(shard))]) { row in
            if let box = Bytes32(row.blob(0)) { boxes.insert(box) }
        }
        for box in boxes {
            let old = boxRow(box)
            guard var row = try countedBox(box, firstSeen: old?.record.firstSeen ?? 0) else {
                setBoxRow(box, nil)
                continue
            }
            if let old {
                row.record = BoxRecord(
                    firstSeen: old.record.firstSeen, log: old.record.log, next: max(old.record.next, row.record.next))
            }
            if row != old { setBoxRow(box, row) }
        }
    }
}

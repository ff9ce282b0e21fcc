internal import Glibc
internal import OnionCrypto
internal import Swarm
public import Wire

/// The entries of a replica in `swarm.sqlite` of a locked data folder.
///
/// The file is used by one thread at a time, which may be another one than the `Store`'s. What a ``commit()`` has
/// written is on disk when it returns, also after a power failure. A call that fails makes the next commit fail, which
/// then undoes everything since the last one.
///
/// Each row has a checksum. A row that disagrees with it counts as missing, and ``removeDamaged()`` removes it.
///
/// It has more members than most types: the file, and what of it is in memory too, which each transaction changes.
public final class SwarmStore {
    /// The name of the file in the data folder.
    public static let fileName = "swarm.sqlite"
    /// The name of a damaged file that was set aside.
    public static let damagedName = "swarm.sqlite.damaged"
    /// The name of the file that says that the process has ended in order, and with which state of the database.
    static let endedName = "swarm.ended"

    /// The use of the database since the last commit, all of which a failed commit undoes.
    struct Work {
        /// Whether a transaction is open.
        var isWriting = false
        /// The failure that makes the next commit fail.
        var fault: StoreError?
        /// The boxes that were read or changed; nil: there is none.
        var boxes: [Bytes32: BoxRow?] = [:]
        var changedBoxes: Set<Bytes32> = []
        var changedShards: Set<UInt16> = []
    }

    let folder: String
    private let network: Bytes32
    let database: Database
    var work = Work()
    /// Why the last commit failed; nil after a commit that has written something.
    public var failure: StoreError?
    /// Whether the file cannot be used any more: its structure is damaged.
    public internal(set) var isDamaged = false
    /// Whether the process that used the file last has closed it, and the file was not replaced since.
    public let hasEndedCleanly: Bool
    /// Whether the process that used the file last was killed.
    private let wasKilled: Bool
    /// Whether ``check()`` has succeeded.
    private var isChecked = false
    /// Whether ``replace()`` has moved the file.
    private var isSetAside = false

    var salt: UInt64 = 0
    var contents: [UInt16: ShardTotals] = [:]
    var records: [UInt16: ShardRecord] = [:]
    var swept: [Bytes32: BoxSweep] = [:]
    var tables = RangeTables()
    var changeCounts: [UInt16: UInt64] = [:]
    /// How many bytes were hashed so far for digests of ranges that were not cached.
    public internal(set) var hashedBytes = 0
    /// The rows that disagree with their checksums.
    var damaged: Set<EntryKey> = []
    /// The last row that ``verify(limit:)`` has looked at.
    var verified: EntryKey?
    /// The minute at which no more entry had expired.
    var expiredUntil: UInt32?

    /// Opens the file in the data folder at `folder`, whose lock a `Store` or `DataFolder` must hold.
    ///
    /// A file of another network is refused. After an unclean exit of the process the whole file is checked first,
    /// which may take minutes; without `checks` the caller does it by ``check()`` before any other call.
    public init(folder: String, network: Bytes32, checks: Bool = true) throws(StoreError) {
        let path = "\(folder)/\(Self.fileName)"
        self.folder = folder
        self.network = network
        let wasKilled = SQLiteFile.wasKilled(path)
        let database = try SQLiteFile.open(
            path, .full, steps: Self.steps, layout: "PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL",
            checks: false)
        self.database = database
        self.wasKilled = wasKilled
        try database.execute("PRAGMA cache_size = -8192; PRAGMA secure_delete = ON")
        var kept: [UInt8]?
        var ended: [UInt8] = []
        try database.run("SELECT value FROM meta WHERE name = 'network'") { kept = $0.blob(0) }
        try database.run("SELECT value FROM meta WHERE name = 'ended'") { ended = $0.blob(0) }
        if let kept {
            // A byte that has changed is damage, and no other network.
            guard let name = SealedRow.open(kept) else { throw .damaged(path: path) }
            guard name == network.array else {
                throw .wrongKind(path: path, expected: "the swarm store of this network")
            }
        }
        hasEndedCleanly = !wasKilled && !ended.isEmpty && Self.endedToken(folder) == ended
        let isNew = kept == nil
        try database.transaction { () throws(StoreError) in
            if isNew {
                let name = SealedRow.seal(network.array)
                try database.run("INSERT INTO meta (name, value) VALUES ('network', ?)", [.blob(name)])
                try setSalt(SecureRandom.u64())
            }
            try database.run("DELETE FROM meta WHERE name = 'ended'")
        }
        _ = unsafe unlink("\(folder)/\(Self.endedName)")
        if checks { try check() }
    }

    /// Checks the file after an unclean exit of the process, and reads the small tables.
    ///
    /// After one that found damage, each later call fails alike, until ``replace()`` has succeeded. An interrupted one
    /// fails, and the next start checks the file.
    public func check(_ interruption: Interruption = Interruption()) throws(StoreError) {
        guard !isDamaged else { throw .damaged(path: database.path) }
        do throws(StoreError) {
            if wasKilled || !hasEndedCleanly {
                try database.interruptible(by: interruption) { () throws(StoreError) in
                    if wasKilled { try SQLiteFile.check(database) }
                    try load()
                    if !hasEndedCleanly { try count() }
                }
            } else {
                try load()
            }
            database.keepLog(false)
        } catch {
            if case .damaged = error, !interruption.isSet { isDamaged = true }
            throw error
        }
        isChecked = true
    }

    /// Opens the file as ``init(folder:network:checks:)`` does; a damaged one is set aside, and an empty one takes its
    /// place.
    ///
    /// `setAside` is then the path of the damaged file.
    public static func open(
        folder: String, network: Bytes32, checks: Bool = true
    ) throws(StoreError) -> (store: SwarmStore, setAside: String?) {
        do throws(StoreError) {
            return (try SwarmStore(folder: folder, network: network, checks: checks), nil)
        } catch {
            guard case .damaged = error else { throw error }
            try setAside(folder: folder)
            return (try SwarmStore(folder: folder, network: network, checks: checks), "\(folder)/\(damagedName)")
        }
    }

    /// Closes a damaged file and sets it aside; the result is an empty one in its place, and the path of the damaged
    /// one.
    ///
    /// After a failure it can be called again: the damaged file is moved once.
    public func replace() throws(StoreError) -> (store: SwarmStore, setAside: String) {
        close()
        if !isSetAside { try Self.setAside(folder: folder) }
        isSetAside = true
        return (try SwarmStore(folder: folder, network: network), "\(folder)/\(Self.damagedName)")
    }

    /// Renames the file, in place of an earlier one that was set aside; no `SwarmStore` may have it open.
    public static func setAside(folder: String) throws(StoreError) {
        // The log comes last: without it a second attempt finds the file, and with it alone SQLite would begin a new
        // one.
        var isMoved = false
        for ending in ["", "-shm", "-wal"] {
            let (from, to) = ("\(folder)/\(fileName)\(ending)", "\(folder)/\(damagedName)\(ending)")
            if unsafe rename(from, to) == 0 {
                isMoved = true
                continue
            }
            guard errno == ENOENT else { throw .failed(from, "rename", errno) }
            // Of an earlier file; but without a file here it may be what an attempt that failed has moved.
            if isMoved { _ = unsafe unlink(to) }
        }
        _ = unsafe unlink("\(folder)/\(endedName)")
    }

    private static func endedToken(_ folder: String) -> [UInt8]? {
        let descriptor = unsafe Glibc.open("\(folder)/\(endedName)", O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { Glibc.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 33)
        let count = unsafe read(descriptor, &bytes, bytes.count)
        return count == 32 ? Array(bytes[..<32]) : nil
    }

    /// Closes the file; each later commit fails.
    ///
    /// What was written since the last commit is lost.
    public func close() { database.close() }

    /// Closes the file at the end of the process in order.
    ///
    /// The next start then keeps the numberings of the boxes. If this fails, readers begin anew, and nothing is lost. A
    /// file that is not checked yet gets no mark, so that the next start checks it.
    public func end() {
        defer { close() }
        // After a failed commit a new numbering may not be on the disk.
        guard isChecked, !work.isWriting, work.fault == nil, failure == nil, !isDamaged else { return }
        let token = (0..<4).flatMap { _ in SecureRandom.u64().bytes }
        do throws(StoreError) {
            try database.run("INSERT OR REPLACE INTO meta (name, value) VALUES ('ended', ?)", [.blob(token)])
        } catch { return }
        close()
        try? AtomicFile.write(token, to: "\(folder)/\(Self.endedName)", .replaced, .secret)
    }

    /// The statements that lead from each version of the file to the next; they never change.
    private static let steps = [
        """
        CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE entries (
            shard INTEGER NOT NULL, kind INTEGER NOT NULL, range INTEGER NOT NULL, id BLOB NOT NULL, box BLOB NOT NULL,
            place INTEGER NOT NULL, form INTEGER NOT NULL, size INTEGER NOT NULL, effort INTEGER NOT NULL, name BLOB,
            body INTEGER NOT NULL, body_sum INTEGER NOT NULL, seal INTEGER NOT NULL,
            PRIMARY KEY (shard, kind, range, id)) WITHOUT ROWID;
        CREATE INDEX entry_ids ON entries (id);
        CREATE INDEX entry_places ON entries (box, kind, place);
        CREATE INDEX entry_names ON entries (box, kind, name) WHERE name IS NOT NULL;
        CREATE INDEX entry_efforts ON entries (box, form, effort) WHERE kind = 5;
        CREATE TABLE bodies (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
        CREATE TABLE boxes (key BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE contents (shard INTEGER PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
        CREATE TABLE shards (shard INTEGER PRIMARY KEY, record BLOB NOT NULL);
        CREATE TABLE sweeps (box BLOB PRIMARY KEY, after INTEGER NOT NULL, verifies INTEGER NOT NULL) WITHOUT ROWID;
        """,
        // Tombstones count more, so the contents are counted anew as after an end that was not in order.
        "DELETE FROM meta WHERE name = 'ended';",
    ]

    // MARK: What is in memory too

    /// Reads the small tables.
    private func load() throws(StoreError) {
        (salt, contents, records, swept) = (0, [:], [:], [:])
        try database.run("SELECT value FROM meta WHERE name = 'salt'") { salt = UInt64($0.blob(0)) }
        try database.run("SELECT shard, entries, bytes FROM contents") { row in
            var totals = ShardTotals()
            (totals.entries, totals.bytes) = (Int(row.integer(1)), Int(row.integer(2)))
            contents[UInt16(truncatingIfNeeded: row.integer(0))] = totals
        }
        // A record that is damaged is left out: the replica then joins the shard anew.
        try database.run("SELECT shard, record FROM shards") { row in
            records[UInt16(truncatingIfNeeded: row.integer(0))] = ShardRecord(decoding: row.blob(1))
        }
        try database.run("SELECT box, after, verifies FROM sweeps") { row in
            guard let box = Bytes32(row.blob(0)) else { return }
            var sweep = BoxSweep(verifies: row.integer(2) != 0)
            sweep.after = UInt64(clamping: row.integer(1))
            swept[box] = sweep
        }
    }

    /// Counts the contents of all shards anew.
    private func count() throws(StoreError) {
        var counted: [UInt16: ShardTotals] = [:]
        try database.run(
            "SELECT shard, count(*), sum(max(size, ?)) FROM entries GROUP BY shard",
            [.integer(Int64(SwarmLimits.leastRoom))]
        ) { row in
            var totals = ShardTotals()
            (totals.entries, totals.bytes) = (Int(row.integer(1)), Int(row.integer(2)))
            counted[UInt16(truncatingIfNeeded: row.integer(0))] = totals
        }
        guard counted != contents else { return }
        contents = counted
        try database.transaction { () throws(StoreError) in
            try database.run("DELETE FROM contents")
            for (shard, totals) in counted { try writeContents(shard, totals) }
        }
    }

    func setSalt(_ value: UInt64) throws(StoreError) {
        try database.run("INSERT OR REPLACE INTO meta (name, value) VALUES ('salt', ?)", [.blob(value.bytes)])
    }

    private func writeContents(_ shard: UInt16, _ totals: ShardTotals) throws(StoreError) {
        try database.run(
            "INSERT OR REPLACE INTO contents (shard, entries, bytes) VALUES (?, ?, ?)",
            [.integer(Int64(shard)), .integer(Int64(totals.entries)), .integer(Int64(totals.bytes))])
    }

    // MARK: Transactions

    /// Reads; a failure makes the next commit fail, and `otherwise` is the result.
    func reading<Result>(_ otherwise: Result, _ body: () throws(StoreError) -> Result) -> Result {
        do throws(StoreError) { return try body() } catch {
            fail(error)
            return otherwise
        }
    }

    /// Writes in the open transaction, or begins one; after a failure nothing is written until the commit.
    func writing(_ body: () throws(StoreError) -> Void) {
        guard work.fault == nil else { return }
        do throws(StoreError) {
            if !work.isWriting {
                try database.run("BEGIN IMMEDIATE")
                work.isWriting = true
            }
            try body()
        } catch { fail(error) }
    }

    private func fail(_ error: StoreError) {
        if work.fault == nil { work.fault = error }
        if case .damaged = error { isDamaged = true }
    }

    /// Writes everything since the last commit to the disk; false: this failed, and all of it is undone.
    public func commit() -> Bool {
        if work.isWriting {
            writing { () throws(StoreError) in
                for box in work.changedBoxes { try writeBox(box) }
                for shard in work.changedShards {
                    if let totals = contents[shard], totals.entries > 0 {
                        try writeContents(shard, totals)
                    } else {
                        contents[shard] = nil
                        try database.run("DELETE FROM contents WHERE shard = ?", [.integer(Int64(shard))])
                    }
                }
                try database.run("COMMIT")
            }
        }
        let done = work
        work = Work()
        guard let fault = done.fault else {
            if done.isWriting { failure = nil }
            return true
        }
        failure = fault
        // SQLite may have ended the transaction itself.
        if done.isWriting { try? database.run("ROLLBACK") }
        undo()
        return false
    }

    private func undo() {
        tables = RangeTables()
        for shard in Set(changeCounts.keys).union(contents.keys) { changeCounts[shard, default: 0] += 1 }
        expiredUntil = nil
        do throws(StoreError) { try load() } catch {
            // The next commit fails too, until the tables can be read.
            fail(error)
        }
    }

    private func writeBox(_ key: Bytes32) throws(StoreError) {
        if let row = work.boxes[key] ?? nil {
            try database.run(
                "INSERT OR REPLACE INTO boxes (key, row) VALUES (?, ?)", [.blob(key.array), .blob(row.bytes)])
        } else {
            try database.run("DELETE FROM boxes WHERE key = ?", [.blob(key.array)])
        }
    }
}

extension UInt64 {
    /// Eight bytes, the least significant first.
    fileprivate var bytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: self >> UInt64($0 * 8)) } }

    /// The number of these bytes.
    fileprivate init(_ bytes: [UInt8]) { self = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) } }
}

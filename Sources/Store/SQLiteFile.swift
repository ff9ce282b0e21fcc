internal import Glibc

/// How a database of a data folder is opened.
enum SQLiteFile {
    /// When what was written is on disk.
    enum Durability: String {
        /// What was written in the last moments before a power failure may be lost.
        case normal = "NORMAL"
        /// When the call returns.
        case full = "FULL"
    }

    /// Opens the database at `path` in a folder whose lock is held, and brings its format up to date.
    ///
    /// The file is made where it is missing; one that others can read or write is refused. It has a write-ahead log:
    /// nothing is half written. After a process that did not end in order it is checked first, which reads all of it.
    /// Each of `steps` leads from the version that is its index to the next, in one transaction; steps are added and
    /// never changed. A later version is refused. `layout` are the pragmas that count only for a new file. Without
    /// `checks` the caller checks the file itself; until then the log, which shows that this is due, is kept.
    static func open(
        _ path: String, _ durability: Durability, steps: [String], layout: String = "", checks: Bool = true
    ) throws(StoreError) -> Database {
        let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .failed(path, "open", errno) }
        close(descriptor)
        try checkPrivate(path, isFolder: false)
        let wasKilled = Self.wasKilled(path)
        let database = try Database(path: path)
        if wasKilled, !checks { database.keepLog(true) }
        var pages: Int64 = 0
        try database.run("PRAGMA page_count") { pages = $0.integer(0) }
        if pages == 0, !layout.isEmpty { try database.execute(layout) }
        try database.execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = \(durability.rawValue); PRAGMA trusted_schema = OFF")
        if wasKilled, checks { try check(database) }
        try migrate(database, steps)
        return database
    }

    /// Reads all of a database; throws if its structure is damaged.
    static func check(_ database: Database) throws(StoreError) {
        var verdict = ""
        try database.run("PRAGMA quick_check(1)") { verdict = $0.text(0) }
        guard verdict == "ok" else { throw .damaged(path: database.path) }
    }

    /// Whether the process that had the database at `path` did not end in order: SQLite removes the log when it does.
    static func wasKilled(_ path: String) -> Bool { unsafe access("\(path)-wal", F_OK) == 0 }

    private static func migrate(_ database: Database, _ steps: [String]) throws(StoreError) {
        var found = 0
        try database.run("PRAGMA user_version") { found = Int($0.integer(0)) }
        guard 0...steps.count ~= found else {
            throw .tooNew(path: database.path, version: found, known: steps.count)
        }
        for step in found..<steps.count {
            try database.transaction { () throws(StoreError) in
                try database.execute("\(steps[step]) PRAGMA user_version = \(step + 1)")
            }
        }
    }
}

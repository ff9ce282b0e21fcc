internal import OnionCrypto
public import Wire

/// The blocks of the ledger, the state behind them, and an authority's votes, in `ledger.sqlite` of a data folder that is locked.
///
/// A file of its own, used by one thread at a time, which need not be the one that uses the `Store`. What was written is on disk
/// when a call returns, also after a power failure, and nothing is half written. Only bytes are kept; what they mean is others'
/// business.
public final class LedgerStore {
    /// The name of the file in the data folder.
    public static let fileName = "ledger.sqlite"

    fileprivate let database: Database

    /// Opens the file in the data folder at `folder`, which a `Store` or `DataFolder` must hold the lock of.
    ///
    /// The file belongs to the ledger that begins with `genesis`; one of another ledger is refused. After a process that did not
    /// end in order it is checked first, which reads all of it.
    public init(folder: String, genesis: Bytes32) throws(StoreError) {
        let path = "\(folder)/\(Self.fileName)"
        database = try SQLiteFile.open(path, .full, steps: Self.steps)
        if let kept = try value("genesis") {
            guard kept == genesis.array else {
                throw .wrongKind(path: path, expected: "the ledger of this network")
            }
        } else {
            try set("genesis", genesis.array)
        }
    }

    /// The tables.
    private static let steps = [
        """
        CREATE TABLE meta (name BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE blocks (height INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
        CREATE TABLE states (height INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
        """
    ]

    private func value(_ name: String) throws(StoreError) -> [UInt8]? {
        var found: [UInt8]?
        try database.run("SELECT value FROM meta WHERE name = ?", [.blob(Array(name.utf8))]) { found = $0.blob(0) }
        return found
    }

    private func set(_ name: String, _ value: [UInt8]) throws(StoreError) {
        try database.run(
            "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", [.blob(Array(name.utf8)), .blob(value)])
    }

    // MARK: Blocks

    /// Keeps the encoded block at `height`, and with it the encoded state after it where one is given, in place of the one before.
    public func add(_ block: [UInt8], at height: UInt64, state: [UInt8]?) throws(StoreError) {
        let number = Database.Value.integer(Int64(clamping: height))
        try database.transaction { () throws(StoreError) in
            try database.run("INSERT INTO blocks (height, bytes) VALUES (?, ?)", [number, .blob(block)])
            if let state {
                try database.run("DELETE FROM states")
                try database.run("INSERT INTO states (height, bytes) VALUES (?, ?)", [number, .blob(state)])
            }
        }
    }

    /// The encoded blocks above `height`, ascending and without a gap, as many as fit in `byteLimit` and `limit`.
    public func blocks(above height: UInt64, limit: Int, byteLimit: Int) throws(StoreError) -> [[UInt8]] {
        try database.blocks(above: height, limit: limit, byteLimit: byteLimit)
    }

    /// The state that was kept last, with its height.
    public func state() throws(StoreError) -> (height: UInt64, bytes: [UInt8])? {
        var found: (UInt64, [UInt8])?
        try database.run("SELECT height, bytes FROM states ORDER BY height DESC LIMIT 1") {
            found = (UInt64(clamping: $0.integer(0)), $0.blob(1))
        }
        return found
    }

    // MARK: Votes

    /// An authority's vote that was kept last.
    public func vote() throws(StoreError) -> [UInt8]? { try value("vote") }

    /// Keeps an authority's vote in place of the one before.
    public func setVote(_ bytes: [UInt8]) throws(StoreError) { try set("vote", bytes) }
}

/// The blocks of a ledger's file, read on another thread than that which writes them.
///
/// `@unchecked Sendable`: it has a connection of its own, and its owner begins the next call only when the last has returned.
public final class LedgerReader: @unchecked Sendable {
    private let database: Database

    /// Opens the file of `store` once more, to read.
    public init(beside store: LedgerStore) throws(StoreError) {
        database = try Database(path: store.database.path)
        try database.execute("PRAGMA query_only = 1; PRAGMA trusted_schema = OFF")
    }

    /// The encoded blocks above `height`, ascending and without a gap, as many as fit in `byteLimit` and `limit`.
    public func blocks(above height: UInt64, limit: Int, byteLimit: Int) throws(StoreError) -> [[UInt8]] {
        try database.blocks(above: height, limit: limit, byteLimit: byteLimit)
    }
}

extension Database {
    fileprivate func blocks(above height: UInt64, limit: Int, byteLimit: Int) throws(StoreError) -> [[UInt8]] {
        guard height < UInt64(Int64.max) else { return [] }
        var list: [[UInt8]] = []
        var size = 0
        var isFull = false
        try run(
            "SELECT bytes FROM blocks WHERE height > ? ORDER BY height LIMIT ?",
            [.integer(Int64(height)), .integer(Int64(limit))]
        ) { row in
            guard !isFull else { return }
            let bytes = row.blob(0)
            size += bytes.count + 4
            isFull = size > byteLimit
            if !isFull { list.append(bytes) }
        }
        return list
    }
}

internal import OnionCrypto
public import Wire

/// The blocks of the ledger, the state after them, and an authority's acceptor state, in `ledger.sqlite` of a locked
/// data folder.
///
/// The file is used by one thread at a time, which may be another one than the `Store`'s. Written data is on disk when
/// a call returns, also after a power failure, and nothing is half written. The store keeps bytes and does not decode
/// them.
public final class LedgerStore {
    /// The name of the file in the data folder.
    public static let fileName = "ledger.sqlite"

    fileprivate let database: Database

    /// Opens the file in the data folder at `folder`, whose lock a `Store` or `DataFolder` must hold.
    ///
    /// The file belongs to the ledger that begins with `genesis`; a file of another ledger is refused. After an unclean
    /// exit of the process the whole file is checked first.
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

    /// The statements that lead from each version of the file to the next; they never change.
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

    /// Stores the encoded block at `height`, and the encoded state after it, if given, in place of the previous state.
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

    /// The encoded blocks above `height`, ascending and contiguous, as many as fit in `byteLimit` and `limit`.
    public func blocks(above height: UInt64, limit: Int, byteLimit: Int) throws(StoreError) -> [[UInt8]] {
        try database.blocks(above: height, limit: limit, byteLimit: byteLimit)
    }

    /// The last stored state, with its height.
    public func state() throws(StoreError) -> (height: UInt64, bytes: [UInt8])? {
        var found: (UInt64, [UInt8])?
        try database.run("SELECT height, bytes FROM states ORDER BY height DESC LIMIT 1") {
            found = (UInt64(clamping: $0.integer(0)), $0.blob(1))
        }
        return found
    }

    // MARK: The acceptor state

    /// The last stored acceptor state of an authority.
    public func acceptor() throws(StoreError) -> [UInt8]? { try value(Self.acceptorKey) }

    /// Stores an authority's acceptor state in place of the previous one.
    public func setAcceptor(_ bytes: [UInt8]) throws(StoreError) { try set(Self.acceptorKey, bytes) }

    /// The row's name in files of earlier builds too.
    private static let acceptorKey = "vote"
}

/// The blocks of a ledger's file, read on another thread than the one that writes them.
///
/// `@unchecked Sendable`: it has its own connection, and its owner makes one call at a time.
public final class LedgerReader: @unchecked Sendable {
    private let database: Database

    /// Opens the file of `store` a second time, for reading.
    public init(beside store: LedgerStore) throws(StoreError) {
        database = try Database(path: store.database.path)
        try database.execute("PRAGMA query_only = 1; PRAGMA trusted_schema = OFF")
    }

    /// The encoded blocks above `height`, ascending and contiguous, as many as fit in `byteLimit` and `limit`.
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

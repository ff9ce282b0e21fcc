public import Wire

/// The data kept across restarts, in `tunic.sqlite` of a locked data folder.
///
/// One thread at a time uses it (it is not Sendable). A write usually takes less than a millisecond. It waits for the
/// disk only where the comment says so, and about once in a thousand pages unless `checkpointElsewhere()` was called. A
/// loop thread may make small writes; large ones (all descriptors, a snapshot) belong on a worker thread that owns the
/// store. The store has no secrets but the keys of boxes that test other nodes, and no data about paths, sessions or
/// destinations; identity keys are in separate files (`KeyFile`).
public final class Store {
    /// The name of the database in the data folder.
    public static let fileName = "tunic.sqlite"

    // The lock is released after the database: properties are destroyed in this order.
    private let database: Database
    private let folder: DataFolder

    /// Opens the store in the data folder at `path`, creates the folder if it is missing, and updates the format.
    ///
    /// After an unclean exit of the process the whole database is checked first.
    public init(folder path: String) throws(StoreError) {
        let folder = try DataFolder(path)
        database = try SQLiteFile.open(folder.file(Self.fileName), .normal, steps: Self.steps)
        self.folder = folder
    }

    /// The statements that lead from each version of the file to the next; they never change.
    private static let steps = [
        """
        CREATE TABLE meta (name BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE keys (node BLOB PRIMARY KEY, path BLOB NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE guards (node BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE health (node BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE descriptors (node BLOB PRIMARY KEY, expires INTEGER NOT NULL, bytes BLOB NOT NULL);
        CREATE TABLE snapshots (
            network BLOB PRIMARY KEY, height INTEGER NOT NULL, digest BLOB NOT NULL, bytes BLOB NOT NULL);
        """,
        "CREATE TABLE inner_set (node BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;",
        "DROP TABLE keys;",
        "CREATE TABLE tests (node BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;",
    ]

    /// The data folder.
    public var folderPath: String { folder.path }

    /// The path of the file `name` in the data folder.
    public func path(of name: String) -> String { folder.file(name) }

    /// The operation that moves the log into the database on another thread; run it from time to time.
    ///
    /// From now on this store does so itself only when the log has 8,000 pages (32 MB), and at its end.
    public func checkpointElsewhere() throws(StoreError) -> StoreCheckpoint {
        try database.execute("PRAGMA wal_autocheckpoint = 8000")
        return StoreCheckpoint(path: database.path)
    }

    // MARK: Guards and node health

    /// The stored guards.
    public func guards() throws(StoreError) -> [NodeRow] { try nodeRows("SELECT node, row FROM guards") }

    /// Stores `rows` in place of all guards.
    public func setGuards(_ rows: [NodeRow]) throws(StoreError) {
        try replace(rows, "DELETE FROM guards", "INSERT OR REPLACE INTO guards (node, row) VALUES (?, ?)")
    }

    /// The stored nodes of the inner set.
    public func innerSet() throws(StoreError) -> [NodeRow] { try nodeRows("SELECT node, row FROM inner_set") }

    /// Stores `rows` in place of the whole inner set.
    public func setInnerSet(_ rows: [NodeRow]) throws(StoreError) {
        try replace(rows, "DELETE FROM inner_set", "INSERT OR REPLACE INTO inner_set (node, row) VALUES (?, ?)")
    }

    /// The stored penalties of nodes.
    public func health() throws(StoreError) -> [NodeRow] { try nodeRows("SELECT node, row FROM health") }

    /// Stores `rows` in place of all penalties.
    public func setHealth(_ rows: [NodeRow]) throws(StoreError) {
        try replace(rows, "DELETE FROM health", "INSERT OR REPLACE INTO health (node, row) VALUES (?, ?)")
    }

    /// The stored boxes that test other nodes.
    public func testBoxes() throws(StoreError) -> [NodeRow] { try nodeRows("SELECT node, row FROM tests") }

    /// Stores the box that tests a node, in place of an earlier one.
    public func setTestBox(_ row: NodeRow) throws(StoreError) {
        try database.run(
            "INSERT OR REPLACE INTO tests (node, row) VALUES (?, ?)", [.blob(row.node.key.array), .blob(row.bytes)])
    }

    /// Removes the box that tests `node`.
    public func removeTestBox(of node: NodeID) throws(StoreError) {
        try database.run("DELETE FROM tests WHERE node = ?", [.blob(node.key.array)])
    }

    private func nodeRows(_ select: StaticString) throws(StoreError) -> [NodeRow] {
        var rows: [NodeRow] = []
        try database.run(select) { row in
            if let key = Bytes32(row.blob(0)) { rows.append(NodeRow(node: NodeID(key), bytes: row.blob(1))) }
        }
        return rows
    }

    private func replace(
        _ rows: [NodeRow], _ delete: StaticString, _ insert: StaticString
    ) throws(StoreError) {
        try database.transaction { () throws(StoreError) in
            try database.run(delete)
            for row in rows { try database.run(insert, [.blob(row.node.key.array), .blob(row.bytes)]) }
        }
    }

    // MARK: Descriptors

    /// The stored descriptors, encoded; they must be checked like any from the network.
    public func descriptors() throws(StoreError) -> [[UInt8]] {
        var list: [[UInt8]] = []
        try database.run("SELECT bytes FROM descriptors") { list.append($0.blob(0)) }
        return list
    }

    /// Stores descriptors, each in place of an older one of its node.
    public func addDescriptors(_ list: [SignedDescriptor]) throws(StoreError) {
        try database.transaction { () throws(StoreError) in
            for signed in list {
                try database.run(
                    "INSERT OR REPLACE INTO descriptors (node, expires, bytes) VALUES (?, ?, ?)",
                    [
                        .blob(signed.descriptor.node.key.array),
                        .integer(Int64(clamping: signed.descriptor.expires.seconds)), .blob(signed.bytes),
                    ])
            }
        }
    }

    /// Removes the descriptors that have expired at `now`.
    public func removeExpiredDescriptors(at now: UnixTime) throws(StoreError) {
        try database.run("DELETE FROM descriptors WHERE expires <= ?", [.integer(Int64(clamping: now.seconds))])
    }

    // MARK: Snapshot

    /// The newest accepted snapshot and the greatest height ever accepted.
    public struct TrustedSnapshot: Hashable, Sendable {
        /// The network that it belongs to.
        public let network: Bytes32
        /// The lowest height that may still be accepted.
        public let height: UInt64
        /// The digest of the snapshot at that height.
        public let digest: Bytes32
        /// The encoding of the signed snapshot.
        public let bytes: [UInt8]

        /// A snapshot at `height` with `digest`.
        public init(network: Bytes32, height: UInt64, digest: Bytes32, bytes: [UInt8]) {
            self.network = network
            self.height = height
            self.digest = digest
            self.bytes = bytes
        }
    }

    /// The stored snapshot of `network`.
    public func trustedSnapshot(of network: Bytes32) throws(StoreError) -> TrustedSnapshot? {
        var found: TrustedSnapshot?
        try database.run(
            "SELECT height, digest, bytes FROM snapshots WHERE network = ?", [.blob(network.array)]
        ) { row in
            guard let digest = Bytes32(row.blob(1)) else { return }
            found = TrustedSnapshot(
                network: network, height: UInt64(bitPattern: row.integer(0)), digest: digest, bytes: row.blob(2))
        }
        return found
    }

    private func trustedHeight(of network: Bytes32) throws(StoreError) -> UInt64? {
        var height: UInt64?
        try database.run("SELECT height FROM snapshots WHERE network = ?", [.blob(network.array)]) { row in
            height = UInt64(bitPattern: row.integer(0))
        }
        return height
    }

    /// Stores an accepted snapshot, its height, and the single `values` that belong to it, in one transaction.
    ///
    /// One below the stored height changes nothing. Waits some milliseconds for the disk if `waiting`, so that a power
    /// failure does not lose the height.
    public func setTrustedSnapshot(
        _ snapshot: TrustedSnapshot, with values: [String: [UInt8]] = [:], waiting: Bool = true
    ) throws(StoreError) {
        if let kept = try trustedHeight(of: snapshot.network), kept > snapshot.height { return }
        try waitForDisk(waiting)
        defer { waitForDiskNoMore(waiting) }
        try database.transaction { () throws(StoreError) in
            try database.run(
                "INSERT OR REPLACE INTO snapshots (network, height, digest, bytes) VALUES (?, ?, ?, ?)",
                [
                    .blob(snapshot.network.array), .integer(Int64(bitPattern: snapshot.height)),
                    .blob(snapshot.digest.array), .blob(snapshot.bytes),
                ])
            for (name, value) in values { try set(value, for: name) }
        }
    }

    private func waitForDisk(_ waiting: Bool) throws(StoreError) {
        if waiting { try database.execute("PRAGMA synchronous = FULL") }
    }

    private func waitForDiskNoMore(_ waited: Bool) {
        // If this fails, later writes wait for the disk too, and nothing is lost.
        if waited { try? database.execute("PRAGMA synchronous = NORMAL") }
    }

    // MARK: Single values

    /// The value stored under `name`.
    public func value(_ name: String) throws(StoreError) -> [UInt8]? {
        var found: [UInt8]?
        try database.run("SELECT value FROM meta WHERE name = ?", [.blob(Array(name.utf8))]) { found = $0.blob(0) }
        return found
    }

    /// Stores `value` under `name`, in place of an earlier one.
    ///
    /// If `waiting`, it is on disk when this returns, and survives a power failure.
    public func setValue(_ value: [UInt8], for name: String, waiting: Bool = false) throws(StoreError) {
        try waitForDisk(waiting)
        defer { waitForDiskNoMore(waiting) }
        try set(value, for: name)
    }

    private func set(_ value: [UInt8], for name: String) throws(StoreError) {
        try database.run(
            "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", [.blob(Array(name.utf8)), .blob(value)])
    }
}

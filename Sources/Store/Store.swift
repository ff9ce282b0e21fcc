public import Wire

/// What is kept across restarts, in `tunic.sqlite` of a locked data folder.
///
/// One thread at a time uses it (it is not Sendable). A write takes under a millisecond as a rule and waits for the disk only
/// where the comment says so, and once in about a thousand pages unless `checkpointElsewhere()` was asked for. A loop thread may
/// make small writes; large ones (all descriptors, a snapshot) belong on a worker thread that owns the store. Nothing secret and nothing about paths,
/// sessions or destinations is kept here; identity keys stand in files of their own (`KeyFile`).
///
/// SQLite works with a write-ahead log: what was written when the process is killed is there afterwards; what was written in
/// the last moments before a power failure may be lost, but for the snapshot and its height, and nothing is half written.
public final class Store {
    /// The name of the database in the data folder.
    public static let fileName = "tunic.sqlite"

    // Kept open, and let go of after the database: the order of the properties.
    private let database: Database
    private let folder: DataFolder

    /// Opens the store in the data folder at `path`, which is made where it is missing, and brings its format up to date.
    ///
    /// After a process that did not end in order the database is checked first, which reads all of it.
    public init(folder path: String) throws(StoreError) {
        let folder = try DataFolder(path)
        database = try SQLiteFile.open(folder.file(Self.fileName), .normal, steps: Self.steps)
        self.folder = folder
    }

    /// The tables.
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
    ]

    /// The data folder.
    public var folderPath: String { folder.path }

    /// The path of the file `name` in the data folder.
    public func path(of name: String) -> String { folder.file(name) }

    /// What moves the log into the database from another thread, to be run now and then.
    ///
    /// From now on this store does it only where the log has 8,000 pages (32 MB), and at its end.
    public func checkpointElsewhere() throws(StoreError) -> StoreCheckpoint {
        try database.execute("PRAGMA wal_autocheckpoint = 8000")
        return StoreCheckpoint(path: database.path)
    }

    // MARK: Guards and node health

    /// The guards as they were kept.
    public func guards() throws(StoreError) -> [NodeRow] { try nodeRows("SELECT node, row FROM guards") }

    /// Keeps `rows` in place of all guards before.
    public func setGuards(_ rows: [NodeRow]) throws(StoreError) {
        try replace(rows, "DELETE FROM guards", "INSERT OR REPLACE INTO guards (node, row) VALUES (?, ?)")
    }

    /// The nodes of the inner set as they were kept.
    public func innerSet() throws(StoreError) -> [NodeRow] { try nodeRows("SELECT node, row FROM inner_set") }

    /// Keeps `rows` in place of the whole inner set before.
    public func setInnerSet(_ rows: [NodeRow]) throws(StoreError) {
        try replace(rows, "DELETE FROM inner_set", "INSERT OR REPLACE INTO inner_set (node, row) VALUES (?, ?)")
    }

    /// The marks against nodes as they were kept.
    public func health() throws(StoreError) -> [NodeRow] { try nodeRows("SELECT node, row FROM health") }

    /// Keeps `rows` in place of all marks before.
    public func setHealth(_ rows: [NodeRow]) throws(StoreError) {
        try replace(rows, "DELETE FROM health", "INSERT OR REPLACE INTO health (node, row) VALUES (?, ?)")
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

    /// The encoded descriptors as they were kept; to be checked like any that came from the network.
    public func descriptors() throws(StoreError) -> [[UInt8]] {
        var list: [[UInt8]] = []
        try database.run("SELECT bytes FROM descriptors") { list.append($0.blob(0)) }
        return list
    }

    /// Keeps descriptors, each in place of an older one of its node.
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

    /// Drops the descriptors that have expired at `now`.
    public func removeExpiredDescriptors(at now: UnixTime) throws(StoreError) {
        try database.run("DELETE FROM descriptors WHERE expires <= ?", [.integer(Int64(clamping: now.seconds))])
    }

    // MARK: Snapshot

    /// The newest accepted snapshot and the greatest height ever accepted.
    public struct TrustedSnapshot: Hashable, Sendable {
        /// The network that it belongs to.
        public let network: Bytes32
        /// The height that must not be gone below.
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

    /// The snapshot that was kept for `network`.
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

    /// Keeps an accepted snapshot and its height; one below the height that is kept changes nothing.
    ///
    /// Waits for the disk if `waiting`, for some milliseconds, so that a power failure does not make it forget the height.
    public func setTrustedSnapshot(_ snapshot: TrustedSnapshot, waiting: Bool = true) throws(StoreError) {
        if let kept = try trustedHeight(of: snapshot.network), kept > snapshot.height { return }
        try waitForDisk(waiting)
        defer { waitForDiskNoMore(waiting) }
        try database.run(
            "INSERT OR REPLACE INTO snapshots (network, height, digest, bytes) VALUES (?, ?, ?, ?)",
            [
                .blob(snapshot.network.array), .integer(Int64(bitPattern: snapshot.height)),
                .blob(snapshot.digest.array), .blob(snapshot.bytes),
            ])
    }

    private func waitForDisk(_ waiting: Bool) throws(StoreError) {
        if waiting { try database.execute("PRAGMA synchronous = FULL") }
    }

    private func waitForDiskNoMore(_ waited: Bool) {
        // Where this fails, later writes wait too, and nothing is lost.
        if waited { try? database.execute("PRAGMA synchronous = NORMAL") }
    }

    // MARK: Single values

    /// The value kept under `name`.
    public func value(_ name: String) throws(StoreError) -> [UInt8]? {
        var found: [UInt8]?
        try database.run("SELECT value FROM meta WHERE name = ?", [.blob(Array(name.utf8))]) { found = $0.blob(0) }
        return found
    }

    /// Keeps `value` under `name`, in place of one before.
    ///
    /// If `waiting`, it is on the disk when this returns: a power failure does not undo it.
    public func setValue(_ value: [UInt8], for name: String, waiting: Bool = false) throws(StoreError) {
        try waitForDisk(waiting)
        defer { waitForDiskNoMore(waiting) }
        try database.run(
            "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", [.blob(Array(name.utf8)), .blob(value)])
    }
}

/// The tables, as steps from one version of the format to the next.
enum Schema {
    /// Each step leads from the version that is its index to the next; steps are only added, never changed.
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

    /// The version that this program writes.
    static var version: Int { steps.count }

    /// Brings the database to `version`, one transaction a step; a later version is refused.
    static func migrate(_ database: Database) throws(StoreError) {
        var found = 0
        try database.run("PRAGMA user_version") { found = Int($0.integer(0)) }
        guard 0...version ~= found else {
            throw .tooNew(path: database.path, version: found, known: version)
        }
        for step in found..<version {
            try database.transaction { () throws(StoreError) in
                try database.execute("\(steps[step]) PRAGMA user_version = \(step + 1)")
            }
        }
    }
}

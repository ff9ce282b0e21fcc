/// Moves the log of a store into its database, on any thread, while the store remains in use on its own.
public struct StoreCheckpoint: Sendable {
    let path: String

    /// Runs the checkpoint and waits for the disk; data written meanwhile stays in the log.
    public func run() throws(StoreError) {
        // A separate connection, because one thread at a time uses a connection.
        let database = try Database(path: path)
        try database.run("PRAGMA wal_checkpoint(PASSIVE)")
    }
}

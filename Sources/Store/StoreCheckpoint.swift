/// Moves the log of a store into its database, on any thread, while the store goes on being used on its own.
public struct StoreCheckpoint: Sendable {
    let path: String

    /// Does it, and waits for the disk; what is written meanwhile stays in the log.
    public func run() throws(StoreError) {
        // A connection of its own: one thread at a time uses a connection.
        let database = try Database(path: path)
        try database.run("PRAGMA wal_checkpoint(PASSIVE)")
    }
}

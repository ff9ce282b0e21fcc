internal import OnionCrypto
public import Wire

// What a role goes on with after a restart: the network file, and what it had kept on disk.

extension SnapshotChain {
    /// Starts from the network file's snapshot, or from `kept` where that is newer, with the `mark` kept beside it.
    ///
    /// Bytes that are no snapshot count for nothing; the mark counts all the same. `earlier` is what ``Earlier/encoded()`` made.
    public init(
        _ file: NetworkFile, kept: [UInt8]?, mark: HighWaterMark?, earlier: [UInt8]? = nil
    ) throws(SnapshotRefusal) {
        try self.init(
            network: file.id, first: file.snapshot,
            kept: kept.flatMap { try? SignedSnapshot(decoding: $0.rawSpan) }, mark: mark,
            earlier: earlier.flatMap(Earlier.init(kept:)))
        longestTrust = file.snapshotMaximumAge == 0 ? 0 : max(Self.trustLifetime, file.snapshotMaximumAge)
    }
}

extension DescriptorStore {
    /// A store for the staked nodes of `snapshot`, with those of the `kept` descriptors that still hold at `now`.
    public init(_ file: NetworkFile, snapshot: Snapshot, kept: [[UInt8]], at now: UnixTime) {
        self.init(network: file.id, allowsPrivateAddresses: file.allowPrivateAddresses, snapshot: snapshot)
        for bytes in kept { _ = try? insert(bytes.rawSpan, at: now) }
    }
}

internal import OnionCrypto
public import Wire

// The state of a role after a restart: from the network file and from its files.

extension SnapshotChain {
    /// Starts from the network file's snapshot, or from `kept` if that is newer, with the `mark` stored with it.
    ///
    /// If `kept` is not a snapshot, it is ignored; the mark still applies. `earlier` is the output of
    /// ``Earlier/encoded()``.
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
    /// A store for the staked and suspended nodes of `snapshot`, with the `kept` descriptors that are valid at `now`.
    ///
    /// They count as arrived ``settling`` after their publication, when all nodes had them. If they counted as new, a
    /// node that has restarted would demand nothing of the next list.
    public init(_ file: NetworkFile, snapshot: Snapshot, kept: [[UInt8]], at now: UnixTime) {
        self.init(network: file.id, allowsPrivateAddresses: file.allowPrivateAddresses, snapshot: snapshot)
        for bytes in kept {
            guard let signed = try? SignedDescriptor(decoding: bytes.rawSpan) else { continue }
            _ = try? insert(signed, at: now, arrived: signed.descriptor.settles(by: now))
        }
    }
}

extension Descriptor {
    /// The time from which all nodes have it, at most `now`.
    fileprivate func settles(by now: UnixTime) -> UnixTime {
        let settled = published.seconds.addingReportingOverflow(DescriptorStore.settling)
        return min(now, UnixTime(seconds: settled.overflow ? .max : settled.partialValue))
    }
}

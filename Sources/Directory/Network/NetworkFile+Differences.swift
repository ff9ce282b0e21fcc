public import Wire

extension NetworkFile {
    /// The file without the signatures of its snapshot: equal in all copies of a draft.
    public var unsigned: NetworkFile {
        var file = self
        file.snapshot = SignedSnapshot(snapshot.snapshot)
        return file
    }

    /// The keys of the file whose values differ from those of `other`, in the file's order; signatures do not count.
    public func differences(from other: NetworkFile) -> [String] {
        func differs(_ key: String, _ path: KeyPath<NetworkFile, some Equatable>) -> [String] {
            self[keyPath: path] == other[keyPath: path] ? [] : [key]
        }
        var keys = differs("name", \.name) + differs("id", \.id) + differs("packetSize", \.packetSize)
        keys += differs("epochSeconds", \.epochSeconds) + differs("snapshotMaximumAge", \.snapshotMaximumAge)
        keys += differs("allowPrivateAddresses", \.allowPrivateAddresses)
        keys += differs("requireOperatorDiversity", \.requireOperatorDiversity)
        keys += differs("requireAddressDiversity", \.requireAddressDiversity)
        keys += differs("operatorSharePercent", \.operatorSharePercent)
        for field in NetworkLimits.fields where limits[keyPath: field.path] != other.limits[keyPath: field.path] {
            keys.append("limits.\(field.key)")
        }
        keys += differs("shards", \.swarms.shards) + differs("swarmSize", \.swarms.size)
        keys += differs("storageVerdicts", \.swarms.storageVerdicts)
        keys += differs("authorities", \.authorities) + differs("authorityThreshold", \.authorityThreshold)
        keys += differs("ledger", \.ledger) + differs("bootstrap", \.bootstrap)
        keys += differs("snapshot", \.snapshot.snapshot)
        return keys
    }

    /// The keys whose values a new network file changes, apart from nodes that are gone.
    ///
    /// The snapshot always differs, and the bootstrap list lacks the nodes that are no longer staked.
    public func changes(by draft: NetworkFile) -> [String] {
        let left = bootstrap.filter { draft.snapshot.snapshot.isStaked($0.node) }
        return draft.differences(from: self).filter { key in
            key != "snapshot" && (key != "bootstrap" || draft.bootstrap != left)
        }
    }

    /// The keys whose values keep `newer` from replacing this file without a question.
    ///
    /// The bootstrap list may change. The snapshot may change if this file's nodes have signed the newer one.
    public func obstacles(to newer: NetworkFile, at now: UnixTime) -> [String] {
        newer.differences(from: self).filter { key in
            switch key {
            case "bootstrap": return false
            case "snapshot":
                // The caller shows only keys, so the reason of a refusal is not needed.
                var chain = try? SnapshotChain(self, kept: nil, mark: nil)
                return (try? chain?.accept(newer.snapshot, at: now)) == nil
            default: return true
            }
        }
    }
}

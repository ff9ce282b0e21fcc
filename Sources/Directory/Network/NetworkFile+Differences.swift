public import Wire

extension NetworkFile {
    /// The file without the signatures of its snapshot: what the copies of a draft have in common.
    public var unsigned: NetworkFile {
        var file = self
        file.snapshot = SignedSnapshot(snapshot.snapshot)
        return file
    }

    /// The keys of the file whose values differ from those of `other`, in the order of the file's description; signatures do
    /// not count.
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
        keys += differs("authorities", \.authorities) + differs("authorityThreshold", \.authorityThreshold)
        keys += differs("ledger", \.ledger) + differs("bootstrap", \.bootstrap)
        keys += differs("snapshot", \.snapshot.snapshot)
        return keys
    }

    /// What a new network file changes of `self` beyond the nodes that are gone: the keys with other values.
    ///
    /// The snapshot is another one in any case, and nodes that it no longer has staked are missing from the bootstrap list.
    public func changes(by draft: NetworkFile) -> [String] {
        let left = bootstrap.filter { draft.snapshot.snapshot.isStaked($0.node) }
        return draft.differences(from: self).filter { key in
            key != "snapshot" && (key != "bootstrap" || draft.bootstrap != left)
        }
    }

    /// What keeps `newer` from taking this file's place without a question: the keys with other values.
    ///
    /// The bootstrap list may change, and the snapshot where this file's nodes have signed the newer one.
    public func obstacles(to newer: NetworkFile, at now: UnixTime) -> [String] {
        newer.differences(from: self).filter { key in
            switch key {
            case "bootstrap": return false
            case "snapshot":
                // Why it does not follow is of no use to who reads the keys.
                var chain = try? SnapshotChain(self, kept: nil, mark: nil)
                return (try? chain?.accept(newer.snapshot, at: now)) == nil
            default: return true
            }
        }
    }
}

internal import Directory
internal import OnionCrypto
internal import Process
internal import Store
internal import Wire

/// What the node or client of a data folder knows of its network.
struct KnownNetwork {
    let store: Store
    /// The newest snapshot that it trusts.
    let newest: Snapshot
    /// A height above all that it trusts and has signed; nil where that is the next one.
    let next: UInt64?

    /// Opens the store of `folder`, which keeps the node from running meanwhile.
    init(in folder: String, _ file: NetworkFile) throws(Failure) {
        store = try RoleFolder.openStore(in: folder)
        do {
            let kept = try store.trustedSnapshot(of: file.id)
            let newest = try SnapshotChain(
                file, kept: kept?.bytes, mark: kept.map { .init(height: $0.height, digest: $0.digest) }
            ).snapshot
            self.newest = newest
            let signed = try store.value(SnapshotSigning.keptName).map {
                try SnapshotSigning.signed(kept: $0).signed.height
            }
            next = signed.flatMap { $0 > newest.height ? $0.addingReportingOverflow(1).partialValue : nil }
        } catch let error as StoreError {
            throw Failure.of(error)
        } catch is WireError {
            throw Failure.of(StoreError.damaged(path: store.path(of: Store.fileName)))
        } catch {
            throw Failure(.data, "the snapshot in \(folder) cannot be used: \(error)")
        }
    }

    /// Keeps what is signed, so that this node signs no other snapshot of that height; refuses where it has signed one.
    func keep(_ snapshot: Snapshot) throws(Failure) {
        let digest = snapshot.digest
        do {
            // What is signed bars every lower height, for ever.
            let known = try store.trustedSnapshot(of: snapshot.network)?.height ?? 0
            guard snapshot.height >= known, snapshot.height - known <= 1 << 32 else {
                throw Failure(
                    .data, "the draft's height is \(snapshot.height), and this node trusts a snapshot at \(known)")
            }
            if let bytes = try store.value(SnapshotSigning.keptName) {
                let signed = try SnapshotSigning.signed(kept: bytes).signed
                guard signed.height < snapshot.height || signed.digest == digest else {
                    throw Failure(
                        .usage,
                        "this node has signed a snapshot at height \(signed.height); make the draft with --height "
                            + "\(signed.height.addingReportingOverflow(1).partialValue) or more")
                }
            }
            try store.setValue(
                SnapshotSigning.encode(snapshot, digest: digest), for: SnapshotSigning.keptName, waiting: true)
        } catch let error as Failure {
            throw error
        } catch let error as StoreError {
            throw Failure.of(error)
        } catch {
            throw Failure.of(StoreError.damaged(path: store.path(of: Store.fileName)))
        }
    }
}

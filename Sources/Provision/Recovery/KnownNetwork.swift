internal import Directory
internal import OnionCrypto
internal import Process
internal import Store
internal import Wire

/// The state of the network in the data folder of a node or client.
struct KnownNetwork {
    let store: Store
    /// The newest trusted snapshot.
    let newest: Snapshot
    /// A height above all trusted and signed ones; nil if the one after ``newest`` is.
    let next: UInt64?

    /// Opens the store of `folder`; its lock prevents the node from running meanwhile.
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

    /// Stores the signed draft, so that this node signs no other snapshot of that height; refuses if it has signed one.
    func keep(_ draft: NetworkFile) throws(Failure) {
        let snapshot = draft.snapshot.snapshot
        do {
            let signed = try store.value(SnapshotSigning.keptName).map {
                try SnapshotSigning.signed(kept: $0).signed
            }
            try draft.checkHeight(above: newest, signed: signed)
            try store.setValue(
                SnapshotSigning.encode(snapshot, digest: snapshot.digest), for: SnapshotSigning.keptName,
                waiting: true)
        } catch let error as RecoveryRefusal {
            let code: Failure.Code = if case .hasSigned = error { .usage } else { .data }
            throw Failure(code, error.text)
        } catch let error as StoreError {
            throw Failure.of(error)
        } catch {
            throw Failure.of(StoreError.damaged(path: store.path(of: Store.fileName)))
        }
    }
}

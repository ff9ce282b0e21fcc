internal import Wire

// The update that led to the trusted snapshot. A node keeps it in its database with the snapshot, so that the loss of
// the history's file does not cost the signatures.

extension SnapshotHistory {
    /// The update from `base`, the snapshot before the newest one, by the `signatures` of the newest one.
    ///
    /// Nil if the newest one is another. The votes are all signatures that are held, in place of a choice as in
    /// ``update(from:digest:)``, which passes over the whole history.
    func update(from base: Snapshot, by signatures: SnapshotSignatures) -> SnapshotUpdate? {
        guard let step = steps.last, step.digest == signatures.digest else { return nil }
        let votes = signatures.missing(in: [], byteLimit: .max).map {
            SnapshotUpdate.Vote(number: $0.place, header: 0, signature: $0.bytes)
        }
        return SnapshotUpdate(
            base: base.height, headers: [step.header], voterChanges: [], votes: votes, preface: newest.preface,
            entries: entries(from: base.height))
    }

    /// The history that leads to the trusted snapshot of `chain` by the encoded `update` from `chain.earlier`.
    ///
    /// It goes on from `kept` if that has `chain.earlier`; otherwise it begins there. Throws unless more than two
    /// thirds of the voters of `chain.earlier` have signed as the update says.
    init(
        _ kept: SnapshotHistory?, to chain: SnapshotChain, by update: [UInt8], check: SignatureCheck
    ) throws(SnapshotRefusal) {
        let read: SnapshotUpdate
        do throws(WireError) {
            read = try SnapshotUpdate(decoding: update.rawSpan)
        } catch {
            throw .malformed(error)
        }
        guard let base = chain.earlier else { throw .unknownBase }
        let followed = try FollowedUpdate(read, from: base.snapshot, digest: base.digest)
        guard followed.digest == chain.digest else { throw .broken }
        _ = try followed.signers(check)
        var history = kept ?? SnapshotHistory(first: base.snapshot, digest: base.digest)
        history.absorb(read, from: [base])
        if history.digest != chain.digest {
            // The kept one leads to another snapshot of that height, or beyond it.
            history = SnapshotHistory(first: base.snapshot, digest: base.digest, limits: history.limits)
            history.absorb(read)
        }
        guard history.digest == chain.digest else { throw .broken }
        self = history
    }
}

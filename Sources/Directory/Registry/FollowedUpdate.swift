internal import OnionCrypto
internal import Wire

/// An update, read from its base snapshot; its headers and newest entries fit together.
///
/// ``signers(_:)`` follows its voter changes, each one only after the signatures that lead to it.
struct FollowedUpdate {
    /// The digest of each snapshot that the update has a header of.
    let digests: [Bytes32]
    let newest: Snapshot
    private let update: SnapshotUpdate
    private let voters: [NodeID]

    /// The digest of the newest snapshot.
    var digest: Bytes32 { digests[digests.count - 1] }

    /// Follows the headers of `update` from `base`, whose digest is `baseDigest`.
    init(_ update: SnapshotUpdate, from base: Snapshot, digest baseDigest: Bytes32) throws(SnapshotRefusal) {
        guard update.base == base.height, let last = update.headers.last else { throw .unknownBase }
        guard update.voterChanges.count <= SnapshotUpdate.maximumVoterChanges,
            update.votes.allSatisfy({ update.headers.indices.contains($0.header) }),
            update.voterChanges.allSatisfy({ update.headers.indices.contains($0.header) })
        else { throw .broken }
        self.update = update
        var digests: [Bytes32] = []
        digests.reserveCapacity(update.headers.count)
        var previous = baseDigest
        var before = baseDigest
        var time = base.time
        for header in update.headers {
            guard header.time >= time else { throw .timeWentBack }
            time = header.time
            before = previous
            previous = header.digest(network: base.network, previous: previous)
            digests.append(previous)
        }
        guard
            let newest = Snapshot(
                network: base.network, height: last.height, time: last.time, previous: before, preface: update.preface,
                entries: try Self.entries(update.entries, from: base.entries)),
            newest.header == last
        else { throw .broken }
        self.digests = digests
        self.newest = newest
        voters = base.voters
    }

    private static func entries(
        _ entries: SnapshotUpdate.Entries, from base: [Snapshot.Entry]
    ) throws(SnapshotRefusal) -> [Snapshot.Entry] {
        switch entries {
        case .whole(let all): return all
        case .difference(let removed, let changed, let added):
            var result = base
            for change in changed {
                guard Int(change.place) < base.count else { throw .broken }
                result[Int(change.place)].state = change.state
                result[Int(change.place)].weight = change.weight
            }
            guard Int(removed.last ?? 0) < max(base.count, 1) else { throw .broken }
            let gone = Set(removed)
            return result.enumerated().filter { !gone.contains(UInt16($0.offset)) }.map(\.element) + added
        }
    }

    private static func apply(_ change: SnapshotUpdate.VoterChange, to voters: [NodeID]) throws(SnapshotRefusal)
        -> [NodeID]
    {
        guard Int(change.left.last ?? 0) < max(voters.count, 1) else { throw .broken }
        var result: [NodeID] = []
        result.reserveCapacity(voters.count + change.joined.count)
        var gone = change.left[...]
        var joined = change.joined[...]
        for (place, node) in voters.enumerated() {
            if let next = gone.first, Int(next) == place {
                gone.removeFirst()
                continue
            }
            while let fresh = joined.first, fresh < node { result.append(joined.removeFirst()) }
            result.append(node)
        }
        result += joined
        guard result.count <= Snapshot.maximumNodes else { throw .broken }
        guard zip(result, result.dropFirst()).allSatisfy({ $0 < $1 }) else { throw .broken }
        return result
    }

    /// The signers by their numbers: the voters of the base, then the nodes that joined in each voter change.
    ///
    /// Throws unless more than two thirds of the voters, of the base and after each voter change, vouch for the next
    /// one. A signature of a snapshot vouches for all snapshots before it, because each names the previous one, which
    /// its signers trusted. The votes that lead to a change are verified before it is applied. Only the voters after one
    /// change are kept at a time. Without a `check` the update must have been accepted before; its votes are then not
    /// verified.
    func signers(_ check: SignatureCheck?) throws(SnapshotRefusal) -> [NodeID] {
        var votes = update.votes[...]
        if check != nil {
            // A signer's votes are checked when its number is assigned.
            votes = update.votes.sorted { $0.number < $1.number }[...]
            let count = update.voterChanges.reduce(voters.count) { $0 + $1.joined.count }
            guard zip(votes, votes.dropFirst()).allSatisfy({ $0.number < $1.number }), votes.last?.number ?? 0 < count
            else { throw .broken }
        }
        var reach: [NodeID: Int] = [:]
        var current = voters
        var signers = voters
        for step in 0...update.voterChanges.count {
            let change = step < update.voterChanges.count ? update.voterChanges[step] : nil
            if let check {
                let known = votes.prefix { $0.number < signers.count }
                votes = votes.dropFirst(known.count)
                for vote in known {
                    reach[signers[vote.number]] = max(reach[signers[vote.number]] ?? -1, vote.header)
                }
                let target = change?.header ?? update.headers.count - 1
                let needed = SnapshotChain.quorum(of: current.count)
                let count = current.count { (reach[$0] ?? -1) >= target }
                guard count >= needed else { throw .tooFewSignatures(signatures: count, needed: needed) }
                try verify(known, of: signers, check)
            }
            guard let change else { break }
            current = try Self.apply(change, to: current)
            guard Snapshot.digest(ofVoters: current) == update.headers[change.header].voters else { throw .broken }
            signers += change.joined
        }
        return signers
    }

    private func verify(
        _ votes: ArraySlice<SnapshotUpdate.Vote>, of signers: [NodeID], _ check: SignatureCheck
    ) throws(SnapshotRefusal) {
        for vote in votes {
            let node = signers[vote.number]
            let message = Snapshot.message(
                digest: digests[vote.header], network: newest.network, height: update.headers[vote.header].height)
            guard check.isGood(vote.signature, message, node) else { throw .badSignature(node) }
        }
    }
}

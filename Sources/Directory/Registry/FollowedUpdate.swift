internal import OnionCrypto
internal import Wire

/// An update read from the snapshot that it begins at: its parts fit together; signatures have not been looked at.
struct FollowedUpdate {
    /// The digest of each snapshot that the update passes.
    let digests: [Bytes32]
    /// The newest snapshot.
    let newest: Snapshot
    /// Who has which number: the voters at the beginning, then those who joined at each turn.
    let signers: [NodeID]
    /// The voters at each turn.
    private let turns: [[NodeID]]
    private let update: SnapshotUpdate
    private let voters: [NodeID]

    /// The digest of the newest snapshot.
    var digest: Bytes32 { digests[digests.count - 1] }

    /// Follows `update` from `base`, whose digest is `baseDigest`.
    init(_ update: SnapshotUpdate, from base: Snapshot, digest baseDigest: Bytes32) throws(SnapshotRefusal) {
        guard update.base == base.height, let last = update.headers.last else { throw .unknownBase }
        guard update.votes.allSatisfy({ update.headers.indices.contains($0.header) }),
            update.turns.allSatisfy({ update.headers.indices.contains($0.header) })
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
                network: base.network, height: last.height, time: last.time, previous: before,
                entries: try Self.entries(update.entries, from: base.entries)),
            newest.header == last
        else { throw .broken }
        self.digests = digests
        self.newest = newest
        voters = base.voters
        var signers = voters
        var current = voters
        var turns: [[NodeID]] = []
        for turn in update.turns {
            current = try Self.apply(turn, to: current)
            guard Snapshot.digest(ofVoters: current) == update.headers[turn.header].voters else { throw .broken }
            turns.append(current)
            signers += turn.joined
        }
        self.signers = signers
        self.turns = turns
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
            for place in removed.reversed() {
                guard Int(place) < base.count else { throw .broken }
                result.remove(at: Int(place))
            }
            return result + added
        }
    }

    private static func apply(_ turn: SnapshotUpdate.Turn, to voters: [NodeID]) throws(SnapshotRefusal) -> [NodeID] {
        guard Int(turn.left.last ?? 0) < max(voters.count, 1) else { throw .broken }
        var result: [NodeID] = []
        result.reserveCapacity(voters.count + turn.joined.count)
        var gone = turn.left[...]
        var joined = turn.joined[...]
        for (place, node) in voters.enumerated() {
            if let next = gone.first, Int(next) == place {
                gone.removeFirst()
                continue
            }
            while let fresh = joined.first, fresh < node { result.append(joined.removeFirst()) }
            result.append(node)
        }
        result += joined
        guard zip(result, result.dropFirst()).allSatisfy({ $0 < $1 }) else { throw .broken }
        return result
    }

    /// Throws unless more than two thirds of the voters, at the beginning and at each turn, vouch for what comes next.
    ///
    /// A node that signed a snapshot vouches for all before it: each names the one before, which its signers trusted.
    func checkVotes(_ check: SignatureCheck) throws(SnapshotRefusal) {
        var reach: [NodeID: Int] = [:]
        reach.reserveCapacity(update.votes.count)
        for vote in update.votes {
            guard signers.indices.contains(vote.number) else { throw .broken }
            let node = signers[vote.number]
            reach[node] = max(reach[node] ?? -1, vote.header)
        }
        var current = voters
        for step in 0...turns.count {
            let target = step < turns.count ? update.turns[step].header : update.headers.count - 1
            let needed = SnapshotChain.quorum(of: current.count)
            let count = current.count { (reach[$0] ?? -1) >= target }
            guard count >= needed else { throw .tooFewSignatures(signatures: count, needed: needed) }
            if step < turns.count { current = turns[step] }
        }
        var header = -1
        var message: [UInt8] = []
        for vote in update.votes {
            if vote.header != header {
                header = vote.header
                message = Snapshot.message(
                    digest: digests[header], network: newest.network, height: update.headers[header].height)
            }
            let node = signers[vote.number]
            guard check.isGood(vote.signature, message, node) else { throw .badSignature(node) }
        }
    }
}

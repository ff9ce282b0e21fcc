internal import OnionCrypto
public import Wire

/// The snapshots of the past, as far as they are needed to lead others to the newest one (protocol.md, section 10.4).
///
/// Kept of each snapshot: its header, and who joined and left; of each node: its last signature, which vouches for all
/// before; and the entries of those snapshots that are 1, 2, 3, 4 or about 6, 8, 12, 16, 24 and 32 steps old. Bounded:
/// 8,784 snapshots, a year of hours.
public struct SnapshotHistory: Sendable {
    /// The most snapshots that are kept.
    public static let maximumSteps = 8_784

    struct Step: Sendable {
        let header: SnapshotUpdate.Header
        let digest: Bytes32
        /// Who left and joined since the last snapshot of which that is known; nil where it is not.
        let change: (left: [NodeID], joined: [NodeID])?
    }

    struct Signature: Sendable {
        var height: UInt64
        var bytes: [UInt8]
    }

    let network: Bytes32
    /// Where the history begins, and its digest.
    private(set) var first: Snapshot
    private(set) var firstDigest: Bytes32
    private(set) var steps: [Step] = []
    private(set) var signatures: [NodeID: Signature] = [:]
    /// Whole snapshots with their numbers, the newest last.
    private var bodies: [(number: Int, snapshot: Snapshot)]
    private var added = 0

    /// A history that begins at `first`.
    public init(first: Snapshot, digest: Bytes32) {
        network = first.network
        self.first = first
        firstDigest = digest
        bodies = [(0, first)]
    }

    /// The newest snapshot.
    public var newest: Snapshot { bodies[bodies.count - 1].snapshot }
    /// The digest of the newest snapshot.
    public var digest: Bytes32 { steps.last?.digest ?? firstDigest }
    /// How many snapshots are kept, the first not among them.
    public var count: Int { steps.count }

    /// The digest of the snapshot at `height`, if there is one.
    public func digest(at height: UInt64) -> Bytes32? {
        if height == first.height { return firstDigest }
        return index(of: height).map { steps[$0].digest }
    }

    private func index(of height: UInt64) -> Int? {
        var low = 0
        var high = steps.count
        while low < high {
            let middle = (low + high) / 2
            if steps[middle].header.height < height { low = middle + 1 } else { high = middle }
        }
        return low < steps.count && steps[low].header.height == height ? low : nil
    }

    // MARK: Growing

    /// Adds a snapshot that follows the newest one.
    public mutating func append(_ snapshot: Snapshot, digest: Bytes32) {
        guard snapshot.previous == self.digest, snapshot.height > newest.height else { return }
        add(snapshot.header, digest, Self.change(from: newest.voters, to: snapshot.voters))
        keep(snapshot)
    }

    /// Keeps the signature of `node` for the snapshot at `height`, unless one for a later snapshot is kept.
    public mutating func add(_ signature: [UInt8], of node: NodeID, height: UInt64) {
        if let known = signatures[node], known.height >= height { return }
        signatures[node] = Signature(height: height, bytes: signature)
    }

    /// Adds what an accepted update tells; it began at the newest snapshot here, at the one before it, or at the first, from which
    /// the history then begins anew.
    ///
    /// `earlier` is the one before the newest: of a history that was on disk, few are held whole.
    public mutating func absorb(_ update: SnapshotUpdate, earlier: SnapshotChain.Earlier? = nil) {
        if update.base == first.height, steps.count > 0 {
            self = SnapshotHistory(first: first, digest: firstDigest)
        } else if update.base != newest.height {
            guard goBack(to: update.base, earlier) else { return }
        }
        guard let followed = try? FollowedUpdate(update, from: newest, digest: digest),
            let signers = try? followed.signers(nil)
        else { return }
        var voters = newest.voters
        var turns = update.turns[...]
        for (place, header) in update.headers.enumerated() {
            var change: (left: [NodeID], joined: [NodeID])?
            if let turn = turns.first, turn.header == place {
                turns.removeFirst()
                let left = turn.left.map { voters[Int($0)] }
                let gone = Set(left)
                voters = Self.merged(voters.filter { !gone.contains($0) }, turn.joined)
                change = (left, turn.joined)
            } else if place == update.headers.count - 1 {
                change = Self.change(from: voters, to: followed.newest.voters)
            }
            add(header, followed.digests[place], change)
        }
        for vote in update.votes {
            add(vote.signature, of: signers[vote.number], height: update.headers[vote.header].height)
        }
        keep(followed.newest)
    }

    /// Forgets the snapshots above `height`, which led nowhere; false where the one there is not held whole.
    ///
    /// Signatures for the forgotten ones vouch for nothing any more.
    private mutating func goBack(to height: UInt64, _ earlier: SnapshotChain.Earlier?) -> Bool {
        guard let place = index(of: height) else { return false }
        let held = bodies.last { $0.snapshot.height == height }?.snapshot
        guard let whole = held ?? (earlier?.digest == steps[place].digest ? earlier?.snapshot : nil) else {
            return false
        }
        steps.removeSubrange((place + 1)...)
        bodies.removeAll { $0.snapshot.height >= height }
        signatures = signatures.filter { $0.value.height <= height }
        keep(whole)
        return true
    }

    mutating func add(
        _ header: SnapshotUpdate.Header, _ digest: Bytes32, _ change: (left: [NodeID], joined: [NodeID])?
    ) {
        steps.append(Step(header: header, digest: digest, change: change))
    }

    mutating func keep(_ snapshot: Snapshot) {
        added += 1
        bodies.append((added, snapshot))
        bodies.removeAll { number, _ in
            let age = added - number
            guard age > 4 else { return false }
            let grain = age <= 8 ? 2 : age <= 16 ? 4 : 8
            return age > 32 || number % grain != 0
        }
        guard steps.count > Self.maximumSteps else { return }
        // Beyond a year the beginning moves up to the oldest snapshot that is kept whole.
        guard let (_, body) = bodies.first, let place = index(of: body.height) else { return }
        first = body
        firstDigest = steps[place].digest
        steps.removeFirst(place + 1)
        signatures = signatures.filter { $0.value.height >= body.height }
    }

    private static func change(from old: [NodeID], to new: [NodeID]) -> (left: [NodeID], joined: [NodeID]) {
        var left: [NodeID] = []
        var joined: [NodeID] = []
        var (i, j) = (0, 0)
        while i < old.count || j < new.count {
            if j == new.count || i < old.count && old[i] < new[j] {
                left.append(old[i])
                i += 1
            } else if i == old.count || new[j] < old[i] {
                joined.append(new[j])
                j += 1
            } else {
                i += 1
                j += 1
            }
        }
        return (left, joined)
    }

    /// Two ascending lists as one.
    private static func merged(_ a: [NodeID], _ b: [NodeID]) -> [NodeID] {
        var result: [NodeID] = []
        result.reserveCapacity(a.count + b.count)
        var rest = b[...]
        for node in a {
            while let next = rest.first, next < node { result.append(rest.removeFirst()) }
            result.append(node)
        }
        return result + rest
    }

    // MARK: Leading others

    /// What leads from the snapshot at `height` with `digest` to the newest; nil when that is not known here, is the newest, or the signatures do not reach.
    public func update(from height: UInt64, digest: Bytes32) -> SnapshotUpdate? {
        guard let last = steps.indices.last, let start = start(height, digest), start < last else { return nil }
        var voters = voters(at: start)
        var numbers: [NodeID: Int] = [:]
        for (number, node) in voters.enumerated() { numbers[node] = number }
        var signerCount = voters.count
        var position = start
        var chosen: Set<NodeID> = []
        var turns: [SnapshotUpdate.Turn] = []
        while true {
            guard let target = farthest(voters, behind: position) else { return nil }
            choose(from: voters, reaching: steps[target].header.height, &chosen)
            guard target < last else { break }
            let next = self.voters(at: target, from: voters, position)
            let change = Self.change(from: voters, to: next)
            let gone = Set(change.left)
            guard turns.count < SnapshotUpdate.maximumTurns else { return nil }
            turns.append(
                SnapshotUpdate.Turn(
                    header: target - start - 1,
                    left: voters.indices.filter { gone.contains(voters[$0]) }.map { UInt16($0) },
                    joined: change.joined))
            for node in change.joined {
                if numbers[node] == nil { numbers[node] = signerCount }
                signerCount += 1
            }
            voters = next
            position = target
        }
        return SnapshotUpdate(
            base: height, headers: steps[(start + 1)...].map(\.header), turns: turns,
            votes: votes(chosen, numbers, behind: start),
            preface: newest.preface, entries: entries(from: height))
    }

    /// The place of the snapshot to begin at: -1 for the first; nil when its voters are not known.
    private func start(_ height: UInt64, _ digest: Bytes32) -> Int? {
        if height == first.height { return digest == firstDigest ? -1 : nil }
        guard let place = index(of: height), steps[place].digest == digest, steps[place].change != nil else {
            return nil
        }
        return place
    }

    /// The farthest snapshot that more than two thirds of `voters` vouch for and whose own voters are known.
    private func farthest(_ voters: [NodeID], behind position: Int) -> Int? {
        let needed = SnapshotChain.quorum(of: voters.count)
        let heights = voters.compactMap { signatures[$0]?.height }.sorted(by: >)
        guard heights.count >= needed else { return nil }
        let reach = heights[needed - 1]
        return steps.indices.last { $0 > position && steps[$0].header.height <= reach && steps[$0].change != nil }
    }

    /// Adds to `chosen` as many of `voters` as must vouch for `height`: first those that are chosen already, then those that reach farthest.
    private func choose(from voters: [NodeID], reaching height: UInt64, _ chosen: inout Set<NodeID>) {
        let able = voters.filter { (signatures[$0]?.height ?? 0) >= height }
        var missing = SnapshotChain.quorum(of: voters.count) - able.count { chosen.contains($0) }
        guard missing > 0 else { return }
        let others = able.filter { !chosen.contains($0) }.sorted {
            (signatures[$0]!.height, $0) > (signatures[$1]!.height, $1)
        }
        for node in others where missing > 0 {
            chosen.insert(node)
            missing -= 1
        }
    }

    private func votes(_ chosen: Set<NodeID>, _ numbers: [NodeID: Int], behind start: Int) -> [SnapshotUpdate.Vote] {
        let votes = chosen.compactMap { node -> SnapshotUpdate.Vote? in
            guard let signature = signatures[node], let place = index(of: signature.height), place > start,
                let number = numbers[node]
            else { return nil }
            return SnapshotUpdate.Vote(number: number, header: place - start - 1, signature: signature.bytes)
        }
        return votes.sorted { ($0.header, $0.number) < ($1.header, $1.number) }
    }

    /// The voters at the step `target`, from those at `position`.
    private func voters(at target: Int, from voters: [NodeID], _ position: Int) -> [NodeID] {
        guard position < target else { return voters }
        var current = Set(voters)
        for step in steps[(position + 1)...target] {
            guard let change = step.change else { continue }
            current.subtract(change.left)
            current.formUnion(change.joined)
        }
        return current.sorted()
    }

    private func voters(at place: Int) -> [NodeID] { voters(at: place, from: first.voters, -1) }

    private func entries(from height: UInt64) -> SnapshotUpdate.Entries {
        guard let base = bodies.first(where: { $0.snapshot.height == height })?.snapshot else {
            return .whole(newest.entries)
        }
        let (old, new) = (base.entries, newest.entries)
        var removed: [UInt16] = []
        var changed: [SnapshotUpdate.Change] = []
        var added: [Snapshot.Entry] = []
        var (i, j) = (0, 0)
        while i < old.count || j < new.count {
            if j == new.count || i < old.count && old[i].node < new[j].node {
                removed.append(UInt16(i))
                i += 1
            } else if i == old.count || new[j].node < old[i].node {
                added.append(new[j])
                j += 1
            } else {
                if old[i].operatorID != new[j].operatorID || old[i].placement != new[j].placement {
                    removed.append(UInt16(i))
                    added.append(new[j])
                } else if old[i] != new[j] {
                    changed.append(
                        SnapshotUpdate.Change(place: UInt16(i), state: new[j].state, weight: new[j].weight))
                }
                i += 1
                j += 1
            }
        }
        let size = removed.count * 2 + changed.count * 7 + added.count * Snapshot.Entry.size
        guard size < new.count * Snapshot.Entry.size else { return .whole(new) }
        return .difference(removed: removed, changed: changed, added: added)
    }
}

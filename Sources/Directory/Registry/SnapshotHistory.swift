internal import OnionCrypto
public import Wire

/// Past snapshots, as far as they are needed to lead others to the newest one (protocol.md, section 10.4).
///
/// It keeps each snapshot's header and its joiners and leavers. It keeps each node's last signature, which vouches for
/// all snapshots before it. It keeps the entries of the snapshots that are 1, 2, 3, 4 or about 6, 8, 12, 16, 24 and 32
/// steps old.
///
/// Above its limits it drops the oldest steps. It then begins at the last dropped one, of which it keeps the height, the
/// digest and the voters.
public struct SnapshotHistory: Sendable {
    /// How much a history keeps.
    public struct Limits: Sendable {
        /// The number of snapshots after the first: a year of hours.
        public var steps = 8_784
        /// The number of node ids in all changes of voters: 32 MiB.
        public var changes = 1 << 20

        /// The limits of a node.
        public init() {}
    }

    /// The snapshot at which a history begins.
    struct Beginning: Sendable {
        let height: UInt64
        let digest: Bytes32
        /// Its voters, or those of the newest snapshot before it whose voters are known.
        var voters: [NodeID]
        /// Whether ``voters`` are its own, so that an update can begin there.
        var hasVoters = true
    }

    struct Step: Sendable {
        let header: SnapshotUpdate.Header
        let digest: Bytes32
        /// The nodes that left and joined since the last step whose voters are known; nil if the voters of this one are
        /// not.
        let change: (left: [NodeID], joined: [NodeID])?
        /// The number of node ids in the change.
        var changeCount: Int { change.map { $0.left.count + $0.joined.count } ?? 0 }
    }

    struct Signature: Sendable {
        var height: UInt64
        var bytes: [UInt8]
    }

    let network: Bytes32
    let limits: Limits
    private(set) var first: Beginning
    private(set) var steps: [Step] = []
    private(set) var signatures: [NodeID: Signature] = [:]
    /// Whole snapshots with their numbers, the newest last.
    private(set) var bodies: [(number: Int, snapshot: Snapshot)]
    private var added = 0

    /// A history that begins at `first`.
    public init(first: Snapshot, digest: Bytes32, limits: Limits = Limits()) {
        network = first.network
        self.limits = limits
        self.first = Beginning(height: first.height, digest: digest, voters: first.voters)
        bodies = [(0, first)]
    }

    /// Moves the empty history of the network file's snapshot to another beginning; then all steps follow, and at last
    /// the newest snapshot for ``keep(_:)``.
    mutating func begin(at other: Beginning) {
        if other.digest != first.digest { bodies = [] }
        first = other
    }

    /// The newest snapshot.
    public var newest: Snapshot { bodies[bodies.count - 1].snapshot }
    /// The digest of the newest snapshot.
    public var digest: Bytes32 { steps.last?.digest ?? first.digest }
    /// The number of snapshots after the first.
    public var count: Int { steps.count }

    /// The digest of the snapshot at `height`, if there is one.
    public func digest(at height: UInt64) -> Bytes32? {
        if height == first.height { return first.digest }
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

    /// Adds a snapshot; does nothing unless it follows the newest one.
    public mutating func append(_ snapshot: Snapshot, digest: Bytes32) {
        guard snapshot.previous == self.digest, snapshot.height > newest.height else { return }
        add(snapshot.header, digest, Self.change(from: newest.voters, to: snapshot.voters))
        keep(snapshot)
    }

    /// Keeps the signature of `node` for the snapshot at `height`, unless a later one of the node is kept.
    public mutating func add(_ signature: [UInt8], of node: NodeID, height: UInt64) {
        if let known = signatures[node], known.height >= height { return }
        signatures[node] = Signature(height: height, bytes: signature)
    }

    /// Adds the snapshots of an accepted update.
    ///
    /// The update began at the newest snapshot here or at one of `known`, which a history from disk does not have
    /// whole. Snapshots here that it repeats stay as they are: it names the voters of few of them, so a history that
    /// took it over would lead nobody from the others. Snapshots after the last repeated one are dropped. If it repeats
    /// none, they are dropped from its base on. The history begins anew at the base if it does not reach back so far.
    public mutating func absorb(_ update: SnapshotUpdate, from known: [SnapshotChain.Earlier] = []) {
        let all = [SnapshotChain.Earlier(snapshot: newest, digest: digest)] + known
        guard let base = all.first(where: { $0.snapshot.height == update.base }),
            let followed = try? FollowedUpdate(update, from: base.snapshot, digest: base.digest),
            let signers = try? followed.signers(nil), followed.newest.height > newest.height
        else { return }
        let repeated = update.headers.indices.last { digest(at: update.headers[$0].height) == followed.digests[$0] }
        if let repeated { drop(above: update.headers[repeated].height) } else { goBack(to: base) }
        // The voters after the last change so far, and those of the last step here whose voters are known.
        var voters = base.snapshot.voters
        let end = steps.last?.header.height ?? first.height
        var held = bodies.last?.snapshot.height == end ? newest.voters : self.voters(at: steps.count - 1)
        var voterChanges = update.voterChanges[...]
        for (place, header) in update.headers.enumerated() {
            var isKnown = true
            if let change = voterChanges.first, change.header == place {
                voterChanges.removeFirst()
                let gone = Set(change.left.map { voters[Int($0)] })
                voters = Self.merged(voters.filter { !gone.contains($0) }, change.joined)
            } else if place == update.headers.count - 1 {
                voters = followed.newest.voters
            } else {
                isKnown = false
            }
            guard place > repeated ?? -1 else { continue }
            add(header, followed.digests[place], isKnown ? Self.change(from: held, to: voters) : nil)
            if isKnown { held = voters }
        }
        for vote in update.votes {
            add(vote.signature, of: signers[vote.number], height: update.headers[vote.header].height)
        }
        keep(followed.newest)
    }

    /// Drops the snapshots after `base`, which led nowhere.
    mutating func goBack(to base: SnapshotChain.Earlier) {
        let (whole, height) = (base.snapshot, base.snapshot.height)
        guard digest(at: height) == base.digest else {
            self = SnapshotHistory(first: whole, digest: base.digest, limits: limits)
            return
        }
        if let place = index(of: height) {
            if steps[place].change == nil {
                let change = Self.change(from: voters(at: place), to: whole.voters)
                steps[place] = Step(header: steps[place].header, digest: base.digest, change: change)
            }
        } else {
            first = Beginning(height: height, digest: base.digest, voters: whole.voters)
        }
        drop(above: height)
        if bodies.last?.snapshot.height != height { keep(whole) }
    }

    /// Drops the snapshots above `height`, and the signatures of them, which no longer vouch for anything.
    ///
    /// The newest snapshot that is left may not be there whole.
    private mutating func drop(above height: UInt64) {
        guard height < newest.height else { return }
        steps.removeAll { $0.header.height > height }
        bodies.removeAll { $0.snapshot.height > height }
        signatures = signatures.filter { $0.value.height <= height }
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
        trim()
    }

    /// Drops the oldest steps above the limits, but never the newest one; the history then begins at the last dropped.
    private mutating func trim() {
        var excess = max(0, steps.count - max(1, limits.steps))
        var changes = steps[excess...].reduce(0) { $0 + $1.changeCount }
        while changes > limits.changes, excess < steps.count - 1 {
            changes -= steps[excess].changeCount
            excess += 1
        }
        guard excess > 0 else { return }
        let last = steps[excess - 1]
        first = Beginning(
            height: last.header.height, digest: last.digest, voters: voters(at: excess - 1),
            hasVoters: last.change != nil)
        steps.removeFirst(excess)
        // A signature vouches only for the snapshots up to its own.
        signatures = signatures.filter { $0.value.height > first.height }
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

    /// The union of two ascending lists.
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

    /// The update from the snapshot at `height` with `digest` to the newest one.
    ///
    /// Nil if that snapshot is unknown here (one before the beginning is) or is the newest, if the signatures do not reach from it to the newest, or
    /// if they need more than `SnapshotUpdate.maximumVoterChanges` voter changes.
    public func update(from height: UInt64, digest: Bytes32) -> SnapshotUpdate? {
        guard let last = steps.indices.last, let start = start(height, digest), start < last else { return nil }
        var voters = voters(at: start)
        var numbers: [NodeID: Int] = [:]
        for (number, node) in voters.enumerated() { numbers[node] = number }
        var signerCount = voters.count
        var position = start
        var chosen: Set<NodeID> = []
        var voterChanges: [SnapshotUpdate.VoterChange] = []
        while true {
            guard let target = farthest(voters, behind: position) else { return nil }
            choose(from: voters, reaching: steps[target].header.height, &chosen)
            guard target < last else { break }
            let next = self.voters(at: target, from: voters, position)
            let change = Self.change(from: voters, to: next)
            let gone = Set(change.left)
            guard voterChanges.count < SnapshotUpdate.maximumVoterChanges else { return nil }
            voterChanges.append(
                SnapshotUpdate.VoterChange(
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
            base: height, headers: steps[(start + 1)...].map(\.header), voterChanges: voterChanges,
            votes: votes(chosen, numbers, behind: start),
            preface: newest.preface, entries: entries(from: height))
    }

    /// The step at which to begin, -1 for the beginning of the history; nil if its voters are not known.
    private func start(_ height: UInt64, _ digest: Bytes32) -> Int? {
        if height == first.height { return digest == first.digest && first.hasVoters ? -1 : nil }
        guard let place = index(of: height), steps[place].digest == digest, steps[place].change != nil else {
            return nil
        }
        return place
    }

    /// The farthest step that more than two thirds of `voters` vouch for and whose own voters are known.
    private func farthest(_ voters: [NodeID], behind position: Int) -> Int? {
        let needed = SnapshotChain.quorum(of: voters.count)
        let heights = voters.compactMap { signatures[$0]?.height }.sorted(by: >)
        guard heights.count >= needed else { return nil }
        let reach = heights[needed - 1]
        return steps.indices.last { $0 > position && steps[$0].header.height <= reach && steps[$0].change != nil }
    }

    /// Adds to `chosen` as many of `voters` as must vouch for `height`; first come those already chosen, then those
    /// with the latest signatures.
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

    /// The voters of the step `target`, computed from those of the step `position`.
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

    /// The newest snapshot's entries for a reader of the snapshot at `height`.
    func entries(from height: UInt64) -> SnapshotUpdate.Entries {
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

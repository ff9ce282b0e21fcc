internal import Directory
internal import Wire

/// What the client doubts of the versions of descriptors that it uses, and what it does about it.
struct VersionDoubts {
    /// How many hops that could not be used are remembered.
    static let maximumSuspects = 64
    /// How often what changed is asked for because a hop could not be used.
    private static let changesPause = TimeSpan.seconds(10)
    /// How often other operators are asked about versions that the list does not name.
    private static let vouchPause = TimeSpan.seconds(20)

    /// Hops that could not be used, perhaps for want of a version that no list names.
    private(set) var suspects: Set<NodeID> = []
    /// When others are asked about them.
    private var nextVouch = Instant(nanoseconds: 0)
    /// Until when what changed counts as asked for.
    private var changesAsked = Instant(nanoseconds: 0)
    /// When guards were asked for their own descriptors.
    private var refetched: [NodeID: Instant] = [:]
    /// What guards have said of themselves, for their own hop; it counts where it is newer than the version in use.
    var guardWords: [NodeID: Descriptor] = [:]
    /// Whether the next question is for all descriptors.
    var wantsAll = false

    /// A hop could not be used.
    ///
    /// Returns when what changed is to be asked for, where the next question comes at `next`.
    mutating func suspect(_ node: NodeID?, next: Instant, at now: Instant) -> Instant {
        if suspects.count >= Self.maximumSuspects { suspects.removeAll() }
        if let node { suspects.insert(node) }
        let time = min(next, max(now, changesAsked + Self.changesPause))
        changesAsked = max(changesAsked, time)
        return time
    }

    /// Whether other operators' nodes are to be asked now about hops that could not be used.
    mutating func asksOthers(_ descriptors: DescriptorStore, at now: Instant) -> Bool {
        guard now >= nextVouch, descriptors.hasFresh(of: suspects) else { return false }
        suspects.removeAll()
        nextVouch = now + Self.vouchPause
        return true
    }

    /// Whether a guard is to be asked for its own descriptor: once a second at most.
    mutating func asksGuard(_ node: NodeID, at now: Instant) -> Bool {
        if let last = refetched[node], now - last < .seconds(1) { return false }
        if refetched.count >= Guards.maximumSample { refetched.removeAll() }
        refetched[node] = now
        return true
    }

    /// Takes a guard's descriptor from its own mouth.
    mutating func hear(_ word: Descriptor, of node: NodeID) {
        if guardWords.count >= Guards.maximumSample { guardWords.removeAll() }
        guardWords[node] = word
    }
}

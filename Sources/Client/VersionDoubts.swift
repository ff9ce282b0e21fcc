internal import Directory
internal import Wire

/// Doubts about the versions of descriptors in use, and the questions that follow from them.
struct VersionDoubts {
    /// How many hops that could not be used are remembered.
    static let maximumSuspects = 64
    /// How often changed descriptors are requested because a hop could not be used.
    private static let changesPause = TimeSpan.seconds(10)
    /// How often other operators are asked about versions that the list does not name.
    private static let vouchPause = TimeSpan.seconds(20)
    /// The most nodes that others are asked about at once.
    private static let doubtfulAtOnce = 8

    /// Hops that could not be used, perhaps because no list names their present version.
    private(set) var suspects: Set<NodeID> = []
    /// When other operators may next be asked about them.
    private var nextVouch = Instant(nanoseconds: 0)
    /// When changed descriptors were last requested, or will be next.
    private var changesAsked = Instant(nanoseconds: 0)
    /// When each guard was last asked for its own descriptor.
    private var refetched: [NodeID: Instant] = [:]
    /// Descriptors that guards themselves sent, for the first hop; they are used if newer than the version in use.
    var guardWords: [NodeID: Descriptor] = [:]
    /// Whether the next question is for all descriptors.
    var wantsAll = false

    /// Notes that a hop could not be used.
    ///
    /// Returns when to ask for changed descriptors, given that the next question is due at `next`.
    mutating func suspect(_ node: NodeID?, next: Instant, at now: Instant) -> Instant {
        if suspects.count >= Self.maximumSuspects { suspects.removeAll() }
        if let node { suspects.insert(node) }
        let time = min(next, max(now, changesAsked + Self.changesPause))
        changesAsked = max(changesAsked, time)
        return time
    }

    /// The nodes about whose present versions nodes of other operators must be asked now.
    ///
    /// First come hops that could not be used and that have a version that no list names. Other nodes with such
    /// versions follow, because they are needed next if several nodes have restarted. If there are too many, they are
    /// drawn at random, because an operator can choose its nodes' ids.
    mutating func takeDoubtful(
        _ descriptors: DescriptorStore, at now: Instant, using random: inout some RandomNumberGenerator
    ) -> [NodeID] {
        guard now >= nextVouch, !suspects.isEmpty, descriptors.hasFresh(of: suspects) else { return [] }
        let fresh = descriptors.freshNodes.shuffled(using: &random)
        let doubtful = fresh.filter(suspects.contains) + fresh.filter { !suspects.contains($0) }
        suspects.removeAll()
        nextVouch = now + Self.vouchPause
        return Array(doubtful.prefix(Self.doubtfulAtOnce))
    }

    /// Whether to ask a guard for its own descriptor: at most once a second.
    mutating func asksGuard(_ node: NodeID, at now: Instant) -> Bool {
        if let last = refetched[node], now - last < .seconds(1) { return false }
        if refetched.count >= Guards.maximumSample { refetched.removeAll() }
        refetched[node] = now
        return true
    }

    /// Takes the descriptor that a guard itself sent.
    mutating func hear(_ word: Descriptor, of node: NodeID) {
        if guardWords.count >= Guards.maximumSample { guardWords.removeAll() }
        guardWords[node] = word
    }
}

internal import Wire

/// Newer lists of descriptors that wait until a node of a second operator confirms them.
///
/// A certified list can still be shown to one client alone: its proposer can withhold the signatures from all others.
/// So one operator is not enough. Only the last list of each operator is kept.
struct ListOffers {
    /// A list, and the node that brought it.
    struct Offer {
        let list: DescriptorList
        let digest: Bytes32
        let node: NodeID
        let owner: Bytes32
    }

    /// The most lists that wait; the oldest one gives way.
    static let maximum = 4
    /// How often other operators' nodes are asked.
    static let pause = TimeSpan.seconds(20)
    /// How long only guards are asked, and how long the same other node (the stranger) is then asked beside them.
    static let strangersAfter = TimeSpan.seconds(60), strangerFor = TimeSpan.seconds(300)
    /// After this many questions without an answer of another operator (ten minutes), one operator's list is used.
    static let unansweredLimit = 30

    private(set) var all: [Offer] = []
    /// Since when lists wait, and when others are asked next.
    private var since = Instant(nanoseconds: 0)
    private var nextQuestion = Instant(nanoseconds: 0)
    /// How many times in a row other operators gave no answer while the node of the newest list could be reached.
    private var unanswered = 0
    /// The node that is asked beside the guards, and until when.
    private var stranger: (node: NodeID, until: Instant)?

    /// Adds a certified list that is newer than the one in use.
    mutating func add(_ offer: Offer, at now: Instant) {
        if all.isEmpty { (since, nextQuestion, unanswered, stranger) = (now, now + Self.pause, 0, nil) }
        all.removeAll { $0.owner == offer.owner }
        if all.count >= Self.maximum { all.removeFirst() }
        all.append(offer)
    }

    /// Whether a node of `owner` could confirm a list.
    func concern(_ owner: Bytes32) -> Bool { all.contains { $0.owner != owner } }

    /// Whether `owner` has brought this list already.
    func has(_ digest: Bytes32, of owner: Bytes32) -> Bool { all.contains { ($0.digest, $0.owner) == (digest, owner) } }

    /// The list `digest` of another operator, which a node of `owner` has named; notes that the node has answered.
    mutating func named(_ digest: Bytes32, by owner: Bytes32) -> Offer? {
        guard concern(owner) else { return nil }
        unanswered = 0
        return all.first { $0.digest == digest && $0.owner != owner }
    }

    /// Drops the lists up to `round`, whose list is in use.
    mutating func use(_ round: UInt64) { all.removeAll { $0.list.round <= round } }

    /// Whether to ask others now; if so, the next question is due ``pause`` later.
    mutating func asksNow(_ now: Instant) -> Bool {
        guard !all.isEmpty, now >= nextQuestion else { return false }
        nextQuestion = now + Self.pause
        return true
    }

    /// Whether to draw a node beside the guards, for ``ask(_:at:)``.
    ///
    /// That node learns this machine's address. So none is drawn in the first minute, and later at most one in five
    /// minutes.
    func wantsStranger(_ now: Instant) -> Bool {
        now - since >= Self.strangersAfter && stranger.map { now >= $0.until } ?? true
    }

    /// Makes `node` the node that is asked beside the guards for a while.
    mutating func ask(_ node: NodeID, at now: Instant) { stranger = (node, now + Self.strangerFor) }

    /// The node to ask beside the guards.
    var askedStranger: NodeID? { stranger?.node }

    var newest: Offer? { all.max { $0.list.round < $1.list.round } }

    /// Counts a question to other operators; called only if the node of the newest list can be reached, so that this
    /// machine is known to be online.
    mutating func asked() { unanswered = min(unanswered + 1, Self.unansweredLimit) }

    /// The newest list, if no node of another operator has answered for a long time.
    var ofLoneSource: Offer? { unanswered >= Self.unansweredLimit ? newest : nil }

    /// Drops a list that must not be used, whichever operators have it.
    mutating func drop(_ digest: Bytes32) { all.removeAll { $0.digest == digest } }

    /// Drops all lists: the trusted snapshot has changed, and they must be checked again.
    mutating func dropAll() { all = [] }
}

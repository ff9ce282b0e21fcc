internal import Wire

/// Newer lists of descriptors that wait until a node of a second operator names them.
///
/// A list can be certified and still be shown to one client alone: whoever proposes it can hold signatures back from everybody
/// else. So the word of one operator is not enough. Of each operator the last list counts.
struct ListOffers {
    /// A list, and the node that brought it.
    struct Offer {
        let list: DescriptorList
        let digest: Bytes32
        let node: NodeID
        let owner: Bytes32
    }

    /// The most that wait; the operator that came first gives way.
    static let maximum = 4
    /// How often other operators' nodes are asked.
    static let pause = TimeSpan.seconds(20)
    /// How long guards alone are asked, and how long the same stranger then.
    static let strangersAfter = TimeSpan.seconds(60), strangerFor = TimeSpan.seconds(300)
    /// After how many questions in a row without an answer of another operator a list is used on the word of one: ten minutes.
    static let unansweredLimit = 30

    private(set) var all: [Offer] = []
    /// Since when lists wait, and when others are asked next.
    private var since = Instant(nanoseconds: 0)
    private var nextQuestion = Instant(nanoseconds: 0)
    /// How often others were asked in vain, one time after the other, while a node that brought a list could be reached.
    private var unanswered = 0
    /// The node beside the guards that is asked, and until when.
    private var stranger: (node: NodeID, until: Instant)?

    /// A node has brought a certified list that is newer than the one in use.
    mutating func add(_ offer: Offer, at now: Instant) {
        if all.isEmpty { (since, nextQuestion, unanswered, stranger) = (now, now + Self.pause, 0, nil) }
        all.removeAll { $0.owner == offer.owner }
        if all.count >= Self.maximum { all.removeFirst() }
        all.append(offer)
    }

    /// Whether the word of a node of `owner` could confirm a list.
    func concern(_ owner: Bytes32) -> Bool { all.contains { $0.owner != owner } }

    /// Whether `owner` has brought this list already.
    func has(_ digest: Bytes32, of owner: Bytes32) -> Bool { all.contains { ($0.digest, $0.owner) == (digest, owner) } }

    /// The list of another operator that a node of `owner` has named.
    mutating func named(_ digest: Bytes32, by owner: Bytes32) -> Offer? {
        guard concern(owner) else { return nil }
        unanswered = 0
        return all.first { $0.digest == digest && $0.owner != owner }
    }

    /// A list of `round` is in use: earlier ones wait no more.
    mutating func use(_ round: UInt64) { all.removeAll { $0.list.round <= round } }

    /// Whether others are to be asked now; then the next question comes a while later.
    mutating func asksNow(_ now: Instant) -> Bool {
        guard !all.isEmpty, now >= nextQuestion else { return false }
        nextQuestion = now + Self.pause
        return true
    }

    /// Whether a node beside the guards is to be drawn, for ``ask(_:at:)``.
    ///
    /// It learns this machine's address, so there is none in the first minute, and another one every five minutes at most.
    func wantsStranger(_ now: Instant) -> Bool {
        now - since >= Self.strangersAfter && stranger.map { now >= $0.until } ?? true
    }

    /// Has `node` asked beside the guards for a while.
    mutating func ask(_ node: NodeID, at now: Instant) { stranger = (node, now + Self.strangerFor) }

    /// The node beside the guards to ask.
    var askedStranger: NodeID? { stranger?.node }

    /// The newest list.
    var newest: Offer? { all.max { $0.list.round < $1.list.round } }

    /// Others are asked while the node that brought the newest list can be reached: so it is not this machine that is cut off.
    mutating func asked() { unanswered = min(unanswered + 1, Self.unansweredLimit) }

    /// The newest list, where no node of another operator has answered for long.
    var ofLoneSource: Offer? { unanswered >= Self.unansweredLimit ? newest : nil }

    /// A list is not to be used, whoever has it.
    mutating func drop(_ digest: Bytes32) { all.removeAll { $0.digest == digest } }

    /// The trusted snapshot is another: lists must be checked anew.
    mutating func dropAll() { all = [] }
}

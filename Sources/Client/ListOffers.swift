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
    /// How long guards alone are asked.
    static let strangersAfter = TimeSpan.seconds(60)
    /// After how long without an answer of any other operator a list is used on the word of one.
    static let aloneAfter = TimeSpan.seconds(600)

    private(set) var all: [Offer] = []
    /// Since when lists wait, when others are asked next, and whether a node of another operator has answered since.
    private var since = Instant(nanoseconds: 0)
    private var nextQuestion = Instant(nanoseconds: 0)
    private var othersHaveAnswered = false

    /// A node has brought a certified list that is newer than the one in use.
    mutating func add(_ offer: Offer, at now: Instant) {
        if all.isEmpty { (since, nextQuestion, othersHaveAnswered) = (now, now + Self.pause, false) }
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
        othersHaveAnswered = true
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

    /// Whether nodes that are no guards are asked too.
    func wantsStrangers(_ now: Instant) -> Bool { now - since >= Self.strangersAfter }

    /// The newest list, where no node of another operator has answered for long.
    func ofLoneSource(_ now: Instant) -> Offer? {
        guard !othersHaveAnswered, now - since >= Self.aloneAfter else { return nil }
        return all.max { $0.list.round < $1.list.round }
    }
}

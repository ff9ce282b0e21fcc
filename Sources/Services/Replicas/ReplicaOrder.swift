internal import Swarm
internal import Wire

/// The order in which replicas are asked, how many at once, and when the next one is.
struct ReplicaOrder {
    /// A replica of one of several boxes.
    struct Seat: Hashable {
        /// The index of the box.
        let box: Int
        let replica: NodeID
    }

    /// How long a client waits after a question that it could not send.
    private static let retry = TimeSpan.milliseconds(500)

    private var left: [Seat]
    /// The seats of nodes that have another seat before them.
    private let repeated: Set<Seat>
    private var hasBegun = false
    private var open: Set<Seat> = []
    /// How many more seats are asked although none of the open questions was answered.
    private var wanted = 1
    private var nextAsk: Instant
    private let patience: TimeSpan
    /// How many replicas were asked, without those to whom the question could not be sent.
    private(set) var asked = 0
    /// The most that are asked, and the most that are asked at once.
    private let most: Int
    private let atOnce: Int

    /// The replicas of `swarms` in random order, boxes in turn; at most `most` of them, and `atOnce` at once.
    ///
    /// No node is asked for two boxes while others are left: it would learn that both are wanted at once.
    init(
        _ swarms: [[NodeID]], most: Int = .max, atOnce: Int, patience: TimeSpan, now: Instant,
        random: inout some RandomNumberGenerator
    ) {
        var orders = swarms.map { $0.shuffled(using: &random) }
        var turns = Array(swarms.indices).shuffled(using: &random)
        var seats: [Seat] = []
        var repeated: [Seat] = []
        var seen: Set<NodeID> = []
        while !turns.isEmpty {
            let box = turns.removeFirst()
            // A box whose next replica has its turn already takes the one behind it.
            while let replica = orders[box].popLast() {
                guard seen.insert(replica).inserted else {
                    repeated.append(Seat(box: box, replica: replica))
                    continue
                }
                seats.append(Seat(box: box, replica: replica))
                turns.append(box)
                break
            }
        }
        left = seats + repeated
        self.repeated = Set(repeated)
        nextAsk = now
        self.patience = patience
        self.most = most
        self.atOnce = atOnce
    }

    /// Whether nobody is left to ask, and nobody is being asked.
    var isOver: Bool { open.isEmpty && !hasMore }
    private var hasMore: Bool { !left.isEmpty && asked < most }

    /// When `next` is to be called again.
    var deadline: Instant? { hasMore && open.count < atOnce ? nextAsk : nil }

    /// The replicas to ask now.
    mutating func next(_ now: Instant) -> [Seat] {
        if now >= nextAsk, hasBegun { wanted += 1 }
        hasBegun = true
        var seats: [Seat] = []
        while wanted > 0, hasMore, open.count < atOnce {
            wanted -= 1
            asked += 1
            let seat = left.removeFirst()
            open.insert(seat)
            seats.append(seat)
            nextAsk = now + patience
        }
        wanted = 0
        return seats
    }

    /// A question has its answer, or will have none; false if it was not under way.
    ///
    /// Where the answer is of no use, the next replica is asked without waiting.
    mutating func ended(_ seat: Seat, isOfUse: Bool) -> Bool {
        guard open.remove(seat) != nil else { return false }
        if !isOfUse { wanted += 1 }
        return true
    }

    /// A question could not be sent: the replica is asked after the others, the next one soon; false if it was not under
    /// way.
    mutating func putBack(_ seat: Seat, _ now: Instant) -> Bool {
        guard open.remove(seat) != nil else { return false }
        asked -= 1
        let place = repeated.contains(seat) ? left.endIndex : left.firstIndex { repeated.contains($0) }
        left.insert(seat, at: place ?? left.endIndex)
        nextAsk = now + Self.retry
        return true
    }

    /// A replica cannot be asked: the next one is, without waiting; false if it was not under way.
    mutating func passOver(_ seat: Seat) -> Bool {
        guard open.remove(seat) != nil else { return false }
        asked -= 1
        wanted += 1
        return true
    }
}

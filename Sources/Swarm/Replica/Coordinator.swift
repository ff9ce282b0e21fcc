internal import Wire

/// The stores and deletions that a coordinator has under way for clients, and how much each node that brings them may
/// have it send to the other replicas.
///
/// The other replicas count what a coordinator brings as its work, whoever asked for it. So the coordinator divides
/// what it brings among the nodes that ask, and sends a copy that it has sent lately not again.
struct Coordinator {
    /// What a put brings to the other replicas: a second request for the same joins the first.
    struct Content: Hashable {
        let id: ItemID
        let isTombstone: Bool
        /// A tombstone by the box key brings more than one by a token.
        let isFinal: Bool
        /// Receipts are for a height.
        let height: UInt64

        init(_ copy: Copy, height: UInt64) {
            id = copy.id
            isTombstone = copy.isTombstone
            isFinal = copy.isFinal
            self.height = height
        }
    }

    /// A copy that is sent to all replicas of its shard.
    struct Put {
        let copy: Copy
        let height: UInt64
        /// The swarm at `height`, in its order.
        let swarm: [NodeID]
        let began: UInt64
        /// The node that brought the request.
        let via: NodeID
        /// Whether a client has its answer; then only missing copies are retried.
        var isAnswered = false
        /// The replicas without a final answer, and when each is asked next.
        var waiting: [NodeID: UInt64]
        /// The receipts so far, by the replica that signed each.
        var receipts: [NodeID: [UInt8]] = [:]
    }

    /// A client that waits for its answer.
    struct Ask {
        let puts: [UInt64]
        /// Whether it asked to delete.
        let isDeletion: Bool
        /// When it is answered with the receipts so far.
        let due: UInt64
    }

    /// How much may be accepted from clients: in all, and for boxes that are new here.
    struct Admission {
        /// The budget for all boxes.
        private(set) var all: ByteBudget
        /// The part of it that new boxes may use.
        private(set) var newcomers: ByteBudget

        /// Budgets of `capacity` bytes, refilled in `window` milliseconds, and of half as many for new boxes.
        init(capacity: UInt64, window: UInt64, now: UInt64) {
            all = ByteBudget(capacity: capacity, window: window, now: now)
            newcomers = ByteBudget(capacity: capacity / 2, window: window, now: now)
        }

        /// Whether a box that has much already must leave the rest to others: half of what new boxes may use, and half
        /// of what the others may.
        mutating func isScarce(isNew: Bool, _ now: UInt64) -> Bool {
            (isNew ? newcomers.available(now) : all.available(now)) < all.capacity / 4
        }

        /// Takes `size` bytes; for a new box from both budgets.
        mutating func take(_ size: Int, isNew: Bool, _ now: UInt64) -> Bool {
            if isNew, !newcomers.take(size, now) { return false }
            if all.take(size, now) { return true }
            if isNew { newcomers.giveBack(size) }
            return false
        }

        /// Returns bytes that were taken but not used.
        mutating func giveBack(_ size: Int, isNew: Bool) {
            all.giveBack(size)
            if isNew { newcomers.giveBack(size) }
        }

        /// Changes the capacity; newcomers get half of it.
        mutating func resize(_ capacity: UInt64) {
            all.resize(capacity)
            newcomers.resize(capacity / 2)
        }
    }

    /// How long a client waits for a majority, in milliseconds.
    static let patience: UInt64 = 1_500
    /// How long missing copies are retried, in milliseconds.
    static let persistence: UInt64 = 60_000
    /// The time until the second attempt, in milliseconds; then each pause is twice as long.
    static let retry: UInt64 = 5_000

    private(set) var puts: [UInt64: Put] = [:]
    /// The puts by what they bring.
    private var numbers: [Content: UInt64] = [:]
    /// The puts whose client has its answer, in the order of the answers; some have ended since.
    private var answered: ArraySlice<UInt64> = []
    var asks: [UInt64: Ask] = [:]
    var outbox: [NodeID: [(put: UInt64?, height: UInt64, copy: Copy)]] = [:]
    private var next: UInt64 = 1
    /// How many units of copies are brought to the other replicas, by the node that brought the request.
    private var rate = DebtRate<NodeID>(
        perSecond: SwarmLimits.putUnits, burst: SwarmLimits.putBurst, now: Coordinator.began)
    /// The moment of the beginning for `rate`; an hour is there so that the burst is, too.
    private static let began = Instant(nanoseconds: 3_600_000_000_000)
    private let start: UInt64
    /// The places of puts, by the node that brought the request.
    private var places = Shares<NodeID>(capacity: SwarmLimits.puts, most: SwarmLimits.puts)
    /// How much may be accepted from clients in a day.
    private var admission: Admission
    /// How much of it each shard may accept in the life of a message.
    private var shards: [UInt16: Admission] = [:]
    /// The bytes that a shard may accept in that time.
    private var shardShare: UInt64 = 0

    init(quota: UInt64, now: UInt64) {
        start = now
        admission = Admission(capacity: Self.day(quota), window: 86_400_000, now: now)
    }

    /// How many bytes a node with this quota accepts in a day.
    private static func day(_ quota: UInt64) -> UInt64 { quota / UInt64(SwarmLimits.admissionShare) }

    /// Changes the quota; the shards' parts of it follow with ``share(_:_:)``.
    mutating func resize(quota: UInt64) { admission.resize(Self.day(quota)) }

    /// How many places a copy takes.
    private static func places(_ copy: Copy) -> Int { max(1, (copy.bytes.count - 1) / SwarmLimits.putPlace + 1) }

    /// The put that brings `copy` to the swarm at `height`; nil if there is none.
    func put(of copy: Copy, height: UInt64) -> UInt64? { numbers[Content(copy, height: height)] }

    /// Takes a turn of `via` for copies, and makes room for them; false if its share does not allow it.
    ///
    /// The other units of the copies are due before its next turn. Without room for them only the turn is taken.
    mutating func takeTurn(for copies: [Copy], via: NodeID, _ now: UInt64) -> Bool {
        guard !copies.isEmpty else { return true }
        let (elapsed, overflow) = (now > start ? now - start : 0).multipliedReportingOverflow(by: 1_000_000)
        let moment = Self.began + TimeSpan(nanoseconds: overflow ? .max : Int64(clamping: elapsed))
        let units = copies.reduce(0) { $0 + max(1, ($1.bytes.count - 1) / SwarmLimits.putUnit + 1) }
        guard rate.take(via, moment), makeRoom(for: copies, via: via) else { return false }
        rate.owe(via, tokens: units - 1)
        return true
    }

    /// Makes room for `copies` that `via` brought; false if the other nodes need the places.
    ///
    /// The oldest put whose client has its answer is ended first, then the oldest of the node with the most.
    mutating func makeRoom(for copies: [Copy], via: NodeID) -> Bool {
        let wanted = copies.reduce(0) { $0 + Self.places($1) }
        while true {
            switch places.admission(for: via, places: wanted) {
            case .granted: return true
            case .makeRoom, .full, .shareUsed:
                if let number = answered.popFirst() {
                    end(number)
                    continue
                }
                guard case .makeRoom(let other) = places.admission(for: via, places: wanted),
                    let oldest = puts.filter({ $0.value.via == other }).keys.min()
                else { return false }
                end(oldest)
            }
        }
    }

    /// Adds a put and returns its number.
    mutating func begin(_ put: Put) -> UInt64 {
        defer { next += 1 }
        puts[next] = put
        numbers[Content(put.copy, height: put.height)] = next
        if put.isAnswered { answered.append(next) }
        places.add(put.via, places: Self.places(put.copy))
        return next
    }

    /// Forgets a put and frees its places.
    mutating func end(_ number: UInt64) {
        guard let put = puts.removeValue(forKey: number) else { return }
        let content = Content(put.copy, height: put.height)
        if numbers[content] == number { numbers[content] = nil }
        places.release(put.via, places: Self.places(put.copy))
    }

    /// Notes that a client of a put has its answer.
    mutating func noteAnswer(to number: UInt64) {
        guard puts[number]?.isAnswered == false else { return }
        puts[number]?.isAnswered = true
        // Most of those that have ended come first; the rest have ended early, and are few.
        while let first = answered.first, puts[first] == nil { answered.removeFirst() }
        answered.append(number)
    }

    /// Adds a replica's receipt.
    mutating func add(_ receipt: [UInt8], of replica: NodeID, to number: UInt64) {
        puts[number]?.waiting[replica] = nil
        puts[number]?.receipts[replica] = receipt
    }

    /// Waits no longer for a replica.
    mutating func giveUp(_ replica: NodeID, of number: UInt64) { puts[number]?.waiting[replica] = nil }

    /// Sets when a replica is asked again.
    mutating func wait(for replica: NodeID, until time: UInt64, of number: UInt64) {
        puts[number]?.waiting[replica] = time
    }

    /// Sets how much each of the `own` shards may accept in the life of a message; at least two of the longest items.
    mutating func share(_ bytes: UInt64, _ own: Set<UInt16>) {
        shardShare = max(bytes, UInt64(SwarmLimits.longestItem) * 2)
        shards = shards.filter { own.contains($0.key) }
        for shard in shards.keys { shards[shard]?.resize(shardShare) }
    }

    /// Takes `size` bytes for a box of `shard` that has `held` bytes here from the budgets; false if one is too low.
    ///
    /// `growth` is by how much the box grows: a large one may still replace what it has.
    mutating func admit(
        _ size: Int, _ shard: UInt16, held: Int, growth: Int, isNew: Bool, _ now: UInt64
    ) -> Bool {
        let life = UInt64(ItemKind.message.life) * 60_000
        var own = shards[shard] ?? Admission(capacity: shardShare, window: life, now: now)
        defer { shards[shard] = own }
        let isLarge = growth > 0 && UInt64(clamping: held) >= max(1, shardShare / UInt64(SwarmLimits.boxAdmission))
        guard !isLarge || !own.isScarce(isNew: isNew, now), own.take(size, isNew: isNew, now) else { return false }
        if admission.take(size, isNew: isNew, now) { return true }
        own.giveBack(size, isNew: isNew)
        return false
    }
}

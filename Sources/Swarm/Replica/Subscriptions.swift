internal import Wire

/// The readers that follow boxes, and the pushes under way to them.
struct Subscriptions {
    struct Subscription {
        let box: Bytes32
        let shard: UInt16
        let kinds: ItemKinds
        /// The node over whose link the subscription runs.
        let via: NodeID
        /// The log that `cursor` belongs to.
        var log: UInt64
        /// The offset up to which all entries were pushed.
        var cursor: UInt64
        /// The units of the pushes under way, the oldest first.
        var underway: [Int] = []
        /// When a push last left, or the first of those under way began, in milliseconds.
        var moved: UInt64 = 0
        /// Whether the reader has been told that it has everything.
        var isCaughtUp = false
    }

    private(set) var all: [UInt64: Subscription] = [:]
    private var byBox: [Bytes32: Set<UInt64>] = [:]
    /// The places by link.
    private var places = Shares<NodeID>(capacity: SwarmLimits.subscriptions, most: SwarmLimits.subscriptions)
    /// The pushes under way in units of 4 KiB, by link.
    private var units = Shares<NodeID>(capacity: SwarmLimits.pushUnits, most: SwarmLimits.linkPushUnits)
    /// The subscriptions that wait for units, in order, each once.
    private var waiting: [UInt64] = []
    private var isWaiting: Set<UInt64> = []
    /// The subscriptions that may continue.
    private var queued: [UInt64] = []

    /// The subscriptions of a box.
    func readers(of box: Bytes32) -> [UInt64] { (byBox[box] ?? []).sorted() }

    /// The subscriptions of a shard.
    func readers(of shard: UInt16) -> [UInt64] { all.filter { $0.value.shard == shard }.keys.sorted() }

    /// Whether a link may have one more subscription; `victim` must be ended first, if there is one.
    func hasPlace(via: NodeID) -> (isFree: Bool, victim: UInt64?) {
        switch places.admission(for: via) {
        case .granted: (true, nil)
        case .makeRoom(let other): (true, all.filter { $0.value.via == other }.keys.max())
        case .full, .shareUsed: (false, nil)
        }
    }

    mutating func add(_ id: UInt64, _ subscription: Subscription) {
        all[id] = subscription
        byBox[subscription.box, default: []].insert(id)
        places.add(subscription.via)
    }

    mutating func remove(_ id: UInt64) {
        guard let old = all.removeValue(forKey: id) else { return }
        byBox[old.box]?.remove(id)
        if byBox[old.box]?.isEmpty ?? false { byBox[old.box] = nil }
        places.release(old.via)
        if isWaiting.remove(id) != nil { waiting.removeAll { $0 == id } }
        release(old.underway.reduce(0, +), old.via)
    }

    /// Changes an existing subscription.
    mutating func update(_ id: UInt64, _ subscription: Subscription) { if all[id] != nil { all[id] = subscription } }

    /// Takes the units of a push of `size` bytes; nil if the push has to wait.
    mutating func take(_ size: Int, for id: UInt64, via: NodeID) -> Int? {
        let wanted = max(1, (size - 1) / 4_096 + 1)
        guard units.take(for: via, places: wanted) == .granted else {
            if isWaiting.insert(id).inserted { waiting.append(id) }
            return nil
        }
        return wanted
    }

    private mutating func release(_ count: Int, _ via: NodeID) {
        if count > 0 { units.release(via, places: count) }
        // A push of 64 KiB may make room for sixteen small ones.
        let next = waiting.prefix(16)
        queued += next
        isWaiting.subtract(next)
        waiting.removeFirst(next.count)
    }

    /// Notes that the oldest push under way has left.
    mutating func pushed(_ id: UInt64, _ now: UInt64) {
        guard var reader = all[id] else { return }
        queued.append(id)
        guard !reader.underway.isEmpty else { return }
        let freed = reader.underway.removeFirst()
        reader.moved = now
        all[id] = reader
        release(freed, reader.via)
    }

    /// Lets all waiting subscriptions try again.
    mutating func queueAll() {
        queued += waiting
        waiting = []
        isWaiting = []
    }

    /// Removes and returns the subscriptions that may continue, each once.
    mutating func takeQueued() -> [UInt64] {
        defer { queued = [] }
        var seen: Set<UInt64> = []
        return queued.filter { seen.insert($0).inserted }
    }

    /// The subscriptions whose oldest push has been under way too long.
    func stalled(_ now: UInt64) -> [UInt64] {
        all.filter { !$0.value.underway.isEmpty && now >= $0.value.moved + SwarmLimits.pushPatience }.keys.sorted()
    }
}

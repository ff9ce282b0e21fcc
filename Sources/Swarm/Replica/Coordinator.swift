internal import Wire

/// The stores and deletions that a coordinator has under way for clients.
struct Coordinator {
    /// A copy that is sent to all replicas of its shard.
    struct Put {
        let copy: Copy
        let height: UInt64
        /// The swarm at `height`, in its order.
        let swarm: [NodeID]
        let began: UInt64
        /// The node that brought the request.
        let via: NodeID
        /// Whether the client has its answer; then only missing copies are retried.
        var isAnswered = false
        /// The replicas without a final answer, and when each is asked next.
        var waiting: [NodeID: UInt64]
        /// The receipts.
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

        /// Changes the capacity.
        mutating func resize(_ capacity: UInt64) {
            all.resize(capacity)
            newcomers.resize(capacity / 2)
        }
    }

    /// How long a client waits for a majority, in milliseconds.
    static let patience: UInt64 = 1_500
    /// How long missing copies are retried, in milliseconds.
    static let persistence: UInt64 = 60_000
    /// The time between two attempts, in milliseconds.
    static let retry: UInt64 = 5_000

    var puts: [UInt64: Put] = [:]
    var asks: [UInt64: Ask] = [:]
    var outbox: [NodeID: [(put: UInt64?, height: UInt64, copy: Copy)]] = [:]
    private var next: UInt64 = 1
    /// The places of puts, by the node that brought the request.
    private var places = Shares<NodeID>(capacity: SwarmLimits.puts, most: SwarmLimits.puts)
    /// How much may be accepted from clients in a day.
    private var admission: Admission
    /// How much of it each shard may accept in the life of a message.
    private var shards: [UInt16: Admission] = [:]
    /// The bytes that a shard may accept in that time.
    private var shardShare: UInt64 = 0

    init(quota: UInt64, now: UInt64) {
        let day = quota / UInt64(SwarmLimits.admissionShare)
        admission = Admission(capacity: day, window: 86_400_000, now: now)
    }

    /// How many places a copy takes.
    private static func places(_ copy: Copy) -> Int { max(1, (copy.bytes.count - 1) / SwarmLimits.putPlace + 1) }

    /// Makes room for `copies` that `via` brought; false if the other nodes need the places.
    ///
    /// The oldest put whose client has its answer is ended first, then the oldest of the node with the most.
    mutating func makeRoom(for copies: [Copy], via: NodeID) -> Bool {
        let wanted = copies.reduce(0) { $0 + Self.places($1) }
        while true {
            switch places.admission(for: via, places: wanted) {
            case .granted: return true
            case .makeRoom, .full, .shareUsed:
                if let answered = puts.filter({ $0.value.isAnswered }).keys.min() {
                    end(answered)
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
        places.add(put.via, places: Self.places(put.copy))
        return next
    }

    /// Ends a put.
    mutating func end(_ number: UInt64) {
        guard let put = puts.removeValue(forKey: number) else { return }
        places.release(put.via, places: Self.places(put.copy))
    }

    /// Sets how much each of the `own` shards may accept in the life of a message; at least two of the longest items.
    mutating func share(_ bytes: UInt64, _ own: Set<UInt16>) {
        shardShare = max(bytes, UInt64(SwarmLimits.longestItem) * 2)
        shards = shards.filter { own.contains($0.key) }
        for shard in shards.keys { shards[shard]?.resize(shardShare) }
    }

    /// Takes `size` bytes for a box of `shard` from the budgets; false if one is too low.
    mutating func admit(_ size: Int, _ shard: UInt16, isNew: Bool, _ now: UInt64) -> Bool {
        let life = UInt64(ItemKind.message.life) * 60_000
        guard
            shards[shard, default: Admission(capacity: shardShare, window: life, now: now)]
                .take(size, isNew: isNew, now)
        else { return false }
        if admission.take(size, isNew: isNew, now) { return true }
        shards[shard]?.giveBack(size, isNew: isNew)
        return false
    }
}

extension Replica {
    /// Handles a client's STORE.
    mutating func store(_ item: StoredItem, height: UInt64, ask: UInt64, via: NodeID) throws(StoreRefusal) {
        let created = item.header.created
        guard created <= minute + SwarmLimits.storeWindow, minute <= created + SwarmLimits.storeWindow else {
            throw .timeInvalid
        }
        let shard = try named(for: item.header.box)
        guard let view = views.first(where: { $0.height == height }) else { throw .notReplica(height: self.height) }
        let copy = Copy.item(item)
        guard coordinator.makeRoom(for: [copy], via: via) else { throw .busy(seconds: 1) }
        if item.header.kind == .descriptor {
            // A descriptor that is held is passed on and acknowledged, and costs no budget.
            if !descriptors.holds(item) {
                try descriptors.check(item, now: now)
                try prove(copy)
                guard descriptors.take(item, from: via, now: now) else { throw .full }
            }
        } else if !holdings.isKnown(copy) {
            try holdings.check(copy, minute: minute)
            try prove(copy)
            try checkQuota(of: copy, item, shard: shard)
            holdings.take(copy, shard: shard, minute: minute)
        }
        let number = put(copy, shard: shard, view, via: via)
        coordinator.asks[ask] = Coordinator.Ask(puts: [number], isDeletion: false, due: now + Coordinator.patience)
    }

    /// Handles a client's DELETE.
    mutating func delete(
        _ deletions: [StoreRequest.Deletion], in box: Bytes32, ask: UInt64, via: NodeID
    ) throws(StoreRefusal) {
        let shard = try named(for: box)
        guard let view = views.first else { throw .notReplica(height: 0) }
        var copies: [Copy] = []
        var isRefused = false
        for deletion in deletions {
            guard let entry = holdings.storage.entry(deletion.id), entry.box == box, entry.kind.isDeletable,
                let held = holdings.copy(entry), !copies.contains(where: { $0.id == held.id })
            else { continue }
            // The proof must be valid for an item that is already deleted, too.
            guard deletion.proof.isGood(for: held.header, id: held.id, network: network) else {
                isRefused = true
                continue
            }
            let tombstone =
                switch held {
                case .item(let item): Tombstone(of: item, proof: deletion.proof)
                case .tombstone(let old): deletion.proof.isOfBox ? old.byBox(deletion.proof) : old
                }
            do throws(StoreRefusal) {
                try holdings.check(.tombstone(tombstone), minute: minute)
            } catch { continue }
            copies.append(.tombstone(tombstone))
        }
        guard !copies.isEmpty else {
            if isRefused { throw .notAuthorised }
            actions.append(.answer(ask: ask, .deleted(0, replicas: 0)))
            return
        }
        guard coordinator.makeRoom(for: copies, via: via) else { throw .busy(seconds: 1) }
        for copy in copies where !holdings.isKnown(copy) { holdings.take(copy, shard: shard, minute: minute) }
        let numbers = copies.map { put($0, shard: shard, view, via: via) }
        coordinator.asks[ask] = Coordinator.Ask(puts: numbers, isDeletion: true, due: now + Coordinator.patience)
    }

    /// The shard of `box`, if this node is a replica of it.
    func named(for box: Bytes32) throws(StoreRefusal) -> UInt16 {
        guard let shard = views.first?.map.shard(of: box), isNamed(for: shard), roles[shard] != nil else {
            throw .notReplica(height: height)
        }
        return shard
    }

    private func prove(_ copy: Copy) throws(StoreRefusal) {
        guard copy.isAuthentic(network: network, writers: holdings.writers(of: copy.header.box)) else {
            throw .notAuthorised
        }
    }

    /// Refuses a copy for which the box's quota, the node's admission or its disk has no room.
    private mutating func checkQuota(of copy: Copy, _ item: StoredItem, shard: UInt16) throws(StoreRefusal) {
        let (box, kind) = (item.header.box, item.header.kind)
        let usage = holdings.storage.usage(of: box, kind)
        let replaced = item.version.flatMap { holdings.storage.version(of: box, kind, $0.name) }?.size ?? 0
        guard kind == .contact || usage.bytes - replaced + item.bytes.count <= kind.quota,
            kind != .message || usage.items + usage.tombstones < SwarmLimits.boxMessages, hasRoom(for: copy)
        else { throw .full }
        let first = holdings.storage.box(box)?.firstSeen
        let isNew = first.map { minute < $0 + SwarmLimits.knownBoxMinutes } ?? true
        guard coordinator.admit(item.bytes.count, shard, isNew: isNew, now) else { throw .full }
    }

    /// Whether the disk's quota has room for the growth by a copy; a copy that frees space always fits.
    func hasRoom(for copy: Copy) -> Bool {
        let growth = holdings.growth(of: copy)
        let parts = UInt64(copy.isTombstone ? 100 : SwarmLimits.copyFill)
        return growth <= 0 || UInt64(clamping: holdings.storage.bytesUsed + growth) <= settings.quota / 100 * parts
    }

    /// Sends a copy to the swarm of `view` and to the swarm of the newest snapshot.
    private mutating func put(_ copy: Copy, shard: UInt16, _ view: SwarmView, via: NodeID) -> UInt64 {
        let swarm = view.map.swarm(shard)
        let others = Set(swarm + (views.first?.map.swarm(shard) ?? [])).subtracting([node])
        var waiting: [NodeID: UInt64] = [:]
        for other in others { waiting[other] = now + Coordinator.retry }
        let put = Coordinator.Put(
            copy: copy, height: view.height, swarm: swarm, began: now, via: via, waiting: waiting)
        let number = coordinator.begin(put)
        for other in others.sorted() { coordinator.outbox[other, default: []].append((number, view.height, copy)) }
        durable.append(.put(number))
        return number
    }

    /// Notes that this node's own copy is on disk, or could not be written.
    mutating func ownCopy(_ number: UInt64, isOnDisk: Bool) {
        guard let put = coordinator.puts[number] else { return }
        guard isOnDisk else {
            coordinator.end(number)
            for (ask, waiting) in coordinator.asks where waiting.puts.contains(number) {
                coordinator.asks[ask] = nil
                actions.append(.answer(ask: ask, .refused(.full)))
            }
            return
        }
        var held = put
        held.receipts[node] = receipt(height: put.height, put.copy.id)
        coordinator.puts[number] = held
    }

    /// Sends each node its copies in as few messages as possible.
    mutating func flushOutbox() {
        for (peer, lines) in coordinator.outbox.sorted(by: { $0.key < $1.key }) {
            var open = lines[...]
            while let first = open.first {
                var size = 0
                let batch = open.prefix(SwarmLimits.replicateCopies).prefix { line in
                    size += line.copy.bytes.count + Copy.overhead
                    return line.height == first.height && size <= Replicate.room
                }
                open = open.dropFirst(batch.count)
                let message = Replicate(height: first.height, copies: batch.map(\.copy))
                ask(peer, .replicate, message.encoded(), .replicate(peer, batch.map(\.put)))
            }
        }
        coordinator.outbox = [:]
    }

    /// Handles a replica's answer to copies; nil: it did not answer.
    mutating func replicated(_ puts: [UInt64?], by peer: NodeID, _ body: [UInt8]?) {
        guard let body, let outcomes = try? Replicate.outcomes(decoding: body.rawSpan, count: puts.count) else {
            return
        }
        for (number, outcome) in zip(puts, outcomes) {
            guard let number, let put = coordinator.puts[number], put.waiting[peer] != nil else { continue }
            switch outcome {
            case .held(let receipt):
                // An invalid receipt would cost the client its store.
                guard StoreReceipt.isGood(receipt, of: peer, height: put.height, id: put.copy.id, network: network)
                else {
                    coordinator.puts[number]?.waiting[peer] = nil
                    continue
                }
                coordinator.puts[number]?.waiting[peer] = nil
                coordinator.puts[number]?.receipts[peer] = receipt
            case .refused(let status):
                // The replica is full, has another map, or lacks the grant: these may pass.
                if ![3, 4, 6].contains(status) { coordinator.puts[number]?.waiting[peer] = nil }
            }
        }
    }

    /// Sends copies again that were not accepted.
    mutating func retryPuts() {
        for number in coordinator.puts.keys.sorted() {
            guard let put = coordinator.puts[number] else { continue }
            let next = now + Coordinator.retry
            if now >= put.began + Coordinator.persistence {
                coordinator.end(number)
                continue
            }
            for (peer, time) in put.waiting.sorted(by: { $0.key < $1.key }) where time <= now {
                coordinator.puts[number]?.waiting[peer] = next
                // A message can be verified only with the grant.
                if put.copy.header.kind == .message,
                    let grant = holdings.version(of: put.copy.header.box, .record, NamedVersion.grantName)
                {
                    coordinator.outbox[peer, default: []].append((nil, put.height, .item(grant)))
                }
                coordinator.outbox[peer, default: []].append((number, put.height, put.copy))
            }
        }
    }

    /// Answers clients whose copies a majority holds, or that have waited long enough.
    mutating func answerPuts() {
        for ask in coordinator.asks.keys.sorted() {
            guard let waiting = coordinator.asks[ask] else { continue }
            let puts = waiting.puts.compactMap { coordinator.puts[$0] }
            let counts = puts.map { put in put.swarm.count { put.receipts[$0] != nil } }
            let isStored = zip(puts, counts).allSatisfy { put, count in count >= put.swarm.count / 2 + 1 }
            guard isStored || now >= waiting.due || puts.isEmpty else { continue }
            coordinator.asks[ask] = nil
            for number in waiting.puts { coordinator.puts[number]?.isAnswered = true }
            guard let put = puts.first else {
                // The places were needed for others.
                actions.append(.answer(ask: ask, .refused(.busy(seconds: 1))))
                continue
            }
            if waiting.isDeletion {
                let replicas = UInt8(clamping: counts.min() ?? 0)
                actions.append(.answer(ask: ask, .deleted(UInt8(clamping: puts.count), replicas: replicas)))
            } else {
                let receipts = put.swarm.enumerated().compactMap { index, member in
                    put.receipts[member].map {
                        StoreAnswer.IndexedReceipt(index: UInt8(truncatingIfNeeded: index), receipt: $0)
                    }
                }
                actions.append(.answer(ask: ask, .stored(height: put.height, receipts)))
            }
        }
        for (number, put) in coordinator.puts where put.waiting.isEmpty && put.isAnswered {
            coordinator.end(number)
        }
    }
}

internal import Wire

/// What a coordinator has under way for clients.
struct Coordinator {
    /// A copy that goes to all replicas of its shard.
    struct Put {
        let copy: Copy
        let height: UInt64
        /// The swarm at `height`, in its order.
        let swarm: [NodeID]
        let began: UInt64
        /// Who brought the request.
        let via: NodeID
        /// Whether the client has its answer, so that only missing copies are tried.
        var isAnswered = false
        /// Those that have not answered for good, and when they are asked next.
        var waiting: [NodeID: UInt64]
        /// The receipts.
        var receipts: [NodeID: [UInt8]] = [:]
    }

    /// A client that waits.
    struct Ask {
        let puts: [UInt64]
        /// Whether it asked to delete.
        let isDeletion: Bool
        /// When it is answered with what is there.
        let due: UInt64
    }

    /// What may be taken of clients: in all, and of boxes that are new here.
    struct Admission {
        /// What may be taken.
        private(set) var all: ByteBudget
        /// What of it may be of new boxes.
        private(set) var newcomers: ByteBudget

        /// `capacity` bytes at once and in each `window` of milliseconds, half of it for new boxes.
        init(capacity: UInt64, window: UInt64, now: UInt64) {
            all = ByteBudget(capacity: capacity, window: window, now: now)
            newcomers = ByteBudget(capacity: capacity / 2, window: window, now: now)
        }

        /// Takes `size` bytes, of a new box from the part of new ones too.
        mutating func take(_ size: Int, isNew: Bool, _ now: UInt64) -> Bool {
            if isNew, !newcomers.take(size, now) { return false }
            if all.take(size, now) { return true }
            if isNew { newcomers.giveBack(size) }
            return false
        }

        /// Gives back what was taken for nothing.
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
    /// How long missing copies are tried.
    static let persistence: UInt64 = 60_000
    /// The time between two attempts.
    static let retry: UInt64 = 5_000

    var puts: [UInt64: Put] = [:]
    var asks: [UInt64: Ask] = [:]
    var outbox: [NodeID: [(put: UInt64?, height: UInt64, copy: Copy)]] = [:]
    private var next: UInt64 = 1
    /// The places of puts, by who brought the request.
    private var places = Shares<NodeID>(capacity: SwarmLimits.puts, most: SwarmLimits.puts)
    /// What may be taken of clients in a day.
    private var admission: Admission
    /// What may be taken of it for each shard, in the life of a message.
    private var shards: [UInt16: Admission] = [:]
    /// The bytes that a shard may have in that time.
    private var shardShare: UInt64 = 0

    init(quota: UInt64, now: UInt64) {
        let day = quota / UInt64(SwarmLimits.admissionShare)
        admission = Admission(capacity: day, window: 86_400_000, now: now)
    }

    /// How many places a copy takes.
    private static func places(_ copy: Copy) -> Int { max(1, (copy.bytes.count - 1) / SwarmLimits.putPlace + 1) }

    /// Finds places for `copies` of `via`; false: the others need them.
    ///
    /// The oldest put whose client has its answer gives way first, then the oldest of who has the most.
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

    /// Begins a put and numbers it.
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

    /// Says what each of `own` shards may have of clients in the life of a message, one of the longest items at least.
    mutating func share(_ bytes: UInt64, _ own: Set<UInt16>) {
        shardShare = max(bytes, UInt64(SwarmLimits.longestItem) * 2)
        shards = shards.filter { own.contains($0.key) }
        for shard in shards.keys { shards[shard]?.resize(shardShare) }
    }

    /// Takes `size` bytes of a box of `shard` from what may be taken.
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
    /// A client hands in an item.
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
            // One that is held is passed on and acknowledged, and counts nothing.
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

    /// A client deletes items.
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
            // Of what is deleted already, too.
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

    /// Refuses what the box, the node's admission or its disk has no room for.
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

    /// Whether the disk's quota has room for what a copy adds; what makes it smaller is always taken.
    func hasRoom(for copy: Copy) -> Bool {
        let growth = holdings.growth(of: copy)
        let parts = UInt64(copy.isTombstone ? 100 : SwarmLimits.copyFill)
        return growth <= 0 || UInt64(clamping: holdings.storage.bytesUsed + growth) <= settings.quota / 100 * parts
    }

    /// Sends a copy to the swarm of `view` and to that of the newest snapshot.
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

    /// This node's own copy is on the disk, or could not be written.
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

    /// Sends what goes to each node in as few messages as possible.
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

    /// A replica has answered to copies, or has not.
    mutating func replicated(_ puts: [UInt64?], by peer: NodeID, _ body: [UInt8]?) {
        guard let body, let outcomes = try? Replicate.outcomes(decoding: body.rawSpan, count: puts.count) else {
            return
        }
        for (number, outcome) in zip(puts, outcomes) {
            guard let number, let put = coordinator.puts[number], put.waiting[peer] != nil else { continue }
            switch outcome {
            case .held(let receipt):
                // A wrong one in the client's hands would cost it a store.
                guard StoreReceipt.isGood(receipt, of: peer, height: put.height, id: put.copy.id, network: network)
                else {
                    coordinator.puts[number]?.waiting[peer] = nil
                    continue
                }
                coordinator.puts[number]?.waiting[peer] = nil
                coordinator.puts[number]?.receipts[peer] = receipt
            case .refused(let status):
                // Full, behind, or without the grant: that may pass.
                if ![3, 4, 6].contains(status) { coordinator.puts[number]?.waiting[peer] = nil }
            }
        }
    }

    /// Tries copies again that were not taken.
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
                // A message proves itself only to who has the grant.
                if put.copy.header.kind == .message,
                    let grant = holdings.version(of: put.copy.header.box, .record, NamedVersion.grantName)
                {
                    coordinator.outbox[peer, default: []].append((nil, put.height, .item(grant)))
                }
                coordinator.outbox[peer, default: []].append((number, put.height, put.copy))
            }
        }
    }

    /// Answers clients whose copies are held by a majority, or who have waited long enough.
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
                // Others needed the places.
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

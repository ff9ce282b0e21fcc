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

    /// How long a client waits for a majority, in milliseconds.
    static let patience: UInt64 = 1_500
    /// How long missing copies are tried.
    static let persistence: UInt64 = 60_000
    /// The time between two attempts.
    static let retry: UInt64 = 5_000

    var puts: [UInt64: Put] = [:]
    var asks: [UInt64: Ask] = [:]
    var outbox: [NodeID: [(put: UInt64?, height: UInt64, copy: Copy)]] = [:]
    private(set) var bytes = 0
    private var next: UInt64 = 1
    /// What may be taken of clients.
    var admission: ByteBudget
    /// What of it may be of boxes that are new here.
    var newcomers: ByteBudget

    init(quota: UInt64, now: UInt64) {
        let day = quota / UInt64(SwarmLimits.admissionShare)
        admission = ByteBudget(capacity: day, window: 86_400_000, now: now)
        newcomers = ByteBudget(capacity: day / 2, window: 86_400_000, now: now)
    }

    /// Whether there is room for `count` copies of `size` bytes together.
    func hasRoom(count: Int, size: Int) -> Bool {
        puts.count + count <= SwarmLimits.puts && bytes + size <= SwarmLimits.putBytes
    }

    /// Begins a put and numbers it.
    mutating func begin(_ put: Put) -> UInt64 {
        defer { next += 1 }
        puts[next] = put
        bytes += put.copy.bytes.count
        return next
    }

    /// Ends a put.
    mutating func end(_ number: UInt64) {
        guard let put = puts.removeValue(forKey: number) else { return }
        bytes -= put.copy.bytes.count
    }

    /// Takes `size` bytes of a box from the admission, and of a new one from the part of new ones.
    mutating func admit(_ size: Int, isNew: Bool, _ now: UInt64) -> Bool {
        if isNew, !newcomers.take(size, now) { return false }
        if admission.take(size, now) { return true }
        if isNew { newcomers.giveBack(size) }
        return false
    }
}

extension Replica {
    /// A client hands in an item.
    mutating func store(_ item: StoredItem, height: UInt64, ask: UInt64) throws(StoreRefusal) {
        let created = item.header.created
        guard created <= minute + SwarmLimits.storeWindow, minute <= created + SwarmLimits.storeWindow else {
            throw .timeInvalid
        }
        let shard = try named(for: item.header.box)
        guard let view = views.first(where: { $0.height == height }) else { throw .notReplica(height: self.height) }
        guard coordinator.hasRoom(count: 1, size: item.bytes.count) else { throw .busy(seconds: 1) }
        let copy = Copy.item(item)
        if item.header.kind == .descriptor {
            try descriptors.check(item, now: now)
            try prove(copy)
            descriptors.take(item, now: now)
        } else if !holdings.isKnown(copy) {
            try holdings.check(copy, minute: minute)
            try prove(copy)
            try checkQuota(of: item)
            take(copy, shard: shard)
        }
        let number = put(copy, shard: shard, view)
        coordinator.asks[ask] = Coordinator.Ask(puts: [number], isDeletion: false, due: now + Coordinator.patience)
    }

    /// A client deletes items.
    mutating func delete(
        _ deletions: [StoreRequest.Deletion], in box: Bytes32, ask: UInt64
    ) throws(StoreRefusal) {
        let shard = try named(for: box)
        guard let view = views.first else { throw .notReplica(height: 0) }
        let size = Tombstone.size * deletions.count
        guard coordinator.hasRoom(count: deletions.count, size: size) else { throw .busy(seconds: 1) }
        var copies: [Copy] = []
        var isRefused = false
        for deletion in deletions {
            guard let entry = holdings.storage.entry(deletion.id), entry.box == box, entry.kind.isDeletable,
                let held = holdings.copy(entry)
            else { continue }
            if case .item(let item) = held {
                let tombstone = Copy.tombstone(Tombstone(of: item, proof: deletion.proof))
                guard deletion.proof.isGood(for: item.header, id: item.id, network: network) else {
                    isRefused = true
                    continue
                }
                do throws(StoreRefusal) {
                    try holdings.check(tombstone, minute: minute)
                } catch { continue }
                take(tombstone, shard: shard)
                copies.append(tombstone)
            } else if !copies.contains(held) {
                copies.append(held)
            }
        }
        guard !copies.isEmpty else {
            if isRefused { throw .notAuthorised }
            actions.append(.answer(ask: ask, .deleted(0, replicas: 0)))
            return
        }
        let numbers = copies.map { put($0, shard: shard, view) }
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
    private mutating func checkQuota(of item: StoredItem) throws(StoreRefusal) {
        let (box, kind) = (item.header.box, item.header.kind)
        let usage = holdings.storage.usage(of: box, kind)
        let replaced = item.version.flatMap { holdings.storage.version(of: box, kind, $0.name) }?.size ?? 0
        guard kind == .contact || usage.bytes - replaced + item.bytes.count <= kind.quota,
            kind != .message || usage.items + usage.tombstones < SwarmLimits.boxMessages, hasRoom(for: item.bytes.count)
        else { throw .full }
        let first = holdings.storage.box(box)?.firstSeen
        let isNew = first.map { minute < $0 + SwarmLimits.knownBoxMinutes } ?? true
        guard coordinator.admit(item.bytes.count, isNew: isNew, now) else { throw .full }
    }

    /// Whether the disk's quota has room for a copy.
    func hasRoom(for size: Int) -> Bool {
        let limit = settings.quota / 100 * UInt64(SwarmLimits.copyFill)
        return UInt64(clamping: holdings.storage.bytesUsed + size) <= limit
    }

    /// Keeps a copy, and remembers how new it is.
    mutating func take(_ copy: Copy, shard: UInt16) {
        holdings.take(copy, shard: shard, minute: minute)
        if let newest = roles[shard]?.newest { roles[shard]?.newest = max(newest, copy.header.created) }
    }

    /// Sends a copy to the swarm of `view` and to that of the newest snapshot.
    private mutating func put(_ copy: Copy, shard: UInt16, _ view: SwarmView) -> UInt64 {
        let swarm = view.map.swarm(shard)
        let others = Set(swarm + (views.first?.map.swarm(shard) ?? [])).subtracting([node])
        var waiting: [NodeID: UInt64] = [:]
        for other in others { waiting[other] = now + Coordinator.retry }
        let put = Coordinator.Put(copy: copy, height: view.height, swarm: swarm, began: now, waiting: waiting)
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
            if now >= put.began + Coordinator.persistence {
                coordinator.end(number)
                continue
            }
            for (peer, time) in put.waiting.sorted(by: { $0.key < $1.key }) where time <= now {
                coordinator.puts[number]?.waiting[peer] = now + Coordinator.retry
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
            if waiting.isDeletion {
                let replicas = UInt8(clamping: counts.min() ?? 0)
                actions.append(.answer(ask: ask, .deleted(UInt8(clamping: puts.count), replicas: replicas)))
            } else if let put = puts.first {
                let receipts = put.swarm.enumerated().compactMap { index, member in
                    put.receipts[member].map {
                        StoreAnswer.IndexedReceipt(index: UInt8(truncatingIfNeeded: index), receipt: $0)
                    }
                }
                actions.append(.answer(ask: ask, .stored(height: put.height, receipts)))
            }
        }
        let open = Set(coordinator.asks.values.flatMap(\.puts))
        for (number, put) in coordinator.puts where put.waiting.isEmpty && !open.contains(number) {
            coordinator.end(number)
        }
    }
}

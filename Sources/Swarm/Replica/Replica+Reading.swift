internal import Wire

/// The readers that follow boxes.
struct Subscriptions {
    struct Subscription {
        let box: Bytes32
        let shard: UInt16
        let kinds: ItemKinds
        /// The numbering that `cursor` belongs to.
        var log: UInt64
        /// Up to which offset everything was pushed.
        var cursor: UInt64
        /// How many pushes have not left.
        var underway = 0
        /// Whether the reader knows that it has everything.
        var isCaughtUp = false
    }

    private(set) var all: [UInt64: Subscription] = [:]
    private var byBox: [Bytes32: Set<UInt64>] = [:]

    /// The subscriptions of a box.
    func readers(of box: Bytes32) -> [UInt64] { (byBox[box] ?? []).sorted() }

    /// The subscriptions of a shard.
    func readers(of shard: UInt16) -> [UInt64] { all.filter { $0.value.shard == shard }.keys.sorted() }

    mutating func add(_ id: UInt64, _ subscription: Subscription) {
        all[id] = subscription
        byBox[subscription.box, default: []].insert(id)
    }

    mutating func remove(_ id: UInt64) {
        guard let old = all.removeValue(forKey: id) else { return }
        byBox[old.box]?.remove(id)
        if byBox[old.box]?.isEmpty ?? false { byBox[old.box] = nil }
    }

    /// Changes a subscription that is there.
    mutating func update(_ id: UInt64, _ subscription: Subscription) { if all[id] != nil { all[id] = subscription } }

    /// A push has left.
    mutating func pushed(_ id: UInt64) { if all[id]?.underway ?? 0 > 0 { all[id]?.underway -= 1 } }
}

extension Replica {
    /// The shard of a box that the reader may read here.
    private func readable(_ read: BoxRead, binding: Bytes32) throws(StoreRefusal) -> UInt16 {
        guard let shard = views.first?.map.shard(of: read.box), roles[shard] != nil else {
            throw .notReplica(height: height)
        }
        guard read.isGood(binding: binding, network: network) else { throw .notAuthorised }
        return shard
    }

    /// What a box holds above an offset.
    func list(_ read: BoxRead, _ kinds: ItemKinds, binding: Bytes32) throws(StoreRefusal) -> StoreAnswer {
        let shard = try readable(read, binding: binding)
        let log = holdings.log(of: read.box)
        let after = read.log == log ? read.after : 0
        let found = holdings.storage.entries(of: read.box, kinds, above: after, limit: SwarmLimits.listEntries + 1)
        let entries = found.prefix(SwarmLimits.listEntries).map { entry in
            StoreAnswer.Listing.Entry(
                offset: entry.offset, shortID: ShortID.of(entry.id, binding: binding), kind: entry.kind,
                sizeClass: entry.isDeleted ? StoreAnswer.Listing.Entry.deleted : StoredItem.sizeClass(of: entry.size))
        }
        return .listed(
            .init(
                log: log, isOutOfDate: !isComplete(shard), hasMore: found.count > entries.count, entries: entries))
    }

    /// Items and tombstones at offsets, as many as fit.
    func fetch(_ read: BoxRead, _ offsets: [UInt64], binding: Bytes32) throws(StoreRefusal) -> StoreAnswer {
        _ = try readable(read, binding: binding)
        guard read.log == holdings.log(of: read.box) else { return .items([]) }
        var items: [[UInt8]] = []
        var size = 2
        for offset in offsets where offset > 0 {
            guard let entry = holdings.storage.entries(of: read.box, .all, above: offset - 1, limit: 1).first,
                entry.offset == offset, let bytes = holdings.storage.bytes(of: entry.id),
                size + 4 + bytes.count <= SwarmLimits.longestResult
            else { continue }
            size += 4 + bytes.count
            items.append(bytes)
        }
        return .items(items)
    }

    /// Items that anyone may read, drawn evenly.
    mutating func lookUp(
        _ box: Bytes32, _ kind: ItemKind, most: UInt8, name: Bytes16
    ) throws(StoreRefusal) -> StoreAnswer {
        guard let shard = views.first?.map.shard(of: box), roles[shard] != nil else {
            throw .notReplica(height: height)
        }
        var found: [[UInt8]]
        if kind == .descriptor {
            found = descriptors.lookUp(box, name: name, minute: minute).map(\.bytes)
        } else {
            found = holdings.storage.entries(of: box, ItemKinds(kind), above: 0, limit: .max)
                .filter { name.isZero || $0.name == name }.compactMap { holdings.storage.bytes(of: $0.id) }
        }
        found.shuffle(using: &holdings.random)
        var items: [[UInt8]] = []
        var size = 2
        for bytes in found.prefix(Int(most)) where size + 4 + bytes.count <= SwarmLimits.longestResult {
            size += 4 + bytes.count
            items.append(bytes)
        }
        return .items(items)
    }

    /// A reader follows a box.
    mutating func subscribe(_ id: UInt64, _ open: SubscriptionOpen, binding: Bytes32) {
        do throws(StoreRefusal) {
            let shard = try readable(open.read, binding: binding)
            guard isNamed(for: shard) else { throw .notReplica(height: height) }
            guard subscriptions.all.count < SwarmLimits.subscriptions, subscriptions.all[id] == nil else {
                throw .busy(seconds: 60)
            }
            let log = holdings.log(of: open.read.box)
            let cursor = open.read.log == log ? open.read.after : 0
            subscriptions.add(id, .init(box: open.read.box, shard: shard, kinds: open.kinds, log: log, cursor: cursor))
            actions.append(.opened(id: id, nil))
            if !isComplete(shard) { actions.append(.push(id: id, .outOfDate(true))) }
            pump(id)
        } catch {
            actions.append(.opened(id: id, error))
        }
    }

    /// Pushes what a reader has not had, as far as its stream takes it.
    mutating func pump(_ id: UInt64) {
        guard var reader = subscriptions.all[id] else { return }
        let log = holdings.log(of: reader.box)
        if log != reader.log {
            reader.log = log
            reader.cursor = 0
            reader.isCaughtUp = false
        }
        let room = SwarmLimits.pushWindow - reader.underway
        let found =
            room > 0 ? holdings.storage.entries(of: reader.box, reader.kinds, above: reader.cursor, limit: room) : []
        for entry in found {
            guard let bytes = holdings.storage.bytes(of: entry.id) else { continue }
            actions.append(
                .push(
                    id: id,
                    entry.isDeleted ? .deleted(offset: entry.offset, entry.id) : .item(offset: entry.offset, bytes)))
            reader.cursor = entry.offset
            reader.underway += 1
            reader.isCaughtUp = false
        }
        if room > 0, found.count < room, !reader.isCaughtUp {
            reader.isCaughtUp = true
            actions.append(.push(id: id, .caughtUp(log: log, offset: reader.cursor)))
        }
        subscriptions.update(id, reader)
    }

    /// Pushes what came into boxes.
    mutating func pumpChanged() {
        for box in holdings.changedBoxes.sorted() { for id in subscriptions.readers(of: box) { pump(id) } }
        holdings.changedBoxes = []
    }

    /// Sends the readers of a shard elsewhere.
    mutating func moveReaders(of shard: UInt16) {
        for id in subscriptions.readers(of: shard) {
            actions.append(.push(id: id, .moved(height: height)))
            actions.append(.close(id: id))
            subscriptions.remove(id)
        }
    }

    /// Tells the readers of a shard that it is complete.
    mutating func tellReaders(of shard: UInt16) {
        for id in subscriptions.readers(of: shard) { actions.append(.push(id: id, .outOfDate(false))) }
    }
}

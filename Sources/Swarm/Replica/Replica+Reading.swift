internal import Wire

extension Replica {
    /// The shard of a box; throws if this reader may not read the box here.
    private func readable(_ read: BoxRead, binding: Bytes32) throws(StoreRefusal) -> UInt16 {
        guard let shard = views.first?.map.shard(of: read.box), roles[shard] != nil else {
            throw .notReplica(height: height)
        }
        guard read.isGood(binding: binding, network: network) else { throw .notAuthorised }
        return shard
    }

    /// Answers a client's read.
    mutating func read(_ request: StoreRequest, ask: UInt64, via: NodeID, binding: Bytes32) {
        do throws(StoreRefusal) {
            guard reading.take(via: via, now) else { throw .busy(seconds: 1) }
            switch request {
            case .store, .delete: break
            case .list(let read, let kinds):
                actions.append(.answer(ask: ask, try list(read, kinds, via: via, binding: binding)))
            case .fetch(let read, let offsets):
                actions.append(.answer(ask: ask, try fetch(read, offsets, via: via, binding: binding)))
            case .lookup(let box, let kind, let most, let name):
                actions.append(.answer(ask: ask, try lookUp(box, kind, most: most, name: name, via: via)))
            }
        } catch {
            actions.append(.answer(ask: ask, .refused(error)))
        }
    }

    /// The entries of a box above an offset.
    private mutating func list(
        _ read: BoxRead, _ kinds: ItemKinds, via: NodeID, binding: Bytes32
    ) throws(StoreRefusal) -> StoreAnswer {
        let shard = try readable(read, binding: binding)
        let log = holdings.log(of: read.box)
        let after = read.log == log ? read.after : 0
        let found = holdings.storage.entries(of: read.box, kinds, above: after, limit: SwarmLimits.listEntries + 1)
        reading.note(entries: found.count, bytes: 0, via: via)
        let entries = found.prefix(SwarmLimits.listEntries).map { entry in
            StoreAnswer.Listing.Entry(
                offset: entry.offset, shortID: ShortID.of(entry.id, binding: binding), kind: entry.kind,
                sizeClass: entry.isDeleted ? StoreAnswer.Listing.Entry.deleted : StoredItem.sizeClass(of: entry.size))
        }
        return .listed(
            .init(
                log: log, isOutOfDate: !isComplete(shard), hasMore: found.count > entries.count, entries: entries))
    }

    /// The items and tombstones at these offsets, as many as fit.
    private mutating func fetch(
        _ read: BoxRead, _ offsets: [UInt64], via: NodeID, binding: Bytes32
    ) throws(StoreRefusal) -> StoreAnswer {
        _ = try readable(read, binding: binding)
        guard read.log == holdings.log(of: read.box) else { return .items([]) }
        var items: [[UInt8]] = []
        var size = 2
        for offset in offsets where offset > 0 {
            guard let entry = holdings.storage.entries(of: read.box, .all, above: offset - 1, limit: 1).first,
                entry.offset == offset, size + 4 + entry.size <= SwarmLimits.longestResult,
                let bytes = holdings.storage.bytes(of: entry.id)
            else { continue }
            size += 4 + bytes.count
            items.append(bytes)
        }
        reading.note(entries: offsets.count, bytes: size, via: via)
        return .items(items)
    }

    /// At most `most` items that anyone may read, drawn evenly.
    private mutating func lookUp(
        _ box: Bytes32, _ kind: ItemKind, most: UInt8, name: Bytes16, via: NodeID
    ) throws(StoreRefusal) -> StoreAnswer {
        guard let shard = views.first?.map.shard(of: box), roles[shard] != nil else {
            throw .notReplica(height: height)
        }
        var items: [[UInt8]] = []
        var size = 2
        func fits(_ count: Int) -> Bool { size + 4 + count <= SwarmLimits.longestResult }
        func add(_ bytes: [UInt8]) {
            size += 4 + bytes.count
            items.append(bytes)
        }
        if kind == .descriptor {
            let found = descriptors.lookUp(box, name: name, minute: minute).shuffled(using: &holdings.random)
            reading.note(entries: found.count, bytes: found.reduce(0) { $0 + $1.bytes.count }, via: via)
            for item in found.prefix(Int(most)) where fits(item.bytes.count) { add(item.bytes) }
        } else {
            // A replica may have brought more than the quota of a box; only the bytes that are sent are read.
            let room = kind.quota / kind.sizes.lowerBound
            let found =
                name.isZero
                ? holdings.storage.entries(of: box, ItemKinds(kind), above: 0, limit: room)
                : holdings.storage.version(of: box, kind, name).map { [$0] } ?? []
            for entry in found.shuffled(using: &holdings.random).prefix(Int(most)) where fits(entry.size) {
                if let bytes = holdings.storage.bytes(of: entry.id) { add(bytes) }
            }
            reading.note(entries: found.count, bytes: size, via: via)
        }
        return .items(items)
    }

    /// Opens a subscription for a reader.
    mutating func subscribe(id: UInt64, via: NodeID, _ open: SubscriptionOpen, binding: Bytes32) {
        do throws(StoreRefusal) {
            let shard = try readable(open.read, binding: binding)
            guard isNamed(for: shard) else { throw .notReplica(height: height) }
            let place = subscriptions.hasPlace(via: via)
            guard place.isFree, subscriptions.all[id] == nil else { throw .busy(seconds: 60) }
            if let victim = place.victim { end(subscription: victim) }
            let log = holdings.log(of: open.read.box)
            let cursor = open.read.log == log ? open.read.after : 0
            subscriptions.add(
                id, .init(box: open.read.box, shard: shard, kinds: open.kinds, via: via, log: log, cursor: cursor))
            actions.append(.opened(id: id, nil))
            if !isComplete(shard) { actions.append(.push(id: id, .outOfDate(true))) }
            pump(id)
        } catch {
            actions.append(.opened(id: id, error))
        }
    }

    /// Sends a reader the entries that it lacks, as many as its stream may have under way.
    mutating func pump(_ id: UInt64) {
        guard var reader = subscriptions.all[id] else { return }
        let log = holdings.log(of: reader.box)
        if log != reader.log {
            reader.log = log
            reader.cursor = 0
            reader.isCaughtUp = false
        }
        let room = SwarmLimits.pushWindow - reader.underway.count
        var waits = false
        let found =
            room > 0 ? holdings.storage.entries(of: reader.box, reader.kinds, above: reader.cursor, limit: room) : []
        for entry in found {
            guard let bytes = holdings.storage.bytes(of: entry.id) else { continue }
            guard let units = subscriptions.take(bytes.count, for: id, via: reader.via) else {
                waits = true
                break
            }
            if reader.underway.isEmpty { reader.moved = now }
            actions.append(
                .push(
                    id: id,
                    entry.isDeleted ? .deleted(offset: entry.offset, entry.id) : .item(offset: entry.offset, bytes)))
            reader.cursor = entry.offset
            reader.underway.append(units)
            reader.isCaughtUp = false
        }
        if room > 0, found.count < room, !waits, !reader.isCaughtUp {
            reader.isCaughtUp = true
            actions.append(.push(id: id, .caughtUp(log: log, offset: reader.cursor)))
        }
        subscriptions.update(id, reader)
    }

    /// Sends the new entries of boxes, and entries that had to wait.
    mutating func pumpChanged() {
        for id in subscriptions.takeQueued() { pump(id) }
        for box in holdings.changedBoxes.sorted() { for id in subscriptions.readers(of: box) { pump(id) } }
        holdings.changedBoxes = []
    }

    /// Ends a subscription; its reader opens another.
    mutating func end(subscription id: UInt64) {
        subscriptions.remove(id)
        actions.append(.close(id: id))
    }

    /// Sends the readers of a shard to other replicas.
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

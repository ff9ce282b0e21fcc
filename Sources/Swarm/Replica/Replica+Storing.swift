internal import Wire

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
        let due = now + Coordinator.patience
        let isDescriptor = item.header.kind == .descriptor
        let entry = isDescriptor ? nil : holdings.storage.entry(item.id)
        // Its receipts would say that the item is held.
        if entry?.isDeleted ?? false { throw .superseded(created: created, counter: 0) }
        let isHeld = isDescriptor ? descriptors.holds(item) : entry != nil
        if isHeld {
            // The other replicas have been asked lately, and are not asked again for the same.
            if let number = coordinator.put(of: copy, height: height) {
                coordinator.asks[ask] = Coordinator.Ask(puts: [number], isDeletion: false, due: due)
                return
            }
        } else {
            if isDescriptor {
                try descriptors.check(item, now: now)
            } else {
                try holdings.check(copy, minute: minute)
            }
        }
        // Known or not, the copy goes to the other replicas: it costs the node that brought it.
        guard coordinator.takeTurn(for: [copy], via: via, now) else { throw .busy(seconds: 1) }
        // An id does not cover the signature: of an item that is held, the copy that was verified goes on.
        let held = isHeld ? isDescriptor ? copy : entry.flatMap { holdings.copy($0) } : nil
        if held == nil {
            try prove(copy)
            if isDescriptor {
                let source = DescriptorPlaces.Source(shard: shard, coordinator: node, bringer: via)
                guard descriptors.take(item, from: source, now: now) else { throw .full }
            } else {
                try checkQuota(of: copy, item, shard: shard)
                holdings.take(copy, shard: shard, minute: minute)
            }
        }
        let number = put(held ?? copy, shard: shard, view, via: via)
        coordinator.asks[ask] = Coordinator.Ask(puts: [number], isDeletion: false, due: due)
    }

    /// Handles a client's DELETE.
    mutating func delete(
        _ deletions: [StoreRequest.Deletion], in box: Bytes32, ask: UInt64, via: NodeID
    ) throws(StoreRefusal) {
        let shard = try named(for: box)
        guard let view = views.first else { throw .notReplica(height: 0) }
        // A false proof costs as much as a true one, and brings nothing that would be counted later.
        guard reading.take(via: via, now) else { throw .busy(seconds: 1) }
        var copies: [Copy] = []
        var isRefused = false
        var (entries, bytes) = (deletions.count, 0)
        for deletion in deletions where !copies.contains(where: { $0.id == deletion.id }) {
            guard let entry = holdings.storage.entry(deletion.id), entry.box == box, entry.kind.isDeletable,
                let held = holdings.copy(entry)
            else { continue }
            entries += SwarmLimits.readProof
            bytes += entry.size
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
        reading.note(entries: entries, bytes: bytes, via: via)
        guard !copies.isEmpty else {
            if isRefused { throw .notAuthorised }
            actions.append(.answer(ask: ask, .deleted(0, replicas: 0)))
            return
        }
        let new = copies.filter { coordinator.put(of: $0, height: view.height) == nil }
        guard coordinator.takeTurn(for: new, via: via, now) else { throw .busy(seconds: 1) }
        for copy in new where !holdings.isKnown(copy) { holdings.take(copy, shard: shard, minute: minute) }
        // To make room may have ended one of the others.
        let numbers = copies.map {
            coordinator.put(of: $0, height: view.height) ?? put($0, shard: shard, view, via: via)
        }
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
        let size = item.bytes.count
        guard coordinator.admit(size, shard, held: usage.bytes, growth: size - replaced, isNew: isNew, now) else {
            throw .full
        }
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
        counts.receipts += 1
        coordinator.add(receipt(height: put.height, put.copy.id), of: node, to: number)
    }

    /// Sends each node its copies in as few messages as possible.
    mutating func flushOutbox() {
        for (peer, entries) in coordinator.outbox.sorted(by: { $0.key < $1.key }) {
            var open = entries[...]
            while let first = open.first {
                var size = 0
                let batch = open.prefix(SwarmLimits.replicateCopies).prefix { entry in
                    size += entry.copy.bytes.count + Copy.overhead
                    return entry.height == first.height && size <= Replicate.room
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
                    coordinator.giveUp(peer, of: number)
                    continue
                }
                coordinator.add(receipt, of: peer, to: number)
            case .refused(let status):
                // The replica is full, has another map, or lacks the grant: these may pass.
                if ![3, 4, 6].contains(status) { coordinator.giveUp(peer, of: number) }
            }
        }
    }

    /// Sends copies again that were not accepted, and ends puts that have lasted long enough.
    ///
    /// A put that all replicas have acknowledged lasts as long, so that the same request within that time costs them
    /// nothing.
    mutating func retryPuts() {
        for number in coordinator.puts.keys.sorted() {
            guard let put = coordinator.puts[number] else { continue }
            // Each wait is as long as all before it, so that a replica is asked five times at most.
            let next = now + max(Coordinator.retry, now - put.began)
            if now >= put.began + Coordinator.persistence {
                coordinator.end(number)
                continue
            }
            for (peer, time) in put.waiting.sorted(by: { $0.key < $1.key }) where time <= now {
                coordinator.wait(for: peer, until: next, of: number)
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
            for number in waiting.puts { coordinator.noteAnswer(to: number) }
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
    }
}

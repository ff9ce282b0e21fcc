internal import Wire

extension Replica {
    /// Handles a node's message.
    mutating func handle(_ kind: SwarmMessage, _ body: [UInt8], from peer: NodeID, ask: UInt64) {
        // The cost is counted before the message is read: known copies cost as much as new ones.
        guard body.count <= kind.longestBody, peers[peer]?.work.take(body.count, now) ?? false else {
            actions.append(.reply(ask: ask, nil))
            return
        }
        guard kind == .replicate else { return durable.append(.message(ask: ask, from: peer, kind, body)) }
        guard let message = try? Replicate(decoding: body.rawSpan, network: network),
            spend(max(0, message.work - body.count), peer)
        else {
            actions.append(.reply(ask: ask, nil))
            return
        }
        durable.append(.reply(ask: ask, height: message.height, replicate(message, from: peer)))
    }

    /// The answer to a node's read; nil: it is refused.
    mutating func answer(_ kind: SwarmMessage, _ body: [UInt8], from peer: NodeID) -> [UInt8]? {
        switch kind {
        case .replicate: return nil
        case .compare:
            guard let message = try? Compare(decoding: body.rawSpan), spend(SwarmLimits.workPerQuestion, peer)
            else { return nil }
            let answer = compare(message, with: peer)?.encoded()
            // An answer may be much longer than its question.
            return answer.flatMap { spend($0.count, peer) ? $0 : nil }
        case .fetchCopies:
            guard let message = try? FetchCopies(decoding: body.rawSpan), compares(message.range.shard, with: peer)
            else { return nil }
            return fetchCopies(message, peer)
        }
    }

    private mutating func replicate(_ message: Replicate, from peer: NodeID) -> [Result<ItemID, StoreRefusal>] {
        let isNear = isNear(message.height)
        return message.copies.map { copy in
            guard isNear else { return .failure(.notReplica(height: height)) }
            do throws(StoreRefusal) {
                try accept(copy, from: peer, isFetched: false)
                return .success(copy.id)
            } catch { return .failure(error) }
        }
    }

    /// Whether a coordinator may have a client with the snapshot of this height: at most three snapshots from the
    /// newest here.
    ///
    /// Heights of snapshots may be blocks apart, which differs by network. With one snapshot nothing is known of it.
    private func isNear(_ other: UInt64) -> Bool {
        let heights = views.map(\.height)
        guard let step = zip(heights, heights.dropFirst()).map({ $0 - $1 }).max() else { return !heights.isEmpty }
        let (reach, overflow) = step.multipliedReportingOverflow(by: UInt64(SwarmLimits.maps))
        return overflow || (other > height ? other - height : height - other) <= reach
    }

    /// Takes a copy from a peer if it is authentic; has no effect if the copy is already held.
    mutating func accept(_ copy: Copy, from peer: NodeID, isFetched: Bool) throws(StoreRefusal) {
        guard let shard = views.first?.map.shard(of: copy.header.box), let role = roles[shard],
            shares(shard, with: peer)
        else { throw .notReplica(height: height) }
        if copy.header.kind == .descriptor { return try acceptDescriptor(copy, of: shard, from: peer) }
        guard !holdings.isKnown(copy) else { return }
        guard role.isOpen || succeeds(copy, isFetched: isFetched) else { throw .notReplica(height: height) }
        try holdings.check(copy, minute: minute)
        guard hasRoom(for: copy) else { throw .full }
        // A tombstone of a held item needs no share: there are only as many as held items.
        if !holdings.deletes(copy) {
            let isCompared = isFetched || ShardDigests.mayBeCompared(copy.header.created, minute: minute)
            let way: ReplicaPeer.Way = !isCompared ? .coordinates : isFetched && role.isJoining ? .joins : .compares
            guard peers[peer]?.brings(StoredEntry.room(copy.bytes.count), way, now) ?? false else { throw .full }
        }
        guard copy.isAuthentic(network: network, writers: holdings.writers(of: copy.header.box)) else {
            throw .notAuthorised
        }
        holdings.take(copy, shard: shard, minute: minute)
    }

    /// Whether a replica that takes nothing new takes `copy`: it deletes or replaces a held item.
    private func succeeds(_ copy: Copy, isFetched: Bool) -> Bool {
        if holdings.deletes(copy) { return true }
        guard isFetched, case .item(let item) = copy, let name = item.version?.name else { return false }
        return holdings.storage.version(of: copy.header.box, copy.header.kind, name) != nil
            || (item.grant != nil || item.purge != nil) && holdings.storage.box(copy.header.box) != nil
    }

    private mutating func acceptDescriptor(_ copy: Copy, of shard: UInt16, from peer: NodeID) throws(StoreRefusal) {
        guard case .item(let item) = copy else { throw .malformed }
        guard !descriptors.holds(item) else { return }
        guard item.header.created <= minute + SwarmLimits.copyAhead, item.header.expires > minute else {
            throw .timeInvalid
        }
        try descriptors.check(item, now: now)
        guard item.isAuthentic(network: network, writers: WriteKeys(box: item.header.box, grant: nil)) else {
            throw .notAuthorised
        }
        let source = DescriptorPlaces.Source(shard: shard, coordinator: peer, bringer: peer)
        guard descriptors.take(item, from: source, now: now) else { throw .full }
    }

    /// The answer to a step of a comparison; nil: it is refused.
    private mutating func compare(_ message: Compare, with peer: NodeID) -> CompareAnswer? {
        let cut = message.cut
        guard max(cut, minute) - min(cut, minute) <= SwarmLimits.cutWindow else { return nil }
        switch message.question {
        case .shards(let asked): return .shards(asked.compactMap { compare($0, cut: cut, with: peer) })
        case .days(let shard):
            guard compares(shard, with: peer) else { return nil }
            return hashing(for: peer) { $0.days(of: shard, cut: cut) }.map { .days(Array($0.prefix(255))) }
        case .ranges(let shard, let kind, let day):
            guard compares(shard, with: peer) else { return nil }
            return hashing(for: peer) { $0.ranges(of: shard, kind, day: day, cut: cut) }.map { .ranges($0) }
        case .ids(let range, let after):
            guard compares(range.shard, with: peer), spend(reading: range, peer) else { return nil }
            let ids = holdings.shortIDs(of: range, key: message.key).filter { $0.shortID > after }
                .prefix(SwarmLimits.compareIDs)
            guard peers[peer]?.idsServed.take(ids.count * 9, now) ?? false else { return nil }
            return .ids(ids.map { .init(shortID: $0.shortID, isDeleted: $0.entry.isDeleted) })
        }
    }

    /// The answer for one shard; nil if both sides have the same.
    private mutating func compare(
        _ asked: Compare.ShardDigest, cut: UInt32, with peer: NodeID
    ) -> CompareAnswer.ShardState? {
        guard compares(asked.shard, with: peer) else {
            return .init(shard: asked.shard, isOutOfDate: false, isNotShared: true, digest: Bytes32())
        }
        // A peer whose budget of work is used up learns of no more shards.
        guard let digest = hashing(for: peer, { $0.digest(of: asked.shard, cut: cut) }) else {
            return .init(shard: asked.shard, isOutOfDate: false, isNotShared: true, digest: Bytes32())
        }
        if digest == asked.digest {
            matched(asked.shard, with: peer, cut: cut)
            return nil
        }
        return .init(
            shard: asked.shard, isOutOfDate: !isComplete(asked.shard), isNotShared: false, digest: digest)
    }

    /// Takes work from a peer's budget; false if it is used up.
    private mutating func spend(_ bytes: Int, _ peer: NodeID) -> Bool { peers[peer]?.work.take(bytes, now) ?? false }

    /// Hashes for a peer and counts the work; nil if the peer's budget is used up.
    ///
    /// The digests of one shard's days take at most 1 MiB. Ranges that have changed are hashed anew, which may take
    /// more than the budget holds: then the peer waits until all of it has come back.
    private mutating func hashing<Digests>(
        for peer: NodeID, _ body: (inout Holdings<Storage>) -> Digests
    ) -> Digests? {
        guard peers[peer]?.work.available(now) ?? 0 >= 1 << 20 else { return nil }
        let before = holdings.hashed
        let digests = body(&holdings)
        peers[peer]?.work.takeAll(upTo: holdings.hashed - before, now)
        return digests
    }

    /// Counts reading the ids of a range as work for a peer, before any is read; false if its budget is used up.
    mutating func spend(reading range: RangeKey, _ peer: NodeID) -> Bool { spend(work(reading: range), peer) }

    /// Whether the ids of a range may be read for a peer now.
    mutating func mayRead(_ range: RangeKey, for peer: NodeID) -> Bool {
        Int(clamping: peers[peer]?.work.available(now) ?? 0) >= work(reading: range)
    }

    /// How much work reading the ids of a range is; for a very long one, all that may be caused at once.
    private func work(reading range: RangeKey) -> Int {
        min(holdings.storage.count(in: range) * SwarmLimits.workPerEntry, Int(SwarmLimits.workBurst))
    }

    /// The requested copies, as many as fit into an answer and into the peer's budget.
    private mutating func fetchCopies(_ message: FetchCopies, _ peer: NodeID) -> [UInt8]? {
        guard spend(reading: message.range, peer) else { return nil }
        let wanted = Set(message.shortIDs)
        var writer = ByteWriter(capacity: 4_096)
        for (shortID, entry) in holdings.shortIDs(of: message.range, key: message.key) where wanted.contains(shortID) {
            guard writer.bytes.count + Copy.overhead + entry.size <= SwarmLimits.fetchBytes,
                spend(entry.size, peer)
            else { break }
            if let bytes = holdings.storage.bytes(of: entry.id) {
                Copy.encode(isDeleted: entry.isDeleted, bytes, to: &writer)
            }
        }
        return writer.bytes
    }
}

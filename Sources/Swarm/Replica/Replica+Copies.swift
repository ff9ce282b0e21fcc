internal import Wire

/// What a replica knows of another node with which it shares shards.
struct ReplicaPeer {
    /// The shards that both have, ascending.
    var shards: [UInt16] = []
    /// When the next comparison is due.
    var nextCompare: UInt64
    /// What it may bring at once.
    private var burst: ByteBudget
    /// What it may bring in the life of a message.
    private var share: ByteBudget
    /// The bytes of ids that it may have.
    var idsServed: ByteBudget
    /// The bytes of ids that it is asked for.
    var idsAsked: ByteBudget
    /// Shards whose comparison brought nothing: until when they rest, and for how long, in milliseconds.
    var pauses: [UInt16: (until: UInt64, length: UInt64)] = [:]
    /// The comparison under way that this node drives.
    var exchange: Exchange?

    /// A peer that may bring `share` bytes in 14 days.
    init(share: UInt64, nextCompare: UInt64, now: UInt64) {
        self.nextCompare = nextCompare
        burst = ByteBudget(capacity: SwarmLimits.copyBurst, window: 64_000, now: now)
        let life = UInt64(ItemKind.message.life) * 60_000
        self.share = ByteBudget(capacity: share, window: life, now: now)
        idsServed = ByteBudget(capacity: SwarmLimits.idBytes, window: 600_000, now: now)
        idsAsked = idsServed
    }

    /// Counts a copy that it brought; false: it is too much.
    mutating func brings(_ size: Int, _ now: UInt64) -> Bool {
        guard share.available(now) >= UInt64(clamping: size), burst.take(size, now) else { return false }
        return share.take(size, now)
    }

    /// Doubles the rest of a shard, or begins it.
    mutating func pause(_ shard: UInt16, _ now: UInt64) {
        let length = min((pauses[shard]?.length ?? 300_000) * 2, 6 * 3_600_000)
        pauses[shard] = (now + length, length)
    }
}

extension Replica {
    /// A node's message.
    mutating func handle(_ kind: SwarmMessage, _ body: [UInt8], from peer: NodeID, ask: UInt64) {
        guard body.count <= kind.longestBody, peers[peer] != nil else {
            actions.append(.reply(ask: ask, nil))
            return
        }
        switch kind {
        case .replicate:
            guard let message = try? Replicate(decoding: body.rawSpan, network: network) else { break }
            durable.append(.reply(ask: ask, height: message.height, replicate(message, from: peer)))
            return
        case .compare:
            guard let message = try? Compare(decoding: body.rawSpan), let answer = compare(message, with: peer) else {
                break
            }
            actions.append(.reply(ask: ask, answer.encoded()))
            return
        case .fetchCopies:
            guard let message = try? FetchCopies(decoding: body.rawSpan), compares(message.range.shard, with: peer)
            else {
                break
            }
            actions.append(.reply(ask: ask, fetchCopies(message)))
            return
        }
        actions.append(.reply(ask: ask, nil))
    }

    private mutating func replicate(_ message: Replicate, from peer: NodeID) -> [Result<ItemID, StoreRefusal>] {
        let reach = UInt64(SwarmLimits.maps)
        let isNear = message.height <= height &+ reach && height <= message.height &+ reach
        return message.copies.map { copy in
            guard isNear else { return .failure(.notReplica(height: height)) }
            do throws(StoreRefusal) {
                _ = try accept(copy, from: peer)
                return .success(copy.id)
            } catch { return .failure(error) }
        }
    }

    /// Takes a copy of a peer if it proves itself; false: it was there already.
    mutating func accept(_ copy: Copy, from peer: NodeID) throws(StoreRefusal) -> Bool {
        guard let shard = views.first?.map.shard(of: copy.header.box), let role = roles[shard],
            shares(shard, with: peer)
        else { throw .notReplica(height: height) }
        if copy.header.kind == .descriptor { return try acceptDescriptor(copy) }
        guard !holdings.isKnown(copy) else { return false }
        try holdings.check(copy, minute: minute)
        let size = copy.bytes.count
        guard hasRoom(for: size), role.isJoining || peers[peer]?.brings(size, now) ?? false else { throw .full }
        guard copy.isAuthentic(network: network, writers: holdings.writers(of: copy.header.box)) else {
            throw .notAuthorised
        }
        take(copy, shard: shard)
        return true
    }

    private mutating func acceptDescriptor(_ copy: Copy) throws(StoreRefusal) -> Bool {
        guard case .item(let item) = copy else { throw .malformed }
        guard item.header.created <= minute + SwarmLimits.copyAhead, item.header.expires > minute else {
            throw .timeInvalid
        }
        try descriptors.check(item, now: now)
        guard item.isAuthentic(network: network, writers: WriteKeys(box: item.header.box, grant: nil)) else {
            throw .notAuthorised
        }
        descriptors.take(item, now: now)
        return true
    }

    /// The answer to a step of a comparison; nil: it is refused.
    private mutating func compare(_ message: Compare, with peer: NodeID) -> CompareAnswer? {
        let cut = message.cut
        guard max(cut, minute) - min(cut, minute) <= SwarmLimits.cutWindow else { return nil }
        switch message.question {
        case .shards(let asked): return .shards(asked.compactMap { compare($0, cut: cut, with: peer) })
        case .days(let shard):
            guard compares(shard, with: peer) else { return nil }
            return .days(Array(holdings.days(of: shard, cut: cut).prefix(255)))
        case .ranges(let shard, let kind, let day):
            guard compares(shard, with: peer) else { return nil }
            return .ranges(holdings.ranges(of: shard, kind, day: day, cut: cut))
        case .ids(let range, let after):
            guard compares(range.shard, with: peer) else { return nil }
            let ids = holdings.shortIDs(of: range, key: message.key).filter { $0.shortID > after }
                .prefix(SwarmLimits.compareIDs)
            guard peers[peer]?.idsServed.take(ids.count * 9, now) ?? false else { return nil }
            return .ids(ids.map { .init(shortID: $0.shortID, isDeleted: $0.entry.isDeleted) })
        }
    }

    /// What is said of one shard; nil where both have the same.
    private mutating func compare(
        _ asked: Compare.ShardDigest, cut: UInt32, with peer: NodeID
    ) -> CompareAnswer.ShardState? {
        guard compares(asked.shard, with: peer) else {
            return .init(shard: asked.shard, isOutOfDate: false, isNotShared: true, digest: Bytes32())
        }
        let digest = holdings.digest(of: asked.shard, cut: cut)
        if digest == asked.digest {
            matched(asked.shard, with: peer, cut: cut)
            return nil
        }
        return .init(
            shard: asked.shard, isOutOfDate: !isComplete(asked.shard), isNotShared: false, digest: digest)
    }

    /// The copies that are asked for, as many as fit.
    private func fetchCopies(_ message: FetchCopies) -> [UInt8] {
        let wanted = Set(message.shortIDs)
        var writer = ByteWriter(capacity: 4_096)
        for (shortID, entry) in holdings.shortIDs(of: message.range, key: message.key) where wanted.contains(shortID) {
            guard writer.bytes.count + Copy.overhead + entry.size <= SwarmLimits.fetchBytes else { break }
            if let bytes = holdings.storage.bytes(of: entry.id) {
                Copy.encode(isDeleted: entry.isDeleted, bytes, to: &writer)
            }
        }
        return writer.bytes
    }
}

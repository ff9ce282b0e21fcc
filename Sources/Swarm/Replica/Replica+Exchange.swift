internal import Wire

/// A comparison with a peer that this node drives: one question at a time.
struct Exchange {
    enum Step {
        /// Asks which of the shards differ.
        case shards([Compare.ShardDigest])
        /// Asks for a shard's days.
        case days(UInt16)
        /// Asks for the ranges of a day.
        case ranges(UInt16, ItemKind, day: UInt16)
        /// Asks for the ids of a range, or the next of them.
        case ids(RangeKey, after: UInt64)
        /// Asks for copies.
        case fetch(RangeKey, [UInt64])
        /// Brings copies.
        case push([ItemID])
        /// Ends what is done about a shard.
        case end(UInt16)
    }

    /// Keys the short ids.
    let key: Bytes16
    /// Up to when both are compared.
    let cut: UInt32
    /// The steps that are left; the next one is the last.
    var steps: [Step]
    /// The step whose answer is awaited.
    var current: Step?
    /// How many copies came of the shard in hand.
    var fetched = 0
}

extension Replica {
    /// Begins the comparisons that are due, and goes on with those that waited for their rate.
    mutating func startExchanges() {
        for peer in peers.keys.sorted() {
            if peers[peer]?.exchange != nil {
                if peers[peer]?.exchange?.current == nil { advance(peer) }
                continue
            }
            guard let next = peers[peer]?.nextCompare, now >= next, exchangeCount < SwarmLimits.exchanges else {
                continue
            }
            let pause = UInt64.random(in: 480_000...720_000, using: &holdings.random)
            peers[peer]?.nextCompare = now + pause
            let cut = minute
            let shards = (peers[peer]?.shards ?? []).filter { shard in
                compares(shard, with: peer) && isDriver(of: shard, with: peer)
                    && peers[peer]?.pauses[shard].map { $0.until <= now } ?? true
            }
            guard !shards.isEmpty else { continue }
            let digests = shards.prefix(SwarmLimits.compareShards).map {
                Compare.ShardDigest(shard: $0, digest: holdings.digest(of: $0, cut: cut))
            }
            let bits = holdings.random.next().bigEndianBytes + holdings.random.next().bigEndianBytes
            peers[peer]?.exchange = Exchange(key: Bytes16(bits) ?? .zeros, cut: cut, steps: [.shards(digests)])
            advance(peer)
        }
    }

    private var exchangeCount: Int { peers.values.count { $0.exchange != nil } }

    /// The smaller id drives; a node that joins or leaves a shard does so too.
    private func isDriver(of shard: UInt16, with peer: NodeID) -> Bool {
        node < peer || !isComplete(shard)
    }

    /// Does the next step.
    private mutating func advance(_ peer: NodeID) {
        while var exchange = peers[peer]?.exchange {
            guard let step = exchange.steps.popLast() else {
                peers[peer]?.exchange = nil
                return
            }
            var question: Compare.Question?
            switch step {
            case .shards(let digests): question = .shards(digests)
            case .days(let shard): question = .days(shard: shard)
            case .ranges(let shard, let kind, let day): question = .ranges(shard: shard, kind: kind, day: day)
            case .ids(let range, let after): question = .ids(range, after: after)
            case .fetch(let range, let ids):
                if roles[range.shard]?.isJoining ?? true, !recovery.take(SwarmLimits.fetchBytes, now) { return }
                exchange.current = step
                peers[peer]?.exchange = exchange
                let message = FetchCopies(key: exchange.key, range: range, shortIDs: ids)
                return ask(peer, .fetchCopies, message.encoded(), .exchange(peer))
            case .push(let ids):
                peers[peer]?.exchange = exchange
                if push(ids, to: peer) { return }
                continue
            case .end(let shard):
                peers[peer]?.exchange = exchange
                end(shard, with: peer)
                continue
            }
            guard let question else { continue }
            exchange.current = step
            peers[peer]?.exchange = exchange
            let message = Compare(key: exchange.key, cut: exchange.cut, question)
            return ask(peer, .compare, message.encoded(), .exchange(peer))
        }
    }

    /// Brings the first of these copies; false: none of them is held any more.
    private mutating func push(_ ids: [ItemID], to peer: NodeID) -> Bool {
        var copies: [Copy] = []
        var size = 0
        var used = 0
        for id in ids {
            guard let entry = holdings.storage.entry(id), let copy = holdings.copy(entry) else {
                used += 1
                continue
            }
            size += entry.size + Copy.overhead
            guard size <= Replicate.room, copies.count < SwarmLimits.replicateCopies else { break }
            copies.append(copy)
            used += 1
        }
        guard !copies.isEmpty else { return false }
        if used < ids.count { peers[peer]?.exchange?.steps.append(.push(Array(ids[used...]))) }
        peers[peer]?.exchange?.current = .push([])
        let message = Replicate(height: height, copies: copies)
        ask(peer, .replicate, message.encoded(), .exchange(peer))
        return true
    }

    /// A shard is through: one that brought something is compared again soon, one that brought nothing rests longer.
    private mutating func end(_ shard: UInt16, with peer: NodeID) {
        if peers[peer]?.exchange?.fetched ?? 0 > 0 {
            peers[peer]?.pauses[shard] = nil
            if let next = peers[peer]?.nextCompare, next > now + 60_000 { peers[peer]?.nextCompare = now + 60_000 }
        } else {
            peers[peer]?.pause(shard, now)
        }
        peers[peer]?.exchange?.fetched = 0
    }

    /// Ends a comparison whose peer does not answer, or not as it should.
    private mutating func abandon(_ peer: NodeID) {
        peers[peer]?.exchange = nil
        let pause = UInt64.random(in: 60_000...120_000, using: &holdings.random)
        peers[peer]?.nextCompare = now + pause
    }

    /// The answer to the step in hand.
    mutating func exchangeAnswered(by peer: NodeID, _ body: [UInt8]?) {
        guard let step = peers[peer]?.exchange?.current else { return }
        peers[peer]?.exchange?.current = nil
        let isGood =
            if let body {
                switch step {
                case .shards(let digests): tookShards(body, digests, peer)
                case .days(let shard): tookDays(body, shard, peer)
                case .ranges(let shard, let kind, let day): tookRanges(body, shard, kind, day: day, peer)
                case .ids(let range, let after): tookIDs(body, range, after: after, peer)
                case .fetch(let range, let ids): tookCopies(body, range, ids, peer)
                case .push: true
                case .end: false
                }
            } else {
                false
            }
        if isGood { advance(peer) } else { abandon(peer) }
    }

    private mutating func tookShards(_ body: [UInt8], _ asked: [Compare.ShardDigest], _ peer: NodeID) -> Bool {
        guard let cut = peers[peer]?.exchange?.cut,
            case .shards(let states)? = try? CompareAnswer(decoding: body.rawSpan, to: .shards(asked))
        else { return false }
        let differing = Set(states.map(\.shard))
        for shard in asked where !differing.contains(shard.shard) {
            matched(shard.shard, with: peer, cut: cut)
            peers[peer]?.pauses[shard.shard] = nil
        }
        for state in states.reversed() where !state.isNotShared {
            peers[peer]?.exchange?.steps += [.end(state.shard), .days(state.shard)]
        }
        return true
    }

    private mutating func tookDays(_ body: [UInt8], _ shard: UInt16, _ peer: NodeID) -> Bool {
        guard let cut = peers[peer]?.exchange?.cut,
            case .days(let theirs)? = try? CompareAnswer(decoding: body.rawSpan, to: .days(shard: shard))
        else { return false }
        let mine = holdings.days(of: shard, cut: cut)
        let same = Set(mine).intersection(theirs)
        let differing = Set((mine + theirs).filter { !same.contains($0) }.map(\.position))
        for kind in ItemKind.compared.reversed() {
            for position in differing.sorted(by: >) where position >> 16 == UInt32(kind.rawValue) {
                let day = UInt16(truncatingIfNeeded: position)
                peers[peer]?.exchange?.steps.append(.ranges(shard, kind, day: day))
            }
        }
        return true
    }

    private mutating func tookRanges(
        _ body: [UInt8], _ shard: UInt16, _ kind: ItemKind, day: UInt16, _ peer: NodeID
    ) -> Bool {
        guard let cut = peers[peer]?.exchange?.cut,
            case .ranges(let theirs)? = try? CompareAnswer(
                decoding: body.rawSpan, to: .ranges(shard: shard, kind: kind, day: day))
        else { return false }
        let mine = holdings.ranges(of: shard, kind, day: day, cut: cut)
        for (index, digests) in zip(theirs, mine).enumerated().reversed() where digests.0 != digests.1 {
            let number = UInt32(day) * SwarmLimits.rangesPerDay + UInt32(truncatingIfNeeded: index)
            guard ShardDigests.covers(kind, number, cut: cut) else { continue }
            let range = RangeKey(shard: shard, kind: kind, number: number)
            if digests.0.isZero {
                peers[peer]?.exchange?.steps.append(.push(holdings.storage.entries(in: range).map(\.id)))
            } else {
                peers[peer]?.exchange?.steps.append(.ids(range, after: 0))
            }
        }
        return true
    }

    private mutating func tookIDs(_ body: [UInt8], _ range: RangeKey, after: UInt64, _ peer: NodeID) -> Bool {
        guard let key = peers[peer]?.exchange?.key,
            case .ids(let theirs)? = try? CompareAnswer(decoding: body.rawSpan, to: .ids(range, after: after)),
            peers[peer]?.idsAsked.take(theirs.count * 9, now) ?? false
        else { return false }
        // What is above the last of a full page is asked for next.
        let isFull = theirs.count == SwarmLimits.compareIDs
        let last = isFull ? theirs.last?.shortID ?? .max : .max
        var mine: [UInt64: StoredEntry] = [:]
        for (shortID, entry) in holdings.shortIDs(of: range, key: key) where shortID > after && shortID <= last {
            mine[shortID] = entry
        }
        var fetch: [UInt64] = []
        var push: [ItemID] = []
        for other in theirs {
            guard let own = mine.removeValue(forKey: other.shortID) else {
                fetch.append(other.shortID)
                continue
            }
            if other.isDeleted, !own.isDeleted { fetch.append(other.shortID) }
            if !other.isDeleted, own.isDeleted { push.append(own.id) }
        }
        push += mine.values.map(\.id).sorted()
        if isFull { peers[peer]?.exchange?.steps.append(.ids(range, after: last)) }
        if !push.isEmpty { peers[peer]?.exchange?.steps.append(.push(push)) }
        if !fetch.isEmpty { peers[peer]?.exchange?.steps.append(.fetch(range, fetch)) }
        return true
    }

    private mutating func tookCopies(_ body: [UInt8], _ range: RangeKey, _ asked: [UInt64], _ peer: NodeID) -> Bool {
        guard let key = peers[peer]?.exchange?.key,
            let copies = try? FetchCopies.copies(decoding: body.rawSpan, network: network)
        else { return false }
        var open = Set(asked)
        for copy in copies {
            // Only what was asked for, and once.
            guard copy.header.kind == range.kind, copy.header.range == range.number,
                views.first?.map.shard(of: copy.header.box) == range.shard,
                open.remove(ShortID.of(copy.id, key: key)) != nil
            else { return false }
            do throws(StoreRefusal) {
                if try accept(copy, from: peer) { peers[peer]?.exchange?.fetched += 1 }
            } catch {
                // The rules differ from the peer's by the time, a grant or a version: the next comparison shows it again.
                continue
            }
        }
        // An answer holds 256 KiB; one that holds nothing ends it.
        if !open.isEmpty, open.count < asked.count {
            peers[peer]?.exchange?.steps.append(.fetch(range, open.sorted()))
        }
        return true
    }
}

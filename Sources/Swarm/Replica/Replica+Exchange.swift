internal import Wire

extension Replica {
    /// Begins the comparisons that are due, those that have waited longest first, and continues those under way.
    mutating func startExchanges() {
        for peer in peers.keys.sorted() {
            guard let exchange = peers[peer]?.exchange else { continue }
            if now >= exchange.deadline {
                abandon(peer)
            } else if exchange.current == nil {
                advance(peer)
            }
        }
        var places = SwarmLimits.exchanges - peers.values.count { $0.exchange != nil }
        let due = peers.filter { $0.value.exchange == nil && now >= $0.value.nextCompare }
            .sorted { ($0.value.nextCompare, $0.key) < ($1.value.nextCompare, $1.key) }.map(\.key)
        for peer in due where places > 0 { if start(peer) { places -= 1 } }
    }

    /// Begins a comparison; false if there is nothing to compare.
    private mutating func start(_ peer: NodeID) -> Bool {
        let pause = UInt64.random(in: 480_000...720_000, using: &holdings.random)
        peers[peer]?.nextCompare = now + pause
        let cut = ShardDigests.cut(minute)
        let shards = (peers[peer]?.shards ?? []).filter { shard in
            compares(shard, with: peer) && isDriver(of: shard, with: peer)
                && peers[peer]?.pauses[shard].map { $0.until <= now } ?? true
        }
        guard !shards.isEmpty else { return false }
        // The shards after the one at which the last comparison ended come first.
        let resume = peers[peer]?.resume.map { last in shards.firstIndex { $0 > last } ?? 0 } ?? 0
        var steps: [Exchange.Step] = []
        for part in [shards[resume...], shards[..<resume]] {
            var open = part
            while !open.isEmpty {
                let chunk = open.prefix(SwarmLimits.compareShards)
                open = open.dropFirst(chunk.count)
                steps.append(
                    .shards(chunk.map { Compare.ShardDigest(shard: $0, digest: holdings.digest(of: $0, cut: cut)) }))
            }
        }
        let bits = holdings.random.next().bigEndianBytes + holdings.random.next().bigEndianBytes
        counts.comparisons += 1
        peers[peer]?.resume = nil
        peers[peer]?.exchange = Exchange(
            key: Bytes16(bits) ?? .zeros, cut: cut, deadline: now + SwarmLimits.exchangePatience,
            steps: steps.reversed(), tally: Exchange.Tally(cut: cut))
        advance(peer)
        return true
    }

    /// The node with the smaller id drives; a node that joins or leaves a shard always does.
    private func isDriver(of shard: UInt16, with peer: NodeID) -> Bool {
        node < peer || !isComplete(shard)
    }

    /// Does the next step.
    private mutating func advance(_ peer: NodeID) {
        while let step = peers[peer]?.exchange?.steps.popLast() {
            switch step {
            case .shards(let digests): return compare(.shards(digests), step, peer)
            case .days(let shard, let isOutOfDate):
                begin(shard, isOutOfDate: isOutOfDate, with: peer)
                return compare(.days(shard: shard), step, peer)
            case .ranges(let shard, let kind, let day):
                return compare(.ranges(shard: shard, kind: kind, day: day), step, peer)
            case .ids(let range, let after):
                peers[peer]?.exchange?.page = (range, after)
                if mayAsk(idsOf: range, peer) { return compare(.ids(range, after: after), step, peer) }
                postpone(range.shard, with: peer)
            case .fetch(let range, let ids):
                if roles[range.shard]?.isJoining ?? true, !recovery.take(SwarmLimits.fetchBytes, now) {
                    peers[peer]?.exchange?.steps.append(step)
                    return
                }
                guard let key = peers[peer]?.exchange?.key else { return }
                return ask(peer, .fetchCopies, FetchCopies(key: key, range: range, shortIDs: ids).encoded(), step)
            case .push(let ids):
                switch push(ids, to: peer) {
                case .sent: return
                case .nothing: break
                case .noBudget:
                    peers[peer]?.exchange?.steps.append(step)
                    return
                }
            case .end(let shard): end(shard, with: peer)
            }
        }
        peers[peer]?.exchange = nil
    }

    /// Begins the work on a shard, or goes on with it.
    private mutating func begin(_ shard: UInt16, isOutOfDate: Bool, with peer: NodeID) {
        guard var exchange = peers[peer]?.exchange else { return }
        let place = peers[peer]?.places[shard]
        exchange.tally = place?.tally ?? Exchange.Tally(cut: exchange.cut)
        exchange.tally.isOutOfDate = exchange.tally.isOutOfDate || isOutOfDate
        if let place { exchange.key = place.key }
        exchange.page = place.map { ($0.range, $0.after) }
        peers[peer]?.exchange = exchange
    }

    /// Whether a page of ids may be requested from a peer, and the own ones read, now.
    private mutating func mayAsk(idsOf range: RangeKey, _ peer: NodeID) -> Bool {
        peers[peer]?.idsAsked.available(now) ?? 0 >= UInt64(SwarmLimits.compareIDs * 9) && mayRead(range, for: peer)
    }

    /// Leaves a shard whose ids have to wait: the next comparison begins behind it, and later goes on at its place.
    private mutating func postpone(_ shard: UInt16, with peer: NodeID) {
        keepPlace(shard, with: peer)
        if peers[peer]?.resume == nil { peers[peer]?.resume = shard }
        peers[peer]?.exchange?.skipShard()
    }

    /// Keeps the place of a shard that is not finished.
    ///
    /// A peer that invents ids and does not hand over the items is paused, too.
    private mutating func keepPlace(_ shard: UInt16, with peer: NodeID) {
        guard let exchange = peers[peer]?.exchange else { return }
        peers[peer]?.places[shard] = exchange.place
        guard exchange.tally.asked > 0, exchange.tally.came == 0 else { return }
        peers[peer]?.pause(shard, now)
        // The next comparison does not pause it for the same questions again.
        peers[peer]?.places[shard]?.tally.asked = 0
    }

    private mutating func compare(_ question: Compare.Question, _ step: Exchange.Step, _ peer: NodeID) {
        guard let exchange = peers[peer]?.exchange else { return }
        ask(peer, .compare, Compare(key: exchange.key, cut: exchange.cut, question).encoded(), step)
    }

    private mutating func ask(_ peer: NodeID, _ kind: SwarmMessage, _ body: [UInt8], _ step: Exchange.Step) {
        let question = ask(peer, kind, body, .exchange(peer))
        peers[peer]?.exchange?.current = step
        peers[peer]?.exchange?.question = question
    }

    private enum Pushed {
        case sent
        /// None of the copies is held any more.
        case nothing
        /// The peer's budget of work is used up; a later turn goes on.
        case noBudget
    }

    /// Sends the first of these copies.
    private mutating func push(_ ids: [ItemID], to peer: NodeID) -> Pushed {
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
        guard !copies.isEmpty else { return .nothing }
        let message = Replicate(height: height, copies: copies)
        guard peers[peer]?.work.take(message.work, now) ?? false else { return .noBudget }
        peers[peer]?.exchange?.tally.gave += copies.count
        if used < ids.count { peers[peer]?.exchange?.steps.append(.push(Array(ids[used...]))) }
        ask(peer, .replicate, message.encoded(), .push(copies.map(\.id)))
        return .sent
    }

    /// Ends a shard: counts its results, and schedules a comparison soon if copies moved.
    private mutating func end(_ shard: UInt16, with peer: NodeID) {
        guard let tally = peers[peer]?.exchange?.tally else { return }
        peers[peer]?.places[shard] = nil
        if tally.asked > 0, tally.came == 0 {
            peers[peer]?.pause(shard, now)
        } else {
            peers[peer]?.pauses[shard] = nil
        }
        let isLeaving = roles[shard]?.record.left != nil
        // A peer that may lack items proves only that both hold the same now.
        if isLeaving ? tally.gave == 0 : !tally.lacks && (!tally.isOutOfDate || tally.gave == tally.taken) {
            // What an earlier comparison has listed was compared up to its cut.
            matched(shard, with: peer, cut: tally.cut)
        }
        if tally.came > 0 || isLeaving && tally.gave > 0, let next = peers[peer]?.nextCompare, next > now + 60_000 {
            peers[peer]?.nextCompare = now + 60_000
        }
    }

    /// Ends a comparison whose peer answers wrongly, too slowly or not at all; the next one begins after its shard.
    private mutating func abandon(_ peer: NodeID) {
        let shard = peers[peer]?.exchange?.shard
        peers[peer]?.resume = shard
        if let shard { keepPlace(shard, with: peer) }
        drop(exchangeWith: peer)
        let pause = UInt64.random(in: 60_000...120_000, using: &holdings.random)
        peers[peer]?.nextCompare = now + pause
    }

    /// Forgets a comparison; a later answer is ignored.
    mutating func drop(exchangeWith peer: NodeID) {
        if let question = peers[peer]?.exchange?.question { _ = questions.close(question) }
        peers[peer]?.exchange = nil
    }

    /// Handles the answer to the current step.
    mutating func exchangeAnswered(_ number: UInt64, by peer: NodeID, _ body: [UInt8]?) {
        guard let exchange = peers[peer]?.exchange, exchange.question == number, let step = exchange.current else {
            return
        }
        peers[peer]?.exchange?.current = nil
        peers[peer]?.exchange?.question = nil
        if case .fetch(let range, _) = step, roles[range.shard]?.isJoining ?? true {
            recovery.giveBack(SwarmLimits.fetchBytes - min(body?.count ?? 0, SwarmLimits.fetchBytes))
        }
        let isGood =
            if let body {
                switch step {
                case .shards(let digests): tookShards(body, digests, peer)
                case .days(let shard, _): tookDays(body, shard, peer)
                case .ranges(let shard, let kind, let day): tookRanges(body, shard, kind, day: day, peer)
                case .ids(let range, let after): tookIDs(body, range, after: after, peer)
                case .fetch(let range, let ids): tookCopies(body, range, ids, peer)
                case .push(let ids): tookPush(body, ids, peer)
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
            peers[peer]?.places[shard.shard] = nil
        }
        for state in states.reversed() where !state.isNotShared {
            peers[peer]?.exchange?.steps += [
                .end(state.shard), .days(state.shard, isOutOfDate: state.isOutOfDate),
            ]
        }
        return true
    }

    private mutating func tookDays(_ body: [UInt8], _ shard: UInt16, _ peer: NodeID) -> Bool {
        guard let cut = peers[peer]?.exchange?.cut,
            case .days(let theirs)? = try? CompareAnswer(decoding: body.rawSpan, to: .days(shard: shard))
        else { return false }
        let mine = holdings.days(of: shard, cut: cut)
        let same = Set(mine).intersection(theirs)
        let place = peers[peer]?.places[shard]
        let differing = Set((mine + theirs).filter { !same.contains($0) }.map(\.position))
        for kind in ItemKind.compared.reversed() {
            for position in differing.sorted(by: >) where position >> 16 == UInt32(kind.rawValue) {
                let day = UInt16(truncatingIfNeeded: position)
                guard place?.isBehind(kind, day: day) != true else { continue }
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
        let place = peers[peer]?.places[shard]
        for (index, digests) in zip(theirs, mine).enumerated().reversed() where digests.0 != digests.1 {
            let number = UInt32(day) * SwarmLimits.rangesPerDay + UInt32(truncatingIfNeeded: index)
            guard ShardDigests.covers(kind, number, cut: cut) else { continue }
            let range = RangeKey(shard: shard, kind: kind, number: number)
            if let place, place.isBehind(range) { continue }
            if digests.0.isZero {
                guard isNamed(peer, for: shard) else { continue }
                peers[peer]?.exchange?.steps.append(.push(holdings.storage.entries(in: range).map(\.id)))
            } else {
                let after = place?.range == range ? place?.after ?? 0 : 0
                peers[peer]?.exchange?.steps.append(.ids(range, after: after))
            }
        }
        return true
    }

    private mutating func tookIDs(_ body: [UInt8], _ range: RangeKey, after: UInt64, _ peer: NodeID) -> Bool {
        guard let key = peers[peer]?.exchange?.key,
            case .ids(let theirs)? = try? CompareAnswer(decoding: body.rawSpan, to: .ids(range, after: after)),
            peers[peer]?.idsAsked.take(theirs.count * 9, now) ?? false, spend(reading: range, peer)
        else { return false }
        // After a full page, the ids above its last one are requested next.
        let isFull = theirs.count == SwarmLimits.compareIDs
        let last = isFull ? theirs.last?.shortID ?? .max : .max
        var mine: [UInt64: StoredEntry] = [:]
        for (shortID, entry) in holdings.shortIDs(of: range, key: key) where shortID > after && shortID <= last {
            mine[shortID] = entry
        }
        // A replica that takes nothing new requests only items that delete or replace something.
        let isOpen = roles[range.shard]?.isOpen ?? false || range.kind.isMutable
        var fetch: [UInt64] = []
        var push: [ItemID] = []
        for other in theirs {
            guard let own = mine.removeValue(forKey: other.shortID) else {
                if isOpen { fetch.append(other.shortID) }
                continue
            }
            if other.isDeleted, !own.isDeleted { fetch.append(other.shortID) }
            if !other.isDeleted, own.isDeleted { push.append(own.id) }
        }
        push += mine.values.map(\.id).sorted()
        if isFull { peers[peer]?.exchange?.steps.append(.ids(range, after: last)) }
        // A former replica takes nothing new.
        if !push.isEmpty, isNamed(peer, for: range.shard) { peers[peer]?.exchange?.steps.append(.push(push)) }
        if !fetch.isEmpty {
            peers[peer]?.exchange?.tally.asked += fetch.count
            peers[peer]?.exchange?.steps.append(.fetch(range, fetch))
        }
        return true
    }

    private mutating func tookPush(_ body: [UInt8], _ ids: [ItemID], _ peer: NodeID) -> Bool {
        guard let outcomes = try? Replicate.outcomes(decoding: body.rawSpan, count: ids.count) else { return false }
        let taken = outcomes.count { if case .held = $0 { true } else { false } }
        counts.brought += UInt64(clamping: taken)
        peers[peer]?.exchange?.tally.taken += taken
        return true
    }

    private mutating func tookCopies(_ body: [UInt8], _ range: RangeKey, _ asked: [UInt64], _ peer: NodeID) -> Bool {
        guard let key = peers[peer]?.exchange?.key,
            let copies = try? FetchCopies.copies(decoding: body.rawSpan, network: network)
        else { return false }
        var open = Set(asked)
        for copy in copies {
            // Only requested copies are accepted, each once.
            guard copy.header.kind == range.kind, copy.header.range == range.number,
                views.first?.map.shard(of: copy.header.box) == range.shard,
                open.remove(ShortID.of(copy.id, key: key)) != nil
            else { return false }
            peers[peer]?.exchange?.tally.came += 1
            do throws(StoreRefusal) {
                try holdings.check(copy, minute: minute)
            } catch {
                // A newer version, a purge or a stronger contact request here excludes the copy.
                continue
            }
            do throws(StoreRefusal) {
                try accept(copy, from: peer, isFetched: true)
                counts.fetched += 1
            } catch {
                // A copy that the grant excludes is no loss; a copy without room is.
                if error == .full { peers[peer]?.exchange?.tally.lacks = true }
            }
        }
        // An answer has at most 256 KiB; an empty one ends the requests.
        if !open.isEmpty {
            if copies.isEmpty {
                peers[peer]?.exchange?.tally.lacks = true
            } else {
                peers[peer]?.exchange?.steps.append(.fetch(range, open.sorted()))
            }
        }
        return true
    }
}

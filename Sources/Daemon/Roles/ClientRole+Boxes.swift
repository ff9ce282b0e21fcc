internal import Client
internal import Control
internal import OnionCrypto
internal import Swarm
internal import Wire

/// The commands on raw boxes, for developers.
extension ClientRole {
    /// The argument's form; keys, ids and contents are in hexadecimal.
    private static let usage =
        "expected 'swarm BOX', 'put KEY CONTENT', 'list KEY [PLACE]', 'get KEY ID [NODE]' or 'delete KEY ID'"

    /// How long parts of boxes are searched for an item; a call that has begun then may take 10 s more, and a fetch as
    /// long.
    private static let searchTime = TimeSpan.seconds(10)

    /// Does what `argument` says with a box.
    func box(_ argument: String?) -> ControlReply {
        let words = (argument ?? "").split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        let key = words.count > 1 ? bytes32(hexadecimal: words[1]) : nil
        guard let key, words.count <= 4 else { return .refusal(Self.usage) }
        switch (words[0], words.count) {
        case ("swarm", 2): return swarm(key)
        case ("put", 3):
            guard let content = bytes(hexadecimal: words[2]) else { break }
            return put(content, Self.key(key))
        case ("list", 2): return list(Self.key(key), from: nil)
        case ("list", 3):
            guard let place = BoxPlace(words[2]) else { break }
            return list(Self.key(key), from: place)
        case ("get", 3...4):
            let node = words.count == 4 ? NodeID(words[3]) : nil
            guard let id = bytes32(hexadecimal: words[2]), (node != nil) == (words.count == 4) else { break }
            let reply = DeferredReply()
            let boxKey = Self.key(key)
            let end = now + Self.searchTime
            guard let swarm = client.replicas(of: boxKey.box) else { return .refusal(StoreFailure.noStore.text) }
            if let node {
                get(id, boxKey, at: [node], until: end, reply)
            } else {
                // Any replica that answers; only if it does not have the item, all of them.
                find(id, boxKey, from: nil, until: end) { [weak self] found in
                    if let found { return reply.give(found) }
                    self?.get(id, boxKey, at: swarm.members, until: end, reply)
                }
            }
            return .later(reply)
        case ("delete", 3):
            guard let id = bytes32(hexadecimal: words[2]) else { break }
            return delete(id, Self.key(key))
        default: break
        }
        return .refusal(Self.usage)
    }

    private static func key(_ seed: Bytes32) -> BoxKey {
        let bytes = seed.array
        return BoxKey(SigningKey(seed: Secret(copying: bytes.rawSpan)))
    }

    private func replicaCount(_ box: Bytes32) -> Int { client.replicas(of: box)?.members.count ?? 0 }

    private func swarm(_ box: Bytes32) -> ControlReply {
        guard let swarm = client.replicas(of: box) else { return .refusal(StoreFailure.noStore.text) }
        return .report(
            SwarmReport(
                box: hexadecimal(box.array), shard: Int(swarm.shard), height: swarm.height,
                replicas: swarm.members.map(\.description), majority: swarm.majority))
    }

    private func put(_ content: [UInt8], _ key: BoxKey) -> ControlReply {
        guard let item = client.message(content, in: key) else {
            return .refusal("an item has at most \(BoxMessage.longest) bytes; use a shorter file")
        }
        let (reply, began, count) = (DeferredReply(), now, replicaCount(key.box))
        client.store(item) { [unowned self] result in
            switch result {
            case .success(let proof):
                reply.give(
                    .report(
                        StoredReport(
                            id: hexadecimal(item.id.array), receipts: proof.receipts.count, of: count,
                            time: (now - began).inMilliseconds)))
            case .failure(let failure): reply.give(.refusal(failure.text))
            }
        }
        return .later(reply)
    }

    private func list(_ key: BoxKey, from place: BoxPlace?) -> ControlReply {
        let reply = DeferredReply()
        client.list(key, from: place) { [client] result in
            guard case .success(let page) = result else { return reply.give(.refusal(result.failureText)) }
            // As many as one request may fetch.
            let entries = Array(page.listing.entries.prefix(SwarmLimits.fetchOffsets))
            let present = entries.filter { !$0.isDeleted }
            client.fetch(key, present, of: page) { fetched in
                guard case .success(let items) = fetched else { return reply.give(.refusal(fetched.failureText)) }
                reply.give(.report(BoxReport(page, entries, items: items.filter { client.isOfOwner($0) }, of: key.box)))
            }
        }
        return .later(reply)
    }

    /// Asks replicas for an item, all at once: some may be dead, and some may not have it yet.
    private func get(
        _ id: ItemID, _ key: BoxKey, at replicas: [NodeID], until end: Instant, _ reply: DeferredReply
    ) {
        var open = replicas.count
        var failure: ControlReply?
        for replica in replicas {
            find(id, key, from: BoxPlace(replica: replica, log: 0, after: 0), until: end) { found in
                open -= 1
                switch found {
                case .report(let report): return reply.give(.report(report))
                case nil: failure = .refusal("no replica that was asked shows this item")
                case .status, .paths, .refusal, .later: failure = failure ?? found
                }
                if open == 0, let failure { reply.give(failure) }
            }
        }
    }

    /// Looks for an item in the parts of a box that one replica shows; nil: it does not show the item.
    ///
    /// A replica may show parts without end, so that no call begins after `end`.
    private func find(
        _ id: ItemID, _ key: BoxKey, from place: BoxPlace?, until end: Instant,
        done: @escaping (ControlReply?) -> Void
    ) {
        guard now < end else { return done(.refusal(StoreFailure.noAnswer(hint: nil).text)) }
        client.list(key, from: place) { [weak self, client] result in
            guard case .success(let page) = result else { return done(.refusal(result.failureText)) }
            guard let entry = page.entry(of: id) else {
                guard let next = page.next(after: place), let self else { return done(nil) }
                return find(id, key, from: next, until: end, done: done)
            }
            guard !entry.isDeleted else { return done(.refusal("the item was deleted")) }
            client.fetch(key, [entry], of: page) { fetched in
                guard case .success(let items) = fetched else { return done(.refusal(fetched.failureText)) }
                guard let item = items.first, client.isOfOwner(item) else { return done(nil) }
                done(.report(BoxReport(page, [entry], items: [item], of: key.box)))
            }
        }
    }

    private func delete(_ id: ItemID, _ key: BoxKey) -> ControlReply {
        let (reply, count) = (DeferredReply(), replicaCount(key.box))
        client.delete([.init(id: id, proof: client.proof(of: id, by: key))], in: key.box) { result in
            guard case .success(let found) = result else { return reply.give(.refusal(result.failureText)) }
            guard found.deleted > 0 else { return reply.give(.refusal("no replica that was asked holds this item")) }
            reply.give(
                .report(DeletedReport(id: hexadecimal(id.array), replicas: Int(found.replicas), of: count)))
        }
        return .later(reply)
    }
}

extension BoxReport {
    /// What a replica showed: the first of `entries`, up to one that it lists and did not give.
    fileprivate init(_ page: BoxPage, _ entries: [BoxPage.Entry], items: [StoredItem], of box: Bytes32) {
        var shown: [BoxReport.Entry] = []
        var last = page.start
        for entry in entries {
            var report = Entry(offset: entry.offset, kind: Int(entry.kind.rawValue), deleted: entry.isDeleted)
            if let item = items.first(where: { page.entry(of: $0.id)?.offset == entry.offset }) {
                report.id = hexadecimal(item.id.array)
                report.created = UInt64(item.header.created) * 60
                report.size = item.bytes.count
                report.content = BoxMessage.content(of: item).map { hexadecimal($0) }
            } else if !entry.isDeleted, !shown.isEmpty {
                // What does not fit into one answer comes with the next part.
                break
            }
            shown.append(report)
            last = entry.offset
        }
        let next = BoxPlace(replica: page.replica, log: page.listing.log, after: last)
        self.init(
            box: hexadecimal(box.array), replica: page.replica.description, outOfDate: page.listing.isOutOfDate,
            next: next.text, more: page.listing.hasMore || shown.count < page.listing.entries.count, entries: shown)
    }
}

extension BoxPlace {
    /// Reads what ``text`` wrote.
    fileprivate init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, let replica = NodeID(parts[0]), let log = UInt64(parts[1]), let after = UInt64(parts[2])
        else { return nil }
        self.init(replica: replica, log: log, after: after)
    }

    /// The place, in one word.
    fileprivate var text: String { "\(replica):\(log):\(after)" }
}

extension Result where Failure == StoreFailure {
    fileprivate var failureText: String { if case .failure(let failure) = self { failure.text } else { "" } }
}

extension StoreFailure {
    /// The fault and the remedy, in one line without a full stop.
    var text: String {
        switch self {
        case .noStore: "this network has no swarm store: its network file has no 'shards'"
        case .noPath: "there is no path for the request; see 'tunic status'"
        case .noAnswer(nil): "no replica has answered in time"
        case .noAnswer(let hint?): "no replica has answered; a proxy says that \(hint)"
        case .undecided(let count): "too few replicas agree: \(count.text); try again"
        case .tooMany: "too many requests are under way; try again later"
        case .refused(let refusal): "the replicas refuse: \(refusal.text)"
        }
    }
}

extension StoreCount {
    /// The answers in words.
    fileprivate var text: String {
        let reasons = refusals.isEmpty ? "" : " (\(refusals.map(\.text).joined(separator: ", ")))"
        return "\(signed) signed, \(refusals.count) refused\(reasons), \(silent) did not answer"
    }
}

extension StoreRefusal {
    /// The refusal in words.
    fileprivate var text: String {
        switch self {
        case .malformed: "malformed"
        case .unknown: "not known"
        case .notReplica(let height): "not a replica by the snapshot of height \(height)"
        case .full: "full"
        case .notAuthorised: "not authorised"
        case .timeInvalid: "the time is not valid; set this machine's clock"
        case .busy(let seconds): "busy, try again in \(seconds) s"
        case .superseded: "a newer version is there, or the item was deleted"
        }
    }
}

internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import OnionCrypto
internal import Store
internal import Wire

/// Keeps the client's view of the network current: first the snapshot, then the list and descriptors, then comparisons
/// with other nodes.
///
/// Any node can be asked, because all answers are signed: a guard if one is known, else a node of the network file.
/// Signatures are checked on another thread.
extension DirectoryClient {
    /// The time from a good answer to the next question: a quarter of an epoch, 2 s to 15 min, varied by a quarter.
    private var refresh: TimeSpan {
        let seconds = min(900, max(2, network.epochSeconds / 4))
        return .milliseconds(Int64(UInt64.random(in: seconds * 750...seconds * 1_250, using: &random)))
    }

    func fetch() {
        guard !schedule.isUnderWay else { return }
        if needsInquiry { return inquire() }
        guard let source = sources.first else { return }
        schedule.begin(at: now)
        let number = rounds.number
        // The first question goes to a guard, which may be gone by now. The short limit lets others follow soon.
        let limit = schedule.failures == 0 ? Self.firstLinkLimit : PathPool.linkLimit
        links.link(to: source, at: addresses(of: source), limit: limit) { [weak self] link in
            guard let self else { return }
            guard let link else {
                refreshFamilies()
                return number == rounds.number ? fetched(false) : ()
            }
            fetchSnapshot(link) { [weak self] in
                self?.fetchList(link, from: source) { [weak self] in
                    self?.fetchDescriptors(link, from: source) { [weak self] isGood in
                        guard let self, number == rounds.number else { return }
                        fetched(isGood)
                        guard isGood else { return }
                        compare(with: source)
                    }
                }
            }
        }
    }

    /// The nodes to ask, in order: guards, then nodes of the network file; the other way round after a failure.
    private var sources: [NodeID] {
        let bootstrap = bootstrap.shuffled(using: &random)
        let guardNodes = guards.primaries.map(\.node).filter { !addresses(of: $0).isEmpty }.shuffled(using: &random)
        return schedule.failures == 0 ? guardNodes + bootstrap : bootstrap + guardNodes
    }

    /// Notes the end of a question or an inquiry.
    func fetched(_ isGood: Bool) {
        schedule.end(isGood, at: now, refresh: refresh)
        if isGood {
            changed()
            if needsInquiry { schedule.next = now }
        }
    }

    // MARK: The snapshot

    /// Asks for the updates that lead from the trusted snapshot to the newest one.
    ///
    /// The snapshots of `bases` are tried in order until the other node knows one. If it knows none, `unknown` is
    /// called. `then` is always called.
    func fetchSnapshot(
        _ link: LinkID, at bases: ArraySlice<SnapshotPlace.Base> = [.trusted], isAgain: Bool = false,
        unknown: @escaping () -> Void = {}, then: @escaping () -> Void
    ) {
        guard let base = bases.first else {
            unknown()
            return then()
        }
        let rest = bases.dropFirst()
        guard let asked = SnapshotPlace(trust.chain, at: base) else {
            return fetchSnapshot(link, at: rest, unknown: unknown, then: then)
        }
        links.request(on: link, DirectoryMessage.getSnapshot, body: asked.body, timeout: Self.longAnswerLimit) {
            [weak self] result in
            guard let self, case .success(let body) = result else { return then() }
            guard let pursuit = SnapshotPursuit(body, to: asked, for: trust.chain, at: unixTime) else {
                return fetchSnapshot(link, at: rest, unknown: unknown, then: then)
            }
            loop.work {
                pursuit.finding()
            } completion: { [weak self] finding in
                guard let self else { return }
                switch pursuit.step(finding, present: trust.chain) {
                case .advanced(let after): follow(after)
                case .overtaken:
                    if !isAgain { return fetchSnapshot(link, isAgain: true, then: then) }
                case .nothing, .repeated: break
                case .refused(let refusal):
                    log.warning("a node offered a snapshot that is refused", metadata: ["reason": "\(refusal)"])
                }
                then()
            }
        }
    }

    /// Trusts the newer snapshot of `after`.
    private func follow(_ after: SnapshotChain) {
        regain(from: trust.chain.snapshot, to: after.snapshot)
        trust.follow(after)
        lists.offers.dropAll()
        descriptors.follow(after.snapshot)
        tellOperators()
        choosing.selection = nil
        keeper.keep(after)
    }

    /// Forgets the failures of nodes that `before` has as suspended and `after` as staked.
    ///
    /// The others have tested such a node since it failed here. Otherwise paths would avoid it for ten minutes and
    /// more.
    private func regain(from before: Snapshot, to after: Snapshot) {
        for entry in before.entries where !entry.isStaked && after.isStaked(entry.node) {
            health.regained(entry.node)
            guards.inner.works(entry.node)
        }
    }

    /// Asks the other guards which snapshot they have, so that no node can show this client a network of its own.
    ///
    /// Each node that is asked learns this machine's address, so a node that is not a guard is asked only about once a
    /// day. It prevents colluding guards from withholding newer snapshots for as long as they are guards.
    private func compare(with source: NodeID) {
        var others = guards.primaries.map(\.node).filter { $0 != source }
        if now >= trust.nextIndependentCheck {
            trust.nextIndependentCheck = now + .seconds(.random(in: SnapshotTrust.checkPause, using: &random))
            if let other = bootstrap.filter({ $0 != source }).randomElement(using: &random) { others.append(other) }
        }
        // The source too: it may have a newer snapshot and no update to it, because this client's leads nowhere.
        for other in [source] + others { askForID(other) }
    }

    private func askForID(_ node: NodeID) {
        links.link(to: node, at: addresses(of: node), limit: PathPool.linkLimit) { [weak self] link in
            guard let self, let link else { return }
            askForID(node, link)
        }
    }

    /// Notes that `node` has another snapshot or list; returns whether that is new.
    ///
    /// One operator's word is no alarm, so three nodes of the network file are asked too, of others if it has them.
    /// They learn this machine's address, so they are not asked again for twelve hours, whatever a node says.
    private func contradicted(_ subject: SnapshotTrust.Subject, by node: NodeID) -> Bool {
        guard trust.contradict(subject, node) else { return false }
        guard !trust.isContradicted, now >= trust.nextDoubt else { return true }
        trust.nextDoubt = now + .seconds(SnapshotTrust.checkPause.lowerBound)
        for other in bootstrap.filter({ trust.isApart($0, from: node) }).shuffled(using: &random).prefix(3) {
            askForID(other)
        }
        return true
    }

    /// Asks a node for its snapshot at the height of the trusted one, and follows it if it has a newer snapshot or
    /// list.
    func askForID(_ node: NodeID, _ link: LinkID) {
        let (height, digest) = (trust.chain.snapshot.height, trust.chain.digest)
        var writer = ByteWriter(capacity: 8)
        writer.u64(height)
        links.request(on: link, DirectoryMessage.getSnapshotID, body: writer.bytes, timeout: Self.answerLimit) {
            [weak self] result in
            guard let self, case .success(let body) = result, trust.chain.digest == digest,
                let answer = SnapshotIDAnswer(body)
            else { return }
            if answer.same == digest {
                trust.confirm(node)
            } else if !answer.same.isZero, contradicted(.snapshot, by: node) {
                log.warning("nodes have different snapshots of one height", metadata: ["height": "\(height)"])
            }
            let used = lists.used
            if let used, answer.listRound == used.list.round, answer.listDigest != used.digest,
                contradicted(.list, by: node)
            {
                log.warning(
                    "nodes have different lists of descriptors of one round", metadata: ["round": "\(used.list.round)"])
            }
            guard answer.newest > height || answer.listRound > used?.list.round ?? 0 else { return }
            // The trusted snapshot may lead nowhere, or the other node may not know its voters. It can then lead on
            // from the one before it.
            let bases: ArraySlice<SnapshotPlace.Base> =
                answer.newest > height ? [.trusted, .earlier, .first] : [.trusted]
            fetchSnapshot(link, at: bases) { [weak self] in
                guard let self, answer.newest > height, trust.chain.digest == digest, trust.isBehind(node) else {
                    return
                }
                log.warning(
                    "a node's history does not reach back to this client's snapshot; get the newest network file",
                    metadata: ["height": "\(height)", "newest": "\(answer.newest)"])
            } then: { [weak self] in
                self?.fetchList(link, from: node) { [weak self] in self?.changed() }
            }
        }
    }

    // MARK: Descriptors

    /// Asks for missing descriptors: of any age if `fromFirst`, else those since the newest one held, with an overlap.
    func fetchDescriptors(
        _ link: LinkID, from node: NodeID, fromFirst: Bool = false, then: @escaping (Bool) -> Void
    ) {
        let newest = descriptors.newest.seconds
        let isWhole = fromFirst ? descriptors.count == 0 : doubts.wantsAll || newest <= 7_200
        // Rounded, so that the question does not distinguish clients.
        let since = UnixTime(
            seconds: isWhole || fromFirst ? 0 : (newest - DescriptorStore.overlap) / 3_600 * 3_600)
        var writer = ByteWriter(capacity: 8)
        writer.u64(0)
        let body =
            isWhole
            ? writer.bytes
            : DescriptorChange.question(since: since, having: descriptors.shortDigests(since: since))
        links.request(
            on: link, isWhole ? DirectoryMessage.getDescriptors : .getDescriptorChanges, body: body,
            timeout: Self.longAnswerLimit
        ) { [weak self] result in
            guard let self else { return }
            guard case .success(let body) = result else {
                doubts.wantsAll = true
                return then(false)
            }
            let (held, time, id) = (descriptors, unixTime, network.id)
            loop.work {
                Self.checked(body, isWhole: isWhole, held, at: time, network: id)
            } completion: { [weak self] checked in
                guard let self else { return }
                guard let checked else {
                    doubts.wantsAll = true
                    return then(false)
                }
                let witness = witness(node)
                for signed in checked.good {
                    _ = descriptors.hear(signed, from: witness, operators: trust.operatorCount, at: unixTime)
                }
                doubts.wantsAll = checked.lacksSome
                then(true)
            }
        }
    }

    /// The new and authentic descriptors of an answer; nil for a malformed answer.
    ///
    /// `lacksSome` tells whether some descriptors are only available by asking for all.
    private static func checked(
        _ body: [UInt8], isWhole: Bool, _ held: DescriptorStore, at time: UnixTime, network: Bytes32
    ) -> (good: [SignedDescriptor], lacksSome: Bool)? {
        let changes: [DescriptorChange]
        if isWhole {
            guard let list = try? SignedDescriptor.decodeList(body.rawSpan) else { return nil }
            changes = list.map { .whole($0) }
        } else {
            guard let list = try? DescriptorChange.decodeList(body.rawSpan) else { return nil }
            changes = list
        }
        var good: [SignedDescriptor] = []
        var lacksSome = false
        for change in changes {
            guard let signed = held.resolve(change) else {
                lacksSome = true
                continue
            }
            guard (try? held.isNews(signed, at: time)) == true else { continue }
            if signed.isAuthentic(network: network) {
                good.append(signed)
            } else if case .renewed = change {
                lacksSome = true
            }
        }
        return (good, lacksSome)
    }

    /// Asks for changed descriptors soon, but not often; called for example if a hop has a new onion key.
    ///
    /// The question names no node: a guard would learn that the node is a hop of the path that it carries.
    func fetchChanges(of suspect: NodeID? = nil) {
        schedule.next = doubts.suspect(suspect, next: schedule.next, at: now)
    }

    /// Asks a guard for its own descriptor; called for example if the guard could not open a record.
    func refetchGuard(_ node: NodeID) {
        guard guards.sample.contains(where: { $0.node == node }) else { return fetchChanges() }
        guard doubts.asksGuard(node, at: now) else { return }
        links.link(to: node, at: addresses(of: node), limit: PathPool.linkLimit) { [weak self] link in
            guard let self, let link else { return }
            links.request(on: link, DirectoryMessage.getDescriptor, body: node.key.array, timeout: Self.answerLimit) {
                [weak self] result in
                guard let self, case .success(let body) = result, !body.isEmpty else { return }
                takeWord(of: node, body)
            }
        }
    }

    /// Takes the descriptor that a guard itself sent.
    ///
    /// The guard knows this client anyway. So the descriptor is used for the first hop whatever a list says, and for
    /// that hop only. While no list is in use, it is stored like any other.
    private func takeWord(of node: NodeID, _ body: [UInt8]) {
        guard let signed = try? SignedDescriptor(decoding: body.rawSpan), signed.descriptor.node == node,
            (try? descriptors.isNews(signed, at: unixTime)) == true, signed.isAuthentic(network: network.id)
        else { return }
        let key = descriptor(of: node, isFirst: true)?.onionKey
        if descriptors.isListed {
            doubts.hear(signed.descriptor, of: node)
        } else if !descriptors.insert(authentic: signed, at: unixTime) {
            return
        }
        if key != signed.descriptor.onionKey { room.renewed(node, now) }
        changed()
    }
}

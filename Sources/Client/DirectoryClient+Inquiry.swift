internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import Wire

/// Asks nodes of several operators at once, because one operator could hide the rest of the network or the time
/// (`Inquiry`).
///
/// An inquiry takes place:
///
/// - before a guard is drawn: the first one, or one beside a guard whose descriptor is missing after a start;
/// - while too little of the network is known;
/// - while a node says that this machine's clock is wrong, if no inquiry was settled for an hour;
/// - likewise while more than a fifth of the network counts as down, or no node has had a list of descriptors.
extension DirectoryClient {
    /// How long one node's list is awaited before the next node is asked for its own.
    ///
    /// Lists are requested one after the other, so that most nodes need to send only the differences.
    private static let listPause = TimeSpan.seconds(5)
    /// Whether to begin an inquiry now.
    var needsInquiry: Bool {
        guard now >= rounds.next else { return false }
        // The guards are asked first.
        guard schedule.hasSucceeded || guards.primaries.isEmpty || schedule.failures > 0 else { return false }
        if rounds.settled == nil, drawsGuards { return true }
        let (known, raw) = coverage
        if !known.isEnough { return true }
        return rounds.isOld(at: now) && (!raw.isEnough || links.isTimeDisputed || lists.used == nil)
    }

    /// The operator of a node, or the node's own key if the snapshot does not have it.
    ///
    /// Nodes of the network file are asked even if they are no longer staked.
    func owner(of node: NodeID) -> Bytes32 { trust.chain.snapshot.entry(of: node)?.operatorID ?? node.key }

    /// The operator whose word `node` gives; nil if the node is not staked, because one owner may have many such nodes.
    func witness(_ node: NodeID) -> Bytes32? { trust.chain.snapshot.isStaked(node) ? owner(of: node) : nil }

    /// Begins an inquiry.
    func inquire() {
        schedule.begin(at: now)
        var fresh = InquiryRounds.Round()
        for node in guards.primaries.map(\.node) + bootstrap.shuffled(using: &random) {
            fresh.inquiry.offer(node, owner: owner(of: node))
        }
        rounds.begin(fresh)
        advanceRound()
    }

    /// Asks further nodes, and ends the inquiry when it is settled or cannot be.
    ///
    /// To be called regularly; has no effect without an inquiry.
    func advanceRound() {
        guard rounds.current != nil else { return }
        if let since = rounds.current?.listSince, now - since >= Self.listPause { askForList() }
        let raw = coverage.raw
        let outcome = rounds.current?.inquiry.outcome(
            raw, operators: trust.operatorCount, wantsMany: links.isTimeDisputed, at: now)
        switch outcome {
        case .open:
            let goal = Inquiry.goal(raw, wantsMany: links.isTimeDisputed)
            while let node = rounds.current?.inquiry.next(at: now, goal: goal) { consult(node, rounds.number) }
        case .settled: settle()
        case .tooFew, nil: giveUp()
        }
    }

    private func consult(_ node: NodeID, _ number: UInt64) {
        links.link(to: node, at: addresses(of: node), limit: Self.firstLinkLimit) { [weak self] link in
            guard let self, number == rounds.number, rounds.current != nil else { return }
            guard let link else {
                refreshFamilies()
                return answered(node, nil)
            }
            fetchSnapshot(link) { [weak self] in
                guard let self, number == rounds.number, rounds.current != nil else { return }
                rounds.current?.waiting.append((node, link))
                if rounds.current?.listSince == nil { askForList() }
            }
        }
    }

    /// Asks the next waiting node for its list.
    private func askForList() {
        guard let (node, link) = rounds.current?.waiting.first else { return }
        rounds.current?.waiting.removeFirst()
        rounds.current?.listSince = now
        let number = rounds.number
        fetchList(link, from: node) { [weak self] in
            self?.fetchDescriptors(link, from: node, fromFirst: true) { [weak self] isGood in
                guard let self, number == rounds.number, rounds.current != nil else { return }
                rounds.current?.listSince = nil
                answered(node, isGood ? link : nil)
                while rounds.current?.waiting.isEmpty == false { askForList() }
            }
        }
    }

    private func answered(_ node: NodeID, _ link: LinkID?) {
        if let link { rounds.current?.heard.append((node, link)) }
        // The descriptors of a node that is no longer staked are used. Its answer does not count, because one owner may
        // have many such nodes.
        if link != nil, trust.chain.snapshot.isStaked(node) {
            rounds.current?.inquiry.answered(node)
        } else {
            rounds.current?.inquiry.failed(node)
        }
        // If the network file names too few nodes, other known nodes are asked.
        for node in descriptors.all.map(\.descriptor.node).filter(mayLink).shuffled(using: &random) {
            rounds.current?.inquiry.offer(node, owner: owner(of: node))
        }
        advanceRound()
    }

    private func settle() {
        let heard = rounds.current?.heard ?? []
        rounds.settle(down: coverage.raw.missing, at: now)
        choosing.selection = nil
        fetched(true)
        for (node, link) in heard { askForID(node, link) }
    }

    private func giveUp() {
        let heard = rounds.current?.heard ?? []
        rounds.fail(at: now)
        choosing.selection = nil
        fetched(!heard.isEmpty)
    }

    /// Checks whether the clock was moved, by the nodes or by being set, and counts the guards' time.
    ///
    /// After a move, decisions that depend on the time are made again.
    func lookAtClock() {
        let running = links.running
        if clock.wasMoved(unixTime, running: running) {
            choosing.selection = nil
            doubts.wantsAll = true
            if rounds.forget(at: now) { schedule.abandon(at: now) } else { schedule.next = now }
        }
        let problem = clockProblem
        if clock.mustWarn(problem != nil), let problem { log.warning("\(sentence(problem))") }
        // The guards' time counts while the client runs.
        if let passed = clock.passed(running: running) { guards.age(by: passed) }
        // If a node contradicts the clock, an inquiry comes first: a guard alone could say that no time has passed.
        if let told = links.toldTime, clock.countsTimeOff(!links.isTimeDisputed || rounds.settled != nil) {
            guards.ageWhileOff(upTo: min(told, links.ownTime))
        }
    }

    /// The fault of this machine's clock according to the nodes; nil if there is none.
    var clockProblem: ClientProblem? {
        let own = links.ownTime
        let isMoved = unixTime.seconds > own.seconds + 60 || unixTime.seconds + 60 < own.seconds
        guard isMoved || links.isTimeDisputed else { return nil }
        guard let error = links.clockError, abs(error.inSeconds) > 60 else {
            guard !isMoved, links.timeSources == 0 else { return nil }
            return .clockYearsOff
        }
        return .wrongClock(error: error, operators: links.timeSources, isCorrected: isMoved)
    }
}

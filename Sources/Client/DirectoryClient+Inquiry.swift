internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import Wire

/// Asking several operators' nodes at once, where one could hide the rest of the network or the time (`Inquiry`).
///
/// This happens before the first guard is drawn, or one beside a guard whose descriptor is lacking after a start, and whenever too
/// little of the network is known. It also happens, seldom, while a
/// node says that this machine's clock is wrong, while more than a fifth of the network counts as down, or while no node has had a
/// list of descriptors.
extension DirectoryClient {
    /// How long the list of one node is waited for before another is asked for its own, so that most need to bring what differs.
    private static let listPause = TimeSpan.seconds(5)
    /// Whether more than one node is to be asked now.
    var needsInquiry: Bool {
        guard now >= rounds.next else { return false }
        // What the guards have to say comes first.
        guard schedule.hasSucceeded || guards.sample.isEmpty || schedule.failures > 0 else { return false }
        if rounds.settled == nil, drawsGuards { return true }
        let (known, raw) = coverage
        if !known.isEnough { return true }
        return rounds.isOld(at: now) && (!raw.isEnough || links.isTimeDisputed || lists.used == nil)
    }

    /// Whose node it is; a node that the network file names is asked even if it is staked no more.
    func owner(of node: NodeID) -> Bytes32 { trust.chain.snapshot.entry(of: node)?.operatorID ?? node.key }

    /// Begins to ask.
    func inquire() {
        schedule.begin(at: now)
        var fresh = InquiryRounds.Round()
        let bootstrap = network.bootstrap.filter { choosing.families.reaches($0.addresses) }.map(\.node)
        for node in guards.primaries.map(\.node) + bootstrap.shuffled(using: &random) {
            fresh.inquiry.offer(node, owner: owner(of: node))
        }
        rounds.begin(fresh)
        advanceRound()
    }

    /// Asks further nodes, and ends the inquiry when it is settled, or cannot be; to be called now and then while one is under way.
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
                return answered(node, nil, number)
            }
            fetchSnapshot(link) { [weak self] in
                guard let self, number == rounds.number, rounds.current != nil else { return }
                rounds.current?.waiting.append((node, link))
                if rounds.current?.listSince == nil { askForList() }
            }
        }
    }

    /// Asks the next node that waits for its list.
    private func askForList() {
        guard let (node, link) = rounds.current?.waiting.first else { return }
        rounds.current?.waiting.removeFirst()
        rounds.current?.listSince = now
        let number = rounds.number
        fetchList(link, from: node) { [weak self] in
            self?.fetchDescriptors(link, from: node, fromFirst: true) { [weak self] isGood in
                guard let self, number == rounds.number, rounds.current != nil else { return }
                rounds.current?.listSince = nil
                answered(node, isGood ? link : nil, number)
                while rounds.current?.waiting.isEmpty == false { askForList() }
            }
        }
    }

    private func answered(_ node: NodeID, _ link: LinkID?, _ number: UInt64) {
        if let link { rounds.current?.heard.append((node, link)) }
        // What a node brought that is staked no more counts, and its word does not: it may be one of many of one owner.
        if link != nil, trust.chain.snapshot.isStaked(node) {
            rounds.current?.inquiry.answered(node)
        } else {
            rounds.current?.inquiry.failed(node)
        }
        // Where the network file names too few, nodes that were learnt of are asked.
        for node in descriptors.all.map(\.descriptor.node).shuffled(using: &random) {
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

    /// Looks whether the clock has been moved, by the nodes or by somebody who has set it; what was decided by it is decided anew.
    func lookAtClock() {
        let running = links.running
        if clock.wasMoved(unixTime, running: running) {
            choosing.selection = nil
            doubts.wantsAll = true
            if rounds.forget(at: now) { schedule.abandon(at: now) } else { schedule.next = now }
        }
        let problem = clockProblem
        if clock.mustWarn(problem != nil), let problem { log.warning("\(problem)") }
        // How long the guards have been in use.
        if let passed = clock.passed(running: running) { guards.age(by: passed) }
        // Where a node contradicts the clock, more are asked first: a guard alone could say that no time has passed.
        if let told = links.toldTime, clock.countsTimeOff(!links.isTimeDisputed || rounds.settled != nil) {
            guards.ageWhileOff(upTo: min(told, links.ownTime))
        }
    }

    /// What is wrong with this machine's clock as far as the nodes can tell, in one sentence.
    var clockProblem: String? {
        let own = links.ownTime
        let isMoved = unixTime.seconds > own.seconds + 60 || unixTime.seconds + 60 < own.seconds
        guard isMoved || links.isTimeDisputed else { return nil }
        let count = links.timeSources
        let nodes = "the nodes of \(count) operator\(count == 1 ? "" : "s")"
        guard let error = links.clockError, abs(error.inSeconds) > 60 else {
            guard !isMoved, links.timeSources == 0 else { return nil }
            return "A node says that this machine's clock is more than a year off; set it, and keep it right by NTP."
        }
        let (length, side) = (Self.length(abs(error.inSeconds)), error > .zero ? "ahead of" : "behind")
        let doing = isMoved ? "their time is used" : "the clock is used, for too few agree"
        return "This machine's clock is \(length) \(side) \(nodes), and \(doing); set it, and keep it right by NTP."
    }

    private static func length(_ seconds: Double) -> String {
        if seconds < 7_200 { return "\(Int(seconds / 60)) minutes" }
        if seconds < 172_800 { return "\(Int(seconds / 3_600)) hours" }
        return "\(Int(seconds / 86_400)) days"
    }
}

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
    /// How long what was found to be down, or about the clock, holds.
    private static let settledFor = TimeSpan.seconds(3_600)

    /// What an inquiry needs beside its rules.
    struct Round {
        /// The rules.
        var inquiry = Inquiry()
        /// Nodes that have answered, with their links, and those that may be asked for their list, when it is their turn.
        var heard: [(node: NodeID, link: LinkID)] = []
        var waiting: [(node: NodeID, link: LinkID)] = []
        /// Since when a list is awaited.
        var listSince: Instant?
    }

    /// Whether more than one node is to be asked now.
    var needsInquiry: Bool {
        guard now >= nextRound else { return false }
        // What the guards have to say comes first.
        guard hasFetched || guards.sample.isEmpty || failures > 0 else { return false }
        if settled == nil, drawsGuards { return true }
        let (known, raw) = coverage
        if !known.isEnough { return true }
        let isOld = settled.map { now - $0 >= Self.settledFor } ?? true
        return isOld && (!raw.isEnough || links.isTimeDisputed || usedList == nil)
    }

    /// Whose node it is; a node that the network file names is asked even if it is staked no more.
    func owner(of node: NodeID) -> Bytes32 { chain.snapshot.entry(of: node)?.operatorID ?? node.key }

    /// Begins to ask.
    func inquire() {
        isFetching = true
        roundNumber &+= 1
        var fresh = Round()
        let bootstrap = network.bootstrap.filter { families.reaches($0.addresses) }.map(\.node)
        for node in guards.primaries.map(\.node) + bootstrap.shuffled(using: &random) {
            fresh.inquiry.offer(node, owner: owner(of: node))
        }
        round = fresh
        advanceRound()
    }

    /// Asks further nodes, and ends the inquiry when it is settled, or cannot be; to be called now and then while one is under way.
    func advanceRound() {
        guard round != nil else { return }
        if let since = round?.listSince, now - since >= Self.listPause { askForList() }
        let raw = coverage.raw
        let outcome = round?.inquiry.outcome(
            raw, operators: operatorCount, wantsMany: links.isTimeDisputed, at: now)
        switch outcome {
        case .open:
            let goal = Inquiry.goal(raw, wantsMany: links.isTimeDisputed)
            while let node = round?.inquiry.next(at: now, goal: goal) { consult(node, roundNumber) }
        case .settled: settle()
        case .tooFew, nil: giveUp()
        }
    }

    private func consult(_ node: NodeID, _ number: UInt64) {
        links.link(to: node, at: addresses(of: node), limit: Self.firstLinkLimit) { [weak self] link in
            guard let self, number == roundNumber, round != nil else { return }
            guard let link else {
                refreshFamilies()
                return answered(node, nil, number)
            }
            fetchSnapshot(link) { [weak self] in
                guard let self, number == roundNumber, round != nil else { return }
                round?.waiting.append((node, link))
                if round?.listSince == nil { askForList() }
            }
        }
    }

    /// Asks the next node that waits for its list.
    private func askForList() {
        guard let (node, link) = round?.waiting.first else { return }
        round?.waiting.removeFirst()
        round?.listSince = now
        let number = roundNumber
        fetchList(link, from: node) { [weak self] in
            self?.fetchDescriptors(link, from: node, fromFirst: true) { [weak self] isGood in
                guard let self, number == roundNumber, round != nil else { return }
                round?.listSince = nil
                answered(node, isGood ? link : nil, number)
                while round?.waiting.isEmpty == false { askForList() }
            }
        }
    }

    private func answered(_ node: NodeID, _ link: LinkID?, _ number: UInt64) {
        if let link { round?.heard.append((node, link)) }
        // What a node brought that is staked no more counts, and its word does not: it may be one of many of one owner.
        if link != nil, chain.snapshot.isStaked(node) {
            round?.inquiry.answered(node)
        } else {
            round?.inquiry.failed(node)
        }
        // Where the network file names too few, nodes that were learnt of are asked.
        for node in descriptors.all.map(\.descriptor.node).shuffled(using: &random) {
            round?.inquiry.offer(node, owner: owner(of: node))
        }
        advanceRound()
    }

    private func settle() {
        let heard = round?.heard ?? []
        down = coverage.raw.missing
        settled = now
        failedRounds = 0
        endRound(pause: 10)
        fetched(true)
        for (node, link) in heard { askForID(node, link) }
    }

    private func giveUp() {
        let heard = round?.heard ?? []
        // Where nobody has answered it is most likely this machine's network, and what follows its return should not be late.
        failedRounds = heard.isEmpty ? min(failedRounds + 1, 3) : failedRounds + 1
        endRound(pause: min(60, 1 << Int64(min(failedRounds, 6))))
        fetched(!heard.isEmpty)
    }

    private func endRound(pause seconds: Int64) {
        round = nil
        roundNumber &+= 1
        selector = nil
        nextRound = now + .seconds(seconds)
    }

    /// Looks whether the clock has been moved, by the nodes or by somebody who has set it; what was decided by it is decided anew.
    func lookAtClock() {
        let running = links.running
        let offset = Int64(clamping: unixTime.seconds) - Int64(running.nanoseconds / 1_000_000_000)
        defer { clockOffset = offset }
        if let clockOffset, abs(clockOffset - offset) > 60 {
            selector = nil
            wantsAll = true
            (settled, down) = (nil, [])
            if round != nil {
                endRound(pause: 0)
                isFetching = false
            }
            (nextFetch, nextRound) = (now, now)
        }
        let isWrong = clockProblem != nil
        if isWrong != hasWarnedOfClock {
            hasWarnedOfClock = isWrong
            if let problem = clockProblem { log.warning("\(problem)") }
        }
        // How long the guards have been in use.
        let passed = (running - agedAt).nanoseconds / 1_000_000_000
        if passed >= 60 {
            guards.age(by: UInt64(passed))
            agedAt = agedAt + .seconds(passed)
        }
        // Where a node contradicts the clock, more are asked first: a guard alone could say that no time has passed.
        if !hasAgedWhileOff, let told = links.toldTime, !links.isTimeDisputed || settled != nil {
            hasAgedWhileOff = true
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

internal import OnionCrypto
internal import Wire

// The operations, one after the other: for each, all rules that can refuse it come before its changes.

extension RegistryState {
    /// Carries out `operation` in the open block, with every signature checked.
    public mutating func apply(_ operation: RegistryOperation) throws(RegistryRefusal) {
        try checkHead(operation)
        try checkSignatures(operation)
        try perform(operation)
    }

    /// Carries out an operation whose signatures were checked before, for example on a worker thread.
    public mutating func applyVerified(_ operation: RegistryOperation) throws(RegistryRefusal) {
        try checkHead(operation)
        try perform(operation)
    }

    /// Checks every signature of `operation` against this state: the expensive part of `apply`.
    public func checkSignatures(_ operation: RegistryOperation) throws(RegistryRefusal) {
        guard operation.isAuthentic else { throw .wrongSigner }
        switch operation.action {
        case .register(let node, let fee, let stake, let proof):
            let message = RegistryOperation.registration(
                network: network, account: operation.account, nonce: operation.nonce, node: node, fee: fee,
                stake: stake)
            guard SigningKey.verify(proof.rawSpan, of: message.rawSpan, by: node.key) else {
                throw .wrongNodeSignature
            }
        case .judge(let verdict, let node, let height, let votes):
            guard let quorum = quorum(at: height) else { throw .unknownQuorum }
            let judges = judges(of: node, height: height)
            let ballot = RegistryOperation.ballot(
                verdict, on: node, height: height, block: quorum.block, network: network)
            try checkPlaces(votes, of: judges.count)
            for vote in votes {
                let voter = judges[Int(vote.place)]
                guard SigningKey.verify(vote.signature.rawSpan, of: ballot.rawSpan, by: voter.key) else {
                    throw .wrongVote(place: vote.place)
                }
            }
        case .report(let reporter, let height, let measured, let proof):
            let message = RegistryOperation.statement(
                network: network, reporter: reporter, height: height, measured: measured)
            guard SigningKey.verify(proof.rawSpan, of: message.rawSpan, by: reporter.key) else { throw .wrongReport }
        case .maintain(let node, let seconds, let height, let proof):
            let message = RegistryOperation.maintenance(of: node, seconds: seconds, height: height, network: network)
            guard SigningKey.verify(proof.rawSpan, of: message.rawSpan, by: node.key) else { throw .wrongNodeSignature }
        case .contribute, .cancel, .setFee, .leave, .distribute, .claim, .pay, .transfer: break
        }
    }

    private func checkPlaces(_ votes: [RegistryOperation.Vote], of count: Int) throws(RegistryRefusal) {
        var next = 0
        for vote in votes {
            guard vote.place < count else { throw .notInQuorum(place: vote.place) }
            guard vote.place >= next else { throw .wrongVote(place: vote.place) }
            next = Int(vote.place) + 1
        }
    }

    private func checkHead(_ operation: RegistryOperation) throws(RegistryRefusal) {
        guard operation.network == network else { throw .otherNetwork }
        guard operationsInBlock < parameters.operationsPerBlock else { throw .blockFull }
        if operation.account == RegistryOperation.nobody, operation.action.needsNoAccount {
            guard operation.nonce == 0 else { throw .outOfTurn(expected: 0) }
            return
        }
        guard let holding = accounts[operation.account] else { throw .unknownAccount }
        guard height <= operation.until else { throw .expired(until: operation.until) }
        guard operation.nonce >= holding.nonce else { throw .replayed(expected: holding.nonce) }
        guard operation.nonce == holding.nonce, holding.nonce < .max else { throw .outOfTurn(expected: holding.nonce) }
        let fee = fee(of: operation)
        guard fee <= holding.balance + gain(by: operation) else { throw .operationFeeUnpaid(fee: fee) }
    }

    /// The fee of `operation` for its account.
    ///
    /// Leaving costs nothing: a node leaves once, and an account whose whole balance is staked must be able to request
    /// it.
    private func fee(of operation: RegistryOperation) -> UInt64 {
        if operation.account == RegistryOperation.nobody { return 0 }
        if case .leave = operation.action { return 0 }
        return parameters.operationFee
    }

    /// The amount that `operation` adds to its account's free balance, so that the fee can be taken from it.
    private func gain(by operation: RegistryOperation) -> UInt64 {
        switch operation.action {
        case .claim: claimable(by: operation.account)
        case .cancel(let node): nodes[node]?.contribution(of: operation.account) ?? 0
        case .register, .contribute, .setFee, .leave, .judge, .distribute, .pay, .transfer, .report, .maintain: 0
        }
    }

    private mutating func perform(_ operation: RegistryOperation) throws(RegistryRefusal) {
        let account = operation.account
        switch operation.action {
        case .register(let node, let fee, let stake, _): try register(node, fee: fee, stake: stake, by: account)
        case .contribute(let node, let amount, let fee): try contribute(amount, to: node, at: fee, by: account)
        case .cancel(let node): try cancel(node, by: account)
        case .setFee(let node, let fee): try setFee(fee, of: node, by: account)
        case .leave(let node): try leave(node, by: account)
        case .judge(let verdict, let node, let height, let votes):
            try judge(verdict, on: node, height: height, votes: votes)
        case .distribute: try distribute()
        case .claim: try claim(by: account)
        case .pay(let amount): try pay(amount, by: account)
        case .transfer(let receiver, let amount): try transfer(amount, to: receiver, by: account)
        case .report(let reporter, let height, let measured, _):
            try report(measured, by: reporter, height: height)
        case .maintain(let node, let seconds, let height, _):
            try maintain(node, for: UInt64(seconds), height: height)
        }
        let fee = fee(of: operation)
        accounts[account]?.balance -= fee
        pool += fee
        accounts[account]?.nonce += 1
        operationsInBlock += 1
    }

    /// Throws unless `amount` is not zero and `account` has it in addition to the fee of an operation.
    func checkFunds(_ amount: UInt64, of account: Account) throws(RegistryRefusal) {
        guard amount > 0 else { throw .zeroAmount }
        let available = spendable(by: account)
        guard amount <= available else { throw .overspent(available: available) }
    }

    /// The free balance of `account` minus the fee of an operation.
    func spendable(by account: Account) -> UInt64 {
        let balance = accounts[account]?.balance ?? 0
        return balance - min(balance, parameters.operationFee)
    }

    /// The node `id`; throws unless it is open, or has its full stake, as `isOpen` requires.
    private func node(_ id: NodeID, isOpen: Bool) throws(RegistryRefusal) -> RegisteredNode {
        guard let node = nodes[id] else { throw .unknownNode }
        guard (node.standing == .open) == isOpen else { throw isOpen ? .notOpen : .notFull }
        return node
    }

    private mutating func register(
        _ id: NodeID, fee: UInt16, stake: UInt64, by account: Account
    ) throws(RegistryRefusal) {
        guard nodes[id] == nil else { throw .alreadyRegistered }
        guard nodes.count < Int(parameters.maximumNodes) else { throw .tooManyNodes }
        guard UInt64(fee) <= RegistryParameters.whole else { throw .feeOutOfRange }
        guard stake >= parameters.operatorMinimum else { throw .stakeUnder(minimum: parameters.operatorMinimum) }
        guard stake <= parameters.fullStake else { throw .stakeOver(maximum: parameters.fullStake) }
        try checkFunds(stake, of: account)
        accounts[account]?.balance -= stake
        let part = RegisteredNode.Contribution(account: account, amount: stake)
        var node = RegisteredNode(standing: .open, fee: fee, changedHeight: height, contributions: [part])
        activateIfFull(&node, id)
        nodes[id] = node
    }

    private mutating func contribute(
        _ amount: UInt64, to id: NodeID, at fee: UInt16, by account: Account
    ) throws(RegistryRefusal) {
        var node = try node(id, isOpen: true)
        guard amount > 0 else { throw .zeroAmount }
        guard UInt64(fee) <= RegistryParameters.whole else { throw .feeOutOfRange }
        guard node.fee <= fee else { throw .feeAbove(fee: node.fee) }
        let missing = parameters.fullStake - node.stake
        let index = node.contributions.firstIndex { $0.account == account }
        if index == nil {
            let places = Int(parameters.maximumContributors) - (node.contributions.count - 1)
            guard places > 0 else { throw .tooManyContributors }
            let minimum = parameters.minimum(missing: missing, places: UInt64(places))
            guard amount >= minimum else { throw .stakeUnder(minimum: minimum) }
        }
        guard amount <= missing else { throw .stakeOver(maximum: missing) }
        try checkFunds(amount, of: account)
        accounts[account]?.balance -= amount
        if let index {
            node.contributions[index].amount += amount
        } else {
            node.contributions.append(.init(account: account, amount: amount))
        }
        activateIfFull(&node, id)
        nodes[id] = node
    }

    private func activateIfFull(_ node: inout RegisteredNode, _ id: NodeID) {
        guard node.stake == parameters.fullStake else { return }
        node.standing = .active
        node.changedHeight = height
        node.activeSince = time
        node.allowance = UInt64(parameters.creditAtStart) + UInt64(parameters.creditGrace)
        node.creditTime = time
        node.placement = id.placement(block: openBlock, network: network)
    }

    private mutating func cancel(_ id: NodeID, by account: Account) throws(RegistryRefusal) {
        var node = try node(id, isOpen: true)
        guard let index = node.contributions.firstIndex(where: { $0.account == account }) else {
            throw .notContributor
        }
        if index == 0 {
            for part in node.contributions { credit(part.amount, to: part.account) }
            nodes[id] = nil
        } else {
            let part = node.contributions.remove(at: index)
            credit(part.amount, to: account)
            nodes[id] = node
        }
    }

    private mutating func setFee(_ fee: UInt16, of id: NodeID, by account: Account) throws(RegistryRefusal) {
        guard let node = nodes[id] else { throw .unknownNode }
        guard node.operatorAccount == account else { throw .notOperator }
        guard UInt64(fee) <= RegistryParameters.whole else { throw .feeOutOfRange }
        guard fee <= node.fee || node.contributions.count == 1 else { throw .feeRaised }
        nodes[id]?.fee = fee
    }

    private mutating func leave(_ id: NodeID, by account: Account) throws(RegistryRefusal) {
        let node = try node(id, isOpen: false)
        guard let amount = node.contribution(of: account) else { throw .notContributor }
        guard node.leavesAt == 0 else { throw .leaveAskedTwice }
        let small = portionRoundedUp(of: parameters.fullStake, UInt64(parameters.smallShare), RegistryParameters.whole)
        let from = node.activeSince + UInt64(parameters.smallLeaveWait)
        guard amount >= small || time >= from else { throw .leaveTooEarly(from: from) }
        nodes[id]?.leavesAt = max(1, time + UInt64(parameters.leaveDelay))
    }

    private mutating func judge(
        _ verdict: RegistryOperation.Judgment, on id: NodeID, height: UInt64, votes: [RegistryOperation.Vote]
    ) throws(RegistryRefusal) {
        guard quorum(at: height) != nil else { throw .unknownQuorum }
        var node = try node(id, isOpen: false)
        guard height > node.changedHeight else { throw .staleVotes }
        let judges = judges(of: id, height: height)
        try checkPlaces(votes, of: judges.count)
        let needed = max(1, parameters.votesNeeded(ofQuorum: judges.count))
        guard votes.count >= needed else { throw .tooFewVotes(votes: votes.count, needed: needed) }
        switch verdict {
        case .decommission:
            guard node.standing == .active else { throw .notActive }
            try checkFloor()
            change(&node, to: .decommissioned)
        case .recommission:
            guard node.standing == .decommissioned else { throw .notDecommissioned }
            guard !node.isInMaintenance else { throw .inMaintenance(until: node.maintenanceEnd) }
            change(&node, to: .active)
        }
        nodes[id] = node
    }

    /// Changes between active and decommissioned now; the credit is kept.
    private func change(_ node: inout RegisteredNode, to standing: RegisteredNode.Standing) {
        node.allowance = node.allowance(at: time, parameters)
        node.creditTime = time
        node.standing = standing
        node.changedHeight = height
    }

    /// How many blocks after the height of a maintenance request may contain it.
    static var requestLife: UInt64 { 4 }

    /// Takes a node out of service for so many seconds; with 0 it returns.
    ///
    /// The request names a height, so it takes effect once, and soon: a refused or abandoned request is void after
    /// ``requestLife`` blocks, even if someone has kept it. A decommissioned node may return by its own request during
    /// its maintenance, or if fewer nodes are active than a path needs, since none is then left to judge it.
    private mutating func maintain(_ id: NodeID, for seconds: UInt64, height: UInt64) throws(RegistryRefusal) {
        guard quorum(at: height) != nil else { throw .unknownQuorum }
        var node = try node(id, isOpen: false)
        guard height > node.changedHeight, self.height - height <= Self.requestLife else { throw .staleRequest }
        if seconds == 0 {
            if node.isInMaintenance { return endMaintenance(of: id, at: time) }
            guard node.standing == .decommissioned else { throw .notDecommissioned }
            guard fullNodes.active < Int(parameters.leastActive) else { throw .judgedByOthers }
            change(&node, to: .active)
        } else {
            guard node.standing == .active else { throw .notActive }
            let limit = min(UInt64(parameters.maintenanceLimit), node.credit(at: time, parameters))
            guard seconds <= limit else { throw .maintenanceTooLong(limit: limit) }
            let from = node.maintenanceEnd + UInt64(parameters.maintenanceWait)
            guard node.maintenanceEnd == 0 || time >= from else { throw .maintenanceTooEarly(from: from) }
            try checkFloor()
            change(&node, to: .decommissioned)
            node.maintenanceEnd = time + seconds
        }
        nodes[id] = node
    }
}

extension RegistryParameters {
    /// The smallest contribution of a new contributor if `missing` is missing and `places` are free.
    func minimum(missing: UInt64, places: UInt64) -> UInt64 {
        minimumContribution > 0 ? min(minimumContribution, missing) : missing / places + (missing % places > 0 ? 1 : 0)
    }
}

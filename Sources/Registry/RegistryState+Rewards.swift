internal import Wire

// The pool, the rewards and the fees, and transfers between accounts.

extension RegistryState {
    /// The largest amount that the next distribution takes from the pool.
    public var intervalReward: UInt64 {
        portion(
            of: pool, UInt64(parameters.yearlyRate), RegistryParameters.whole * UInt64(parameters.intervalsPerYear))
    }

    /// Pays one interval's rewards to the nodes that are active now; a remainder stays in the pool.
    mutating func distribute() throws(RegistryRefusal) {
        let next = distributedUntil + UInt64(parameters.rewardInterval)
        guard time >= next else { throw .distributedTooEarly(next: next) }
        let active = nodes.values.filter { $0.standing == .active }
        distributedUntil = next
        guard !active.isEmpty else { return }
        let reward = intervalReward / UInt64(active.count)
        pool -= reward * UInt64(active.count)
        for node in active { share(reward, of: node) }
    }

    /// Pays the operator the fee, each contributor a share of the rest rounded down, and the operator the remainder.
    private mutating func share(_ reward: UInt64, of node: RegisteredNode) {
        let rest = reward - portion(of: reward, UInt64(node.fee), RegistryParameters.whole)
        var operatorPart = reward
        for part in node.contributions.dropFirst() {
            let amount = portion(of: rest, part.amount, parameters.fullStake)
            operatorPart -= amount
            accounts[part.account, default: Holding(balance: 0)].rewards += amount
        }
        accounts[node.operatorAccount, default: Holding(balance: 0)].rewards += operatorPart
    }

    /// Moves rewards, and for the treasury the fees, to the free balance.
    mutating func claim(by account: Account) throws(RegistryRefusal) {
        let amount = claimable(by: account)
        guard amount > 0 else { throw .nothingToClaim }
        accounts[account]?.rewards = 0
        if account == parameters.treasury { fees = 0 }
        credit(amount, to: account)
    }

    /// The amount that `account` can claim: its rewards, and for the treasury also the fees.
    func claimable(by account: Account) -> UInt64 {
        (accounts[account]?.rewards ?? 0) + (account == parameters.treasury ? fees : 0)
    }

    /// Moves an amount to `receiver`, which is created if it does not exist; the sender keeps the smallest balance of
    /// an account.
    mutating func transfer(_ amount: UInt64, to receiver: Account, by account: Account) throws(RegistryRefusal) {
        guard amount > 0 else { throw .zeroAmount }
        let spendable = spendable(by: account)
        let available = spendable - min(spendable, parameters.accountMinimum)
        guard amount <= available else { throw .overspent(available: available) }
        guard receiver != account, receiver != RegistryOperation.nobody else { throw .wrongReceiver }
        if accounts[receiver] == nil {
            guard amount >= parameters.accountMinimum else {
                throw .transferUnder(minimum: parameters.accountMinimum)
            }
            guard accounts.count < Int(parameters.maximumAccounts) else { throw .tooManyAccounts }
        }
        accounts[account]?.balance -= amount
        credit(amount, to: receiver)
    }

    /// Takes a network fee: the pool's share rounded down, the rest for the treasury.
    mutating func pay(_ amount: UInt64, by account: Account) throws(RegistryRefusal) {
        try checkFunds(amount, of: account)
        let toPool = portion(of: amount, UInt64(parameters.poolShare), RegistryParameters.whole)
        accounts[account]?.balance -= amount
        pool += toPool
        fees += amount - toPool
    }
}

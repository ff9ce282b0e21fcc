/// The rule that refuses an operation or a block; the state is unchanged (docs/registry.md, "Refusals").
public enum RegistryRefusal: Error, Hashable, Sendable {
    // Of a block.
    /// The height is not above the state's.
    case heightNotAbove(UInt64)
    /// The time is before the state's.
    case timeWentBack
    /// The time is above `RegistryState.timeLimit`.
    case timeOutOfRange

    // Of any operation.
    /// It is for another network.
    case otherNetwork
    /// The block is full.
    case blockFull
    /// The account does not exist.
    case unknownAccount
    /// An operation of the account with this number or a later one was applied; `expected` is the next number.
    case replayed(expected: UInt64)
    /// Operations of the account before this one are missing; `expected` is the next number.
    case outOfTurn(expected: UInt64)
    /// The operation was valid in blocks up to the height `until`.
    case expired(until: UInt64)
    /// The account cannot pay `fee`, the fee of the operation.
    case operationFeeUnpaid(fee: UInt64)
    /// The signature is not the account's.
    case wrongSigner
    /// The amount is zero.
    case zeroAmount
    /// The account's free balance, without the operation's fee, is only `available`.
    case overspent(available: UInt64)
    /// A transfer goes back to its own account, or to the zero account.
    case wrongReceiver
    /// The transfer would create an account and is below `minimum`.
    case transferUnder(minimum: UInt64)
    /// The limit of accounts is reached.
    case tooManyAccounts

    // Of registering and staking.
    /// The node's signature of its registration is wrong.
    case wrongNodeSignature
    /// The node is in the registry.
    case alreadyRegistered
    /// The limit of nodes is reached.
    case tooManyNodes
    /// The fee is above 10,000 (a whole).
    case feeOutOfRange
    /// The fee would rise for contributors who joined at a lower one.
    case feeRaised
    /// The operator's fee is `fee`, more than the contributor accepts.
    case feeAbove(fee: UInt16)
    /// The contribution is below `minimum`.
    case stakeUnder(minimum: UInt64)
    /// The contribution is above `maximum`, the missing stake.
    case stakeOver(maximum: UInt64)
    /// All places of contributors are taken.
    case tooManyContributors
    /// The node is not in the registry.
    case unknownNode
    /// The node's stake is full.
    case notOpen
    /// The node's stake is not full.
    case notFull
    /// The account is not that of the node's operator.
    case notOperator
    /// The account has no stake in the node.
    case notContributor
    /// The node is already leaving.
    case leaveAskedTwice
    /// A small contributor may ask to leave from `from` on, in seconds since 1970.
    case leaveTooEarly(from: UInt64)

    // Of judging.
    /// There is no quorum for that height, or it has expired.
    case unknownQuorum
    /// The node's state changed at or after the quorum's height.
    case staleVotes
    /// A vote is for a place that the quorum does not have.
    case notInQuorum(place: UInt8)
    /// The vote for this place is not signed by the node there.
    case wrongVote(place: UInt8)
    /// There are `votes` votes, and `needed` are needed.
    case tooFewVotes(votes: Int, needed: Int)
    /// The node is not active.
    case notActive
    /// The node is not decommissioned.
    case notDecommissioned
    /// At least `least` nodes must stay active.
    case tooFewActive(least: Int)
    /// The node is in maintenance until `until`, in seconds since 1970, and becomes active again by itself.
    case inMaintenance(until: UInt64)

    // Of maintenance.
    /// The node's state changed at or after the request's height, or that height is too old.
    case staleRequest
    /// A node's maintenance may last at most `limit` seconds: the network's limit, or the node's credit.
    case maintenanceTooLong(limit: UInt64)
    /// The node may have its next maintenance from `from` on, in seconds since 1970.
    case maintenanceTooEarly(from: UInt64)
    /// The node must be judged by others, because enough nodes are active.
    case judgedByOthers

    // Of reporting.
    /// The report is not signed by its reporter.
    case wrongReport
    /// The reporter is not in the quorum of that height for a node that it reports on.
    case notReporter
    /// The reporter and a node that it reports on have the same operator.
    case sameOperator
    /// The operator has reported on a node at that height or a later one.
    case staleReport

    // Of rewards.
    /// The next distribution is due at `next`, in seconds since 1970.
    case distributedTooEarly(next: UInt64)
    /// The account has no reward to claim.
    case nothingToClaim
}

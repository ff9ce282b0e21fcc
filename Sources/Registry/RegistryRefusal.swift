/// The rule that an operation or a block breaks; the state is as it was (docs/registry.md, "Refusals").
public enum RegistryRefusal: Error, Hashable, Sendable {
    // Of a block.
    /// The height is not above the state's.
    case heightNotAbove(UInt64)
    /// The time lies before the state's.
    case timeWentBack
    /// The time is beyond what the registry counts to.
    case timeOutOfRange

    // Of any operation.
    /// It is for another network.
    case otherNetwork
    /// The block holds as many operations as it may.
    case blockFull
    /// The account holds nothing and never has.
    case unknownAccount
    /// An operation of the account with this number or a later one was applied; `expected` is next.
    case replayed(expected: UInt64)
    /// Operations of the account are missing before this one; `expected` is next.
    case outOfTurn(expected: UInt64)
    /// The operation was for blocks up to `until`.
    case expired(until: UInt64)
    /// The account cannot pay what the operation costs, which is `fee`.
    case operationFeeUnpaid(fee: UInt64)
    /// The signature is not the account's.
    case wrongSigner
    /// The amount is zero.
    case zeroAmount
    /// The account's free balance is only `available` beside the fee of the operation.
    case overspent(available: UInt64)
    /// A transfer leads back to the account that it comes from, or to no account at all.
    case wrongReceiver
    /// The transfer makes an account and is below `minimum`.
    case transferUnder(minimum: UInt64)
    /// There are as many accounts as there may be.
    case tooManyAccounts

    // Of registering and staking.
    /// The node's signature under its own registration is wrong.
    case wrongNodeSignature
    /// The node is in the registry.
    case alreadyRegistered
    /// The registry holds as many nodes as it may.
    case tooManyNodes
    /// The fee is above a whole.
    case feeOutOfRange
    /// The fee would rise under contributors who joined at a lower one.
    case feeRaised
    /// The contribution is below `minimum`.
    case stakeUnder(minimum: UInt64)
    /// The contribution is above `maximum`, which is all that is missing.
    case stakeOver(maximum: UInt64)
    /// Every place beside the operator's is taken.
    case tooManyContributors
    /// The node is not in the registry.
    case unknownNode
    /// The node's stake is full.
    case notOpen
    /// The node's stake is not full.
    case notFull
    /// The account is not the node's operator.
    case notOperator
    /// The account has no part in the node.
    case notContributor
    /// The node is leaving.
    case leaveAskedTwice
    /// A small contributor may ask to leave from `from` on.
    case leaveTooEarly(from: UInt64)

    // Of judging.
    /// There is no quorum for that height, or none any more.
    case unknownQuorum
    /// The node's state changed at or after the quorum's height.
    case staleVotes
    /// A vote is for a place that the quorum does not have.
    case notInQuorum(place: UInt8)
    /// The vote for this place is not signed by the node there.
    case wrongVote(place: UInt8)
    /// Only `votes` where `needed` decide.
    case tooFewVotes(votes: Int, needed: Int)
    /// The node is not active.
    case notActive
    /// The node is not decommissioned.
    case notDecommissioned
    /// At least `least` nodes stay active.
    case tooFewActive(least: Int)
    /// The node is in maintenance, and comes back by itself.
    case inMaintenance(until: UInt64)

    // Of maintenance.
    /// The node's state changed at or after the height that the request names, or that height is too old.
    case staleRequest
    /// A node's maintenance takes `limit` seconds at most: the network's limit, or the node's credit.
    case maintenanceTooLong(limit: UInt64)
    /// The node may have its next maintenance from `from` on.
    case maintenanceTooEarly(from: UInt64)
    /// Others judge the node: enough nodes are active.
    case judgedByOthers

    // Of reporting.
    /// The report is not signed by the node that it names as its maker.
    case wrongReport
    /// The node that reports is not in the quorum of that height for a node that it reports on.
    case notReporter
    /// The node that reports and one that it reports on have the same operator.
    case sameOperator
    /// The operator has reported on a node at that height or a later one.
    case staleReport

    // Of rewards.
    /// The next distribution is at `next`.
    case distributedTooEarly(next: UInt64)
    /// The account has no reward to claim.
    case nothingToClaim
}

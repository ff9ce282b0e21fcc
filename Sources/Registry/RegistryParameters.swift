internal import Wire

/// The parameters of a staked network: amounts in atomic units, shares in 1/10,000, times in seconds.
///
/// They are part of the state and of its digest, and never change. The defaults are those of the Session Network.
///
/// It has more members than most types: one for each row of "Parameters" in docs/registry.md.
public struct RegistryParameters: Hashable, Sendable {
    /// The value of a share of one whole: shares and fees are in 1/10,000.
    public static let whole: UInt64 = 10_000
    /// The most members of a quorum in any network; `quorumSize` is at most this.
    public static let quorumLimit: UInt8 = 32

    /// The sum of contributions at which a node becomes active.
    public var fullStake: UInt64 = 25_000_000_000_000
    /// The most contributors in addition to the operator.
    public var maximumContributors: UInt8 = 10
    /// The smallest share of the full stake that the operator must contribute.
    public var operatorShare: UInt16 = 2_500
    /// The smallest contribution of a new contributor; 0: the missing stake divided by the free places.
    public var minimumContribution: UInt64 = 0
    /// A contributor with less than this share of the stake is a small contributor.
    public var smallShare: UInt16 = 2_500
    /// How long after the node became active a small contributor may first request to leave.
    public var smallLeaveWait: UInt32 = 30 * 86_400
    /// How long after the request a node leaves.
    public var leaveDelay: UInt32 = 15 * 86_400
    /// How long the stake of a deregistered node stays locked.
    public var deregistrationLock: UInt32 = 30 * 86_400
    /// The share of the pool that is paid out in a year if the pool does not change.
    public var yearlyRate: UInt16 = 1_400
    /// The time between two distributions.
    public var rewardInterval: UInt32 = 86_400
    /// The number of distributions in a year.
    public var intervalsPerYear: UInt16 = 365
    /// The share of a network fee that goes to the pool; the rest goes to the treasury.
    public var poolShare: UInt16 = 9_000
    /// The account that may claim the part of the network fees that the pool does not get.
    public var treasury: Account
    /// The credit of a node that becomes active.
    public var creditAtStart: UInt32 = 7_200
    /// The growth of the credit in `creditPeriod` of service.
    public var creditGrowth: UInt32 = 48 * 60
    /// The time of service in which the credit grows by `creditGrowth`.
    public var creditPeriod: UInt32 = 86_400
    /// The most credit that a node can have, in seconds.
    public var creditLimit: UInt32 = 48 * 3_600
    /// How long after its credit is used up a decommissioned node is deregistered; the used part is subtracted from its
    /// credit.
    public var creditGrace: UInt32 = 3_600
    /// How many nodes judge another.
    public var quorumSize: UInt8 = 10
    /// How many votes of a full quorum are needed.
    public var quorumVotes: UInt8 = 7
    /// For how many heights a quorum may judge.
    public var voteLifetime: UInt16 = 60
    /// The largest number of nodes, open ones included.
    public var maximumNodes: UInt16 = 10_000
    /// The largest number of operations in one block.
    public var operationsPerBlock: UInt32 = 1_000

    /// The smallest balance of an account after a transfer from it, and the smallest transfer that creates an account.
    public var accountMinimum: UInt64 = 1_000_000_000
    /// The largest number of accounts, those of the genesis included.
    public var maximumAccounts: UInt32 = 100_000
    /// From how many operators a node keeps a report.
    public var reportsPerNode: UInt8 = 10
    /// The fee of an account's operation in atomic units; the pool gets it.
    public var operationFee: UInt64 = 10_000_000
    /// The number of nodes that stay active whatever a verdict says: as many as a path needs.
    public var leastActive: UInt8 = 3
    /// The share of the active and decommissioned nodes that stays active whatever a verdict says.
    public var activeShare: UInt16 = 6_666
    /// The longest maintenance in seconds.
    public var maintenanceLimit: UInt32 = 12 * 3_600
    /// The least time in seconds between the end of a node's maintenance and the beginning of its next.
    public var maintenanceWait: UInt32 = 3 * 86_400

    /// The Session Network's parameters; `treasury` gets the part of the fees that the pool does not get.
    public init(treasury: Account) { self.treasury = treasury }

    /// Whether a state can use these parameters (docs/registry.md, "Parameters").
    public var areValid: Bool {
        let shares = [operatorShare, smallShare, yearlyRate, poolShare, activeShare]
        return fullStake > 0 && shares.allSatisfy { UInt64($0) <= Self.whole } && minimumContribution <= fullStake
            && maximumContributors < .max && rewardInterval > 0 && intervalsPerYear > 0 && creditPeriod > 0
            && creditAtStart <= creditLimit && (1...Self.quorumLimit).contains(quorumSize)
            && (1...quorumSize).contains(quorumVotes) && voteLifetime > 0
            && Int(maximumNodes) <= Snapshot.maximumNodes && reportsPerNode <= Self.quorumLimit && leastActive > 0
    }

    /// How many of `count` active and decommissioned nodes stay active whatever a verdict says.
    public func floor(of count: Int) -> Int {
        max(Int(leastActive), Int(portionRoundedUp(of: UInt64(count), UInt64(activeShare), Self.whole)))
    }

    /// The smallest contribution of an operator.
    public var operatorMinimum: UInt64 { portionRoundedUp(of: fullStake, UInt64(operatorShare), Self.whole) }

    /// How many votes of a quorum of `size` are needed: the same share as of a full one, rounded up.
    public func votesNeeded(ofQuorum size: Int) -> Int {
        (size * Int(quorumVotes) + Int(quorumSize) - 1) / Int(quorumSize)
    }

    /// The largest sum of credit and grace.
    var allowanceLimit: UInt64 { UInt64(creditLimit) + UInt64(creditGrace) }

    func encode(to writer: inout ByteWriter) {
        writer.u64(fullStake)
        writer.u8(maximumContributors)
        writer.u16(operatorShare)
        writer.u64(minimumContribution)
        writer.u16(smallShare)
        writer.u32(smallLeaveWait)
        writer.u32(leaveDelay)
        writer.u32(deregistrationLock)
        writer.u16(yearlyRate)
        writer.u32(rewardInterval)
        writer.u16(intervalsPerYear)
        writer.u16(poolShare)
        writer.account(treasury)
        writer.u32(creditAtStart)
        writer.u32(creditGrowth)
        writer.u32(creditPeriod)
        writer.u32(creditLimit)
        writer.u32(creditGrace)
        writer.u8(quorumSize)
        writer.u8(quorumVotes)
        writer.u16(voteLifetime)
        writer.u16(maximumNodes)
        writer.u32(operationsPerBlock)
        writer.u64(accountMinimum)
        writer.u32(maximumAccounts)
        writer.u8(reportsPerNode)
        writer.u64(operationFee)
        writer.u8(leastActive)
        writer.u16(activeShare)
        writer.u32(maintenanceLimit)
        writer.u32(maintenanceWait)
    }

    /// Reads parameters; throws `outOfRange` if they are not valid.
    init(from reader: inout ByteReader) throws(WireError) {
        fullStake = try reader.u64()
        maximumContributors = try reader.u8()
        operatorShare = try reader.u16()
        minimumContribution = try reader.u64()
        smallShare = try reader.u16()
        smallLeaveWait = try reader.u32()
        leaveDelay = try reader.u32()
        deregistrationLock = try reader.u32()
        yearlyRate = try reader.u16()
        rewardInterval = try reader.u32()
        intervalsPerYear = try reader.u16()
        poolShare = try reader.u16()
        treasury = try reader.account()
        creditAtStart = try reader.u32()
        creditGrowth = try reader.u32()
        creditPeriod = try reader.u32()
        creditLimit = try reader.u32()
        creditGrace = try reader.u32()
        quorumSize = try reader.u8()
        quorumVotes = try reader.u8()
        voteLifetime = try reader.u16()
        maximumNodes = try reader.u16()
        operationsPerBlock = try reader.u32()
        accountMinimum = try reader.u64()
        maximumAccounts = try reader.u32()
        reportsPerNode = try reader.u8()
        operationFee = try reader.u64()
        leastActive = try reader.u8()
        activeShare = try reader.u16()
        maintenanceLimit = try reader.u32()
        maintenanceWait = try reader.u32()
        guard areValid else { throw .outOfRange }
    }
}

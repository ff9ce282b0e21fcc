internal import Registry
internal import Wire

/// What is decided about the registry of a new network.
struct RegistryPlan {
    /// How many authorities, the first nodes; nil: three, or one where there are fewer nodes.
    var authorities: Int?
    /// Seconds from one snapshot to the next.
    var epoch: UInt64 = 3600
    /// Seconds from one block to the next.
    var block: UInt64 = 120
    /// The credit that a node begins with, in seconds, where all times are a test's; nil: the Session Network's times.
    var testCredit: UInt32?

    /// How long one authority leads.
    var slot: UInt64 { min(10, block) }

    /// The numbers of the rules, with `treasury` for what the pool does not get of the fees.
    func parameters(treasury: Account) -> RegistryParameters {
        var parameters = RegistryParameters(treasury: treasury)
        // A node that is back within its credit has the time of an epoch to be found so.
        parameters.creditGrace = max(parameters.creditGrace, UInt32(clamping: epoch))
        guard let testCredit else { return parameters }
        // Everything that takes days takes seconds, so that a test sees it.
        let second = UInt32(clamping: max(1, block))
        parameters.creditAtStart = testCredit
        parameters.creditGrace = UInt32(clamping: epoch)
        parameters.maintenanceLimit = testCredit
        parameters.maintenanceWait = second * 10
        parameters.creditGrowth = 1
        parameters.creditPeriod = 10
        parameters.creditLimit = testCredit * 2
        parameters.smallLeaveWait = second * 10
        parameters.leaveDelay = second * 10
        parameters.deregistrationLock = second * 30
        parameters.rewardInterval = second * 10
        return parameters
    }
}

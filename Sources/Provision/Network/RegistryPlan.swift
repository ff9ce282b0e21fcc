internal import Registry
internal import Wire

/// What is decided about the registry of a new network.
package struct RegistryPlan {
    /// How many authorities, the first nodes; nil: three, or one where there are fewer nodes.
    package var authorities: Int?
    /// Seconds from one snapshot to the next.
    package var epoch: UInt64
    /// Seconds from one block to the next.
    package var block: UInt64
    /// The credit that a node begins with, in seconds, where all times are a test's; nil: the Session Network's times.
    package var testCredit: UInt32?

    /// A plan; what is not given is as in a network of the Session Network's times, with three authorities.
    package init(
        authorities: Int? = nil, epoch: UInt64 = 3600, block: UInt64 = 120, testCredit: UInt32? = nil
    ) {
        self.authorities = authorities
        self.epoch = epoch
        self.block = block
        self.testCredit = testCredit
    }

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

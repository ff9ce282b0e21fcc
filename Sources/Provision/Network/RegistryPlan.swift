internal import Registry
internal import Wire

/// The parameters of a new network's registry.
package struct RegistryPlan {
    /// The number of authorities, at the first nodes; nil: three, or one if there are fewer nodes.
    package var authorities: Int?
    /// Seconds from one snapshot to the next.
    package var epoch: UInt64
    /// Seconds from one block to the next.
    package var block: UInt64
    /// The credit with which a node begins, in seconds, with all times shortened for tests; nil: the Session Network's
    /// times.
    package var testCredit: UInt32?

    /// A plan; by default it has the Session Network's times and three authorities.
    package init(
        authorities: Int? = nil, epoch: UInt64 = 3600, block: UInt64 = 120, testCredit: UInt32? = nil
    ) {
        self.authorities = authorities
        self.epoch = epoch
        self.block = block
        self.testCredit = testCredit
    }

    /// The time in seconds for which one authority leads.
    var slot: UInt64 { min(10, block) }

    /// The parameters; `treasury` gets the part of the fees that the pool does not get.
    func parameters(treasury: Account) -> RegistryParameters {
        var parameters = RegistryParameters(treasury: treasury)
        // Other nodes have one epoch to notice that a node is back within its credit.
        parameters.creditGrace = max(parameters.creditGrace, UInt32(clamping: epoch))
        guard let testCredit else { return parameters }
        // Times of days become seconds, so that tests can wait for them.
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

internal import Registry

/// Explains to the user who submitted an operation why a rule of the registry refuses it, and names the remedy.
enum RefusalText {
    /// The end of a sentence about the rule of this name.
    ///
    /// Nil if the name is clear, if no command can break the rule, or if a newer program made it.
    static func meaning(of name: String) -> String? { RegistryRule(rawValue: name).flatMap(text(of:)) }

    private static func text(of rule: RegistryRule) -> String? {
        switch rule {
        case .otherNetwork: "it was signed for another network than the relay's"
        case .blockFull: "too many operations wait for the next block: try again in a minute"
        case .unknownAccount: "the account does not exist yet: transfer SESH to it first"
        case .operationFeeUnpaid: "the free balance does not cover the fee of the operation: 'tunic stake show'"
        case .replayed, .outOfTurn: "another operation of this account came in between: try again"
        case .expired: "it was signed for earlier blocks: sign it again"
        case .tooFewActive:
            "too few nodes would stay active; while that is so no node is suspended, so an outage costs nothing either"
        case .maintenanceTooLong:
            "a maintenance takes 12 h at most by default, and never longer than the node's credit: 'tunic nodes NODE'"
        case .maintenanceTooEarly: "the node's last maintenance was less than 3 days ago (by default)"
        case .notActive: "the node is not active: 'tunic nodes NODE'"
        case .notDecommissioned: "the node is not out of service"
        case .judgedByOthers: "others decide when the node serves again: 'tunic relay --check'"
        case .staleRequest:
            "the request is too old, or the node's state changed just now: try again after the next block"
        case .zeroAmount: "name an amount above 0"
        case .overspent:
            "the free balance is too small for the amount and the fee of the operation: 'tunic stake show'"
        case .wrongReceiver: "a transfer must go to another account"
        case .transferUnder:
            "the sender must keep, and a new account must get, the smallest balance: 1 SESH by default"
        case .tooManyAccounts, .tooManyNodes: "the registry has no room for more"
        case .alreadyRegistered: "the node is in the registry: 'tunic nodes'"
        case .feeOutOfRange: "a fee is 0 to 100 percent"
        case .feeRaised: "a fee can rise only while no one else has a stake in the node"
        case .feeAbove: "the operator's fee is higher than the one that you accept: 'tunic nodes NODE'"
        case .stakeUnder:
            "the minimum is a quarter of the stake; for a contributor, the missing stake divided by the free places"
        case .stakeOver: "it is more than the node's stake lacks: 'tunic nodes NODE'"
        case .tooManyContributors: "the node's places are all taken: choose another node"
        case .unknownNode: "no such node is registered: 'tunic nodes'"
        case .notOpen: "the node's stake is full"
        case .notFull: "the node's stake is not full: 'tunic stake cancel' takes a contribution back"
        case .notOperator: "only the account that registered the node may do this"
        case .notContributor: "this account has no stake in the node"
        case .leaveAskedTwice: "the node is leaving already: 'tunic nodes NODE'"
        case .leaveTooEarly:
            "a small contributor may request it only after the node was active for 30 days (by default)"
        case .nothingToClaim: "this account has no rewards yet"
        case .heightNotAbove, .timeWentBack, .timeOutOfRange, .wrongSigner, .wrongNodeSignature, .unknownQuorum,
            .staleVotes, .notInQuorum, .wrongVote, .tooFewVotes, .inMaintenance, .wrongReport, .notReporter,
            .sameOperator, .staleReport, .distributedTooEarly:
            nil
        }
    }
}

/// Explains a refusal by a rule of the registry to the user who submitted the operation, with the remedy.
enum RefusalText {
    /// The end of a sentence about the rule of this name; nil if the name is clear, or no command can lead to it.
    static func meaning(of rule: String) -> String? {
        switch rule {
        case "otherNetwork": "the relay follows another network than the one that it was signed for"
        case "blockFull": "too much waits for the next block: try again in a minute"
        case "unknownAccount": "the account has never had anything: have SESH transferred to it first"
        case "operationFeeUnpaid": "the free balance does not cover the fee of the operation: 'tunic stake show'"
        case "replayed", "outOfTurn": "another operation of this account came in between: try again"
        case "expired": "it was signed for earlier blocks: sign it again"
        case "tooFewActive":
            "too few nodes would stay active; nobody is put aside where that is so, so an outage costs nothing either"
        case "maintenanceTooLong":
            "a maintenance takes 12 h at most by default, and never longer than the node's credit: 'tunic nodes NODE'"
        case "maintenanceTooEarly": "the node's last maintenance was less than 3 days ago (by default)"
        case "notActive": "the node is not active: 'tunic nodes NODE'"
        case "notDecommissioned": "the node is not out"
        case "judgedByOthers": "others decide when the node serves again: 'tunic relay --check'"
        case "staleRequest":
            "the request is too old, or the node's state changed just now: try again after the next block"
        case "zeroAmount": "name an amount above 0"
        case "overspent":
            "the free balance is too small for the amount and the fee of the operation: 'tunic stake show'"
        case "wrongReceiver": "a transfer goes to another account"
        case "transferUnder":
            "the sender keeps the least that an account holds, and a new account gets it: 1 SESH by default"
        case "tooManyAccounts", "tooManyNodes": "the registry has no room for more"
        case "alreadyRegistered": "the node is in the registry: 'tunic nodes'"
        case "feeOutOfRange": "a fee is 0 to 100 percent"
        case "feeRaised": "a fee rises only while nobody else has a part in the node"
        case "stakeUnder": "the least is a quarter of the stake, a contributor's what is missing by the places left"
        case "stakeOver": "it is more than the node's stake lacks: 'tunic nodes NODE'"
        case "tooManyContributors": "the node's places are all taken: choose another node"
        case "unknownNode": "no such node is registered: 'tunic nodes'"
        case "notOpen": "the node's stake is full"
        case "notFull": "the node's stake is not full: 'tunic stake cancel' gives a part back"
        case "notOperator": "only the account that registered the node may"
        case "notContributor": "this account has no part in the node"
        case "leaveAskedTwice": "the node is leaving already: 'tunic nodes NODE'"
        case "leaveTooEarly": "a small contributor may ask only when the node has been active for 30 days by default"
        case "nothingToClaim": "this account has no rewards yet"
        default: nil
        }
    }
}

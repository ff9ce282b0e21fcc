/// A rule that refuses operations or blocks, by the name that docs/registry.md lists and that SUBMIT's answer carries.
///
/// The names are written out: they never change, not even with a case.
public enum RegistryRule: String, CaseIterable, Sendable {
    case heightNotAbove = "heightNotAbove"
    case timeWentBack = "timeWentBack"
    case timeOutOfRange = "timeOutOfRange"
    case otherNetwork = "otherNetwork"
    case blockFull = "blockFull"
    case unknownAccount = "unknownAccount"
    case replayed = "replayed"
    case outOfTurn = "outOfTurn"
    case expired = "expired"
    case operationFeeUnpaid = "operationFeeUnpaid"
    case wrongSigner = "wrongSigner"
    case zeroAmount = "zeroAmount"
    case overspent = "overspent"
    case wrongReceiver = "wrongReceiver"
    case transferUnder = "transferUnder"
    case tooManyAccounts = "tooManyAccounts"
    case wrongNodeSignature = "wrongNodeSignature"
    case alreadyRegistered = "alreadyRegistered"
    case tooManyNodes = "tooManyNodes"
    case feeOutOfRange = "feeOutOfRange"
    case feeRaised = "feeRaised"
    case feeAbove = "feeAbove"
    case stakeUnder = "stakeUnder"
    case stakeOver = "stakeOver"
    case tooManyContributors = "tooManyContributors"
    case unknownNode = "unknownNode"
    case notOpen = "notOpen"
    case notFull = "notFull"
    case notOperator = "notOperator"
    case notContributor = "notContributor"
    case leaveAskedTwice = "leaveAskedTwice"
    case leaveTooEarly = "leaveTooEarly"
    case unknownQuorum = "unknownQuorum"
    case staleVotes = "staleVotes"
    case notInQuorum = "notInQuorum"
    case wrongVote = "wrongVote"
    case tooFewVotes = "tooFewVotes"
    case notActive = "notActive"
    case notDecommissioned = "notDecommissioned"
    case tooFewActive = "tooFewActive"
    case inMaintenance = "inMaintenance"
    case staleRequest = "staleRequest"
    case maintenanceTooLong = "maintenanceTooLong"
    case maintenanceTooEarly = "maintenanceTooEarly"
    case judgedByOthers = "judgedByOthers"
    case wrongReport = "wrongReport"
    case notReporter = "notReporter"
    case sameOperator = "sameOperator"
    case staleReport = "staleReport"
    case distributedTooEarly = "distributedTooEarly"
    case nothingToClaim = "nothingToClaim"
}

extension RegistryRefusal {
    /// The rule, without what the refusal says beside it.
    public var rule: RegistryRule {
        switch self {
        case .heightNotAbove: .heightNotAbove
        case .timeWentBack: .timeWentBack
        case .timeOutOfRange: .timeOutOfRange
        case .otherNetwork: .otherNetwork
        case .blockFull: .blockFull
        case .unknownAccount: .unknownAccount
        case .replayed: .replayed
        case .outOfTurn: .outOfTurn
        case .expired: .expired
        case .operationFeeUnpaid: .operationFeeUnpaid
        case .wrongSigner: .wrongSigner
        case .zeroAmount: .zeroAmount
        case .overspent: .overspent
        case .wrongReceiver: .wrongReceiver
        case .transferUnder: .transferUnder
        case .tooManyAccounts: .tooManyAccounts
        case .wrongNodeSignature: .wrongNodeSignature
        case .alreadyRegistered: .alreadyRegistered
        case .tooManyNodes: .tooManyNodes
        case .feeOutOfRange: .feeOutOfRange
        case .feeRaised: .feeRaised
        case .feeAbove: .feeAbove
        case .stakeUnder: .stakeUnder
        case .stakeOver: .stakeOver
        case .tooManyContributors: .tooManyContributors
        case .unknownNode: .unknownNode
        case .notOpen: .notOpen
        case .notFull: .notFull
        case .notOperator: .notOperator
        case .notContributor: .notContributor
        case .leaveAskedTwice: .leaveAskedTwice
        case .leaveTooEarly: .leaveTooEarly
        case .unknownQuorum: .unknownQuorum
        case .staleVotes: .staleVotes
        case .notInQuorum: .notInQuorum
        case .wrongVote: .wrongVote
        case .tooFewVotes: .tooFewVotes
        case .notActive: .notActive
        case .notDecommissioned: .notDecommissioned
        case .tooFewActive: .tooFewActive
        case .inMaintenance: .inMaintenance
        case .staleRequest: .staleRequest
        case .maintenanceTooLong: .maintenanceTooLong
        case .maintenanceTooEarly: .maintenanceTooEarly
        case .judgedByOthers: .judgedByOthers
        case .wrongReport: .wrongReport
        case .notReporter: .notReporter
        case .sameOperator: .sameOperator
        case .staleReport: .staleReport
        case .distributedTooEarly: .distributedTooEarly
        case .nothingToClaim: .nothingToClaim
        }
    }

    /// The rule's name.
    public var name: String { rule.rawValue }
}

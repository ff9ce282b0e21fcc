package import Control
package import Process
package import Registry
internal import Texts

/// A relay that accepts operations on the registry.
package protocol OperationTaker {
    /// Submits an operation and waits until it is in a block.
    func handIn(_ operation: RegistryOperation) throws(Failure) -> OperationReport
    /// Asks whether the rules would accept an operation; throws if one refuses it.
    func dryRun(_ operation: RegistryOperation) throws(Failure) -> OperationReport
}

extension ControlTarget: OperationTaker {}

/// One operation on the registry, from the command line to its result.
package struct StakeOrder {
    /// The use of the signed operation.
    package enum Way {
        /// A relay submits it.
        case submit(any OperationTaker)
        /// A relay reports whether the rules would accept it.
        case dryRun(any OperationTaker)
        /// It is printed, for `tunic stake submit`.
        case offline
    }

    /// The result of an order.
    package struct Outcome: Equatable {
        /// The output of the command.
        package var text: String
        /// The height of the operation's block; nil if it was not submitted.
        package var height: UInt64?
    }

    private let way: Way
    private let isJSON: Bool
    private let ask: (String) throws(Failure) -> Void

    /// An order; `ask` is called before an operation that cannot be undone, and throws if the user does not agree.
    package init(_ way: Way, isJSON: Bool, ask: @escaping (String) throws(Failure) -> Void) {
        self.way = way
        self.isJSON = isJSON
        self.ask = ask
    }

    /// Performs `operation`, which `signer` signed.
    ///
    /// `what` describes it for users. If `asks`, the user must agree first, except to a dry run.
    package func run(
        _ what: String, asks: Bool, _ operation: RegistryOperation, by signer: borrowing StakeSigner
    ) throws(Failure) -> Outcome {
        let fee = signer.cost(of: operation)
        let cost = fee == 0 ? "" : ", for a fee of \(Amount.text(fee)) SESH"
        switch way {
        case .dryRun(let relay):
            let report = try relay.dryRun(operation)
            return Outcome(
                text: isJSON ? json(report) : "the rules accept it: \(what)\(cost); nothing was done", height: nil)
        case .offline:
            if asks { try ask("\(what)\(cost).") }
            return Outcome(
                text: json(SignedOperation(what: "\(what), for blocks up to \(signer.until)", operation)), height: nil)
        case .submit(let relay):
            if asks { try ask("\(what)\(cost).") }
            let report = try relay.handIn(operation)
            return Outcome(
                text: isJSON ? json(report) : "done, in block \(report.height ?? 0)\(cost)", height: report.height)
        }
    }
}

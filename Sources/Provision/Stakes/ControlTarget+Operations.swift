package import Control
internal import EventLoop
package import Process
package import Registry
internal import Wire

extension ControlTarget {
    /// The relay's report of an account, 64 hexadecimal digits.
    package func account(_ account: String) throws(Failure) -> AccountReport {
        try ask(.account, account, as: AccountReport.self)
    }

    /// Submits an operation and waits until it is in a block.
    package func handIn(_ operation: RegistryOperation) throws(Failure) -> OperationReport {
        try follow(try ask(.submit, hexadecimal(operation.encoded()), as: OperationReport.self))
    }

    /// Asks the relay whether the rules would accept an operation; throws if one refuses it.
    package func dryRun(_ operation: RegistryOperation) throws(Failure) -> OperationReport {
        let report = try ask(.dryrun, hexadecimal(operation.encoded()), as: OperationReport.self)
        guard report.state != .refused else { throw Failure.refused(report) }
        return report
    }

    /// Requests a maintenance of the relay's node for this many seconds, or ends it with 0, and waits for the block.
    package func maintain(seconds: UInt32) throws(Failure) -> OperationReport {
        try follow(try ask(.maintenance, "\(seconds)", as: OperationReport.self))
    }

    /// How often the state of an operation is requested, in nanoseconds.
    private static let interval: UInt64 = 100_000_000
    /// The longest time for an operation, in nanoseconds: longer than a relay's own limit with blocks of two minutes.
    private static let limit: UInt64 = 400_000_000_000

    /// Waits until an operation is in a block; throws if a rule refuses it or no block has it in time.
    func follow(_ first: OperationReport) throws(Failure) -> OperationReport {
        var report = first
        let loop = try makeLoop()
        let start = loop.now
        while report.state == .waiting, loop.refreshNow() - start < Self.limit {
            let timer = LoopTimer(on: loop) { loop.stop() }
            timer.schedule(at: loop.now + Self.interval)
            loop.run()
            timer.close()
            report = try ask(.operation, report.operation, as: OperationReport.self)
        }
        loop.close()
        switch report.state {
        case .applied: return report
        case .refused: throw Failure.refused(report)
        case .waiting, .timedOut:
            throw Failure(
                .unavailable,
                "no block had the operation in time; a later one may: check 'tunic stake show' before you try again")
        }
    }
}

extension Failure {
    /// The failure for a rule that refuses an operation.
    static func refused(_ report: OperationReport) -> Failure {
        let rule = report.rule ?? "-"
        return Failure(.data, "refused by the rule \(rule)\(RefusalText.meaning(of: rule).map { "; \($0)" } ?? "")")
    }
}

internal import Texts

extension OperationReport {
    /// The output of `tunic maintenance` for an applied request of `seconds`; 0 ends a maintenance.
    package func maintenanceText(seconds: UInt32) -> String {
        let done = "done, in block \(height ?? 0): the node is"
        guard seconds > 0 else { return "\(done) active, and is used again from the next epoch on" }
        return
            "\(done) out for \(durationText(Double(seconds))), and is active again by itself; stop the relay when no "
            + "streams are left ('tunic status')"
    }
}

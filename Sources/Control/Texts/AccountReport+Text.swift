internal import Texts
internal import Wire

extension AccountReport {
    /// The output of `tunic stake show`: a table.
    package var text: String {
        var table = Table()
        table.add("account", account)
        table.add("balance", "\(Amount.text(balance)) SESH")
        table.add("rewards", "\(Amount.text(rewards)) SESH")
        table.add("fee", "\(Amount.text(operationFee)) SESH for each operation except 'leave'")
        for stake in stakes {
            var state = stake.state
            if let time = stake.leavesAt { state += ", leaves at \(UnixTime(seconds: time).dateText)" }
            if let time = stake.deregistersAt {
                state += ", locked at \(UnixTime(seconds: time).dateText) unless it serves again"
            }
            table.add("stake", "\(Amount.text(stake.amount)) SESH in \(stake.node) (\(state))")
        }
        for lock in locked {
            table.add(
                "locked",
                "\(Amount.text(lock.amount)) SESH until \(UnixTime(seconds: lock.until).dateText): \(lock.node) was "
                    + "deregistered, because it was away for longer than \(allowanceText(grace: lock.grace))")
        }
        return table.lines.joined(separator: "\n")
    }
}

internal import Texts
internal import Wire

extension NodesReport {
    /// The output of `tunic nodes`: a table.
    ///
    /// If there is only one node, the meaning of its state, its `remedy` and its contributions follow.
    package func text(remedy: (Node) -> String?) -> String {
        var table = Table()
        // Without a ledger the registry has only the staked nodes.
        let hasLedger = fullStake > 0
        let stakes = ["stake", "fee", "uptime", "credit"]
        let hasStore = nodes.contains { $0.lastStorageTest != nil }
        table.add(
            ["node", "state"] + (hasLedger ? stakes : []) + ["last test"] + (hasStore ? ["storage test"] : [])
                + ["kB/s", "operator"])
        for node in nodes {
            let state = node.leavesAt.map { "\(node.state), leaves \(UnixTime(seconds: $0).dateText)" } ?? node.state
            let held = [
                Amount.text(node.stake), Amount.percent(node.fee), durationText(Double(node.uptime)),
                creditText(node.credit),
            ]
            table.add(
                [node.id, state] + (hasLedger ? held : []) + [
                    Self.test(of: node)
                ] + (hasStore ? [Self.storageTest(of: node)] : []) + [
                    node.capacity.map { "\($0)" } ?? "-", String(node.operator.prefix(16)),
                ])
        }
        var lines = table.lines
        if nodes.count == 1, let node = nodes.first, let text = Self.standing(of: node) {
            lines.append("  \(text)\(remedy(node).map { "; \($0)" } ?? "")")
        }
        for part in nodes.first?.contributions ?? [] {
            lines.append("  \(part.account)  \(Amount.text(part.amount))")
        }
        let holdings = hasLedger ? ", pool \(Amount.text(pool)) SESH" : ""
        lines.append("\(hasLedger ? "block" : "height") \(height), \(nodes.count) nodes\(holdings)")
        return lines.joined(separator: "\n")
    }

    /// The meaning of a node's state, and its end; nil if there is nothing to do.
    private static func standing(of node: Node) -> String? {
        func date(_ time: UInt64?) -> String { time.map { UnixTime(seconds: $0).dateText } ?? "-" }
        return switch node.state {
        case "maintenance":
            "in maintenance, at its own request, until \(date(node.maintenanceUntil)); then active again"
        case "decommissioned" where node.deregistersAt != nil:
            "others found that it did not serve; active again when it passes their tests, else deregistered at "
                + "\(date(node.deregistersAt)) and its stake locked"
        case "deregistered":
            "deregistered: it was away for longer than \(allowanceText(grace: node.grace)); its stake is locked until "
                + "\(date(node.lockedUntil)), then free; it can be registered again with another stake"
        default: nil
        }
    }

    /// When the node was last tested, and whether it failed.
    private static func test(of node: Node) -> String {
        guard let age = node.lastTest else { return "-" }
        let text = "\(durationText(Double(age))) ago"
        guard let marks = node.marks, marks > 0, node.lastPass.map({ $0 > age }) ?? true else { return text }
        return marks >= 3 ? "\(text), dead" : "\(text), failed"
    }
}

extension NodesReport {
    /// When the node's storage was last tested, and whether it lost items.
    fileprivate static func storageTest(of node: Node) -> String {
        guard let age = node.lastStorageTest else { return "-" }
        let text = "\(durationText(Double(age))) ago"
        guard let marks = node.storageMarks, marks > 0 else { return text }
        return marks >= 3 ? "\(text), loses items" : "\(text), failed"
    }
}

/// How long a node may fail to serve: its credit, and the `grace` of its network in seconds.
func allowanceText(grace: UInt64?) -> String {
    guard let grace else { return "its credit and grace" }
    return "its credit and the \(durationText(Double(grace))) of grace after it"
}

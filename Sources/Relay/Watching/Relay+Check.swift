internal import Directory
internal import Links
internal import Wire

extension Relay {
    /// What an operator wants to know, and whether more is to come: the first call begins to ask others.
    public func check() -> (items: [CheckItem], isDone: Bool) {
        selfCheck.advance()
        var items = [
            CheckItem("port", .good, "bound to \(listenAddresses.map(\.description).joined(separator: " and "))"),
            clockItem, registryItem,
        ]
        let count = linkedNodes
        items.append(
            count > 0
                ? CheckItem("links", .good, "linked with \(count) other nodes")
                : CheckItem(
                    "links", selfCheck.isDone ? .bad : .pending,
                    "linked with no other node; look whether UDP leaves this machine, and at the network file"))
        return (items + selfCheck.items(announced), selfCheck.isDone)
    }

    private var clockItem: CheckItem {
        if let wrongClock { return CheckItem("clock", .bad, wrongClock) }
        guard let error = clockError else {
            return CheckItem("clock", selfCheck.isDone ? .unknown : .pending, "no other node has told its time")
        }
        return CheckItem("clock", .good, "\(abs(Int(error.inSeconds))) s from the other nodes'")
    }

    private var registryItem: CheckItem {
        if let problem = registryProblem { return CheckItem("registry", .bad, problem) }
        let found = trustedSnapshot
        guard let entry = found.entry(of: node) else {
            return CheckItem(
                "registry", .bad,
                "this node is not staked in the snapshot of height \(found.height); see 'tunic stake'")
        }
        return switch entry.state {
        case .staked: CheckItem("registry", .good, "staked in the snapshot of height \(found.height)")
        case .suspended:
            CheckItem(
                "registry", .bad,
                "decommissioned in the snapshot of height \(found.height); it comes back by passing the others' tests")
        default: CheckItem("registry", .bad, "in a state that this version does not know")
        }
    }
}

internal import Directory
internal import Links
internal import Wire

extension Relay {
    /// The checks that an operator asks for, and whether they are complete.
    ///
    /// The first call begins to ask other nodes.
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
        return (items + selfCheck.items(publication.announced), selfCheck.isDone)
    }

    private var clockItem: CheckItem {
        if let wrongClock { return CheckItem("clock", .bad, wrongClock.text) }
        guard let error = clockError else {
            return CheckItem("clock", selfCheck.isDone ? .unknown : .pending, "no other node has told its time")
        }
        return CheckItem("clock", .good, "\(abs(Int(error.inSeconds))) s from the other nodes'")
    }

    private var registryItem: CheckItem {
        if let problem = registryProblem { return CheckItem("registry", .bad, problem.text) }
        guard isActive else { return CheckItem("registry", .bad, standing.text) }
        return CheckItem("registry", .good, "staked in the snapshot of height \(trustedSnapshot.height)")
    }
}

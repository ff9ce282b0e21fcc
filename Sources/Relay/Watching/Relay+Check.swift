internal import Directory
internal import Links
internal import Wire

extension Relay {
    /// The checks that an operator asks for, and whether they are complete.
    ///
    /// The first call begins to ask other nodes.
    public func check() -> (items: [CheckItem], isDone: Bool) {
        selfCheck.advance()
        let items = [
            CheckItem(.bound(listenAddresses), .good), clockItem, registryItem,
            CheckItem(.links(linkedNodes), linkedNodes > 0 ? .good : selfCheck.isDone ? .bad : .pending),
        ]
        return (items + selfCheck.items(publication.announced), selfCheck.isDone)
    }

    private var clockItem: CheckItem {
        if let wrongClock { return CheckItem(.wrongClock(wrongClock), .bad) }
        guard let error = clockError else { return CheckItem(.noTime, selfCheck.isDone ? .unknown : .pending) }
        return CheckItem(.clock(difference: abs(Int(error.inSeconds))), .good)
    }

    private var registryItem: CheckItem {
        if let problem = registryProblem { return CheckItem(.registry(problem), .bad) }
        guard isActive else { return CheckItem(.standing(standing), .bad) }
        return CheckItem(.staked(height: trustedSnapshot.height), .good)
    }
}

internal import Wire

extension CheckFinding {
    /// The subject of the check, in a word.
    public var name: String {
        switch self {
        case .bound: "port"
        case .wrongClock, .noTime, .clock: "clock"
        case .registry, .standing, .staked: "registry"
        case .links: "links"
        case .reached, .unreached, .noRoute, .unasked: "reachable"
        case .descriptor, .descriptorUnasked: "descriptor"
        }
    }

    /// The result in words, and the remedy.
    public var text: String {
        switch self {
        case .bound(let addresses): "bound to \(addresses.map(\.description).joined(separator: " and "))"
        case .wrongClock(let problem): problem.text
        case .noTime: "no other node has told its time"
        case .clock(let difference): "\(difference) s from the other nodes'"
        case .registry(let problem): problem.text
        case .standing(let standing): standing.text
        case .staked(let height): "staked in the snapshot of height \(height)"
        case .links(0): "linked with no other node; look whether UDP leaves this machine, and at the network file"
        case .links(let count): "linked with \(count) other nodes"
        case .reached(let address, let count, let asked):
            "\(count) of \(asked) nodes asked made a new link to \(address)"
        case .unreached(let address, let asked):
            "none of \(asked) nodes asked could make a link to \(address); open this UDP port in the firewall, and forward "
                + "it where there is NAT"
        case .noRoute(let address):
            "no node asked can try \(address): none has a route to it, or this node's links come from other addresses"
        case .unasked(let address): "no node could be asked whether it reaches \(address)"
        case .descriptor(0, let asked):
            "none of \(asked) nodes asked has taken it; look at the clock and at the registry"
        case .descriptor(let count, let asked): "\(count) of \(asked) nodes asked have taken it"
        case .descriptorUnasked: "no node could be asked for it"
        }
    }
}

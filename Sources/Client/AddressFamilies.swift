internal import Directory
internal import EventLoop
internal import Links
internal import Wire

/// The address families in which this machine reaches nodes.
struct AddressFamilies: Equatable {
    let hasIPv4: Bool
    let hasIPv6: Bool

    /// The families with a route to the Internet or to a node of the network file; both if neither has such a route.
    ///
    /// A machine without any route is offline for a time only.
    init(_ network: NetworkFile, _ links: Links) {
        let known = network.bootstrap.flatMap(\.addresses)
        let reached = { (isIPv4: Bool) in
            let global = Endpoint(isIPv4 ? .globalIPv4 : .globalIPv6)
            return ([global] + known).contains { ($0.address.v4 != nil) == isIPv4 && links.reaches($0) }
        }
        let (four, six) = (reached(true), reached(false))
        hasIPv4 = four || !six
        hasIPv6 = six || !four
    }

    /// Whether one of the addresses is in one of these families.
    func reaches(_ addresses: [Endpoint]) -> Bool {
        addresses.contains { $0.address.v4 != nil ? hasIPv4 : hasIPv6 }
    }
}

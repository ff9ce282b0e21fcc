package import Directory
package import Wire

/// The options of `tunic network create`.
package struct NetworkChoices {
    package var name = "tunic"
    /// The number of nodes; nil: that of the addresses, or five.
    package var nodes: Int?
    /// How many nodes, the last ones, are exits.
    package var exits = 1
    /// The address of all nodes, which get consecutive ports from ``basePort`` on.
    package var baseAddress = "127.0.0.1"
    package var basePort: UInt16 = 7100
    /// The addresses of each node, in place of base address and port.
    package var address: [[Endpoint]] = []
    /// The number of authorities; nil: three, or one if there are fewer nodes.
    package var authorities: Int?
    /// The length of an epoch in seconds.
    package var epoch: UInt64 = 3600
    /// The time of a block in seconds.
    package var blockTime: UInt64 = 120
    package var packetSize = NetworkFile.defaultPacketSize
    package var limits = NetworkLimits()
    package var swarms = NetworkFile.Swarms()
    /// Whether private and loopback addresses are allowed; they always are if all addresses are loopback.
    package var local = false

    package init() {}

    /// The network that the options describe.
    package func plan() throws(ChoiceFault) -> NetworkFolder.Plan {
        guard 1...64 ~= name.utf8.count, name.utf8.allSatisfy({ 0x20...0x7e ~= $0 }) else {
            throw ChoiceFault("--name: use 1 to 64 printable ASCII characters")
        }
        if !address.isEmpty, let nodes, nodes != address.count {
            throw ChoiceFault("--nodes \(nodes) and \(address.count) times --address do not match")
        }
        let count = address.isEmpty ? nodes ?? 5 : address.count
        guard 1...256 ~= count else { throw ChoiceFault("--nodes \(count): use 1 to 256") }
        guard 0...count ~= exits else {
            throw ChoiceFault("--exits \(exits): use 0 to \(count), the number of nodes")
        }
        guard Int(basePort) + count - 1 <= 65_535, basePort > 0 else {
            throw ChoiceFault("--base-port \(basePort) leaves no room for \(count) ports")
        }
        guard 1...604_800 ~= epoch else { throw ChoiceFault("--epoch \(epoch): use 1 to 604800 seconds") }
        guard 1...min(86_400, epoch) ~= blockTime else {
            throw ChoiceFault("--block-time \(blockTime): use 1 to \(min(86_400, epoch)) seconds")
        }
        guard let first = IPAddress(baseAddress) else {
            throw ChoiceFault("--base-address '\(baseAddress)' is not an address such as 127.0.0.1")
        }
        let addresses =
            address.isEmpty
            ? (0..<count).map { [Endpoint(address: first, port: basePort + UInt16($0))] } : address
        let all = addresses.flatMap { $0 }
        guard Set(all).count == all.count else { throw ChoiceFault("--address: an address occurs twice") }
        for endpoint in all where endpoint.address.isUnspecified {
            throw ChoiceFault("'\(endpoint)' is not an address to which others can send")
        }
        let isLocal = local || all.allSatisfy { $0.address.isLoopback }
        if !isLocal, let special = all.first(where: { !$0.address.isPublic && !$0.address.isDocumentation }) {
            throw ChoiceFault(
                "\(special.address) is not a public address; use --local for a network of private addresses")
        }
        var plan = NetworkFolder.Plan(
            name: name, addresses: addresses, exits: exits, packetSize: packetSize, isLocal: isLocal)
        (plan.limits, plan.swarms) = (limits, swarms)
        plan.registry = RegistryPlan(authorities: authorities, epoch: epoch, block: blockTime)
        return plan
    }
}

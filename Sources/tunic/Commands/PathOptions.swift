internal import ArgumentParser
internal import Directory

/// The options of the commands that build paths.
struct PathOptions: ParsableArguments {
    @Option(help: "How many nodes a path has, 1 to 4.")
    var hops = 3

    @Option(
        name: .customLong("path-use"),
        help: ArgumentHelp("How long a path is used before another takes its place, 2 to 900.", valueName: "seconds"))
    var pathUse = 900

    mutating func validate() throws {
        guard 1...4 ~= hops else { throw ValidationError("--hops \(hops): a path has 1 to 4 hops") }
        guard 2...900 ~= pathUse else { throw ValidationError("--path-use \(pathUse): use 2 to 900 seconds") }
    }
}

/// The options of the commands that make a network.
struct NetworkOptions: ParsableArguments {
    @Option(name: .customLong("packet-size"), help: ArgumentHelp("The size of every datagram.", valueName: "bytes"))
    var packetSize = NetworkFile.defaultPacketSize

    @Option(
        name: .customLong("limit"),
        help: ArgumentHelp(
            "Another limit of the nodes, such as streamsPerSecond=1000; may be repeated.",
            valueName: "name=number"))
    var limit: [String] = []

    @Option(
        help: ArgumentHelp(
            "How many shards the swarm store has: a power of two from 64 to 65536; 0: no store.", valueName: "number"))
    var shards = 0

    @Option(
        name: .customLong("swarm-size"),
        help: ArgumentHelp("How many nodes hold a shard: odd, 3 to 15.", valueName: "number"))
    var swarmSize = NetworkFile.Swarms().size

    /// The numbers of the swarm store.
    var swarms: NetworkFile.Swarms {
        var swarms = NetworkFile.Swarms()
        (swarms.shards, swarms.size) = (shards, swarmSize)
        return swarms
    }

    /// The limits of nodes.
    private(set) var limits = NetworkLimits()

    private enum CodingKeys: String, CodingKey { case packetSize, limit, shards, swarmSize }

    mutating func validate() throws {
        let sizes = NetworkFile.packetSizes
        guard sizes.contains(packetSize) else {
            throw ValidationError("--packet-size \(packetSize): use \(sizes.lowerBound) to \(sizes.upperBound)")
        }
        guard shards == 0 || 64...65_536 ~= shards && shards.nonzeroBitCount == 1 else {
            throw ValidationError("--shards \(shards): use 0, or a power of two from 64 to 65536")
        }
        guard 3...15 ~= swarmSize, swarmSize % 2 == 1 else {
            throw ValidationError("--swarm-size \(swarmSize): use an odd number from 3 to 15")
        }
        for text in limit {
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let value = Int(parts[1]), limits.set(parts[0], to: value) else {
                throw ValidationError(
                    "--limit '\(text)': use one of \(NetworkLimits.keys.joined(separator: ", ")), =, and a number that it may have"
                )
            }
        }
    }
}

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

    /// The limits of nodes.
    private(set) var limits = NetworkLimits()

    private enum CodingKeys: String, CodingKey { case packetSize, limit }

    mutating func validate() throws {
        let sizes = NetworkFile.packetSizes
        guard sizes.contains(packetSize) else {
            throw ValidationError("--packet-size \(packetSize): use \(sizes.lowerBound) to \(sizes.upperBound)")
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

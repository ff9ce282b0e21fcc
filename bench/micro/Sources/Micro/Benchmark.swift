internal import OnionCrypto

/// One thing to measure.
struct Benchmark: Sendable {
    /// How it is called on the command line.
    let name: String
    /// What one operation is.
    let title: String
    /// How many operations are counted at least, and how many are timed: enough for steady figures in about a second each.
    let counted: Int
    let timed: Int
    /// What it shares with others in the table.
    let group: String
    /// Runs batches until the meter has enough.
    let run: @Sendable (inout Meter, Suite) -> Void

    /// `counted` is 0 for what takes too long under callgrind.
    init(
        _ name: String, _ title: String, group: String, counted: Int = 5_120, timed: Int = 200_000,
        _ run: @escaping @Sendable (inout Meter, Suite) -> Void
    ) {
        self.name = name
        self.title = title
        self.group = group
        self.counted = counted
        self.timed = timed
        self.run = run
    }
}

/// All of them, in the order of the table.
let benchmarks: [Benchmark] = [
    Benchmark(
        "relay-forward", "relay: a packet towards the exit, from header to header", group: "packet", relayForward),
    Benchmark("relay-backward", "relay: a packet towards the client, the same", group: "packet", relayBackward),
    Benchmark("layer-forward", "table: find a path and take a layer off", group: "packet", layerForward),
    Benchmark("layer-backward", "table: find a path and put a layer on", group: "packet", layerBackward),
    Benchmark("terminal-open", "terminal: take the last layer off", group: "packet", terminalOpen),
    Benchmark("terminal-seal", "terminal: put the first layer on", group: "packet", terminalSeal),
    Benchmark("client-seal", "client: seal three layers", group: "packet", clientSeal),
    Benchmark("client-open", "client: open three layers", group: "packet", clientOpen),
    Benchmark("link-seal", "link: seal a header", group: "packet", linkSeal),
    Benchmark("link-open", "link: open a header and commit", group: "packet", linkOpen),
    Benchmark(
        "transport", "transport: a packet of a stream, written, sent, received, read", group: "packet", transport),
    Benchmark("find-1", "look-up among 1 path", group: "look-up", counted: 51_200, timed: 4_000_000) { meter, _ in
        find(&meter, 1)
    },
    Benchmark("find-1000", "look-up among 1,000", group: "look-up", counted: 51_200, timed: 4_000_000) { meter, _ in
        find(&meter, 1_000)
    },
    Benchmark("find-100000", "look-up among 100,000", group: "look-up", counted: 0, timed: 4_000_000) { meter, _ in
        find(&meter, 100_000)
    },
    Benchmark("find-1000000", "look-up among 1,000,000", group: "look-up", counted: 0, timed: 4_000_000) { meter, _ in
        find(&meter, 1_000_000)
    },
    Benchmark(
        "spread-backward", "table: put a layer on, each packet of another of 100,000 paths", group: "look-up",
        counted: 0,
        spreadBackward),
    Benchmark(
        "build-client", "client: make the records of a build, three hops", group: "build", counted: 20, timed: 300,
        buildClient),
    Benchmark(
        "build-hop", "hop: open a build, enter the path, wrap the answer", group: "build", counted: 20, timed: 600,
        buildHop),
    Benchmark(
        "build-finish", "client: verify the answer, make the layers", group: "build", counted: 20, timed: 300,
        buildFinish),
]

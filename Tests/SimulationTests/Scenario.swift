import Directory
import EventLoop
import Wire

@testable import Client
@testable import Relay

/// Snapshots of the same nodes, one for each epoch.
struct EpochRegistry: RegistrySource {
    let first: Snapshot
    let epochSeconds: UInt64
    var problem: (any RegistrySourceProblem)? { nil }

    init(_ file: NetworkFile) {
        first = file.snapshot.snapshot
        epochSeconds = file.epochSeconds
    }

    func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot? {
        guard now.seconds >= first.time.seconds else { return nil }
        let epoch = (now.seconds - first.time.seconds) / epochSeconds
        guard first.height + epoch > height else { return nil }
        let time = UnixTime(seconds: first.time.seconds + epoch * epochSeconds)
        return Snapshot(network: first.network, height: first.height + epoch, time: time, entries: first.entries)
            .map { SignedSnapshot($0) }
    }
}

/// A network with faults for a while, which must work again afterwards.
///
/// The seed decides everything: the number of nodes and clients, their lines, the apps' transfers, which nodes die,
/// drain or are cut off, and which clients move.
final class Scenario {
    struct Plan {
        var relays = 12, exits = 4, users = 8
        /// Seconds of faults.
        var faults = 30.0
        /// The bytes of the longest transfer.
        var longest = 120_000
        /// The seconds between two faults, and between two apps, on average.
        var faultPause = 2.5, appPause = 0.5
        var epochSeconds: UInt64 = 1_800
        /// The time at which the first new snapshot is due, in seconds.
        var epochEnds: UInt64 = 25
        /// The longest time without a byte, for an app whose stream is open, in seconds.
        var patience = 10.0
    }

    let network: Network
    let plan: Plan
    private var random: SimulatedRandom
    private(set) var tally: [String: Int] = [:]
    /// The longest time that an app waited for its next byte.
    private(set) var longestWait = 0.0
    /// The time at which a user's line was last at fault, or its client was last not ready.
    private var disturbed: [Int: Double] = [:]
    private var told: Set<ObjectIdentifier> = []

    init(seed: UInt64, _ plan: Plan = Plan(), trace: ((UInt64, Int, StaticString, Int) -> Void)? = nil) throws {
        self.plan = plan
        random = SimulatedRandom(seed: seed ^ 0x5eed)
        network = try Network(
            seed: seed, relays: plan.relays, exits: plan.exits, age: plan.epochSeconds - plan.epochEnds
        ) { file in
            file.epochSeconds = plan.epochSeconds
            file.snapshotMaximumAge = 10 * plan.epochSeconds
        } registry: {
            EpochRegistry($0)
        }
        network.world.trace = trace
        for node in network.nodes { node.host.line = line(loss: 0.005) }
        for _ in 0..<plan.users { try network.addUser(line: line(loss: 0.01)) }
    }

    private func count(_ what: String) { tally[what, default: 0] += 1 }

    private func draw(_ range: Range<Int>) -> Int { .random(in: range, using: &random) }
    private func seconds(_ range: ClosedRange<Double>) -> Double { .random(in: range, using: &random) }

    private func line(loss: Double) -> SimulatedLine {
        var line = SimulatedLine()
        line.delay = .seconds(seconds(0.002...0.04))
        line.jitter = .seconds(seconds(0...0.004))
        line.loss = seconds(0...loss)
        line.duplication = seconds(0...0.005)
        line.rate = UInt64(seconds(500_000...4_000_000))
        return line
    }

    // MARK: - What happens

    /// Runs the whole scenario, and closes the network.
    func run() throws {
        let isFound = network.run(60) { network.users.allSatisfy(\.isReady) }
        note("ready")
        if !isFound {
            for user in network.users where !user.isReady {
                network.violation("not ready: \(user.client?.status.problem?.text ?? "")")
            }
        }
        let end = network.time + plan.faults
        beginApps(until: end)
        beginFaults(until: end)
        while network.time < end + 40 {
            network.run(1)
            look()
            if network.time > end, network.users.allSatisfy({ $0.apps.allSatisfy(\.isOver) }) { break }
        }
        note("faults")
        try heal()
        note("healed")
        finish()
        note("closed")
    }

    /// The time at which each part was over, and the number of events until then.
    private(set) var notes: [String] = []
    private func note(_ what: String) {
        notes.append("\(what) \(Int(network.time)) s, \(network.world.eventCount) events")
    }

    private func beginApps(until end: Double) {
        network.world.after(.seconds(seconds(0...2 * plan.appPause))) { [self] in
            guard network.time < end else { return }
            try? beginApp(of: network.users[draw(0..<network.users.count)])
            beginApps(until: end)
        }
    }

    private func beginApp(of user: User) throws {
        guard user.apps.count(where: \.isWaiting) < 4 else { return }
        let isDownload = draw(0..<3) > 0
        var transfer = Transfer(
            kind: isDownload ? .download : .echo, seed: random.next(), length: draw(1..<plan.longest))
        if !isDownload {
            transfer.length = draw(1..<plan.longest / 6)
            transfer.piece = max(draw(1..<3_000), transfer.length / 10)
            transfer.pause = .seconds(seconds(0...2))
        }
        count("apps")
        let name = draw(0..<2) == 0 ? "server.example" : nil
        try user.begin(transfer, isolation: draw(0..<2), name: name)
    }

    private func beginFaults(until end: Double) {
        network.world.after(.seconds(seconds(0...2 * plan.faultPause))) { [self] in
            guard network.time < end else { return }
            fault(until: end)
            beginFaults(until: end)
        }
    }

    /// Whether one more node may go: more than two thirds of the nodes, and more than two exits, are up.
    private func mayLose(_ node: Node) -> Bool {
        let up = network.nodes.filter { $0.isUp && !$0.isDraining }
        let exits = up.count(where: \.isExit)
        return node.isUp && !node.isDraining && up.count > plan.relays * 2 / 3 && (!node.isExit || exits > 2)
    }

    private func fault(until end: Double) {
        let node = network.nodes[draw(0..<network.nodes.count)]
        let index = draw(0..<network.users.count)
        let user = network.users[index]
        let lasting = min(seconds(1...20), end - network.time)
        func after(_ seconds: Double, _ action: @escaping () -> Void) { network.world.after(.seconds(seconds), action) }
        func restart(_ node: Node) {
            do { try node.start() } catch { network.violation("a node does not start again: \(error)") }
        }
        switch draw(0..<8) {
        case 0, 1:
            guard mayLose(node) else { return }
            count("deaths")
            node.die()
            after(lasting) { restart(node) }
        case 2:
            guard mayLose(node) else { return }
            count("drains")
            node.drain { [self] in
                count("drained")
                after(1) { restart(node) }
            }
        case 3:
            guard mayLose(node) else { return }
            count("restarts")
            node.close()
            restart(node)
        case 4:
            guard mayLose(node) else { return }
            count("cut nodes")
            node.host.isCut = true
            after(lasting) { [self] in
                // The node may have died in the meantime.
                if node.relay != nil { node.host.isCut = false } else { network.violation("a cut node was lost") }
            }
        case 5:
            count("cut clients")
            let lasting = min(lasting, 8)
            user.host.isCut = true
            disturbed[index] = network.time + lasting
            after(lasting) { user.host.isCut = false }
        case 6:
            count("moved clients")
            user.host.move(to: [network.freshAddress()])
            disturbed[index] = max(network.time, disturbed[index] ?? 0)
        default:
            count("bad lines")
            let before = node.host.line.loss
            node.host.line.loss = 0.2
            after(min(lasting, 5)) { node.host.line.loss = before }
        }
    }

    // MARK: - What must hold

    /// Finds apps that wait for too long.
    private func look() {
        for (index, user) in network.users.enumerated() {
            // A client that reports no path knows of no guard that answers.
            if !user.isReady { disturbed[index] = max(network.time, disturbed[index] ?? 0) }
            for app in user.apps where app.state == .moving && !app.isPausing {
                let wait = network.time - max(app.lastProgress, disturbed[index] ?? 0)
                longestWait = max(longestWait, wait)
                if wait > plan.patience, told.insert(ObjectIdentifier(app)).inserted {
                    network.violation("client \(index): a stream is open and mute for \(wait) s")
                }
            }
        }
    }

    /// Checks that every client is served after the last fault.
    private func heal() throws {
        network.run(60) { network.nodes.allSatisfy { $0.isUp && !$0.isDraining } }
        for node in network.nodes where !node.isUp || node.isDraining {
            network.violation("node \(node.host.number) drains for ever")
        }
        for user in network.users {
            for app in user.apps {
                switch app.state {
                case .opening, .moving:
                    network.violation("an app still waits: \(app.state), \(app.received) of \(app.plan)")
                case .done: count("done")
                case .refused(let code): count("refused \(code)")
                case .broken: count("broken")
                case .closed: count("closed")
                }
                app.close()
            }
            user.apps = []
        }
        network.run(20)
        let last = try network.users.map { user in
            try user.begin(Transfer(kind: .download, seed: random.next(), length: 50_000))
        }
        network.run(30) { last.allSatisfy(\.isOver) }
        for (index, app) in last.enumerated() where app.state != .done {
            network.violation("client \(index) is not served after all: \(app.state), \(app.received) bytes")
        }
        for (index, user) in network.users.enumerated() where !user.isReady {
            network.violation("client \(index) is not ready after all: \(user.client?.status.problem?.text ?? "")")
        }
        let height = network.nodes.compactMap { $0.relay?.trustedSnapshot.height }
        if let most = height.max(), most - (height.min() ?? 0) > 1 { network.violation("snapshots: \(height)") }
        if let most = height.max() { tally["snapshots"] = Int(most) }
    }

    /// Closes the clients and then the nodes, and checks that nothing is left.
    private func finish() {
        for user in network.users { user.end() }
        network.run(3)
        for user in network.users { user.close() }
        // Draining nodes do not test others.
        for node in network.nodes { node.relay?.drain {} }
        network.run(100)
        for node in network.nodes {
            guard let relay = node.relay else { continue }
            let status = relay.status
            if status.paths > 0 || status.sessions > 0 || status.streams > 0 {
                network.violation(
                    "node \(node.host.number) keeps \(status.paths) paths, \(status.sessions) sessions, \(status.streams) streams"
                )
            }
            if status.links != relay.linkedNodes {
                network.violation("node \(node.host.number) keeps \(status.links - relay.linkedNodes) clients' links")
            }
        }
        if network.server.openCount > 0 { network.violation("the server keeps \(network.server.openCount) streams") }
        let relays = network.nodes.map { Weak($0.relay) }
        network.close()
        for host in network.world.hosts where host.openCount > 0 {
            network.violation("host \(host.number) has \(host.openCount) handles open")
        }
        if relays.contains(where: { $0.object != nil }) { network.violation("a closed relay stays in memory") }
    }
}

private final class Weak {
    weak var object: Relay?
    init(_ object: Relay?) { self.object = object }
}

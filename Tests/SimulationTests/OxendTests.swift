import Directory
import Testing
import Wire

@testable import Relay

/// The daemons beside the relays of a simulated network, with their own definitions (`reachable_stats`).
///
/// All their times are divided by ``hurry``.
private final class Daemons {
    static let hurry = 6.0

    /// What a relay reported on a node, in seconds.
    struct Reports {
        var lastPass: Double?, firstFailure: Double?, lastFailure: Double?
    }

    final class Daemon: RelayObserver {
        private let daemons: Daemons
        fileprivate var reports: [NodeID: Reports] = [:]
        let repeatInterval = TimeSpan.seconds(120 / Int64(Daemons.hurry))

        init(_ daemons: Daemons) { self.daemons = daemons }

        func problem(_ problem: RelayProblem?) {}

        func tested(_ node: NodeID, passed: Bool) {
            let now = daemons.time()
            var found = reports[node] ?? Reports()
            if passed {
                (found.lastPass, found.firstFailure) = (now, nil)
            } else {
                (found.lastFailure, found.firstFailure) = (now, found.firstFailure ?? now)
            }
            reports[node] = found
        }

        /// The nodes against which the daemon votes now.
        func unreachable() -> Set<NodeID> {
            let now = daemons.time()
            let found = reports.filter { _, reports in
                guard let last = reports.lastFailure, let first = reports.firstFailure,
                    reports.lastPass.map({ $0 < last }) ?? true
                else { return false }
                return now - last < 300 / Daemons.hurry && now - first >= 3_900 / Daemons.hurry
            }
            return Set(found.keys)
        }
    }

    var time: () -> Double = { 0 }
    private(set) var all: [NodeID: Daemon] = [:]

    func daemon(beside node: NodeID) -> Daemon {
        let daemon = all[node] ?? Daemon(self)
        all[node] = daemon
        return daemon
    }
}

/// Relays beside daemons, on simulated time.
@Suite struct OxendTests {
    @Test("w1: every daemon votes against a relay that died and one that never published, and against no other")
    func w1DeadRelays() throws {
        let daemons = Daemons()
        let network = try Network(
            seed: 9, relays: 6, exits: 2, { $0.epochSeconds = 600 }, observer: { daemons.daemon(beside: $0) })
        defer { network.close() }
        daemons.time = { [unowned network] in network.time }
        let (killed, silent) = (network.nodes[1], network.nodes[2])
        // Before it has published its descriptor.
        silent.die()
        network.run(120)
        killed.die()
        let judges = network.nodes.filter(\.isUp).compactMap { daemons.all[$0.id] }
        #expect(judges.count == 4)
        // Two epochs until the lack of a descriptor counts, three tests, and the daemon's hour.
        let due = 2 * 600.0 + 300 + 3_900 / Daemons.hurry
        while network.time < due + 600 {
            network.run(60)
            for judge in judges {
                let found = judge.unreachable()
                #expect(found.isSubset(of: [killed.id, silent.id]))
                if network.time > due { #expect(found == [killed.id, silent.id], "at \(network.time) s") }
            }
        }
        // What comes back is reported as well, and not voted against any more.
        try killed.start()
        try silent.start()
        network.run(900)
        for judge in judges {
            #expect(judge.unreachable() == [])
            #expect([killed, silent].allSatisfy { judge.reports[$0.id]?.firstFailure == nil })
        }
    }
}

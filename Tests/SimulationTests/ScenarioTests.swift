import CSimulation
import EventLoop
import Glibc
import Testing

/// Whole networks with faults, by seed.
///
/// `SIMULATION_SEEDS=1000 SIMULATION_FIRST=1 swift test --filter ScenarioTests` runs 1,000 seeds; a failure names its
/// seed.
@Suite struct ScenarioTests {
    static let seeds: [UInt64] = {
        let first = number("SIMULATION_FIRST") ?? 1
        return (first..<first + (number("SIMULATION_SEEDS") ?? 1)).map { $0 }
    }()

    /// A short plan, unless `SIMULATION_SEEDS` is set.
    private static var plan: Scenario.Plan {
        var plan = Scenario.Plan()
        if number("SIMULATION_SEEDS") == nil {
            (plan.faults, plan.faultPause, plan.longest, plan.epochEnds) = (8, 1.5, 30_000, 5)
        }
        return plan
    }

    private static func number(_ name: String) -> UInt64? {
        guard let value = unsafe getenv(name) else { return nil }
        return UInt64(unsafe String(cString: value))
    }

    @Test("What goes wrong for a while leaves no wrong byte, no mute stream, and nothing behind", arguments: seeds)
    func faults(seed: UInt64) throws {
        let began = Self.cpuTime
        let scenario = try Scenario(seed: seed, Self.plan)
        try scenario.run()
        let used = Self.cpuTime - began
        let network = scenario.network
        if Self.number("SIMULATION_FIRST") != nil {
            let minutes = network.time / 60 * Double(network.world.hosts.count - 1)
            print(
                "seed \(seed): \(Int(minutes)) node-minutes in \(used) s: \(Int(minutes / used)) a second; "
                    + "\(network.world.eventCount) events, \(network.world.traffic), \(scenario.notes), longest wait \(scenario.longestWait), "
                    + "\(scenario.tally.sorted { $0.key < $1.key })")
        }
        #expect(network.violations.isEmpty, "seed \(seed): \(network.violations.joined(separator: "\n"))")
    }

    @Test("The same seed gives the same run, event by event")
    func replay() throws {
        func run() throws -> (trace: [String], digest: UInt64) {
            var trace: [String] = []
            var plan = Scenario.Plan()
            (plan.faults, plan.longest, plan.users, plan.relays) = (6, 20_000, 4, 8)
            plan.faultPause = 1
            let scenario = try Scenario(seed: 77, plan) { trace.append("\($0) \($1) \($2) \($3)") }
            try scenario.run()
            #expect(scenario.network.violations.isEmpty, "\(scenario.network.violations)")
            return (trace, scenario.network.world.digest)
        }
        let (first, second) = (try run(), try run())
        #expect(simulation_has_fixed_order() != 0)
        #expect(first.digest == second.digest)
        if let place = zip(first.trace, second.trace).enumerated().first(where: { $1.0 != $1.1 }) {
            Issue.record("event \(place.offset): '\(place.element.0)' is now '\(place.element.1)'")
        }
    }

    /// The processor time of this thread, in seconds.
    private static var cpuTime: Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

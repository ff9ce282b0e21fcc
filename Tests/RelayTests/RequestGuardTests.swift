import Directory
import LoopTesting
import Requests
import Sessions
import Testing
import Wire

@testable import Client
@testable import Relay

/// The guards over which requests go.
@Suite struct RequestGuardTests {
    private let bench: RequestBench
    /// The guards in use.
    private let guards: [NodeID]
    /// A guard of the sample that is not in use.
    private let third: NodeID

    private var directory: DirectoryClient { bench.client.directory }

    init() throws {
        bench = try RequestBench(relays: 9)
        let directory = bench.client.directory
        guards = directory.guards.primaries.map(\.node)
        try #require(guards.count == Guards.primaryCount)
        // While both guards rest, another one is drawn.
        for node in guards { directory.guards.failed(node, at: directory.unixTime) }
        third = try directory.select(hops: 3, terminal: .any, avoiding: [])[0]
        for node in guards { directory.guards.succeeded(node, at: directory.unixTime) }
        try #require(directory.guards.sample.map(\.node) == guards + [third])
    }

    /// Asks `node` under an isolation key and waits for the end; adds the guards of the paths to `entries`.
    private func ask(
        _ node: NodeID, isolation: UInt64 = 1, entries: inout Set<NodeID>, meanwhile: () -> Void = {}
    ) throws -> (outcome: RequestClient.Outcome?, time: TimeSpan) {
        let descriptor = try #require(directory.descriptor(of: node))
        let call = RequestClient.Call(
            scope: .init(isolation: isolation, purpose: .state(node)), method: .status,
            targets: [.init(node: node, onionKey: descriptor.onionKey)], arguments: { _ in [] })
        var outcome: RequestClient.Outcome?
        let began = bench.pool.now
        bench.client.requests.ask(call) { outcome = $0 }
        bench.run(for: .seconds(12)) {
            meanwhile()
            entries.formUnion(bench.client.proxyPaths.guards)
            entries.formUnion(bench.client.requests.openHops.map { $0[0] })
            return outcome != nil
        }
        return (outcome, bench.pool.now - began)
    }

    @Test(
        "RQ5: while the guard that is not the target rests, a request waits: no path goes over the target or a third guard",
        arguments: 0..<2)
    func rq5RestingGuard(_ place: Int) throws {
        defer { bench.close() }
        let (target, other) = (guards[place], guards[1 - place])
        var entries: Set<NodeID> = []
        let rest = { directory.guards.failed(other, at: directory.unixTime) }
        rest()
        let (outcome, time) = try ask(target, isolation: 1, entries: &entries, meanwhile: rest)
        #expect(outcome == .noProxy && time == RequestClient.callTime && entries.isEmpty)
        // The guard works again while the next request waits.
        let began = bench.pool.now
        let later = try ask(target, isolation: 2, entries: &entries) {
            guard bench.pool.now - began > .seconds(5) else { return rest() }
            directory.guards.succeeded(other, at: directory.unixTime)
        }
        guard case .answered = later.outcome else { throw Unexpected() }
        #expect(entries == [other] && later.time > .seconds(5))
        #expect(directory.guards.sample.map(\.node) == guards + [third])
    }

    @Test("RQ5: builds that are never answered bring no third guard into use")
    func rq5UnansweredBuilds() throws {
        defer { bench.close() }
        let meddlers = try bench.relays.filter { !guards.contains($0.node) }.map(Meddler.init)
        for meddler in meddlers { meddler.holdsBuilds = true }
        let target = try #require(bench.relays.first { !(guards + [third]).contains($0.node) })
        var entries: Set<NodeID> = []
        for isolation in 1...4 as ClosedRange<UInt64> {
            let (outcome, time) = try ask(target.node, isolation: isolation, entries: &entries)
            #expect(outcome == .noProxy && time == RequestClient.callTime)
        }
        #expect(entries == Set(guards), "each of the two while the other is slow")
        #expect(directory.guards.sample.map(\.node) == guards + [third])
    }
}

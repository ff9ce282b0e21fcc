import EventLoop
import LoopTesting
import Requests
import Sessions
import Testing
import Transport
import Wire

private func node(_ number: UInt8) -> NodeID {
    NodeID(Bytes32(copying: [UInt8](repeating: number, count: 32).rawSpan))
}

/// Onion requests over paths that the test builds.
@Suite struct RequestCallsTests {
    private final class Path: RequestPath {
        let hops: [NodeID] = []
        let buildTime: TimeSpan? = nil
        let payloadSize = 1_200
        var isCarrying = false
        private(set) var isEnded = false

        func carry(_ session: RequestSession) { isCarrying = true }
        func transmit(_ session: Session, on leg: LegID, now: Instant) {}
        func end(isByProxy: Bool) { isEnded = true }
    }

    private final class Paths: RequestPaths {
        let time = UnixTime(seconds: 1_800_000_000)
        let proxies = (1...4 as ClosedRange<UInt8>).map { number in
            RequestNode(id: node(number), operatorID: node(number).key, weight: 1)
        }
        private(set) var builds: [(isWanted: () -> Bool, completion: ((any RequestPath)?) -> Void)] = []

        func reach(for target: NodeID) -> ((NodeID) -> Bool)? { { $0 != target } }
        func onionKey(of node: NodeID, in bytes: [UInt8]) -> [UInt8]? { nil }
        func build(
            to proxy: NodeID, for target: NodeID, isWanted: @escaping () -> Bool,
            completion: @escaping ((any RequestPath)?) -> Void
        ) { builds.append((isWanted, completion)) }
    }

    private func call(isolation: UInt64 = 0) -> RequestClient.Call {
        RequestClient.Call(
            scope: .init(isolation: isolation, purpose: .state(node(1))), method: .status,
            targets: [.init(node: node(1), onionKey: [])], arguments: { _ in [] })
    }

    @Test("A request for whose answer nobody waits is given up, and its place is free") func cancelled() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let paths = Paths()
        let calls = RequestCalls(on: loop, network: Bytes32(), paths: paths)
        defer { calls.close() }
        var outcomes: [RequestClient.Outcome] = []
        let number = try #require(calls.ask(call()) { outcomes.append($0) })
        #expect(calls.pending == 1)
        calls.cancel(number)
        #expect(calls.pending == 0 && outcomes.isEmpty)
        calls.cancel(number)
        #expect(calls.pending == 0 && outcomes.isEmpty)
    }

    @Test("L6: a new identity ends the sessions of its isolation key alone, those that are being built too")
    func l6_sessionsOfAKey() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let paths = Paths()
        let calls = RequestCalls(on: loop, network: Bytes32(), paths: paths)
        defer { calls.close() }
        for isolation in [1, 2, 1] as [UInt64] {
            calls.ask(call(isolation: isolation)) { _ in }
        }
        // The third one waits for the first one's session, which is being built.
        #expect(calls.scopes.map(\.isolation) == [1, 2] && paths.builds.count == 2)
        calls.endSessions(of: [1])
        #expect(!paths.builds[0].isWanted() && paths.builds[1].isWanted())
        #expect(calls.scopes.map(\.isolation) == [2] && calls.pending == 3)
        let (late, other) = (Path(), Path())
        paths.builds[0].completion(late)
        paths.builds[1].completion(other)
        #expect(late.isEnded && !late.isCarrying && other.isCarrying && !other.isEnded)
        calls.endSessions(of: [1])
        #expect(!other.isEnded)
        calls.endSessions(of: nil)
        #expect(other.isEnded && calls.sessionCount == calls.scopes.count)
    }

    @Test("A path that is built when nobody waits for it any more is ended") func latePath() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let paths = Paths()
        let calls = RequestCalls(on: loop, network: Bytes32(), paths: paths)
        var outcomes: [RequestClient.Outcome] = []
        calls.ask(call()) { outcomes.append($0) }
        try #require(paths.builds.count == 1)
        #expect(paths.builds[0].isWanted() && calls.sessionCount == 1 && calls.pending == 1)
        calls.close()
        #expect(outcomes == [.noProxy] && !paths.builds[0].isWanted() && calls.sessionCount == 0)
        let path = Path()
        paths.builds[0].completion(path)
        #expect(path.isEnded && !path.isCarrying && calls.sessionCount == 0)
        calls.ask(call()) { outcomes.append($0) }
        #expect(outcomes == [.noProxy, .noProxy] && paths.builds.count == 1)
    }
}

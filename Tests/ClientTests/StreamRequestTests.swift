import EventLoop
import LoopTesting
import SessionTesting
import Sessions
import Testing
import Transport
import Wire

@testable import Client

/// A request with early bytes whose session ends before the exit's answer.
@Suite struct StreamRequestTests {
    private final class Owner: StreamRequestOwner {
        var failures: [StreamFailure] = []
        let endsEarly = false
        func takeEarlyBytes() -> [UInt8]? { [1, 2, 3] }
        func streamOpened(_ stream: StreamID, on session: Session, unsent: [UInt8]) {}
        func streamFound(_ result: LookupResult) {}
        func streamFailed(_ failure: StreamFailure) { failures.append(failure) }
    }

    private final class Source: SessionSource {
        var sessions: [PeerSession]
        init(_ sessions: [PeerSession]) { self.sessions = sessions }
        func connect(_ app: some SessionApp, isolation: IsolationKey, needs: Descriptor.ExitSummary) {
            app.open(on: sessions.removeFirst().session)
        }
        func mayWaitOn(_ key: IsolationKey) -> Bool { false }
    }

    private final class World {
        let loop = Loop.simulated()
        let sessions: [PeerSession]
        let owner = Owner()
        let request: StreamRequest
        private let source: Source
        let id = StreamID(0)

        init() throws {
            let loop = loop
            sessions = (0..<2).map { _ in PeerSession(on: loop) }
            source = Source(sessions)
            request = StreamRequest(
                .tcp, Destination(host: .name(try #require(HostName("there.example"))), port: 80),
                isolation: IsolationKey(ownStreams: "one"), on: loop, from: source, for: owner)
            request.begin()
        }

        /// Whether no packet has carried any byte of the request over the first session.
        var isUnsent: Bool { sessions[0].session.connection.isUnsent(id) }

        /// The number of bytes that the exit of session `number` has received.
        func received(_ number: Int) -> Int { sessions[number].peer.readableCount(id) }

        deinit {
            request.cancel()
            for one in sessions { one.session.end() }
            loop.close()
        }
    }

    @Test("L9: one that no packet has carried goes to the next session, with its early bytes")
    func unsent() throws {
        let world = try World()
        #expect(world.isUnsent)
        world.sessions[0].session.end()
        #expect(world.owner.failures.isEmpty && !world.request.isOver)
        let opening = OpenRequest(
            kind: .tcp, destination: Destination(host: .name(try #require(HostName("there.example"))), port: 80)
        ).encoded()
        #expect(world.loop.run { world.received(1) == opening.count + 3 })
        #expect(world.received(0) == 0)
    }

    @Test("L9: one that a packet has carried is not sent again, though the exit heard nothing")
    func sent() throws {
        let world = try World()
        world.sessions[0].manner = .silent
        #expect(world.loop.run { !world.isUnsent })
        world.sessions[0].session.end()
        guard case .broken? = world.owner.failures.first else {
            Issue.record("\(world.owner.failures)")
            return
        }
        #expect(world.request.isOver && world.received(1) == 0)
    }
}

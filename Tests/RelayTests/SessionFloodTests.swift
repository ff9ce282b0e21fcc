import EventLoop
import Link
import Links
import Testing
import Wire

@testable import Relay

/// Who is served by an exit whose places for sessions are taken by sessions with streams.
@Suite struct SessionFloodTests {
    @Test("s14: sessions with streams of all addresses of a network are those of one source in a full exit")
    func sessionsOfANetwork() throws {
        let harness = try RelayHarness(exit: true, sessions: 8)
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { accepted.append($0) }
        defer { listener.close() }
        let destination = Endpoint(try #require(listener.localAddress))
        func begin(at host: UInt32) throws -> TestClient {
            let client = try harness.client(at: host)
            _ = try client.build()
            client.beginSession()
            let status = try client.open(destination)
            #expect(status == .ok)
            return client
        }
        let flood = try (1...8).map { try begin(at: 0x100 + $0) }
        #expect(harness.relay.sessions.sessionCount == 8)
        // One address of another network gets as many as all of them.
        let honest = try (0..<4).map { _ in try begin(at: 0x201) }
        #expect(harness.run { flood.reduce(0) { $0 + $1.destroyed.count } == 4 })
        #expect(honest.allSatisfy { $0.destroyed.isEmpty })
        #expect(harness.relay.sessions.sessionCount == 8)
        for stream in accepted { stream.close() }
    }
}

import Directory
import EventLoop
import LoopTesting
import Relay
import Testing
import Wire

@testable import Client

/// Relays that keep to a rate of bytes a second.
@Suite struct RateTests {
    private static let rate = 200_000
    /// The least burst and the bytes that one look may let pass.
    private static let ahead = 64 * 1_392 + 30_000

    /// The SOCKS5 greeting of a user with this name, and a request for the server's port.
    private func hello(to port: UInt16, user: UInt8) -> [UInt8] {
        [5, 1, 2, 1, 1, user, 1, user, 5, 1, 0, 1, 127, 0, 0, 1, UInt8(port >> 8), UInt8(port & 255)]
    }

    @Test("An exit keeps to its rate with what its sessions send, and they take turns")
    func sessionsShareTheRate() throws {
        let network = try LoopNetwork(
            relays: 4, relay: { if $0.isExit { ($0.rate, $0.burst) = (Int64(Self.rate), 1) } },
            client: { $0.hops = 1 })
        defer { network.close() }
        let loop = network.loop
        let replies = 2 + 2 + 10 + 1
        let apps = try [1, 2].map { try network.app(saying: hello(to: network.port, user: $0)) }
        #expect(loop.run(for: .seconds(60)) { apps.allSatisfy { $0.received == replies } })
        #expect(network.client.sessions.current.count == 2)

        let size = 400_000
        let start = loop.now
        for stream in network.accepted { try stream.write([UInt8](repeating: 7, count: size)) }
        #expect(loop.run(for: .seconds(120)) { apps.contains { $0.received == replies + size || $0.isOver } })
        // A slow machine takes longer; none can be faster.
        let seconds = Double(loop.now - start) / 1e9
        let received = apps.map { $0.received }
        #expect(Double(received[0] + received[1]) <= seconds * Double(Self.rate) + Double(Self.ahead))
        #expect(received.min()! > size / 4)
        #expect(loop.run(for: .seconds(120)) { apps.allSatisfy { $0.received == replies + size || $0.isOver } })
        #expect(apps.allSatisfy { !$0.isOver })
    }
}

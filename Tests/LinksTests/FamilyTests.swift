import EventLoop
import Link
import Testing
import Wire

@testable import Links

/// Links over IPv4 and IPv6 sockets.
@Suite struct FamilyTests {
    private static let both: [SocketAddress] = [.loopbackIPv4(port: 0), .loopbackIPv6(port: 0)]
    /// An address to which no socket of ours can send: broadcasts take an option.
    private static let nowhere = Endpoint("255.255.255.255:9")!

    private func result(
        _ harness: Harness, _ from: Side, _ to: Side, at endpoints: [Endpoint]
    ) -> Result<LinkID, LinkFailure>? {
        var result: Result<LinkID, LinkFailure>?
        from.links.link(to: to.nodeID, at: endpoints) { result = $0 }
        harness.run { result != nil }
        return result
    }

    @Test("of a node's two addresses the one is used to which there is a route, and nothing goes to the other")
    func route() throws {
        let harness = try Harness(isSimulated: false)
        let node = try harness.node { $0.listen = Self.both }
        let client = try harness.client { $0.listen = Self.both }
        let six = Endpoint(node.links.localAddresses[1])
        let link = try #require(result(harness, client, node, at: [Self.nowhere, six])).get()
        #expect(harness.run { !node.ups.isEmpty })
        #expect(client.links.endpoint(of: link) == six)
        #expect(node.links.endpoint(of: try #require(node.ups.first).link)?.address == IPAddress("::1"))
        let four = client.links.socketCounters[0]
        #expect(four.packetsSent == 0 && four.droppedUnreachable == 0)
        #expect(client.links.reaches(six) && !client.links.reaches(Self.nowhere))
    }

    @Test("links of both families live beside each other on one node, and packets go from one to the other")
    func forwarding() throws {
        let harness = try Harness(isSimulated: false)
        let node = try harness.node { $0.listen = Self.both }
        let four = try harness.client { $0.listen = [Self.both[0]] }
        let six = try harness.node { $0.listen = [Self.both[1]] }
        let near = try harness.connect(four, node)
        let far = try harness.connect(node, six)
        node.forwardTo = far.near
        for number in 0..<20 { #expect(four.send(on: near.near, pathID: 5, first: UInt8(number))) }
        #expect(harness.run { six.packets.count == 20 })
        #expect(six.packets.map(\.first) == Array(0..<20))
    }

    @Test("without a socket of the family, or a route at all, there is no link") func unreachable() throws {
        let harness = try Harness(isSimulated: false)
        let node = try harness.node { $0.listen = [Self.both[1]] }
        let client = try harness.client { $0.initiator.total = .milliseconds(300) }
        #expect(result(harness, client, node, at: [node.endpoint]) == .failure(.noAddress))
        #expect(result(harness, client, node, at: [Self.nowhere, Self.nowhere]) == .failure(.noAnswer))
    }

    @Test("a family that this machine lacks is left out only where that was asked for") func missingFamily() throws {
        let harness = try Harness(isSimulated: false)
        let foreign = SocketAddress(high: 0x2001_0db8_0000_0000, low: 1, port: 0)
        #expect(throws: UVError.self) { try harness.client { $0.listen = [Self.both[0], foreign] } }
        let client = try harness.client {
            $0.listen = [Self.both[0], foreign]
            $0.mayLackFamily = true
        }
        #expect(client.links.localAddresses.map(\.isIPv4) == [true])
        #expect(throws: UVError.self) {
            try harness.client {
                $0.listen = [foreign]
                $0.mayLackFamily = true
            }
        }
    }
}

import EventLoop
import Links
import LoopTesting
import SessionTesting
import Sessions
import Testing
import Transport
import Wire

@testable import Client

/// The client's end of an app's UDP association.
@Suite struct AppAssociationTests {
    /// A SOCKS5 datagram to 192.0.2.1, port 9.
    private static func datagram(fragment: UInt8 = 0) -> [UInt8] { [0, 0, fragment, 1, 192, 0, 2, 1, 0, 9, 7] }

    @Test("L5: the port is that of the first sender of a readable datagram from the app's address")
    func l5ThePortIsTheFirstSendersAlone() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let sessions = PeerSession(on: loop)
        defer { sessions.session.end() }
        // Its rules admit no destination, so that each datagram ends here, with the reason.
        var reasons: [DatagramDrops.Reason] = []
        let flow = try sessions.session.connection.openStream()
        let association = AppAssociation(
            session: sessions.session, flow: flow, expected: .loopbackIPv4(port: 0), idleLimit: .seconds(300),
            admits: { _ in false }, dropped: { reasons.append($0) }, ended: {})
        defer { association.close() }
        let port = SocketAddress(try #require(association.open(at: .loopbackIPv4(port: 0))))
        let near = try (0..<2).map { _ in
            try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil)
        }
        let far = try DatagramSocket(
            on: loop, bindTo: SocketAddress(ipv4: 0x7f00_0002, port: 0), configuration: .small, receiver: nil)
        defer { for socket in near + [far] { socket.close() } }
        func reason(_ bytes: [UInt8], from socket: DatagramSocket) -> DatagramDrops.Reason? {
            let count = reasons.count
            socket.send(bytes.rawSpan, to: port)
            #expect(loop.run { reasons.count > count })
            return reasons.last
        }
        #expect(reason(Self.datagram(), from: far) == .udpSource)
        #expect(reason(Self.datagram(fragment: 1), from: near[0]) == .udpUnreadable)
        // The first readable datagram decides.
        #expect(reason(Self.datagram(), from: near[1]) == .udpNotAllowed)
        #expect(reason(Self.datagram(), from: near[0]) == .udpSource)
        #expect(reason(Self.datagram(), from: far) == .udpSource)
        #expect(reason(Self.datagram(), from: near[1]) == .udpNotAllowed)
    }
}

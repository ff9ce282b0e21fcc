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
            session: sessions.session, flow: flow, expected: .loopbackIPv4(port: 0), user: nil,
            idleLimit: .seconds(300),
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

    @Test("L5: a datagram of another user, or of a socket that is closed already, does not take the port")
    func l5OtherUsers() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let sessions = PeerSession(on: loop)
        defer { sessions.session.end() }
        var reasons: [DatagramDrops.Reason] = []
        var users: [SocketAddress: UInt32] = [:]
        let flow = try sessions.session.connection.openStream()
        var asked = 0
        let association = AppAssociation(
            session: sessions.session, flow: flow, expected: .loopbackIPv4(port: 0), user: 1_000,
            idleLimit: .seconds(300),
            userOf: { source, _ in
                asked += 1
                return users[source]
            },
            admits: { _ in false }, dropped: { reasons.append($0) }, ended: {})
        defer { association.close() }
        let port = SocketAddress(try #require(association.open(at: .loopbackIPv4(port: 0))))
        let sockets = try (0..<3).map { _ in
            try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil)
        }
        defer { for socket in sockets { socket.close() } }
        func reason(_ socket: DatagramSocket) -> DatagramDrops.Reason? {
            let count = reasons.count
            socket.send(Self.datagram().rawSpan, to: port)
            #expect(loop.run { reasons.count > count })
            return reasons.last
        }
        users[sockets[0].localAddress] = 1_001
        users[sockets[2].localAddress] = 1_000
        #expect(reason(sockets[0]) == .udpSource && reason(sockets[1]) == .udpSource)
        #expect(reason(sockets[2]) == .udpNotAllowed && reason(sockets[0]) == .udpSource)
        // The kernel is asked for the first datagram of the app alone.
        let before = asked
        #expect(reason(sockets[2]) == .udpNotAllowed && asked == before)
    }

    @Test("L5: the kernel is asked seldom, however many datagrams come from other users")
    func l5SeldomAsked() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let sessions = PeerSession(on: loop)
        defer { sessions.session.end() }
        var (dropped, asked) = (0, 0)
        let flow = try sessions.session.connection.openStream()
        let association = AppAssociation(
            session: sessions.session, flow: flow, expected: .loopbackIPv4(port: 0), user: 1_000,
            idleLimit: .seconds(300),
            userOf: { _, _ in
                asked += 1
                return 1_001
            },
            admits: { _ in false },
            dropped: {
                #expect($0 == .udpSource)
                dropped += 1
            }, ended: {})
        defer { association.close() }
        let port = SocketAddress(try #require(association.open(at: .loopbackIPv4(port: 0))))
        let socket = try DatagramSocket(
            on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil)
        defer { socket.close() }
        func send(_ count: Int) {
            for number in 1...count {
                let goal = dropped + 1
                socket.send(Self.datagram().rawSpan, to: port)
                #expect(loop.run { dropped == goal }, "\(number)")
            }
        }
        send(100)
        #expect(16...17 ~= asked)
        loop.run(for: .seconds(1)) { false }
        let before = asked
        send(100)
        #expect(8...9 ~= asked - before)
    }

    @Test("L5: where the kernel does not tell users, the address decides")
    func l5NoUsers() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let sessions = PeerSession(on: loop)
        defer { sessions.session.end() }
        var reasons: [DatagramDrops.Reason] = []
        let flow = try sessions.session.connection.openStream()
        let association = AppAssociation(
            session: sessions.session, flow: flow, expected: .loopbackIPv4(port: 0), user: 1_000,
            idleLimit: .seconds(300), userOf: nil, admits: { _ in false },
            dropped: { reasons.append($0) }, ended: {})
        defer { association.close() }
        let port = SocketAddress(try #require(association.open(at: .loopbackIPv4(port: 0))))
        let socket = try DatagramSocket(
            on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil)
        defer { socket.close() }
        socket.send(Self.datagram().rawSpan, to: port)
        #expect(loop.run { reasons == [.udpNotAllowed] })
    }

    /// What the app at `socket` has received.
    private final class Heard: DatagramReceiver {
        var datagrams: [[UInt8]] = []
        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let packet = batch.packet(index)
                datagrams.append([UInt8](copying: packet.bytes))
            }
        }
    }

    @Test("L5: an exit's datagram reaches the app only from a host to which the app has sent something")
    func l5OnlyHostsThatWereSentToAreHeard() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let sessions = PeerSession(on: loop)
        defer { sessions.session.end() }
        var reasons: [DatagramDrops.Reason] = []
        let flow = try sessions.session.connection.openStream()
        let association = AppAssociation(
            session: sessions.session, flow: flow, expected: .loopbackIPv4(port: 0), user: nil,
            idleLimit: .seconds(300),
            admits: { $0 != .address(IPAddress(v4: 0xc0a8_0001)) }, dropped: { reasons.append($0) }, ended: {})
        defer { association.close() }
        let port = SocketAddress(try #require(association.open(at: .loopbackIPv4(port: 0))))
        let heard = Heard()
        let app = try DatagramSocket(
            on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: heard)
        defer { app.close() }
        func deliver(_ host: Destination.Host, port: UInt16 = 9) throws -> Bool {
            let count = heard.datagrams.count
            let data: [UInt8] = [7]
            let encoded = FlowDatagram.encoded(Destination(host: host, port: port), data.rawSpan)
            let bytes = try #require(encoded)
            association.deliver(bytes)
            loop.run(for: .milliseconds(10)) { false }
            return heard.datagrams.count > count
        }
        func send(_ bytes: [UInt8]) {
            app.send(bytes.rawSpan, to: port)
            loop.run(for: .milliseconds(10)) { false }
        }
        let asked = Destination.Host.address(IPAddress(v4: 0xc000_0201))
        #expect(try !deliver(asked))
        send(Self.datagram())
        // From any port of that host.
        #expect(try deliver(asked) && deliver(asked, port: 10))
        // Datagrams to a host of the machine's own network are dropped, and do not let it answer.
        send([0, 0, 0, 1, 192, 168, 0, 1, 0, 9, 7])
        #expect(reasons == [.udpNotAllowed])
        let others = ["127.0.0.1", "192.168.0.1", "10.0.0.1", "192.0.2.2", "::1", "fe80::1"]
        for host in others {
            let address = try #require(IPAddress(host))
            #expect(try !deliver(.address(address)), "\(host)")
        }
        let name = try #require(HostName("a.example"))
        #expect(try !deliver(.name(name)))
        #expect(reasons.count == 8 && reasons.dropFirst().allSatisfy { $0 == .udpSource })
        send([0, 0, 0, 3, 9] + Array("a.example".utf8) + [0, 9, 7])
        #expect(try deliver(.name(name)))
        #expect(heard.datagrams.allSatisfy { $0.last == 7 } && heard.datagrams.count == 3)
    }

    @Test("L5: as many hosts as an exit remembers may answer, the last ones") func l5HostsAreForgotten() {
        var hosts = SentHosts()
        let host = { Destination.Host.address(IPAddress(v4: 0x0800_0000 + $0)) }
        for number in 0..<10_000 as Range<UInt32> {
            hosts.add(host(number))
            let first = number < 1_024 ? 0 : number - 1_023
            #expect(hosts.contains(host(first)) && hosts.contains(host(number)) && !hosts.contains(host(number + 1)))
        }
        #expect(!hosts.contains(host(1)))
    }
}

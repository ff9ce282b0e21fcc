import EventLoop
import Links
import LoopTesting
import Testing
import Transport
import Wire

@testable import Relay

/// Exits that may open connections to 127.0.0.1 and to no other address.
@Suite struct ExitThreatTests {
    /// A name server with 127.0.0.1 for `open.test`, and 127.0.0.2 for any other name.
    private final class Server: DatagramReceiver {
        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let packet = batch.packet(index)
                let query = [UInt8](copying: packet.bytes)
                let question = Array(query[12...])
                guard let end = question.firstIndex(of: 0) else { continue }
                let isIPv4 = question[end + 2] == 1
                let last: UInt8 = question[1] == UInt8(ascii: "o") ? 1 : 2
                var answer = query[..<2] + [0x81, 0x80, 0, 1, 0, isIPv4 ? 1 : 0, 0, 0, 0, 0] + question[...(end + 4)]
                if isIPv4 { answer += [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, last] }
                socket.send(Array(answer).rawSpan, to: batch.source(of: index))
            }
        }
    }

    /// Keeps the bytes that arrive.
    private final class Tap: DatagramReceiver, ByteStreamDelegate {
        var bytes: [UInt8] = []

        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let packet = batch.packet(index)
                bytes += [UInt8](copying: packet.bytes)
            }
        }
        func streamConnected(_ stream: ByteStream) { stream.startReading() }
        func stream(_ stream: ByteStream, received bytes: RawSpan) { self.bytes += [UInt8](copying: bytes) }
        func streamReachedEnd(_ stream: ByteStream) {}
        func stream(_ stream: ByteStream, failed error: UVError) {}
    }

    @Test("E1, E2, L8: an exit neither opens nor tells a closed address behind a name; a look-up opens nothing")
    func namesOfClosedAddresses() throws {
        let servers = try Loop()
        defer { servers.close() }
        let server = try DatagramSocket(on: servers, bindTo: .loopbackIPv4(port: 0), receiver: Server())
        let network = try LoopNetwork(
            relays: 5, isSimulated: false
        ) { _ in
        } relay: {
            $0.exitAllowed = [CIDR("127.0.0.1/32")!]
            $0.exitResolvers = [server.localAddress.description]
        }
        defer { network.close() }
        /// The answer to a SOCKS5 request for the network's port at a name, without the answer to the greeting.
        func answer(to command: UInt8, _ name: String) throws -> [UInt8] {
            let tap = Tap()
            let stream = try ByteStream.connect(on: network.loop, to: network.proxy, delegate: tap)
            defer { stream.close() }
            let host = Array("\(name).test".utf8)
            let port = [UInt8(network.port >> 8), UInt8(network.port & 255)]
            try stream.write([5, 1, 0, 5, command, 0, 3, UInt8(host.count)] + host + port)
            let isAnswered = network.loop.run {
                servers.runOnce(waiting: false)
                return tap.bytes.count >= 12
            }
            #expect(isAnswered)
            return Array(tap.bytes.dropFirst(2).prefix(10))
        }
        let (connect, resolve) = (UInt8(1), UInt8(0xf0))
        let found = try answer(to: resolve, "open")
        #expect(found.starts(with: [5, 0, 0, 1, 127, 0, 0, 1]))
        #expect(network.accepted.isEmpty)
        for command in [resolve, connect] {
            let refused = try answer(to: command, "closed")
            #expect(refused.starts(with: [5, 2]))
        }
        let connected = try answer(to: connect, "open")
        #expect(connected.starts(with: [5, 0, 0, 1, 0, 0, 0, 0]))
    }

    /// A name server that gives every name a record of the type asked for, and follows aliases: those of `x.test` and
    /// `9.9.9.9.in-addr.arpa` are in the exit's own network, that of `y.test` is not.
    private final class Names: DatagramReceiver {
        private(set) var asked = 0

        static func labels(_ name: String) -> [UInt8] {
            name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
        }
        private static func record(_ owner: [UInt8], _ type: UInt8, _ data: [UInt8]) -> [UInt8] {
            owner + [0, type, 0, 1, 0, 0, 0, 60, 0, UInt8(data.count)] + data
        }
        private static let aliases = [
            labels("x.test"): "1.0.168.192.in-addr.arpa", labels("9.9.9.9.in-addr.arpa"): "my printer.lan",
            labels("y.test"): "1.0/25.2.0.9.in-addr.arpa",
        ]

        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let packet = batch.packet(index)
                let query = [UInt8](copying: packet.bytes)
                guard let end = query[12...].firstIndex(of: 0), query.count > end + 4 else { continue }
                asked += 1
                let (name, type) = (Array(query[12...end]), query[end + 2])
                let target = Self.aliases[name].map(Self.labels)
                var records = target.map { Self.record(name, 5, $0) } ?? []
                records += Self.record(target ?? name, type, type == 16 ? [1, 7] : Self.labels("found.test"))
                let header = query[..<2] + [0x81, 0x80, 0, 1, 0, target == nil ? 1 : 2, 0, 0, 0, 0]
                let answer = Array(header + query[12...(end + 4)] + records)
                socket.send(answer.rawSpan, to: batch.source(of: index))
            }
        }
    }

    @Test("E2: an exit tells no records that describe its own network, directly or behind an alias")
    func recordsOfTheOwnNetwork() throws {
        let servers = try Loop()
        defer { servers.close() }
        let names = Names()
        let server = try DatagramSocket(on: servers, bindTo: .loopbackIPv4(port: 0), receiver: names)
        let harness = try RelayHarness(exit: true, isSimulated: false, resolvers: [server.localAddress.description])
        let client = try harness.client()
        _ = try client.build()
        client.beginSession()
        /// All bytes of the exit's answer.
        func answer(_ kind: OpenRequest.Kind, _ host: Destination.Host, _ type: UInt16 = 0) throws -> [UInt8] {
            let id = try client.connection.openStream()
            let request = OpenRequest(kind: kind, destination: Destination(host: host, port: type))
            _ = client.connection.write(id, request.encoded().rawSpan)
            client.connection.finish(id)
            var found: [UInt8] = []
            #expect(
                harness.run {
                    servers.runOnce(waiting: false)
                    client.connection.deadlineReached(now: client.links.now)
                    while client.connection.nextEvent() != nil {}
                    client.pump()
                    client.connection.withReadable(id) { bytes in
                        found += [UInt8](copying: bytes)
                        return bytes.byteCount
                    }
                    return client.connection.readState(id) != .open
                })
            return found
        }
        func records(_ name: String, _ type: UInt16) throws -> [UInt8] {
            Array(try answer(.records, .name(try #require(HostName(name))), type).prefix(2))
        }
        let (ns, ptr, txt, srv) = (UInt16(2), UInt16(12), UInt16(16), UInt16(33))
        for (name, type) in [
            ("lb._dns-sd._udp.0.0.168.192.in-addr.arpa", ptr), ("168.192.in-addr.arpa", ns), ("wiki.corp", txt),
            ("_ldap._tcp.dc._msdcs.corp", srv), ("1.0.168.192.in-addr.arpa", txt), ("printer.local", txt),
        ] {
            #expect(try records(name, type) == [5], "\(name)")
        }
        #expect(names.asked == 0)
        for (name, type) in [("a.test", txt), ("8.8.8.8.in-addr.arpa", ptr), ("y.test", ptr)] {
            #expect(try records(name, type) == [0, 1], "\(name)")
        }
        #expect(try records("x.test", ptr) == [0, 0])
        let found = try answer(.resolvePointer, .address(IPAddress(v4: 0x0808_0808)))
        #expect(found == LookupReply.encoded(found: .name(try #require(HostName("found.test")))))
        #expect(try answer(.resolvePointer, .address(IPAddress(v4: 0x0909_0909))) == [4])
    }

    @Test("E2: datagrams to closed addresses, and to closed ports, are dropped at the exit") func datagrams() throws {
        let network = try LoopNetwork(
            relays: 5, isSimulated: false
        ) { _ in
        } relay: {
            $0.exitAllowed = [CIDR("127.0.0.1/32")!]
        }
        defer { network.close() }
        let loop = network.loop
        let tap = Tap()
        let stream = try ByteStream.connect(on: loop, to: network.proxy, delegate: tap)
        defer { stream.close() }
        try stream.write([5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0])
        #expect(loop.run { tap.bytes.count >= 12 })
        try #require(tap.bytes.count == 12 && tap.bytes[3] == 0)
        let proxy = SocketAddress(ipv4: 0x7f00_0001, port: UInt16(tap.bytes[10]) << 8 | UInt16(tap.bytes[11]))
        let app = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil)
        let arrived = Tap()
        let server = try DatagramSocket(
            on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: arrived)
        defer { for socket in [app, server] { socket.close() } }
        func send(to last: UInt8, _ port: UInt16) {
            let datagram: [UInt8] = [0, 0, 0, 1, 127, 0, 0, last, UInt8(port >> 8), UInt8(port & 255), 7]
            app.send(datagram.rawSpan, to: proxy)
        }
        send(to: 2, server.localAddress.port)
        send(to: 1, 123)
        send(to: 1, server.localAddress.port)
        #expect(loop.run { arrived.bytes == [7] })
        let dropped: UInt64 = network.relays.reduce(0) { $0 + ($1.exit?.datagramDrops.byName["udpNotAllowed"] ?? 0) }
        #expect(dropped == 2)
    }
}

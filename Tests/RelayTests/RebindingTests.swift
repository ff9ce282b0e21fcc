import EventLoop
import Links
import LoopTesting
import Relay
import Testing
import Wire

@testable import Client

/// Answers of an exit that lead an app to the client's own machine or network.
@Suite struct RebindingTests {
    /// A name server with 192.168.1.1 for `private.test`, that and 9.9.9.9 for `mixed.test`, and hints for `hint.test`.
    private final class Server: DatagramReceiver {
        static let own: [UInt8] = [192, 168, 1, 1]
        static let other: [UInt8] = [9, 9, 9, 9]

        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let packet = batch.packet(index)
                let query = [UInt8](copying: packet.bytes)
                let question = Array(query[12...])
                guard let end = question.firstIndex(of: 0) else { continue }
                let type = question[end + 2]
                var records: [[UInt8]] = []
                let hint: [UInt8] = [0, 1, 0, 0, 4, 0, 4]
                switch (question[1], type) {
                case (UInt8(ascii: "p"), 1): records = [Self.own]
                case (UInt8(ascii: "m"), 1): records = [Self.own, Self.other]
                case (UInt8(ascii: "h"), 65): records = [hint + Self.own, hint + Self.other]
                default: break
                }
                var answer = query[..<2] + [0x81, 0x80, 0, 1, 0, UInt8(records.count), 0, 0, 0, 0]
                answer += question[...(end + 4)]
                for data in records { answer += [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, UInt8(data.count)] + data }
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
                bytes = [UInt8](copying: packet.bytes)
            }
        }
        func streamConnected(_ stream: ByteStream) { stream.startReading() }
        func stream(_ stream: ByteStream, received bytes: RawSpan) { self.bytes += [UInt8](copying: bytes) }
        func streamReachedEnd(_ stream: ByteStream) {}
        func stream(_ stream: ByteStream, failed error: UVError) {}
    }

    private static func name(_ text: String) -> [UInt8] {
        [UInt8(text.utf8.count)] + Array(text.utf8) + [4] + Array("test".utf8) + [0]
    }

    @Test(
        "L12: addresses of the own machine or network do not reach an app from the exit, but in a network of such addresses"
    )
    func privateAnswers() throws {
        let servers = try Loop()
        defer { servers.close() }
        let server = try DatagramSocket(on: servers, bindTo: .loopbackIPv4(port: 0), receiver: Server())
        let network = try LoopNetwork(
            relays: 5, isSimulated: false
        ) { _ in
        } relay: {
            $0.exitAllowed = [CIDR("127.0.0.0/8")!, CIDR("192.168.0.0/16")!]
            $0.exitResolvers = [server.localAddress.description]
        } client: {
            $0.dns = [Endpoint("127.0.0.1:0")!]
        }
        defer { network.close() }
        let loop = network.loop
        let port = SocketAddress(try #require(network.client.dnsAddresses.first))

        /// The answer of the client's DNS port: its code, and the message.
        func ask(_ text: String, _ type: UInt8) throws -> (code: UInt8, message: [UInt8]) {
            let tap = Tap()
            let socket = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: tap)
            defer { socket.close() }
            let query = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + Self.name(text) + [0, type, 0, 1]
            socket.send(query.rawSpan, to: port)
            let isAnswered = loop.run {
                servers.runOnce(waiting: false)
                return !tap.bytes.isEmpty
            }
            #expect(isAnswered)
            return (try #require(tap.bytes.dropFirst(3).first) & 15, tap.bytes)
        }
        /// The answer to SOCKS5 RESOLVE, without the answer to the greeting.
        func resolve(_ text: String) throws -> [UInt8] {
            let tap = Tap()
            let stream = try ByteStream.connect(on: loop, to: network.proxy, delegate: tap)
            defer { stream.close() }
            let host = Array("\(text).test".utf8)
            try stream.write([5, 1, 0, 5, 0xf0, 0, 3, UInt8(host.count)] + host + [0, 0])
            let isAnswered = loop.run {
                servers.runOnce(waiting: false)
                return tap.bytes.count >= 12
            }
            #expect(isAnswered)
            return Array(tap.bytes.dropFirst(2))
        }
        func holds(_ message: [UInt8], _ address: [UInt8]) -> Bool {
            message.indices.contains { message[$0...].starts(with: address) }
        }

        // A network for tests has such addresses itself, so no address is left out.
        #expect(holds(try ask("private", 1).message, Server.own))
        #expect(try resolve("private")[..<8] == [5, 0, 0, 1] + Server.own)

        network.client.answers.allowsPrivate = false
        _ = network.client.renewPaths(label: nil)
        let refused = try ask("private", 1)
        #expect(refused.code == 5 && !holds(refused.message, Server.own))
        for (text, type) in [("mixed", UInt8(1)), ("hint", 65)] {
            let found = try ask(text, type)
            #expect(
                found.code == 0 && holds(found.message, Server.other) && !holds(found.message, Server.own), "\(text)")
        }
        #expect(try resolve("private")[1] == 2)
    }
}

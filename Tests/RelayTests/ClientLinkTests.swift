import Client
import Directory
import EventLoop
import Links
import Logging
import Testing
import Wire

@testable import Relay

/// A whole client and an exit, with an attacker on the link between them.
@Suite struct ClientLinkTests {
    /// Passes all datagrams on; if told to, it sends a spoiled copy of each of the relay's before the datagram itself.
    private final class Middle: DatagramReceiver {
        private let relay: SocketAddress
        private var client: SocketAddress?
        var spoils = false
        private(set) var spoiled = 0

        init(_ relay: SocketAddress) { self.relay = relay }

        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let source = batch.source(of: index)
                let packet = batch.packet(index)
                let datagram = [UInt8](copying: packet.bytes)
                guard source == relay else {
                    client = source
                    socket.send(datagram.rawSpan, to: relay)
                    continue
                }
                guard let client else { continue }
                if spoils {
                    var copy = datagram
                    copy[copy.count - 1] ^= 1
                    socket.send(copy.rawSpan, to: client)
                    spoiled += 1
                }
                socket.send(datagram.rawSpan, to: client)
            }
        }
    }

    /// Keeps the bytes that an app receives.
    private final class App: ByteStreamDelegate {
        var received: [UInt8] = []
        func streamConnected(_ stream: ByteStream) { stream.startReading() }
        func stream(_ stream: ByteStream, received bytes: RawSpan) { received += [UInt8](copying: bytes) }
        func streamReachedEnd(_ stream: ByteStream) {}
        func stream(_ stream: ByteStream, failed error: UVError) {}
    }

    @Test("O17: a copy whose header is right and whose payload is not does not displace the packet at a client")
    func spoiledCopy() throws {
        let harness = try RelayHarness(exit: true, isSimulated: false)
        let middle = Middle(SocketAddress(try #require(harness.relay.listenAddresses.first)))
        let socket = try DatagramSocket(on: harness.loop, bindTo: .loopbackIPv4(port: 0), receiver: middle)
        defer { socket.close() }
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { stream in
            accepted.append(stream)
            try? stream.write([42])
        }
        defer { listener.close() }
        let port = try #require(listener.localAddress).port

        var file = NetworkFile(
            name: "test", id: harness.network.id,
            bootstrap: [.init(node: harness.node, addresses: [Endpoint(socket.localAddress)])],
            snapshot: harness.network.snapshot)
        file.allowPrivateAddresses = true
        var configuration = ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)])
        configuration.hops = 1
        // The client has a loop of its own, which runs between the harness' turns.
        let loop = try Loop()
        defer { loop.close() }
        func run(until condition: () -> Bool) -> Bool {
            harness.run {
                loop.runOnce(waiting: false)
                return condition()
            }
        }
        let client = try Client(
            loop: loop, network: file, configuration: configuration, store: nil,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, sentence: \.text)
        defer { client.close {} }
        var isReady = false
        client.start { isReady = true }
        #expect(run { isReady })

        middle.spoils = true
        let app = App()
        let stream = try ByteStream.connect(
            on: loop, to: SocketAddress(try #require(client.socksAddresses.first?.endpoint)), delegate: app)
        #expect(run { stream.isOpen })
        try stream.write([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, UInt8(port >> 8), UInt8(port & 255)])
        #expect(run { app.received.count == 13 })
        #expect(app.received.last == 42 && middle.spoiled > 0)
        for stream in accepted + [stream] { stream.close() }
    }
}

import Directory
import EventLoop
import Links
import Logging
import LoopTesting
import OnionCrypto
import Relay
import Testing
import Wire

@testable import Client

/// An app that opens more streams than one session takes.
@Suite struct FullSessionTests {
    private final class App: ByteStreamDelegate {
        var received = 0
        var isOver = false
        var stream: ByteStream?
        func streamConnected(_ stream: ByteStream) { stream.startReading() }
        func stream(_ stream: ByteStream, received bytes: RawSpan) { received += bytes.byteCount }
        func streamReachedEnd(_ stream: ByteStream) { isOver = true }
        func stream(_ stream: ByteStream, failed error: UVError) { isOver = true }
    }

    private static let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static func copy(_ key: borrowing SigningKey) -> SigningKey {
        SigningKey(seed: Secret(copying: key.seedBytes))
    }

    @Test("A full session's app goes on in a further one; the streams that it has stay")
    func furtherSession() throws {
        let loop = try Loop()
        let time = UnixTime(seconds: Links.systemClock() / 1_000_000_000)
        let holders = try (0..<4).map { _ in
            try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil)
        }
        let addresses = holders.map { Endpoint($0.localAddress) }
        for holder in holders { holder.close() }
        let creation = NetworkCreation(name: "test", nodes: addresses.map { .init(addresses: [$0]) }, at: time)
        var file = creation.file
        file.allowPrivateAddresses = true
        file.requireAddressDiversity = false
        // The least that there can be: what both ends use before they have heard of any grant.
        file.limits.streamsPerSession = InitialLimits.streams
        let relays = try zip(creation.nodes, addresses).enumerated().map { number, node in
            var configuration = RelayConfiguration(listen: [node.1])
            configuration.isExit = number >= 3
            configuration.exitAllowed = [CIDR("127.0.0.0/8")!]
            return try Relay(
                loop: loop, network: file, configuration: configuration, identity: Self.copy(node.0.key), store: nil,
                log: Self.log)
        }
        for relay in relays { relay.start() }
        var accepted: [ByteStream] = []
        let server = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { stream in
            accepted.append(stream)
            try? stream.write([42])
        }
        let configuration = ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)])
        let client = try Client(loop: loop, network: file, configuration: configuration, store: nil, log: Self.log)
        defer {
            client.close {}
            for relay in relays { relay.close {} }
            loop.close()
        }
        var isReady = false
        client.onReady = { isReady = true }
        client.start()
        #expect(loop.run(for: .seconds(30)) { isReady })
        let port = try #require(server.localAddress).port
        let proxy = SocketAddress(try #require(client.socksAddresses.first?.endpoint))
        let hello: [UInt8] = [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, UInt8(port >> 8), UInt8(port & 255)]
        func open(_ count: Int) throws -> [App] {
            let apps = try (0..<count).map { _ in
                let app = App()
                let stream = try ByteStream.connect(on: loop, to: proxy, delegate: app)
                app.stream = stream
                try stream.write(hello)
                return app
            }
            let wereServed = loop.run(for: .seconds(60)) { apps.allSatisfy { $0.received == 2 + 10 + 1 || $0.isOver } }
            #expect(wereServed && apps.allSatisfy { !$0.isOver })
            return apps
        }

        let first = try open(InitialLimits.streams)
        #expect(client.sessions.count == 1 && client.retired.isEmpty)
        // One after the other and many at once.
        let second = try open(1) + open(InitialLimits.streams / 2)
        #expect(client.sessions.count == 1 && client.retired.count == 1)
        #expect(client.sessions.values.first?.streamCount == second.count)
        #expect(client.retired.first?.session.streamCount == first.count)
        #expect(first.allSatisfy { !$0.isOver })
        // The full one goes with its last stream.
        for app in first { app.stream?.close() }
        for stream in accepted.prefix(first.count) { stream.close() }
        #expect(loop.run(for: .seconds(30)) { client.retired.isEmpty })
        #expect(second.allSatisfy { !$0.isOver })
        for stream in accepted.dropFirst(first.count) { stream.close() }
        for app in second { app.stream?.close() }
        server.close()
    }
}

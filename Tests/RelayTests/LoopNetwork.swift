import Directory
import EventLoop
import Links
import Logging
import LoopTesting
import OnionCrypto
import Testing
import Wire

@testable import Client
@testable import Relay

/// A program that counts the bytes that it receives.
final class App: ByteStreamDelegate {
    var received = 0
    var isOver = false
    var stream: ByteStream?
    func streamConnected(_ stream: ByteStream) { stream.startReading() }
    func stream(_ stream: ByteStream, received bytes: RawSpan) { received += bytes.byteCount }
    func streamReachedEnd(_ stream: ByteStream) { isOver = true }
    func stream(_ stream: ByteStream, failed error: UVError) { isOver = true }
}

/// A whole network on one loop: relays, a client, and a server that greets with a byte.
///
/// The first three relays are not exits, all others are.
final class LoopNetwork {
    let loop: Loop
    let client: Client
    let relays: [Relay]
    private let server: StreamListener
    private let greeted: Greeted
    /// The addresses of the server and of the client's proxy.
    let port: UInt16
    let proxy: SocketAddress

    private final class Greeted {
        var streams: [ByteStream] = []
    }

    /// The streams that the server has accepted, in order.
    var accepted: [ByteStream] {
        get { greeted.streams }
        set { greeted.streams = newValue }
    }

    private static func copy(_ key: borrowing SigningKey) -> SigningKey {
        SigningKey(seed: Secret(copying: key.seedBytes))
    }

    /// Starts `count` relays and a client, and waits until the client is ready.
    ///
    /// `changeForClient` changes the client's copy of the network file. With `isSimulated`, waiting takes no real time;
    /// without it, the network uses the kernel's sockets.
    init(
        relays count: Int, isSimulated: Bool = true, network change: (inout NetworkFile) -> Void = { _ in },
        relay adjust: (inout RelayConfiguration) -> Void = { _ in },
        client configure: (inout ClientConfiguration) -> Void = { _ in },
        clientNetwork changeForClient: (inout NetworkFile) -> Void = { _ in }
    ) throws {
        let loop = isSimulated ? Loop.simulated() : try Loop()
        self.loop = loop
        let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let time = UnixTime(seconds: loop.wallClock / 1_000_000_000)
        // These ports are free now, and no other process takes them before the relays do.
        let holders = try (0..<count).map { _ in
            try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil)
        }
        let addresses = holders.map { Endpoint($0.localAddress) }
        for holder in holders { holder.close() }
        let creation = NetworkCreation(name: "test", nodes: addresses.map { .init(addresses: [$0]) }, at: time)
        var file = creation.file
        file.allowPrivateAddresses = true
        file.requireAddressDiversity = false
        change(&file)
        relays = try zip(creation.nodes, addresses).enumerated().map { number, node in
            var configuration = RelayConfiguration(listen: [node.1])
            configuration.isExit = number >= 3
            configuration.workers = testWorkers
            configuration.exitAllowed = [CIDR("127.0.0.0/8")!]
            // In tests a drain ends by itself or not at all.
            configuration.drainLimit = .seconds(86_400)
            adjust(&configuration)
            return try Relay(
                loop: loop, network: file, configuration: configuration, identity: Self.copy(node.0.key), store: nil,
                log: log, sentence: \.text)
        }
        for relay in relays { relay.start() }
        let greeted = Greeted()
        self.greeted = greeted
        server = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { stream in
            greeted.streams.append(stream)
            try? stream.write([42])
        }
        var configuration = ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)])
        configure(&configuration)
        changeForClient(&file)
        client = try Client(
            loop: loop, network: file, configuration: configuration, store: nil, log: log, sentence: \.text)
        var isReady = false
        client.start { isReady = true }
        port = try #require(server.localAddress).port
        proxy = SocketAddress(try #require(client.socksAddresses.first?.endpoint))
        #expect(loop.run(for: .seconds(30)) { isReady })
    }

    /// The bytes with which an app asks for the server by SOCKS5.
    var request: [UInt8] { [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, UInt8(port >> 8), UInt8(port & 255)] }
    /// The number of bytes that an app has received when the server's first byte is there.
    static let greetedCount = 2 + 10 + 1

    /// An app that sends `bytes` at once.
    func app(saying bytes: [UInt8]) throws -> App {
        let app = App()
        let stream = try ByteStream.connect(on: loop, to: proxy, delegate: app)
        app.stream = stream
        try stream.write(bytes)
        return app
    }

    /// Closes the client, the relays and the server.
    func close() {
        for stream in accepted { stream.close() }
        server.close()
        client.close {}
        for relay in relays { relay.close {} }
        loop.close()
    }
}

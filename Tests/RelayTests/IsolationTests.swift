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

/// A whole network and a client on one loop, and apps with different credentials.
@Suite struct IsolationTests {
    /// One program with its connection.
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

    private static let credentials = 50
    private static let rounds = 20
    private static let roundsOpen = 4

    /// What a program with these credentials says at once: greeting, user and password, request.
    private static func conversation(_ number: Int, port: UInt16) -> [UInt8] {
        let user = Array("user \(number / 5)".utf8)
        let password = Array("password \(number)".utf8)
        let credentials = [1, UInt8(user.count)] + user + [UInt8(password.count)] + password
        return [5, 1, 2] + credentials + [5, 1, 0, 1, 127, 0, 0, 1, UInt8(port >> 8), UInt8(port & 255)]
    }

    @Test(
        "L6: 1,000 streams with 50 credentials: equal ones share a session, different ones never a path, while paths are rebuilt"
    )
    func credentialsAndPaths() throws {
        let loop = try Loop()
        let time = UnixTime(seconds: Links.systemClock() / 1_000_000_000)
        // Ports that are free now; nobody else takes them in between.
        let listeners = try (0..<6).map { _ in
            try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil)
        }
        let addresses = listeners.map { Endpoint($0.localAddress) }
        for listener in listeners { listener.close() }
        let creation = NetworkCreation(name: "test", nodes: addresses.map { .init(addresses: [$0]) }, at: time)
        var file = creation.file
        file.allowPrivateAddresses = true
        file.requireAddressDiversity = false
        file.limits.clientBuildsPerSecond = 1_000
        file.limits.clientBuildBurst = 1_000
        file.limits.pathsPerClientLink = 2_000
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
        var configuration = ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)])
        // Often enough to be seen, and seldom enough that a slow machine has time for more than to build paths.
        configuration.pathUse = .seconds(6)
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

        var owners: [UInt64: IsolationKey] = [:]
        var apps: [[App]] = []
        func look() {
            for (key, session) in client.sessions {
                for path in session.legs.values {
                    #expect(owners[path.pathID] == nil || owners[path.pathID] == key, "a path with two owners")
                    owners[path.pathID] = key
                }
            }
        }
        for _ in 0..<Self.rounds {
            var round: [App] = []
            for number in 0..<Self.credentials {
                let app = App()
                let stream = try ByteStream.connect(on: loop, to: proxy, delegate: app)
                app.stream = stream
                try stream.write(Self.conversation(number, port: port))
                round.append(app)
            }
            apps.append(round)
            let wereServed = loop.run(for: .seconds(60)) {
                look()
                return round.allSatisfy { $0.received == 2 + 2 + 10 + 1 || $0.isOver }
            }
            #expect(wereServed && round.allSatisfy { !$0.isOver })
            // All that is open of one key, and nothing else, is in its session.
            #expect(client.sessions.count == Self.credentials)
            #expect(client.sessions.values.allSatisfy { $0.streamCount == apps.count })
            if apps.count == Self.roundsOpen {
                for app in apps.removeFirst() { app.stream?.close() }
                for stream in accepted.prefix(Self.credentials) { stream.close() }
                accepted.removeFirst(min(accepted.count, Self.credentials))
                let wereEnded = loop.run(for: .seconds(30)) {
                    look()
                    return client.sessions.values.allSatisfy { $0.streamCount == apps.count }
                }
                #expect(wereEnded)
            }
        }
        #expect(Set(owners.values).count == Self.credentials)
        let wereRebuilt = loop.run(for: .seconds(60)) {
            look()
            return owners.count > Self.credentials * 3
        }
        #expect(wereRebuilt)
        for stream in accepted { stream.close() }
        for app in apps.joined() { app.stream?.close() }
        server.close()
    }
}

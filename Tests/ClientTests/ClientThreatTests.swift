import Directory
import EventLoop
import Links
import Logging
import LoopTesting
import OnionCrypto
import Testing
import Wire

@testable import Client

/// Limits on the resources that local programs can make a client use.
@Suite struct ClientThreatTests {
    /// Keeps the bytes that one program receives.
    final class App: ByteStreamDelegate {
        var received: [UInt8] = []
        var isOver = false
        func streamConnected(_ stream: ByteStream) { stream.startReading() }
        func stream(_ stream: ByteStream, received bytes: RawSpan) { received += [UInt8](copying: bytes) }
        func streamReachedEnd(_ stream: ByteStream) { isOver = true }
        func stream(_ stream: ByteStream, failed error: UVError) { isOver = true }
    }

    @Test("R9: without descriptors to spare a new app is turned away at once, and those that are there are served")
    func descriptorsOfTheSocksPort() throws {
        let loop = try Loop()
        let time = UnixTime(seconds: 1_700_000_000)
        let creation = NetworkCreation(name: "test", nodes: [.init(addresses: [Endpoint("9.9.9.9:1090")!])], at: time)
        let client = try Client(
            loop: loop, network: creation.file,
            configuration: ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)]), store: nil,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, sentence: \.text)
        defer {
            client.close {}
            loop.close()
        }
        let port = SocketAddress(try #require(client.socksAddresses.first?.endpoint))
        let reserve = loop.reservedDescriptors

        let first = App()
        let early = try ByteStream.connect(on: loop, to: port, delegate: first)
        #expect(loop.run { early.isOpen })
        let second = App()
        let late = try ByteStream.connect(on: loop, to: port, delegate: second)
        loop.reservedDescriptors = 1 << 30
        #expect(loop.run { second.isOver })
        #expect(second.received.isEmpty)
        // The earlier connection is still served.
        try early.write([5, 1, 0])
        #expect(loop.run { first.received == [5, 0] })
        // A connection that the loop itself opens fails with an error and does not trap.
        #expect(throws: UVError.self) { try ByteStream.connect(on: loop, to: port, delegate: nil) }

        loop.reservedDescriptors = reserve
        let third = App()
        let again = try ByteStream.connect(on: loop, to: port, delegate: third)
        #expect(loop.run { again.isOpen })
        try again.write([5, 1, 0])
        #expect(loop.run { third.received == [5, 0] })
        for stream in [early, late, again] { stream.close() }
    }

    /// A client without a network, and the address of its SOCKS listener.
    func client(
        on loop: Loop, log: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        _ change: (inout ClientConfiguration) -> Void
    ) throws -> (client: Client, port: SocketAddress) {
        let time = UnixTime(seconds: 1_700_000_000)
        let creation = NetworkCreation(name: "test", nodes: [.init(addresses: [Endpoint("9.9.9.9:1090")!])], at: time)
        var configuration = ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)])
        change(&configuration)
        let client = try Client(
            loop: loop, network: creation.file, configuration: configuration, store: nil,
            log: log, sentence: \.text)
        return (client, SocketAddress(try #require(client.socksAddresses.first?.endpoint)))
    }

    /// The bytes that an app sends before it falls silent, for each protocol and step, and the bytes that it receives.
    private static let silences: [(said: [UInt8], heard: [UInt8])] = [
        ([], []), ([5], []), ([5, 1, 0], [5, 0]), ([5, 1, 2], [5, 2]), ([5, 1, 2, 1, 2, 0x61], [5, 2]),
        ([5, 1, 0, 5, 1, 0, 3, 9, 0x61], [5, 0]), ([4, 1, 0, 80, 127, 0, 0, 1], []),
        (Array("CONNECT a:1 HTTP/1.1".utf8), []),
    ]

    @Test(
        "L4: who does not finish a handshake is closed at its deadline, however far it came and however slowly it speaks"
    )
    func aHandshakeHasADeadline() throws {
        let loop = Loop.simulated()
        let (client, port) = try client(on: loop) { $0.handshakeLimit = .milliseconds(300) }
        defer {
            client.close {}
            loop.close()
        }
        var streams: [ByteStream] = []
        let apps = Self.silences.map { _ in App() }
        for (app, silence) in zip(apps, Self.silences) {
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            if !silence.said.isEmpty { try stream.write(silence.said) }
            streams.append(stream)
        }
        // An app that keeps sending single bytes gets no more time than the others.
        let slow = App()
        let drip = try ByteStream.connect(on: loop, to: port, delegate: slow)
        try drip.write(Array("CONNECT ".utf8))
        let timer = LoopTimer(on: loop) {}
        defer { timer.close() }
        var dripped = 0
        #expect(
            loop.run {
                if !slow.isOver, dripped < 4_000 {
                    dripped += 1
                    try? drip.write([0x61])
                }
                timer.schedule(at: loop.now + 20_000_000)
                return slow.isOver && apps.allSatisfy(\.isOver)
            })
        for (app, silence) in zip(apps, Self.silences) { #expect(app.received == silence.heard) }
        for stream in streams + [drip] { stream.close() }
    }

    @Test("L4: at the limit of apps the oldest unfinished handshake makes room, and the newcomer is served")
    func theOldestUnfinishedHandshakeMakesRoom() throws {
        let loop = Loop.simulated()
        let (client, port) = try client(on: loop) { $0.appLimit = 3 }
        defer {
            client.close {}
            loop.close()
        }
        let apps = (0..<4).map { _ in App() }
        var streams: [ByteStream] = []
        for app in apps {
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write([5, 1, 0])
            streams.append(stream)
            #expect(loop.run { app.received == [5, 0] })
        }
        #expect(loop.run { apps[0].isOver })
        #expect(!apps[1...].contains { $0.isOver })
        for stream in streams { stream.close() }
    }

    @Test("L1: an app that asks for an address is refused where names alone are let out")
    func l1AddressesAreRefused() throws {
        let loop = Loop.simulated()
        let (client, port) = try client(on: loop) { $0.listeners[0].namesOnly = true }
        defer {
            client.close {}
            loop.close()
        }
        // A connection to an address, and a look-up of its name.
        for command in [1, 0xf1] as [UInt8] {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write([5, 1, 0, 5, command, 0, 1, 9, 9, 9, 9, 0, 80])
            #expect(loop.run { app.isOver })
            #expect(app.received == [5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0])
            stream.close()
        }
    }

    /// A SOCKS5 request for a connection to port 80 of `name`.
    static func ask(_ name: String) -> [UInt8] {
        [5, 1, 0, 3, UInt8(name.utf8.count)] + Array(name.utf8) + [0, 80]
    }

    /// Requests for hosts of the machine's own network, and the beginning of the answer, without that to the greeting.
    private static let ownHosts: [(said: [UInt8], heard: [UInt8])] = {
        var cases: [(said: [UInt8], heard: [UInt8])] = []
        for address in [[192, 168, 0, 1], [127, 0, 0, 1], [169, 254, 169, 254], [100, 64, 0, 1]] as [[UInt8]] {
            cases.append(([5, 1, 0, 5, 1, 0, 1] + address + [0, 80], [5, 0, 5, 2]))
        }
        let unique: [UInt8] = [0xfd] + [UInt8](repeating: 0, count: 14) + [1]
        cases.append(([5, 1, 0, 5, 1, 0, 4] + unique + [0, 80], [5, 0, 5, 2]))
        for name in ["nas", "nas.lan", "localhost", "www.abc.tunic"] {
            cases.append(([5, 1, 0] + ask(name), [5, 0, 5, 4]))
            let lookUp: [UInt8] = [5, 1, 0, 5, 0xf0, 0, 3, UInt8(name.utf8.count)]
            cases.append((lookUp + Array(name.utf8) + [0, 0], [5, 0, 5, 4]))
        }
        // The head of such a request would go to the exit together with the question.
        for (host, code) in [("192.168.0.1", "403"), ("router", "502")] {
            let head = "GET http://\(host)/ HTTP/1.1\r\nHost: \(host)\r\nCookie: secret=1\r\n\r\n"
            cases.append((Array(head.utf8), Array("HTTP/1.1 \(code)".utf8)))
        }
        return cases
    }()

    @Test("L1: an exit is not asked for hosts of the machine's own network, and gets nothing that was meant for them")
    func l1OwnHostsAreNotAskedFor() throws {
        let loop = Loop.simulated()
        let (client, port) = try client(on: loop) { _ in }
        defer {
            client.close {}
            loop.close()
        }
        for (said, heard) in Self.ownHosts {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write(said)
            #expect(loop.run { app.isOver })
            #expect(app.received.starts(with: heard), "\(said): \(app.received)")
            #expect(client.sessions.waiting.isEmpty)
            stream.close()
        }
        // Datagrams to them are dropped, those of other programs' discovery of neighbours among them.
        for text in ["192.168.0.1", "192.168.0.255", "224.0.0.251", "239.255.255.250", "ff02::fb", "9.9.9.9"] {
            let host = Destination.Host.address(try #require(IPAddress(text)))
            #expect(client.ports.admits(host, at: 0) == (text == "9.9.9.9"), "\(text)")
        }
        // A network for tests has such addresses itself.
        client.answers.allowsPrivate = true
        let app = App()
        let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
        try stream.write([5, 1, 0, 5, 1, 0, 1, 192, 168, 0, 1, 0, 80])
        #expect(loop.run { client.sessions.waiting.count == 1 })
        stream.close()
    }

    @Test("L1: an address of the machine's own network is not looked up by an exit")
    func l1OwnAddressesAreNotLookedUp() throws {
        let loop = Loop.simulated()
        let (client, port) = try client(on: loop) { _ in }
        defer {
            client.close {}
            loop.close()
        }
        let app = App()
        let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
        try stream.write([5, 1, 0, 5, 0xf1, 0, 1, 192, 168, 0, 1, 0, 0])
        #expect(loop.run { app.isOver })
        #expect(app.received == [5, 0, 5, 4, 0, 1, 0, 0, 0, 0, 0, 0])
        stream.close()
    }

    /// Keeps the lines of a log.
    struct Lines: LogHandler {
        final class Store: @unchecked Sendable { var lines: [String] = [] }
        let store: Store
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { store.lines.append("\(event.level) \(event.message)") }
    }

    @Test("R3: the identity beyond the limit is told so, by a general failure or 503, and the log says it once")
    func identitiesBeyondTheLimit() throws {
        let loop = Loop.simulated()
        let lines = Lines.Store()
        let (client, port) = try client(on: loop, log: Logger(label: "test") { _ in Lines(store: lines) }) {
            $0.appLimit = 1_000
            $0.listeners[0].isolation.remove(.proxyProtocol)
        }
        defer {
            client.close {}
            loop.close()
        }
        var streams: [ByteStream] = []
        let apps = (0..<ClientSessions.limit).map { _ in App() }
        // All of them wait for a first path, so no identity is idle.
        for (number, app) in apps.enumerated() {
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            let user: [UInt8] = [1, 2, UInt8(number / 256), UInt8(number % 256), 1, 0x78]
            try stream.write([5, 1, 2] + user + Self.ask("a.example"))
            streams.append(stream)
        }
        #expect(loop.run { apps.allSatisfy { $0.received == [5, 2, 1, 0] } })
        func refused(_ request: [UInt8]) throws -> [UInt8] {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write(request)
            #expect(loop.run { app.isOver })
            stream.close()
            return app.received
        }
        // All have a user name, as the others do, for an app without one would get a place.
        let socks = try refused([5, 1, 2, 1, 1, 0x6e, 1, 0x78] + Self.ask("a.example"))
        #expect(socks.starts(with: [5, 2, 1, 0, 5, 1]), "\(socks)")
        #expect(try refused([4, 1, 0, 80, 0, 0, 0, 1, 0x6e, 0] + Array("a.example".utf8) + [0]).starts(with: [0, 91]))
        let head = "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\nProxy-Authorization: Basic bjp4\r\n\r\n"
        let http = String(decoding: try refused(Array(head.utf8)), as: UTF8.self)
        #expect(http.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"), "\(http)")
        #expect(http.contains("Too many identities (256) are in use"))
        #expect(lines.lines.filter { $0.contains("too many identities (256) are in use") }.count == 1)
        for stream in streams { stream.close() }
    }

    @Test("V8: rules of listeners that are gone are kept no longer than their apps are connected")
    func rulesOfListeners() throws {
        let loop = Loop.simulated()
        let time = UnixTime(seconds: 1_700_000_000)
        let creation = NetworkCreation(name: "test", nodes: [.init(addresses: [Endpoint("9.9.9.9:1090")!])], at: time)
        let client = try Client(
            loop: loop, network: creation.file,
            configuration: ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)]), store: nil,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, sentence: \.text)
        defer {
            client.close {}
            loop.close()
        }
        let app = App()
        let port = SocketAddress(try #require(client.socksAddresses.first?.endpoint))
        let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
        try stream.write([5, 1, 0])
        #expect(loop.run { app.received == [5, 0] })
        for number in 1...20 {
            // Each listener has an address of its own.
            let wanted = ProxyListener(.tcp(Endpoint("127.0.1.\(number):0")!))
            try client.prepare([wanted]).commit()
            try client.prepare([ProxyListener(.tcp(Endpoint("127.0.2.\(number):0")!))]).abandon()
        }
        #expect(client.ports.rules.count == 2)
        stream.close()
        #expect(loop.run { client.ports.apps.all.count == 0 })
        try client.prepare([ProxyListener(.tcp(Endpoint("127.0.3.1:0")!))]).commit()
        #expect(client.ports.rules.count == 1)
    }

    @Test("R3: the exits that keys are to avoid are kept for 1,024 keys, the newest among them")
    func exitsToAvoid() throws {
        let loop = Loop.simulated()
        let (client, _) = try client(on: loop) { _ in }
        defer {
            client.close {}
            loop.close()
        }
        for number in 0..<3 * ClientSessions.lastExitLimit {
            let exit = NodeID(Bytes32(copying: [UInt8](repeating: UInt8(number & 255), count: 32).rawSpan))
            client.sessions.noteExit(exit, of: IsolationKey(dns: number))
            #expect(client.sessions.lastExit[IsolationKey(dns: number)] == exit)
        }
        #expect(client.sessions.lastExit.count == ClientSessions.lastExitLimit)
    }
}

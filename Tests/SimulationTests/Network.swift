import CSimulation
import Directory
import EventLoop
import Links
import Logging
import OnionCrypto
import Store
import Testing
import Wire

@testable import Client
@testable import Relay

extension UInt64 {
    static func seconds(_ count: Double) -> UInt64 { UInt64(count * 1e9) }
}

/// A relay on a simulated host, which can die and come back.
final class Node {
    let host: SimulatedHost
    let id: NodeID
    let isExit: Bool
    private let network: Network
    private let key: NetworkCreation.Node
    private let addresses: [Endpoint]
    private let store: Store?
    /// The key of the ledger's authority at this node; nil if there is none.
    private let authority: SimulatedLedger.Holder?
    private(set) var loop: Loop?
    private(set) var relay: Relay?
    private(set) var isDraining = false

    init(
        _ network: Network, _ key: NetworkCreation.Node, at addresses: [Endpoint], on host: SimulatedHost, isExit: Bool,
        store: Store?
    ) {
        self.network = network
        self.key = key
        self.addresses = addresses
        self.host = host
        self.isExit = isExit
        self.store = store
        authority = host.number - 1 < network.authorities.count ? network.authorities[host.number - 1] : nil
        id = key.id
    }

    private static func copy(_ key: borrowing SigningKey) -> SigningKey {
        SigningKey(seed: Secret(copying: key.seedBytes))
    }

    var isUp: Bool { relay != nil && !host.isCut }

    func start() throws {
        host.isCut = false
        let loop = Loop(simulated: host)
        var configuration = RelayConfiguration(listen: addresses)
        configuration.isExit = isExit
        network.adjust(&configuration)
        let relay = try Relay(
            loop: loop, network: network.file, configuration: configuration, identity: Self.copy(key.key),
            authority: authority.map { $0.copy() }, registry: network.registry, observer: network.observer(id),
            store: store, log: network.log, sentence: \.text)
        (self.loop, self.relay) = (loop, relay)
        relay.start()
    }

    /// Stops at once, without a message to any peer.
    func die() {
        host.isCut = true
        close()
    }

    /// Drains as at SIGTERM, and calls back when the relay has ended.
    func drain(_ done: @escaping () -> Void = {}) {
        isDraining = true
        relay?.drain { [weak self] in
            self?.network.world.after(0) {
                self?.close()
                done()
            }
        }
    }

    /// Ends at once, and tells its neighbours.
    func close() {
        relay?.close {}
        loop?.close()
        (relay, loop) = (nil, nil)
        isDraining = false
    }
}

/// A client on a simulated host, and the apps that use it.
final class User {
    let host: SimulatedHost
    let loop: Loop
    private(set) var client: Client?
    private let proxy: SocketAddress
    private let network: Network
    var apps: [App] = []

    init(_ network: Network, on host: SimulatedHost) throws {
        self.network = network
        self.host = host
        loop = Loop(simulated: host)
        var configuration = ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:9050")!)])
        network.adjustClient(&configuration)
        let client = try Client(
            loop: loop, network: network.file, configuration: configuration, store: nil, log: network.log,
            sentence: \.text)
        self.client = client
        proxy = SocketAddress(try #require(client.socksAddresses.first?.endpoint))
        client.start()
    }

    var isReady: Bool { client?.status.isReady ?? false }

    /// Begins a transfer over the session of `isolation`.
    @discardableResult
    func begin(_ plan: Transfer, isolation: Int = 0, name: String? = nil) throws -> App {
        let target: App.Target = if let name { .name(name) } else { .address(network.server.address) }
        let app = try App(plan, through: proxy, to: target, isolation: isolation, on: loop, in: network)
        apps.append(app)
        return app
    }

    /// Ends as at SIGTERM.
    func end() {
        for app in apps { app.close() }
        client?.close {}
    }

    /// Stops at once.
    func close() {
        end()
        client = nil
        loop.close()
    }
}

/// A whole network on simulated time, from one seed: relays, clients, and a server on the Internet.
final class Network {
    let seed: UInt64
    let world: SimulatedWorld
    var file: NetworkFile
    private(set) var nodes: [Node] = []
    private(set) var users: [User] = []
    private(set) var server: Server
    var adjust: (inout RelayConfiguration) -> Void = { _ in }
    var adjustClient: (inout ClientConfiguration) -> Void = { _ in }
    let registry: (any RegistrySource)?
    /// Makes the observer of a relay.
    let observer: (NodeID) -> (any RelayObserver)?
    /// The keys of the ledger's authorities, which are at the first nodes.
    private(set) var authorities: [SimulatedLedger.Holder] = []
    let log: Logger
    /// Events that must not happen.
    private(set) var violations: [String] = []

    /// The address of the relay with this number: IPv4, or IPv6.
    static func address(_ number: Int, isIPv4: Bool = true) -> Endpoint {
        guard isIPv4 else {
            return Endpoint(SocketAddress(high: (0x2600_0000 + UInt64(number)) << 32, low: 9, port: 4433))
        }
        return Endpoint(SocketAddress(ipv4: 0x0501_0109 + UInt32(number) << 16, port: 4433))
    }

    /// Makes and starts relays, of which the last `exits` are exits; their snapshot is `age` seconds old.
    init(
        seed: UInt64, relays count: Int, exits: Int, age: UInt64 = 0, line: SimulatedLine = SimulatedLine(),
        stores: [Store] = [], operators: [Int] = [], weights: [UInt32] = [],
        log: Logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() },
        _ change: (inout NetworkFile) -> Void = { _ in },
        relay adjust: @escaping (inout RelayConfiguration) -> Void = { _ in },
        ledger: (authorities: Int, block: UInt64, epoch: UInt64)? = nil,
        registry: (NetworkFile) -> (any RegistrySource)? = { _ in nil },
        observer: @escaping (NodeID) -> (any RelayObserver)? = { _ in nil },
        at place: (Int) -> [Endpoint] = { [Network.address($0)] }
    ) throws {
        simulation_begin(seed)
        self.seed = seed
        self.log = log
        self.adjust = adjust
        self.observer = observer
        world = SimulatedWorld(seed: seed)
        let addresses = (0..<count).map(place)
        var creation = NetworkCreation(
            name: "simulation",
            nodes: addresses.enumerated().map {
                .init(
                    addresses: $0.element, operatorNumber: $0.offset < operators.count ? operators[$0.offset] : nil,
                    weight: $0.offset < weights.count ? weights[$0.offset] : 1_000)
            },
            at: UnixTime(seconds: world.wallClockAtStart / 1_000_000_000 - age))
        if let ledger {
            authorities = try SimulatedLedger(
                &creation, authorities: ledger.authorities, block: ledger.block, epoch: ledger.epoch
            ).authorities
        }
        file = creation.file
        change(&file)
        self.registry = registry(file)
        server = try Server(on: world.addHost(at: [SocketAddress(ipv4: 0x5db8_d822, port: 0)], line: line), port: 80)
        world.names["server.example"] = [server.address]
        for (index, (key, addresses)) in zip(creation.nodes, addresses).enumerated() {
            let host = world.addHost(at: addresses.map { SocketAddress($0) }, line: line)
            nodes.append(
                Node(
                    self, key, at: addresses, on: host, isExit: index >= count - exits,
                    store: index < stores.count ? stores[index] : nil))
        }
        for node in nodes { try node.start() }
    }

    deinit { simulation_end() }

    @discardableResult
    func addUser(line: SimulatedLine = SimulatedLine()) throws -> User {
        let host = world.addHost(at: [freshAddress()], line: line)
        let user = try User(self, on: host)
        users.append(user)
        return user
    }

    private var nextAddress: UInt32 = 0x5001_0107
    /// An address that no client has had.
    func freshAddress() -> SocketAddress {
        nextAddress += 1 << 16
        return SocketAddress(ipv4: nextAddress, port: 0)
    }

    /// Runs for `seconds`, or until `condition` holds.
    @discardableResult
    func run(_ seconds: Double, until condition: () -> Bool = { false }) -> Bool {
        world.run(for: .seconds(seconds), until: condition)
    }

    /// Seconds since the beginning.
    var time: Double { Double(world.elapsed) / 1e9 }

    func violation(_ text: String) { violations.append("at \(time) s: \(text)") }

    func close() {
        for user in users { user.close() }
        for node in nodes { node.close() }
        server.close()
        simulation_end()
    }
}

// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

/// Queues whose ends are reached in constant time.
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")

/// A Swift module of the router.
func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

/// The tests of one module, or of several modules together.
func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: settings)
}

let package = Package(
    name: "tunic",
    products: [
        .executable(name: "tunic", targets: ["tunic"]),
        // A client inside of another program, in Swift and in C (Sources/TunicC/tunic.h).
        .library(name: "Tunic", targets: ["Tunic"]),
        .library(name: "TunicC", type: .dynamic, targets: ["TunicC"]),
        .library(
            name: "TunicCore",
            targets: [
                "Wire", "OnionCrypto", "Onion", "Link", "Transport", "Directory", "Registry", "Watch", "SocksProtocol",
                "DNSProtocol", "EventLoop", "Links", "Messages", "Requests", "Services", "Store", "Swarm",
            ]),
    ],
    dependencies: [
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        // System libraries, and what Swift cannot import of them.
        .systemLibrary(
            name: "CLibUV", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
        .systemLibrary(
            name: "CLibSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(
            name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(
            name: "CCares", pkgConfig: "libcares", providers: [.apt(["libc-ares-dev"])]),
        .target(name: "CShims"),
        // libcurl's headers are enough to build it; the library is loaded when a node has an oxend daemon.
        .target(name: "CCurl"),
        // toml++ (header only, libtomlplusplus-dev) behind a C function.
        .target(name: "CToml"),
        // A server of libmicrohttpd, run from our loop; its header is enough to build it, the library is loaded when it serves.
        .target(name: "CWeb"),

        // Pure: bytes, a time and events in; bytes, deadlines and events out.
        module("Wire", []),
        module("OnionCrypto", ["CLibSodium", "Wire", .product(name: "Crypto", package: "swift-crypto")]),
        module("Onion", ["OnionCrypto", "Wire", .product(name: "BasicContainers", package: "swift-collections")]),
        module("Link", ["OnionCrypto", "Wire", deque]),
        module("Transport", ["Wire", .product(name: "BasicContainers", package: "swift-collections")]),
        module("Directory", ["OnionCrypto", "Wire"]),
        module("Registry", ["OnionCrypto", "Wire"]),
        module("Watch", ["Registry", "OnionCrypto", "Swarm", "Wire"]),
        module("Messages", ["Link", "Transport", "Wire"]),
        module("Swarm", ["OnionCrypto", "Wire"]),
        module("Services", ["OnionCrypto", "Swarm", "Wire"]),
        module("Requests", ["Link", "Onion", "OnionCrypto", "Wire", deque]),
        module("SocksProtocol", ["Wire"]),
        module("Settings", ["CToml"]),
        module("DNSProtocol", ["Wire"]),
        module("Texts", []),

        // Impure: sockets, files, processes.
        module("EventLoop", ["CLibUV", "CCares", "CShims", deque]),
        module("Store", ["CSQLite", "OnionCrypto", "Swarm", "Wire"]),
        module(
            "Oxen",
            ["CCurl", "Directory", "EventLoop", "OnionCrypto", "Wire", .product(name: "Logging", package: "swift-log")]),
        module("Links", ["Messages", "Link", "Transport", "EventLoop", "OnionCrypto", "Wire", deque]),
        module("Paths", ["Links", "Sessions", "Onion", "OnionCrypto", "Transport", "Wire"]),
        module("Sessions", ["Requests", "Onion", "OnionCrypto", "Transport", "EventLoop", "Wire"]),
        module(
            "Relay",
            [
                "Paths", "Sessions", "Requests", "Swarm", "Links", "Onion", "Link", "Transport", "Directory",
                "DNSProtocol",
                "Registry", "Watch", "EventLoop", "OnionCrypto", "Wire", "Store", deque,
                .product(name: "Logging", package: "swift-log"),
            ]),
        module(
            "Client",
            [
                "Paths", "Sessions", "Requests", "Services", "Swarm", "Links", "Onion", "Link", "Transport",
                "Directory", "SocksProtocol", "DNSProtocol", "EventLoop", "OnionCrypto", "Wire", "Store", deque,
                .product(name: "Logging", package: "swift-log"),
            ]),
        module(
            "Tunic",
            [
                "Client", "Directory", "Store", "EventLoop", "Wire", .product(name: "Logging", package: "swift-log"),
            ]),
        .target(name: "TunicC", dependencies: ["Tunic"], exclude: ["tunic.h"], swiftSettings: settings),
        module("Control", ["EventLoop", "Texts", "Wire"]),
        module("Web", ["CWeb", "EventLoop", "Wire"]),
        module("Bench", ["EventLoop", "Texts", "Wire", .product(name: "Histogram", package: "hdrhistogram-swift")]),
        module(
            "Process",
            ["Control", "CShims", "Directory", "EventLoop", "OnionCrypto", "Settings", "Store", "Texts", "Wire"]),
        // The version, and the commit that is built.
        .plugin(name: "BuildInfoPlugin", capability: .buildTool(), path: "Sources/BuildInfoPlugin"),
        .target(name: "BuildInfo", swiftSettings: settings, plugins: ["BuildInfoPlugin"]),
        module(
            "Daemon",
            [
                "BuildInfo", "Client", "Control", "CShims", "Directory", "EventLoop", "Links", "OnionCrypto", "Oxen",
                "Process", "Registry", "Relay", "Settings", "Store", "Swarm", "Web", "Wire",
                .product(name: "Logging", package: "swift-log"),
            ]),
        module(
            "Provision",
            [
                "Bench", "BuildInfo", "CCurl", "Control", "CShims", "Directory", "EventLoop", "Links", "OnionCrypto",
                "Process", "Registry", "SocksProtocol", "Store", "Texts", "Web", "Wire",
            ]),
        .executableTarget(
            name: "tunic",
            dependencies: [
                "Bench", "BuildInfo", "Control", "CShims", "Daemon", "Directory", "OnionCrypto", "Oxen", "Process",
                "Provision", "Registry", "Settings", "Store", "Texts", "Wire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings,
            // Nothing loads the program as a library: with its symbols exported, as a static Swift library asks for, the linker could
            // leave out nothing that is never called. All symbols are bound at the start, so that their table is read-only from then on.
            linkerSettings: [
                .unsafeFlags(
                    ["-Xlinker", "--no-export-dynamic", "-Xlinker", "-z", "-Xlinker", "now"],
                    .when(platforms: [.linux], configuration: .release))
            ]),

        // Reads what Tests/Vectors holds.
        .target(
            name: "VectorFiles", dependencies: ["OnionCrypto", "Wire"], path: "Tests/VectorFiles",
            swiftSettings: settings),
        // Link's state machines on a hostile network, for a seeded test and a fuzz target.
        .target(
            name: "LinkModel", dependencies: ["Link", "OnionCrypto", "Wire"], path: "Tests/LinkModel",
            swiftSettings: settings),
        // Builds, layers and tables beside a hostile node, for a seeded test and a fuzz target.
        .target(
            name: "OnionModel", dependencies: ["Onion", "OnionCrypto", "Wire"], path: "Tests/OnionModel",
            swiftSettings: settings),
        // A generator whose numbers follow from a seed, for all tests and models that draw.
        .target(name: "SeededRandom", path: "Tests/SeededRandom", swiftSettings: settings),
        // Runs a loop until something holds.
        .target(
            name: "LoopTesting", dependencies: ["EventLoop", "Wire"], path: "Tests/LoopTesting",
            swiftSettings: settings),
        // Threads of the system.
        .target(name: "ThreadTesting", path: "Tests/ThreadTesting", swiftSettings: settings),
        // Randomness by seed, and tables in a fixed order, for simulations of the whole program.
        .target(name: "CSimulation", dependencies: ["CLibSodium"], path: "Tests/CSimulation"),
        // A session whose peer is a connection by hand.
        .target(
            name: "SessionTesting", dependencies: ["EventLoop", "Sessions", "Transport", "Wire"],
            path: "Tests/SessionTesting", swiftSettings: settings),
        tests("WireTests", ["SeededRandom", "VectorFiles", "Wire"]),
        tests("OnionCryptoTests", ["CLibSodium", "OnionCrypto", "VectorFiles", "Wire"]),
        tests("OnionTests", ["Onion", "OnionCrypto", "OnionModel", "SeededRandom", "VectorFiles", "Wire"]),
        tests(
            "LinkTests", ["Link", "LinkModel", "OnionCrypto", "SeededRandom", "ThreadTesting", "VectorFiles", "Wire"]),
        // A node's control messages with an honest client and a hostile one, for a seeded test and a fuzz target.
        .target(
            name: "ExchangeModel", dependencies: ["Messages", "Link", "Transport", "Wire"], path: "Tests/ExchangeModel",
            swiftSettings: settings),
        tests("MessagesTests", ["Messages", "ExchangeModel", "SeededRandom", "Transport", "Wire"]),
        // Links of honest nodes and a client with a hostile peer on simulated time, for a seeded test and a fuzz target.
        .target(
            name: "LinksModel",
            dependencies: [
                "CSimulation", "EventLoop", "Link", "LinkModel", "Links", "Messages", "OnionCrypto", "SeededRandom",
                "Transport", "Wire",
            ],
            path: "Tests/LinksModel", swiftSettings: settings),
        tests(
            "LinksTests",
            [
                "Links", "LinksModel", "Messages", "Link", "LoopTesting", "SeededRandom", "Transport", "EventLoop",
                "OnionCrypto", "Wire",
            ]),
        tests(
            "SessionsTests",
            [
                "Sessions", "Requests", "Onion", "OnionCrypto", "Transport", "EventLoop", "LoopTesting",
                "SessionTesting", "VectorFiles", "Wire",
            ]),
        // Two ends of the transport over a bad network, for the tests and the fuzzer.
        .target(
            name: "ConnectionModel", dependencies: ["SeededRandom", "Transport", "Wire"], path: "Tests/ConnectionModel",
            swiftSettings: settings),
        tests(
            "TransportTests",
            [
                "ConnectionModel", "SeededRandom", "Transport", "Wire",
                .product(name: "BasicContainers", package: "swift-collections"),
            ]),
        tests(
            "RelayTests",
            [
                "Relay", "Client", "Paths", "Sessions", "LoopTesting", "LinkModel", "Links", "Onion", "Link",
                "Transport",
                "Directory", "EventLoop", "OnionCrypto", "Registry", "Requests", "SeededRandom", "Store", "Swarm",
                "SwarmModel", "Watch", "Wire",
                .product(name: "Logging", package: "swift-log"),
            ]),
        tests(
            "ClientTests",
            [
                "Client", "DNSProtocol", "Links", "Link", "LoopTesting", "Directory", "EventLoop", "Onion",
                "OnionCrypto", "SeededRandom", "Sessions", "SessionTesting", "SocksProtocol", "Store", "Transport",
                "Wire",
                .product(name: "Logging", package: "swift-log"),
            ]),
        // Whole networks on simulated time.
        tests(
            "SimulationTests",
            [
                "CSimulation", "Relay", "Client", "Links", "Directory", "EventLoop", "OnionCrypto", "Registry",
                "Requests",
                "SeededRandom", "Services", "Sessions", "Store", "Swarm", "SwarmModel", "Wire",
                .product(name: "Logging", package: "swift-log"),
            ]),
        // Nodes that agree on snapshots, and on lists of descriptors, beside a hostile one, for seeded tests and fuzz targets.
        .target(
            name: "DirectoryModel", dependencies: ["Directory", "OnionCrypto", "SeededRandom", "Wire"],
            path: "Tests/DirectoryModel", swiftSettings: settings),
        tests("DirectoryTests", ["Directory", "DirectoryModel", "OnionCrypto", "SeededRandom", "VectorFiles", "Wire"]),
        tests("RegistryTests", ["Registry", "OnionCrypto", "SeededRandom", "VectorFiles", "Wire"]),
        // Boxes and items, for the tests of the swarm and its fuzz target.
        .target(
            name: "SwarmModel", dependencies: ["Swarm", "OnionCrypto", "SeededRandom", "Wire"],
            path: "Tests/SwarmModel",
            swiftSettings: settings),
        tests("SwarmTests", ["Swarm", "SwarmModel", "Store", "OnionCrypto", "SeededRandom", "VectorFiles", "Wire"]),
        // Services with keys by number, for the tests and the fuzz targets.
        .target(
            name: "ServicesModel",
            dependencies: ["Services", "Swarm", "SwarmModel", "OnionCrypto", "SeededRandom", "Wire"],
            path: "Tests/ServicesModel", swiftSettings: settings),
        tests(
            "ServicesTests",
            ["Services", "ServicesModel", "Swarm", "SwarmModel", "OnionCrypto", "SeededRandom", "VectorFiles", "Wire"]),
        // A client, proxies and targets of onion requests that turn hostile, for a seeded test and a fuzz target.
        .target(
            name: "RequestsModel", dependencies: ["Requests", "Link", "Onion", "OnionCrypto", "SeededRandom", "Wire"],
            path: "Tests/RequestsModel", swiftSettings: settings),
        tests(
            "RequestsTests",
            ["Requests", "RequestsModel", "Link", "Onion", "OnionCrypto", "SeededRandom", "VectorFiles", "Wire"]),
        tests("OxenTests", ["Oxen", "OnionCrypto", "Wire", .product(name: "Logging", package: "swift-log")]),
        tests(
            "WatchTests", ["Watch", "Registry", "OnionCrypto", "SeededRandom", "Swarm", "SwarmModel", "Wire"]),
        tests("SocksProtocolTests", ["SocksProtocol", "Wire"]),
        tests("SettingsTests", ["Settings"]),
        tests("DNSProtocolTests", ["DNSProtocol", "Wire"]),
        tests("EventLoopTests", ["EventLoop", "ThreadTesting"]),
        tests("StoreTests", ["Store", "OnionCrypto", "SeededRandom", "Swarm", "SwarmModel", "Wire"]),
        tests("TunicTests", ["Client", "Directory", "EventLoop", "LoopTesting", "Tunic", "Wire"]),
        tests("ControlTests", ["Control", "EventLoop", "LoopTesting"]),
        tests("WebTests", ["Web"]),
        tests("BenchTests", ["Bench", "EventLoop", "LoopTesting"]),
        tests("TextsTests", ["Texts"]),
        tests(
            "DaemonTests",
            [
                "Daemon", "Client", "Control", "Directory", "EventLoop", "OnionCrypto", "Process", "Provision",
                "Registry", "Relay", "Settings", "Web", "Wire",
                .product(name: "Logging", package: "swift-log"),
            ]),
        tests(
            "ProvisionTests",
            [
                "Provision", "Bench", "Control", "Directory", "OnionCrypto", "Process", "Registry", "Store", "Web",
                "Wire",
            ]),
    ]
)

// One libFuzzer executable for every parser of network input, only where it is asked for: see Tests/Fuzz/run.
if Context.environment["TUNIC_FUZZ"] != nil {
    package.targets += [
        .systemLibrary(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "CFuzzer", "ConnectionModel", "ExchangeModel", "Wire", "OnionCrypto", "Onion", "OnionModel", "Link",
                "LinkModel", "LinksModel", "Transport",
                "Directory", "DirectoryModel",
                "Registry", "Watch",
                "SocksProtocol", "DNSProtocol", "Swarm", "SwarmModel",
                "Requests", "RequestsModel", "SeededRandom",
                "Services", "ServicesModel",
            ],
            path: "Tests/Fuzz", exclude: ["CFuzzer", "Corpora", "build", "run"], swiftSettings: settings),
    ]
}

// The tests of the targets named in TUNIC_TESTS (separated by spaces), with only the modules that they need: seconds instead of
// minutes for whoever works on one module.
if let chosen = Context.environment["TUNIC_TESTS"] {
    var needed: Set<String> = []
    var open = chosen.split(separator: " ").map(String.init)
    for name in open where !package.targets.contains(where: { $0.name == name }) {
        fatalError("TUNIC_TESTS: there is no target named \(name)")
    }
    while let name = open.popLast() {
        guard needed.insert(name).inserted, let target = package.targets.first(where: { $0.name == name }) else {
            continue
        }
        for dependency in target.dependencies {
            if case .byNameItem(let name, _) = dependency { open.append(name) }
            if case .targetItem(let name, _) = dependency { open.append(name) }
        }
        for case .plugin(let name, _) in target.plugins ?? [] { open.append(name) }
    }
    package.targets.removeAll { !needed.contains($0.name) }
    package.products = []
}

// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

// The wide area network that `run` puts between network namespaces. It depends on nothing, not on Tunic either.
let package = Package(
    name: "Wan",
    targets: [
        .target(name: "Emulation", swiftSettings: settings),
        .target(name: "CEmulator"),
        .executableTarget(name: "Emulator", dependencies: ["CEmulator", "Emulation"], swiftSettings: settings),
        .testTarget(name: "EmulationTests", dependencies: ["Emulation"]),
    ]
)

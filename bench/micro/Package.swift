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

// The programs that `run` and `../flood` call. Their dependencies are built once more here, optimised.
let package = Package(
    name: "Micro",
    dependencies: [.package(name: "tunic", path: "../..")],
    targets: [
        .target(name: "CMicro"),
        .executableTarget(
            name: "Micro",
            dependencies: ["CMicro", .product(name: "TunicCore", package: "tunic")],
            swiftSettings: settings),
        .target(name: "CFlood"),
        .executableTarget(
            name: "Flood",
            dependencies: ["CFlood", .product(name: "TunicCore", package: "tunic")],
            swiftSettings: settings),
    ]
)

// swift-tools-version: 6.2
import PackageDescription

// The program that `run` counts and times. Its dependencies are built once more here, optimised.
let package = Package(
    name: "Micro",
    dependencies: [.package(name: "tunic", path: "../..")],
    targets: [
        .target(name: "CMicro"),
        .executableTarget(
            name: "Micro",
            dependencies: ["CMicro", .product(name: "TunicCore", package: "tunic")],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("InternalImportsByDefault"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableExperimentalFeature("Lifetimes"),
                .strictMemorySafety(),
                .treatAllWarnings(as: .error),
            ]),
    ]
)

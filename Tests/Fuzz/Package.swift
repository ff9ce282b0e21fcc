// swift-tools-version: 6.2
import PackageDescription

// One libFuzzer executable for every parser of network input; the environment variable FUZZ names the target. See `run`.
let package = Package(
    name: "Fuzz",
    dependencies: [.package(name: "tunic", path: "../..")],
    targets: [
        .executableTarget(
            name: "Fuzz",
            dependencies: [.product(name: "TunicCore", package: "tunic")],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("InternalImportsByDefault"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableExperimentalFeature("Lifetimes"),
                .strictMemorySafety(),
                .unsafeFlags(["-parse-as-library"]),
            ])
    ]
)

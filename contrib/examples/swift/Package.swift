// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "fetch",
    dependencies: [.package(name: "tunic", path: "../../..")],
    targets: [.executableTarget(name: "fetch", dependencies: [.product(name: "Tunic", package: "tunic")])]
)

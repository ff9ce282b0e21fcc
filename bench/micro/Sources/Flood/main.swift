internal import Directory
internal import Glibc
internal import Wire

/// What `bench/flood` calls; it prints one line of JSON at the end.
///
///     Flood KIND NETWORK-FILE NODE HOST:PORT PACKETS-A-SECOND SECONDS SOURCES [wide]
///
/// SOURCES addresses of 127.0.0.0/16 send, or, with `wide`, of as many /24 all over 127.0.0.0/8.

let words = Array(CommandLine.arguments.dropFirst())
guard words.count >= 7, let kind = FloodKind(rawValue: words[0]), let node = NodeID(words[2]),
    let target = Endpoint(words[3]), let rate = Double(words[4]), let seconds = Double(words[5]),
    let sources = Int(words[6]), sources > 0, let text = readFile(words[1]), let file = try? NetworkFile(json: text)
else {
    fail("usage: Flood \(FloodKind.names) NETWORK-FILE NODE HOST:PORT PACKETS-A-SECOND SECONDS SOURCES [wide]")
}
let plan = FloodPlan(
    kind: kind, file: file, node: node, target: target, rate: rate, seconds: seconds, sources: sources,
    isWide: words.dropFirst(7).first == "wide")
switch kind {
case .garbage, .forged, .initiations, .links: PacketFlood(plan).run()
case .blocks, .operations, .builds, .replays:
    do { try MessageFlood(plan).run() } catch { fail("\(error)") }
}

private func readFile(_ path: String) -> [UInt8]? {
    guard let file = unsafe fopen(path, "r") else { return nil }
    defer { unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 16 << 20)
    let count = unsafe fread(&bytes, 1, bytes.count, file)
    return Array(bytes.prefix(count))
}

internal import CMicro
internal import Onion
internal import OnionCrypto

/// What a relay's table holds for each path that it forwards.
struct PathMemory {
    /// Resident memory, and what the allocator has handed out, in bytes a path.
    let resident: Double
    let allocated: Double

    /// Enters `count` paths of `suite` from 1,000 links, each complete.
    init(paths count: Int, _ suite: Suite) {
        let relay = Node(1)
        _ = enterPath(relay, suite, from: 0, to: 2_000)
        let before = (micro_resident_bytes(), micro_allocated_bytes())
        for number in 0..<count {
            let (path, _) = enterPath(relay, suite, from: UInt32(number % 1_000), to: UInt32(2_000 + number % 100))
            guard relay.table.connect(path, nextPathID: 9) else { fail("connected") }
        }
        let after = (micro_resident_bytes(), micro_allocated_bytes())
        guard relay.table.count == count + 1 else { fail("entered") }
        resident = (Double(after.0) - Double(before.0)) / Double(count)
        allocated = (Double(after.1) - Double(before.1)) / Double(count)
    }
}

import Glibc
import Logging
import Synchronization
import Testing
import Wire

@testable import Oxen

/// The thread of a daemon's calls.
struct DaemonTests {
    @Test func aDaemonWithoutAThreadWakesNoConnection() throws {
        let node = NodeID(Bytes32([UInt8](repeating: 1, count: 32))!)
        let configuration = OxendConfiguration(
            address: try OxendAddress("http://127.0.0.1:1"), network: Bytes32([UInt8](repeating: 7, count: 32))!,
            node: node, epochBlocks: 10)
        let daemon = OxendDaemon(configuration, log: Logger(label: "oxend") { _ in SwiftLogNoOpLogHandler() })
        #expect(throws: (any Error).self) { try daemon.start { _, _ in EAGAIN } }
        #expect(daemon.shared.withLock { $0.waker } == 0)
        daemon.report(node, passed: true)
        daemon.stop()
    }
}

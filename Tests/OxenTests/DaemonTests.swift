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
        var error: (any Error)?
        do { try daemon.start { _, _ in EAGAIN } } catch let thrown { error = thrown }
        #expect(error.map { !($0 is OxendError) } == true, "the thread is missing, not libcurl")
        #expect(daemon.shared.withLock { $0.waker } == 0)
        daemon.report(node, passed: true)
        daemon.stop()
    }
}

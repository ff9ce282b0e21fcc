import Directory
import Glibc
import Logging
import Store
import Synchronization
import Testing
import Wire

@testable import Client

/// The failures that a client holds against its guards, and its warnings about files that it cannot read.
@Suite struct GuardRefusalTests {
    @Test("R3: builds that a guard refuses as too many are no bias of its own, and draw no third guard")
    func refusedForItself() throws {
        let world = try DirectoryWorld(8)
        #expect(world.start())
        let directory = world.directory
        for round in 0..<400 {
            let hops = try directory.select(hops: 3, terminal: .exit(.tcp), avoiding: [])
            if round.isMultiple(of: 2) {
                directory.reset(hops)
            } else {
                directory.refused(hops, hop: 0, status: .overloaded)
            }
        }
        #expect(directory.guards.sample.count == Guards.primaryCount)
        #expect(directory.guards.sample.allSatisfy { $0.bias.attempts == 0 && $0.bias.level == nil })
        // Refusals that concern a later hop count as before.
        let hops = try directory.select(hops: 3, terminal: .exit(.tcp), avoiding: [])
        directory.refused(hops, hop: 0, status: .nextHopUnreachable)
        directory.refused(hops, hop: 1, status: .overloaded)
        #expect(directory.guards.sample.first { $0.node == hops[0] }?.bias.attempts == 2)
    }

    /// Counts warnings about the kept list of descriptors.
    private struct Counting: LogHandler {
        final class Count: Sendable { let value = Mutex(0) }
        let count: Count
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            guard event.level >= .warning, "\(event.message)".contains("list of descriptors that was kept") else {
                return
            }
            count.value.withLock { $0 += 1 }
        }
    }

    @Test("s11: a list that was kept and cannot be read is told in the log; one that is missing is not")
    func keptList() throws {
        for (content, mode, warnings) in [(nil, 0, 0), ([1, 2, 3], 0o600, 1), ([1, 2, 3], 0o644, 1)]
            as [([UInt8]?, mode_t, Int)]
        {
            var template = Array("/tmp/tunic-client-XXXXXX".utf8CString)
            #expect(unsafe mkdtemp(&template) != nil)
            let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let store = try Store(folder: folder)
            let path = store.path(of: "descriptors.list")
            if let content {
                let descriptor = unsafe open(path, O_WRONLY | O_CREAT, 0o600)
                #expect(unsafe write(descriptor, content, content.count) == content.count)
                #expect(fchmod(descriptor, mode) == 0 && close(descriptor) == 0)
            }
            let count = Counting.Count()
            let world = try DirectoryWorld(3, store: store, log: Logger(label: "test") { _ in Counting(count: count) })
            #expect(count.value.withLock { $0 } == warnings, "\(mode)")
            withExtendedLifetime(world) {}
        }
    }
}

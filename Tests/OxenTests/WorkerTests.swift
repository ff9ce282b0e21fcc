import Logging
import OnionCrypto
import Synchronization
import Testing
import Wire

@testable import Oxen

/// The warnings and notices of a daemon.
private final class Lines: Sendable {
    let all = Mutex<[String]>([])
}

private struct LineHandler: LogHandler {
    let lines: Lines
    var logLevel = Logger.Level.notice
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.all.withLock { $0.append("\(event.level): \(event.message)") } }
}

/// A daemon's worker whose answers are given by hand; its calls are begun and never sent.
private final class Bench {
    let daemon: OxendDaemon
    let worker: OxendWorker
    let lines = Lines()

    init() throws {
        var configuration = OxendConfiguration(
            address: try OxendAddress("http://127.0.0.1:1"), network: Bytes32([UInt8](repeating: 7, count: 32))!,
            node: NodeID(Bytes32([UInt8](repeating: 1, count: 32))!), epochBlocks: 10)
        configuration.silencePatience = .zero
        let lines = self.lines
        daemon = OxendDaemon(
            configuration, log: Logger(label: "oxend", factory: { _ in LineHandler(lines: lines) }))
        worker = OxendWorker(daemon: daemon, connection: try OxendConnection(configuration.address))
    }

    private func reply(_ result: String) -> Result<[UInt8], OxendError> {
        .success(Array(#"{"id":"0","jsonrpc":"2.0","result":\#(result)}"#.utf8))
    }

    private func hash(_ height: UInt64) -> String {
        hexadecimal(Blake2b.digest([UInt8]("\(height)".utf8).rawSpan).array)
    }

    /// A list at this height, with one node that the block 6 places.
    func list(_ height: UInt64) {
        let key = String(repeating: "ab", count: 32)
        worker.take(
            .list,
            reply(
                """
                {"status":"OK","height":\(height),"block_hash":"\(hash(height))","service_node_states":[{
                "service_node_pubkey":"\(key)","pubkey_ed25519":"\(key)","active":true,"funded":true,
                "operator_address":"L9","registration_height":5}]}
                """))
    }

    func hashes(_ heights: [UInt64]) {
        let headers = heights.map { #"{"height":\#($0),"hash":"\#(hash($0))"}"# }.joined(separator: ",")
        worker.take(.hashes, reply(#"{"status":"OK","block_headers":[\#(headers)]}"#))
    }

    func header(_ height: UInt64) {
        worker.take(
            .header,
            reply(#"{"status":"OK","block_header":{"height":\#(height),"hash":"\#(hash(height))","timestamp":1000}}"#))
    }

    func refuse(_ kind: OxendWorker.Kind) { worker.take(kind, .failure(.refused(code: -5, message: "internal error"))) }

    /// Whether a good answer has been noted since the last question.
    var wasGood: Bool {
        daemon.shared.withLock { shared in
            defer { shared.lastGood = Instant(nanoseconds: 0) }
            return shared.lastGood > Instant(nanoseconds: 0)
        }
    }

    var isTroubled: Bool { daemon.status.trouble != nil && daemon.problem != nil }
}

/// What counts as a good answer of a daemon, and what is logged.
struct WorkerTests {
    private let warning = "warning: the registry is unchanged: the daemon refuses the call (-5: internal error)"
    private let notice = "notice: the oxend daemon answers again"

    @Test func aDaemonThatGivesListsAndNoHeadersIsNotGood() throws {
        let bench = try Bench()
        bench.list(20)
        #expect(bench.wasGood)
        bench.hashes([6])
        #expect(bench.wasGood && !bench.isTroubled)
        bench.list(22)
        _ = bench.wasGood
        for height in 23...40 as ClosedRange<UInt64> {
            bench.refuse(.header)
            bench.list(height)
            #expect(!bench.wasGood && bench.isTroubled)
        }
        #expect(bench.lines.all.withLock { $0 } == [warning])
        #expect(bench.daemon.status.height == 40 && bench.daemon.status.snapshotHeight == 0)
        bench.header(30)
        #expect(bench.wasGood && !bench.isTroubled && bench.daemon.status.snapshotHeight == 30)
        #expect(bench.lines.all.withLock { $0 } == [warning, notice])
    }

    @Test func aDaemonThatGivesListsAndNoHashesIsNotGood() throws {
        let bench = try Bench()
        bench.list(20)
        _ = bench.wasGood
        for height in 21...40 as ClosedRange<UInt64> {
            if height < 30 { bench.refuse(.hashes) } else { bench.hashes([7]) }
            bench.list(height)
            #expect(!bench.wasGood && bench.isTroubled)
        }
        #expect(bench.lines.all.withLock { $0.count } == 2)
        bench.hashes([6])
        #expect(bench.wasGood && !bench.isTroubled)
        #expect(bench.lines.all.withLock { $0.last } == notice)
    }

    @Test func theHeaderOfAnotherBlockIsNoAnswer() throws {
        let bench = try Bench()
        bench.list(20)
        bench.hashes([6])
        bench.list(22)
        bench.header(21)
        #expect(bench.isTroubled && bench.daemon.status.snapshotHeight == 0)
    }

    @Test func aFailedListIsOneTroubleAndAGoodOneEndsIt() throws {
        let bench = try Bench()
        bench.list(21)
        bench.hashes([6])
        for _ in 0..<5 { bench.refuse(.list) }
        #expect(bench.wasGood && bench.isTroubled)
        bench.list(22)
        #expect(bench.wasGood && !bench.isTroubled)
        #expect(bench.lines.all.withLock { $0 } == [warning, notice])
    }
}

import EventLoop
import LoopTesting
import Testing

@testable import Control

#if canImport(Glibc)
    import Glibc
#endif

/// A loop and a socket path in a folder of its own.
private final class Bench {
    let loop: Loop
    let folder: String
    var path: String { "\(folder)/control.sock" }

    init() throws {
        loop = try Loop()
        var template = Array("/tmp/tunic-control-XXXXXX".utf8CString)
        try #require(unsafe mkdtemp(&template) != nil)
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        loop.close()
        unsafe unlink(path)
        unsafe rmdir(folder)
    }

    /// Runs the loop until `condition` holds.
    func run(until condition: () -> Bool) {
        let isMet = loop.run(until: condition)
        #expect(isMet, "gave up waiting")
    }

    /// Asks and waits for the answer.
    func ask<Report: Decodable>(_ command: ControlCommand, as type: Report.Type) -> Result<Report, ControlError>? {
        var result: Result<Report, ControlError>?
        ControlClient.ask(command, at: path, on: loop, as: type) { result = $0 }
        run { result != nil }
        return result
    }
}

/// Collects what a connection receives.
private final class Collector: ByteStreamDelegate {
    var received: [UInt8] = []
    var hasEnded = false
    var isConnected = false
    var text: String { String(decoding: received, as: UTF8.self) }

    func streamConnected(_ stream: ByteStream) {
        isConnected = true
        stream.startReading()
    }
    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        for place in 0..<bytes.byteCount {
            received.append(unsafe bytes.unsafeLoad(fromByteOffset: place, as: UInt8.self))
        }
    }
    func streamReachedEnd(_ stream: ByteStream) { hasEnded = true }
    func stream(_ stream: ByteStream, failed error: UVError) { hasEnded = true }
}

@Suite struct ControlServerTests {
    @Test func reportsAndRefusalsReachTheClient() throws {
        let bench = try Bench()
        let report = StatusReport(role: .client, version: "1")
        let server = try ControlServer(on: bench.loop, path: bench.path) { command, _ in
            command == .status ? .status(report) : .refusal("a relay has no paths")
        }
        #expect(bench.ask(.status, as: StatusReport.self) == .success(report))
        #expect(bench.ask(.paths, as: PathsReport.self) == .failure(.refused("a relay has no paths")))
        server.close()
        #expect(unsafe access(bench.path, F_OK) != 0)
    }

    @Test func theSocketIsOurUsersAlone() throws {
        let bench = try Bench()
        let server = try ControlServer(on: bench.loop, path: bench.path) { _, _ in .refusal("") }
        var status = stat()
        #expect(unsafe lstat(bench.path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        server.close()
    }

    @Test func severalRequestsComeBackInOrderOnOneConnection() throws {
        let bench = try Bench()
        let server = try ControlServer(on: bench.loop, path: bench.path) { command, _ in .refusal(command.rawValue) }
        let collector = Collector()
        let stream = try ByteStream.connect(on: bench.loop, toUnixPath: bench.path, delegate: collector)
        try stream.write(Array("{\"command\":\"paths\"}\nx\n{\"command\":\"status\"}\n".utf8))
        stream.shutdown()
        bench.run { collector.hasEnded }
        let lines = collector.text.split(separator: "\n")
        #expect(lines.count == 3 && lines.first == #"{"error":"paths"}"# && lines.last == #"{"error":"status"}"#)
        stream.close()
        server.close()
    }

    @Test("An answer may come later: requests behind it wait for it, and nobody has it where the asker is gone")
    func laterAnswers() throws {
        let bench = try Bench()
        var deferred: [DeferredReply] = []
        let server = try ControlServer(on: bench.loop, path: bench.path) { command, _ in
            guard command == .request else { return .refusal(command.rawValue) }
            deferred.append(DeferredReply())
            return .later(deferred[deferred.count - 1])
        }
        let collector = Collector()
        let stream = try ByteStream.connect(on: bench.loop, toUnixPath: bench.path, delegate: collector)
        try stream.write(Array("{\"command\":\"request\"}\n{\"command\":\"paths\"}\n".utf8))
        stream.shutdown()
        bench.run { deferred.count == 1 }
        #expect(collector.text.isEmpty)
        deferred[0].give(.report(Done("asked")))
        deferred[0].give(.refusal("twice"))
        bench.run { collector.hasEnded }
        #expect(collector.text == "{\"done\":\"asked\"}\n{\"error\":\"paths\"}\n")
        stream.close()

        let gone = try ByteStream.connect(on: bench.loop, toUnixPath: bench.path, delegate: Collector())
        try gone.write(Array("{\"command\":\"request\"}\n".utf8))
        bench.run { deferred.count == 2 }
        gone.close()
        server.close()
        deferred[1].give(.refusal("late"))
        // An answer that was given before the request arrives.
        let known = DeferredReply()
        known.give(.refusal("known"))
        let line = ControlLine.answered(to: Array("{\"command\":\"request\"}".utf8), from: { _, _ in .later(known) })
        #expect(String(decoding: line, as: UTF8.self) == "{\"error\":\"known\"}\n")
    }

    @Test func anEndlessLineIsRefusedAndTheConnectionClosed() throws {
        let bench = try Bench()
        let server = try ControlServer(on: bench.loop, path: bench.path) { _, _ in .refusal("") }
        let collector = Collector()
        let stream = try ByteStream.connect(on: bench.loop, toUnixPath: bench.path, delegate: collector)
        try stream.write(Array(repeating: UInt8(ascii: "a"), count: ControlSocket.longestRequest.all + 1))
        bench.run { collector.hasEnded }
        #expect(collector.text == "{\"error\":\"the request is too long\"}\n")
        stream.close()
        server.close()
    }

    @Test func connectionsBeyondTheLimitAreClosed() throws {
        let bench = try Bench()
        let server = try ControlServer(on: bench.loop, path: bench.path) { _, _ in .refusal("") }
        var held: [ByteStream] = []
        var collectors: [Collector] = []
        for _ in 0...ControlSocket.connectionLimit {
            let collector = Collector()
            held.append(try ByteStream.connect(on: bench.loop, toUnixPath: bench.path, delegate: collector))
            bench.run { collector.isConnected }
            collectors.append(collector)
        }
        let last = try #require(collectors.last)
        bench.run { last.hasEnded }
        #expect(collectors.dropLast().allSatisfy { !$0.hasEnded })
        held[0].close()
        bench.run {
            var result: Result<StatusReport, ControlError>?
            ControlClient.ask(.status, at: bench.path, on: bench.loop, as: StatusReport.self) { result = $0 }
            while result == nil { bench.loop.runOnce(waiting: true) }
            return result == .failure(.refused(""))
        }
        for stream in held { stream.close() }
        server.close()
    }

    @Test func whatCannotBeAskedIsToldApart() throws {
        let bench = try Bench()
        guard case .failure(.unreachable(let error)) = bench.ask(.status, as: StatusReport.self) else {
            Issue.record("nobody listens")
            return
        }
        #expect(error.name == "ENOENT")
        var result: Result<StatusReport, ControlError>?
        ControlClient.ask(
            .status, at: String(repeating: "a", count: 108), on: bench.loop, as: StatusReport.self
        ) { result = $0 }
        #expect(result == nil)
        bench.run { result != nil }
        #expect(result == .failure(.pathTooLong(108)))
        let long = "/" + String(repeating: "a", count: 200)
        #expect(throws: ControlError.pathTooLong(201)) {
            _ = try ControlServer(on: bench.loop, path: long) { _, _ in .refusal("") }
        }
    }

    @Test func anOtherServersSocketIsNotTaken() throws {
        let bench = try Bench()
        let server = try ControlServer(on: bench.loop, path: bench.path) { _, _ in .refusal("first") }
        #expect(throws: ControlError.inUse) {
            _ = try ControlServer(on: bench.loop, path: bench.path) { _, _ in .refusal("second") }
        }
        #expect(bench.ask(.status, as: StatusReport.self) == .failure(.refused("first")))
        server.close()
    }

    @Test func aServerThatDoesNotAnswerIsGivenUp() throws {
        let bench = try Bench()
        let listener = try StreamListener.unix(on: bench.loop, path: bench.path) { _ in }
        var result: Result<StatusReport, ControlError>?
        ControlClient.ask(.status, at: bench.path, on: bench.loop, as: StatusReport.self, timeout: 1_000_000) {
            result = $0
        }
        bench.run { result != nil }
        #expect(result == .failure(.timedOut))
        listener.close()
    }
}

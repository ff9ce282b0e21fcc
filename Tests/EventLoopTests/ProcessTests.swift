import Glibc
import Testing

@testable import EventLoop

@Suite struct ProcessTests {
    @Test func aChildReportsItsStatusOrSignal() throws {
        let loop = try Loop()
        defer { loop.close() }
        var exits: [ChildProcess.ExitStatus] = []
        let failing = try ChildProcess(on: loop, .init("/bin/sh", ["-c", "exit 7"])) { exits.append($0) }
        run(loop) { exits.count == 1 }
        #expect(exits == [.status(7)] && failing.exit == .status(7))
        let waiting = try ChildProcess(on: loop, .init("/bin/sh", ["-c", "read line; sleep 100"])) { exits.append($0) }
        #expect(waiting.processIdentifier > 0)
        waiting.kill(forcibly: true)
        run(loop) { exits.count == 2 }
        #expect(exits.last == .signal(SIGKILL) || exits.last == .status(1))
        let error = #expect(throws: UVError.self) {
            _ = try ChildProcess(on: loop, .init("/no/such/program")) { _ in }
        }
        #expect(error?.code == -ENOENT)
    }

    @Test func aChildWritesToAFileAndGetsItsEnvironment() throws {
        let loop = try Loop()
        defer { loop.close() }
        let path = "/tmp/eventloop-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).out"
        var command = ChildProcess.Command("/bin/sh", ["-c", "printf %s \"$WORD\"; pwd"])
        command.environment = ["WORD=hello"]
        command.directory = "/"
        command.output = .file(path)
        var exit: ChildProcess.ExitStatus?
        let child = try ChildProcess(on: loop, command) { exit = $0 }
        run(loop) { exit != nil }
        #expect(child.exit == .status(0))
        let file = unsafe open(path, O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = unsafe read(file, &bytes, 64)
        #expect(String(decoding: bytes[..<max(count, 0)], as: UTF8.self) == "hello/\n")
        close(file)
        unsafe unlink(path)
    }

    @Test func aChildThatWatchesSeesItsParentGo() throws {
        let loop = try Loop()
        defer { loop.close() }
        // The shell reads the inherited descriptor to its end, which comes when the parent closes its own end.
        var command = ChildProcess.Command("/bin/sh", ["-c", "cat <&3; echo gone; exit 0"])
        command.watchesParent = true
        let path = "/tmp/eventloop-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).out"
        command.output = .file(path)
        let child = try ChildProcess(on: loop, command) { _ in }
        child.close()
        var status = stat()
        loop.atTurnEnd = { loop.wake() }
        run(loop) { unsafe stat(path, &status) == 0 && status.st_size == 5 }
        loop.atTurnEnd = nil
        #expect(status.st_size == 5)
        unsafe unlink(path)
    }

    @Test func theWatchReportsTheEndOfAPipeOnce() throws {
        let loop = try Loop()
        defer { loop.close() }
        var ends: [Int32] = [-1, -1]
        #expect(unsafe pipe(&ends) == 0)
        var count = 0
        let watch = try ParentWatch(on: loop, descriptor: ends[0]) { count += 1 }
        loop.runOnce()
        #expect(count == 0)
        close(ends[1])
        run(loop) { count > 0 }
        loop.runOnce()
        #expect(count == 1)
        watch.close()
    }

    @Test("signals arrive on the loop, and one from before it runs waits for a handler that comes later")
    func signals() throws {
        let loop = try Loop()
        defer { loop.close() }
        var received: [Signals.Signal] = []
        let early = try Signals(on: loop) { received.append($0) }
        kill(getpid(), SIGHUP)
        run(loop) { !received.isEmpty }
        #expect(received == [.hangUp])
        early.close()
        let late = try Signals(on: loop)
        kill(getpid(), SIGTERM)
        late.handle(by: { received.append($0) })
        run(loop) { received.count > 1 }
        #expect(received == [.hangUp, .terminate])
        late.close()
    }
}

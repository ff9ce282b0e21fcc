import Glibc
import Testing

@testable import EventLoop

/// Whether the machine has a hosts file; a bare container may have none.
private let hasHostsFile = unsafe access("/etc/hosts", R_OK) == 0

/// A name server that knows `there.test` (192.0.2.1 and 2001:db8::1), and does not answer for `quiet.test`.
///
/// Other names do not exist. The names of addresses that end in 1 point to `there.test`.
private final class NameServer: DatagramReceiver {
    private(set) var questions = 0

    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        for index in 0..<batch.count {
            let packet = batch.packet(index)
            questions += 1
            let query = array(packet.bytes)
            let question = Array(query[12...])
            let name = String(decoding: question.dropFirst().prefix { $0 >= 0x20 }, as: UTF8.self)
            if name == "quiet" { continue }
            guard let nameEnd = question.firstIndex(of: 0) else { continue }
            let asked = Array(question[...(nameEnd + 4)])
            let isIPv6 = question[nameEnd + 2] == 28
            let isPointer = question[nameEnd + 2] == 12
            let isThere = name == (isPointer ? "1" : "there")
            var answer = Array(query[..<2])
            answer += [0x81, isThere ? 0x80 : 0x83, 0, 1, 0, isThere ? 1 : 0, 0, 0, 0, 0]
            answer += asked
            if isThere, isPointer {
                answer += [0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 60, 0, 12, 5] + Array("there".utf8) + [4]
                answer += Array("test".utf8) + [0]
            } else if isThere {
                answer += [0xc0, 12, 0, isIPv6 ? 28 : 1, 0, 1, 0, 0, 0, 60, 0, isIPv6 ? 16 : 4]
                answer += isIPv6 ? [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] : [192, 0, 2, 1]
            }
            unsafe socket.send(answer.span.bytes, to: batch.source(of: index))
        }
    }
}

@Suite struct ResolverTests {
    private func answer(
        _ name: String, family: Resolver.Family = .ipv4First, timeout: UInt64 = 60_000_000_000
    ) throws -> Resolver.Answer {
        let loop = try Loop()
        defer { loop.close() }
        let server = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: NameServer())
        var configuration = Resolver.Configuration()
        configuration.servers = [server.localAddress.description]
        configuration.timeout = timeout
        let resolver = try Resolver(on: loop, configuration: configuration)
        var answers: [Resolver.Answer] = []
        resolver.resolve(name, port: 80, family: family) { answers.append($0) }
        #expect(answers.isEmpty)
        run(loop) { !answers.isEmpty }
        resolver.close()
        return try #require(answers.first)
    }

    @Test(arguments: ["localhost", "LocalHost.", "app.localhost"])
    func localhostIsTheLoopbackWithoutAHostsFile(_ name: String) throws {
        let (ipv4, ipv6) = (SocketAddress.loopbackIPv4(port: 80), SocketAddress.loopbackIPv6(port: 80))
        #expect(try answer(name, family: .ipv4Only) == .success([ipv4]))
        #expect(try answer(name, family: .ipv6Only) == .success([ipv6]))
        #expect(try answer(name, family: .ipv4First) == .success([ipv4, ipv6]))
        #expect(try answer(name, family: .ipv6First) == .success([ipv6, ipv4]))
    }

    @Test func numericNamesAreTheirOwnAnswer() throws {
        #expect(try answer("192.0.2.7") == .success([SocketAddress(ipv4: 0xc000_0207, port: 80)]))
        #expect(try answer("::1") == .success([.loopbackIPv6(port: 80)]))
    }

    @Test func theFamilyDecidesWhatComesAndInWhichOrder() throws {
        let ipv4 = SocketAddress(ipv4: 0xc000_0201, port: 80)
        let ipv6 = SocketAddress(high: 0x2001_0db8_0000_0000, low: 1, port: 80)
        #expect(try answer("there.test", family: .ipv4First) == .success([ipv4, ipv6]))
        #expect(try answer("there.test", family: .ipv6First) == .success([ipv6, ipv4]))
        #expect(try answer("there.test", family: .ipv4Only) == .success([ipv4]))
        #expect(try answer("there.test", family: .ipv6Only) == .success([ipv6]))
    }

    @Test("E4: the name server is asked each time; no answer is kept for the next who asks")
    func noCache() throws {
        let loop = try Loop()
        defer { loop.close() }
        let names = NameServer()
        let server = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: names)
        var configuration = Resolver.Configuration()
        configuration.servers = [server.localAddress.description]
        let resolver = try Resolver(on: loop, configuration: configuration)
        defer { resolver.close() }
        for round in 1...3 {
            var answer: Resolver.Answer?
            resolver.resolve("there.test", port: 80, family: .ipv4Only) { answer = $0 }
            run(loop) { answer != nil }
            #expect(answer == .success([SocketAddress(ipv4: 0xc000_0201, port: 80)]) && names.questions == round)
        }
    }

    @Test func missingNamesAndSilentServersAreToldApart() throws {
        #expect(try answer("missing.test") == .failure(.notFound))
        #expect(try answer("quiet.test", timeout: 100_000_000) == .failure(.timedOut))
    }

    @Test(arguments: ["", "a b", "a\0b", "a\nb", "ä.test", "a\\046b", String(repeating: "a", count: 256)])
    func namesThatCannotBeAreRefused(_ name: String) throws {
        #expect(try answer(name) == .failure(.invalidName))
    }

    @Test(
        arguments: [
            (SocketAddress(ipv4: 0xc000_0201, port: 80), .success("there.test")),
            (SocketAddress(high: 0x2001_0db8_0000_0000, low: 1, port: 0), .success("there.test")),
            (SocketAddress(ipv4: 0xc000_0202, port: 0), .failure(.notFound)),
            // Without a hosts file the name server is asked; it knows a name for each address that ends in 1.
            (.loopbackIPv4(port: 0), .success(hasHostsFile ? "localhost" : "there.test")),
        ] as [(SocketAddress, Resolver.NameAnswer)])
    func namesOfAddresses(address: SocketAddress, expected: Resolver.NameAnswer) throws {
        let loop = try Loop()
        defer { loop.close() }
        let server = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: NameServer())
        var configuration = Resolver.Configuration()
        configuration.servers = [server.localAddress.description]
        let resolver = try Resolver(on: loop, configuration: configuration)
        var answers: [Resolver.NameAnswer] = []
        let cancelled = resolver.name(of: address) { _ in Issue.record("a cancelled query calls back") }
        resolver.cancel(cancelled)
        resolver.name(of: address) { answers.append($0) }
        #expect(answers.isEmpty)
        run(loop) { !answers.isEmpty }
        resolver.close()
        #expect(answers == [expected])
    }

    @Test func cancelledQueriesDoNotCallBackAndTheLimitHolds() throws {
        let loop = try Loop()
        defer { loop.close() }
        let server = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: NameServer())
        var configuration = Resolver.Configuration()
        configuration.servers = [server.localAddress.description]
        configuration.maximumQueries = 2
        let resolver = try Resolver(on: loop, configuration: configuration)
        var answers: [Int: Resolver.Answer] = [:]
        let first = resolver.resolve("there.test", port: 1, family: .ipv4Only) { answers[1] = $0 }
        resolver.resolve("there.test", port: 2, family: .ipv4Only) { answers[2] = $0 }
        resolver.resolve("there.test", port: 3, family: .ipv4Only) { answers[3] = $0 }
        resolver.cancel(first)
        run(loop) { answers.count == 2 }
        #expect(answers[1] == nil)
        #expect(answers[2] == .success([SocketAddress(ipv4: 0xc000_0201, port: 2)]))
        #expect(answers[3] == .failure(.tooManyQueries))
        resolver.resolve("quiet.test", port: 4, family: .ipv4Only) { answers[4] = $0 }
        resolver.close()
        loop.runOnce()
        #expect(answers[4] == nil)
    }

    /// Writes a list with one name server.
    private func list(_ address: SocketAddress, in path: String) throws {
        let text = "nameserver \(address.host)\n"
        let descriptor = unsafe open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(descriptor >= 0)
        #expect(unsafe write(descriptor, text, text.utf8.count) == text.utf8.count)
        close(descriptor)
        #expect(unsafe rename(path + ".new", path) == 0)
    }

    @Test("R6: another list of name servers is taken up, also by what is under way") func newList() throws {
        let loop = try Loop()
        defer { loop.close() }
        let silent = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        let port = silent.localAddress.port
        let server = try DatagramSocket(
            on: loop, bindTo: SocketAddress(ipv4: 0x7f00_0002, port: port), receiver: NameServer())
        let path = "/tmp/tunic-resolver-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        defer { unsafe unlink(path) }
        var configuration = Resolver.Configuration()
        configuration.file = path
        configuration.port = port
        configuration.fileInterval = 1_000_000
        // At first the list does not exist.
        let resolver = try Resolver(on: loop, configuration: configuration)
        defer { resolver.close() }
        try list(silent.localAddress, in: path)
        var answers: [Resolver.Answer] = []
        for _ in 0..<3 { resolver.resolve("there.test", port: 80, family: .ipv4Only) { answers.append($0) } }
        let asked = loop.now
        run(loop) { loop.now > asked + 50_000_000 }
        #expect(answers.isEmpty)
        try list(server.localAddress, in: path)
        run(loop) { answers.count == 3 }
        #expect(answers.allSatisfy { $0 == .success([SocketAddress(ipv4: 0xc000_0201, port: 80)]) })
        #expect(answers.count == 3 && !resolver.isUnanswered)
    }

    @Test("R6: look-ups end while there is no channel, and go on when there is one again") func noChannel() throws {
        let loop = try Loop()
        defer { loop.close() }
        let server = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: NameServer())
        let path = "/tmp/tunic-resolver-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        defer { unsafe unlink(path) }
        var configuration = Resolver.Configuration()
        configuration.file = path
        configuration.port = server.localAddress.port
        configuration.fileInterval = 1_000_000
        configuration.timeout = 60_000_000_000
        let resolver = try Resolver(on: loop, configuration: configuration)
        func look() -> Resolver.Answer? {
            // After this time the list is read again.
            usleep(2_000)
            loop.refreshNow()
            var answer: Resolver.Answer?
            resolver.resolve("there.test", port: 80, family: .ipv4Only) { answer = $0 }
            #expect(answer == nil)
            run(loop) { answer != nil }
            return answer
        }
        resolver.cannotOpen = true
        try list(server.localAddress, in: path)
        for _ in 0..<2 {
            guard case .failure(.failed) = look() else {
                Issue.record("a look-up without a channel does not fail")
                return
            }
        }
        resolver.cannotOpen = false
        unsafe unlink(path)
        try list(server.localAddress, in: path)
        #expect(look() == .success([SocketAddress(ipv4: 0xc000_0201, port: 80)]))
        // A resolver without a channel is closed like any other.
        resolver.cannotOpen = true
        unsafe unlink(path)
        usleep(2_000)
        loop.refreshNow()
        resolver.resolve("there.test", port: 80, family: .ipv4Only) { _ in Issue.record("it is closed") }
        resolver.close()
        resolver.close()
        loop.runOnce()
    }

    @Test("R6: that no name server answers is known after three queries") func unanswered() throws {
        let loop = try Loop()
        defer { loop.close() }
        let silent = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        var configuration = Resolver.Configuration()
        configuration.servers = [silent.localAddress.description]
        configuration.timeout = 20_000_000
        let resolver = try Resolver(on: loop, configuration: configuration)
        defer { resolver.close() }
        var answers = 0
        for number in 0..<3 {
            #expect(resolver.isUnanswered == false)
            resolver.resolve("there.test", port: 80, family: .ipv4Only) { _ in answers += 1 }
            run(loop) { answers == number + 1 }
        }
        #expect(resolver.isUnanswered)
    }

    @Test("R6: a query that is late and then given up counts once as unanswered") func lateOnce() throws {
        let loop = try Loop()
        defer { loop.close() }
        let silent = try (0..<3).map { _ in
            try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        }
        var configuration = Resolver.Configuration()
        // Each round of c-ares asks one server after the other, so its time is longer than the query's.
        configuration.servers = silent.map { $0.localAddress.description }
        configuration.timeout = 20_000_000
        var (answers, ended) = (0, 0)
        let resolver = try Resolver(on: loop, configuration: configuration) { _ in ended += 1 }
        defer { resolver.close() }
        for _ in 0..<2 { resolver.resolve("there.test", port: 80, family: .ipv4Only) { _ in answers += 1 } }
        run(loop) { answers == 2 && resolver.working.isEmpty && ended == 2 }
        #expect(resolver.unanswered == 2 && !resolver.isUnanswered)
    }

    @Test("s14: a cancelled query is over when c-ares has given it up") func cancelledQueriesEnd() throws {
        let world = SimulatedWorld(seed: 1)
        let loop = Loop(simulated: world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001, port: 0)]))
        defer { loop.close() }
        world.names["there.test"] = [SocketAddress(ipv4: 0xc000_0201, port: 0)]
        world.silentNames = { $0 == "quiet.test" }
        var events: [String] = []
        var queries: [(name: String, query: Resolver.Query)] = []
        let resolver = try Resolver(on: loop) { ended in
            events.append("end of \(queries.first { $0.query == ended }?.name ?? "none")")
        }
        defer { resolver.close() }
        queries = ["quiet.test", "there.test", "192.0.2.1", "gone.test"].map { name in
            (name, resolver.resolve(name, port: 1, family: .ipv4First) { _ in events.append(name) })
        }
        for (name, query) in queries where name != "gone.test" { resolver.cancel(query) }
        world.run(for: 7_000_000_000)
        #expect(Set(events) == ["gone.test", "end of gone.test", "end of there.test", "end of 192.0.2.1"])
        #expect(events.count == 4 && events.firstIndex(of: "gone.test")! < events.firstIndex(of: "end of gone.test")!)
        world.run(for: 1_000_000_000)
        #expect(events.count == 5 && events.last == "end of quiet.test" && resolver.working.isEmpty)
    }

    @Test("s14: a query that another's callback cancels is over once") func cancelledByAnother() throws {
        let world = SimulatedWorld(seed: 1)
        let loop = Loop(simulated: world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001, port: 0)]))
        defer { loop.close() }
        var ends: [Resolver.Query] = []
        let resolver = try Resolver(on: loop) { ends.append($0) }
        defer { resolver.close() }
        var second: Resolver.Query?
        let first = resolver.resolve("192.0.2.1", port: 1, family: .ipv4Only) { _ in
            if let second { resolver.cancel(second) }
        }
        second = resolver.resolve("192.0.2.2", port: 1, family: .ipv4Only) { _ in
            Issue.record("a cancelled query calls back")
        }
        world.run(for: 1_000_000_000)
        let queries = [first, try #require(second)]
        #expect(ends == queries)
    }

    @Test("no query ends after its resolver is closed in a callback") func closedInACallback() throws {
        let world = SimulatedWorld(seed: 1)
        let loop = Loop(simulated: world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001, port: 0)]))
        defer { loop.close() }
        var (answers, ends) = (0, 0)
        let resolver = try Resolver(on: loop) { _ in ends += 1 }
        defer { resolver.close() }
        for name in ["192.0.2.1", "192.0.2.2"] {
            resolver.resolve(name, port: 1, family: .ipv4Only) { _ in
                answers += 1
                resolver.close()
            }
        }
        world.run(for: 1_000_000_000)
        #expect(answers == 1 && ends == 0)
    }
}

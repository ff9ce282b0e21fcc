import EventLoop
import Link
import LoopTesting
import Sessions
import Testing
import Transport
import Wire

@testable import Relay

/// What one session can take of what all sessions of an exit share.
@Suite struct ExitShareTests {
    /// A name server that answers nothing.
    private final class Silence: DatagramReceiver {
        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {}
    }

    /// A name server that knows `good.test`, 192.0.2.1, and answers nothing else.
    private final class Selective: DatagramReceiver {
        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let packet = batch.packet(index)
                let query = [UInt8](copying: packet.bytes)
                let question = Array(query[12...])
                guard question.starts(with: [4] + Array("good".utf8)), let end = question.firstIndex(of: 0) else {
                    continue
                }
                let isIPv4 = question[end + 2] == 1
                var answer = query[..<2] + [0x81, 0x80, 0, 1, 0, isIPv4 ? 1 : 0, 0, 0, 0, 0] + question[...(end + 4)]
                if isIPv4 { answer += [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1] }
                socket.send(Array(answer).rawSpan, to: batch.source(of: index))
            }
        }
    }

    @Test("R5: names that nobody answers, as many as one session may ask for, do not stop another's")
    func deadNames() throws {
        let loop = try Loop()
        defer { loop.close() }
        let server = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: Selective())
        var configuration = Resolver.Configuration()
        configuration.servers = [server.localAddress.description]
        let resolver = ExitResolver(try Resolver(on: loop, configuration: configuration))
        defer { resolver.close() }
        let turn = SessionTurn(loop: loop)
        let flood = session(turn, 1)
        for number in 0..<290 {
            #expect(
                resolver.resolve(try #require(HostName("x\(number).dead.test")), port: 1, for: flood) { _ in } != nil)
        }
        var answer: Resolver.Answer?
        let good = try #require(HostName("good.test"))
        _ = resolver.resolve(good, port: 80, for: session(turn, 2)) { answer = $0 }
        #expect(loop.run { answer != nil })
        #expect(answer == .success([SocketAddress(ipv4: 0xc000_0201, port: 80)]))
    }

    private func session(_ turn: SessionTurn, _ seed: UInt64) -> Session {
        Session(turn: turn, role: .responder, configuration: Configuration(), seed: seed)
    }

    @Test("s14: look-ups of one session leave room for another's") func names() throws {
        let loop = try Loop()
        defer { loop.close() }
        let server = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: Silence())
        var configuration = Resolver.Configuration()
        configuration.servers = [server.localAddress.description]
        let resolver = ExitResolver(try Resolver(on: loop, configuration: configuration), queryLimit: 256)
        defer { resolver.close() }
        let turn = SessionTurn(loop: loop)
        let flood = session(turn, 1)
        var lost = 0
        for number in 0..<280 {
            let name = try #require(HostName("n\(number).test"))
            _ = resolver.resolve(name, port: 1, for: flood) { answer in
                if answer == .failure(.tooManyQueries) { lost += 1 }
            }
        }
        #expect(resolver.count == 256 && lost == 0)
        let honest = session(turn, 2)
        var answers: [Resolver.Answer] = []
        let query = resolver.resolve(try #require(HostName("there.test")), port: 1, for: honest) { answers.append($0) }
        #expect(query != nil)
        #expect(lost == 1 && answers.isEmpty && resolver.count == 256)
        if let query { resolver.cancel(query) }
        // The name server has not answered yet: what was given up still counts for who asked.
        #expect(resolver.count == 256)
    }

    @Test("s14: associations of one session leave room for another's") func associations() throws {
        let loop = try Loop()
        defer { loop.close() }
        let gate = try ExitGate(loop: loop, isExit: true, policy: ExitPolicy())
        defer { gate.resolver.close() }
        let turn = SessionTurn(loop: loop)
        let associations = ExitAssociations(limit: 8)
        let flood = session(turn, 1)
        let honest = session(turn, 2)
        var streams: [ExitStream] = []
        func enter(_ session: Session) -> Bool {
            let stream = ExitStream(session: session, id: StreamID(UInt64(streams.count) * 4), gate: gate) {}
            streams.append(stream)
            return associations.enter(stream, for: session)
        }
        for _ in 0..<8 { #expect(enter(flood)) }
        #expect(!enter(flood))
        for _ in 0..<4 { #expect(enter(honest)) }
        #expect(!enter(honest))
        #expect(associations.count == 8)
    }

    @Test(
        "s14: one source's sockets, of sixteen sessions, leave each of many sources as many as it has itself",
        arguments: [1, 20, 1_000])
    func socketsOfASource(others: Int) throws {
        let loop = try Loop()
        defer { loop.close() }
        let gate = try ExitGate(loop: loop, isExit: true, policy: ExitPolicy())
        defer { gate.resolver.close() }
        let turn = SessionTurn(loop: loop)
        let limit = 2_000
        let sockets = gate.sockets
        sockets.hasRoom = { [unowned sockets] in sockets.count < limit }
        let flood = (0..<16).map { session(turn, $0) }
        let honest = (0..<others).map { session(turn, 100 + UInt64($0)) }
        let sources = Dictionary(
            uniqueKeysWithValues: flood.map { (ObjectIdentifier($0), UInt32(1)) }
                + honest.enumerated().map { (ObjectIdentifier($1), UInt32(2 + $0)) })
        gate.shares.sourceOf = { session in
            sources[ObjectIdentifier(session)].map { .client(AddressShare(IPAddress(v4: $0))) }
        }
        var open: [ObjectIdentifier: Int] = [:]
        var number: UInt64 = 0
        func enter(_ session: Session) -> Bool {
            let key = ObjectIdentifier(session)
            let stream = ExitStream(session: session, id: StreamID(number), gate: gate) { open[key, default: 0] -= 1 }
            number += 4
            guard sockets.enter(stream, for: session) else { return false }
            open[key, default: 0] += 1
            return true
        }
        for place in 0..<limit { #expect(enter(flood[place % 16])) }
        #expect(!enter(flood[0]))
        let share = limit / (others + 1)
        for round in 0..<share {
            // The flood goes on as fast as all others together.
            for (place, session) in honest.enumerated() {
                #expect(enter(session), "place \(round) of source \(place)")
                _ = enter(flood[place % 16])
            }
        }
        #expect(sockets.count == limit)
        for session in honest { #expect(open[ObjectIdentifier(session)] == share) }
        for session in honest.prefix(20) { _ = enter(session) }
        #expect(flood.reduce(0) { $0 + (open[ObjectIdentifier($1)] ?? 0) } >= share - 1)
    }

    @Test("s14: the socket that gives way is the one that was idle for longest") func idleSockets() throws {
        let loop = try Loop()
        defer { loop.close() }
        let gate = try ExitGate(loop: loop, isExit: true, policy: ExitPolicy())
        defer { gate.resolver.close() }
        let turn = SessionTurn(loop: loop)
        gate.sockets.hasRoom = { [unowned sockets = gate.sockets] in sockets.count < 4 }
        let (flood, honest) = (session(turn, 1), session(turn, 2))
        var ended: [Int] = []
        let streams = (0..<6).map { number in
            ExitStream(session: number < 4 ? flood : honest, id: StreamID(UInt64(number) * 4), gate: gate) {
                ended.append(number)
            }
        }
        for stream in streams[..<4] { #expect(gate.sockets.enter(stream, for: flood)) }
        gate.sockets.noteActivity(of: streams[0])
        for stream in streams[4...] { #expect(gate.sockets.enter(stream, for: honest)) }
        #expect(ended == [1, 2])
    }

    @Test("s14: associations of many sessions over one neighbour leave room for those over another")
    func associationsOfASource() throws {
        let loop = try Loop()
        defer { loop.close() }
        let gate = try ExitGate(loop: loop, isExit: true, policy: ExitPolicy())
        defer { gate.resolver.close() }
        let turn = SessionTurn(loop: loop)
        let shares = ExitShares()
        let associations = ExitAssociations(limit: 8, shares: shares)
        let flood = (1...8).map { session(turn, UInt64($0)) }
        let honest = session(turn, 9)
        shares.sourceOf = { .client(AddressShare(IPAddress(v4: $0 === honest ? 1 : 2))) }
        var streams: [ExitStream] = []
        func enter(_ session: Session) -> Bool {
            let stream = ExitStream(session: session, id: StreamID(UInt64(streams.count) * 4), gate: gate) {}
            streams.append(stream)
            return associations.enter(stream, for: session)
        }
        for session in flood { #expect(enter(session)) }
        for _ in 0..<4 { #expect(enter(honest)) }
        #expect(!enter(honest))
        #expect(associations.count == 8)
    }
}

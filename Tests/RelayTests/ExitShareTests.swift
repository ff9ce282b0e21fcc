import EventLoop
import Link
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

import EventLoop
import Link
import LoopTesting
import Testing
import Wire

@testable import Relay

/// The share of one session in the resources that all sessions of an exit share.
@Suite struct ExitShareTests {
    /// Holds a place, and tells when it has to give way.
    private final class Holder: PlaceHolder {
        private let lost: () -> Void
        init(_ lost: @escaping () -> Void = {}) { self.lost = lost }
        func giveWay() { lost() }
    }

    /// Session `session`, whose first path came from source `source`.
    private func share(_ session: Int, of source: UInt32) -> StreamShare {
        StreamShare(
            source: .client(AddressShare(IPAddress(v4: source << 8))),
            session: ObjectIdentifier(sessions[session]))
    }

    private let sessions = (0..<1_100).map { _ in Holder() }

    /// A name server that never answers.
    private final class Silence: DatagramReceiver {
        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {}
    }

    /// A name server that knows `good.test` as 192.0.2.1, and does not answer for other names.
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
        let resolver = try ExitResolver(on: loop, configuration: configuration)
        defer { resolver.close() }
        let flood = share(0, of: 1)
        for number in 0..<290 {
            #expect(
                resolver.resolve(try #require(HostName("x\(number).dead.test")), port: 1, for: flood) { _ in } != nil)
        }
        var answer: Resolver.Answer?
        let good = try #require(HostName("good.test"))
        _ = resolver.resolve(good, port: 80, for: share(1, of: 2)) { answer = $0 }
        #expect(loop.run { answer != nil })
        #expect(answer == .success([SocketAddress(ipv4: 0xc000_0201, port: 80)]))
    }

    @Test("s14: look-ups of one session leave room for another's") func names() throws {
        let loop = try Loop()
        defer { loop.close() }
        let server = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: Silence())
        var configuration = Resolver.Configuration()
        configuration.servers = [server.localAddress.description]
        let resolver = try ExitResolver(on: loop, configuration: configuration, queryLimit: 256)
        defer { resolver.close() }
        let flood = share(0, of: 1)
        var lost = 0
        for number in 0..<280 {
            let name = try #require(HostName("n\(number).test"))
            _ = resolver.resolve(name, port: 1, for: flood) { answer in
                if answer == .failure(.tooManyQueries) { lost += 1 }
            }
        }
        #expect(resolver.count == 256 && lost == 0)
        let honest = share(1, of: 2)
        var answers: [Resolver.Answer] = []
        let query = resolver.resolve(try #require(HostName("there.test")), port: 1, for: honest) { answers.append($0) }
        #expect(query != nil)
        #expect(lost == 1 && answers.isEmpty && resolver.count == 256)
        if let query { resolver.cancel(query) }
        // The name server has not answered yet, so a cancelled query still counts for its session.
        #expect(resolver.count == 256)
    }

    @Test("s14: associations of one session leave room for another's") func associations() {
        let associations = StreamPlaces(limit: 8)
        let (flood, honest) = (share(0, of: 1), share(1, of: 1))
        for _ in 0..<8 { #expect(associations.enter(Holder(), for: flood)) }
        #expect(!associations.enter(Holder(), for: flood))
        for _ in 0..<4 { #expect(associations.enter(Holder(), for: honest)) }
        #expect(!associations.enter(Holder(), for: honest))
        #expect(associations.count == 8)
    }

    @Test("s14: associations of one source or many leave a newcomer one", arguments: [1, 20, 1_000])
    func associationsOfAFlood(sources: Int) {
        let associations = StreamPlaces(limit: 2_000)
        for place in 0..<2_000 {
            let number = place % sources
            #expect(associations.enter(Holder(), for: share(number, of: UInt32(1 + number))))
        }
        #expect(associations.enter(Holder(), for: share(1_050, of: 5_000)))
        #expect(associations.count == 2_000)
    }

    @Test(
        "s14: one source's sockets, of sixteen sessions, leave each of many sources as many as it has itself",
        arguments: [1, 20, 1_000])
    func socketsOfASource(others: Int) {
        let limit = 2_000
        let sockets = StreamPlaces(limit: 1 << 30)
        sockets.hasRoom = { [unowned sockets] in sockets.count < limit }
        let flood = (0..<16).map { share($0, of: 1) }
        let honest = (0..<others).map { share(16 + $0, of: 2 + UInt32($0)) }
        var open: [StreamShare: Int] = [:]
        func enter(_ share: StreamShare) -> Bool {
            guard sockets.enter(Holder { open[share, default: 0] -= 1 }, for: share) else { return false }
            open[share, default: 0] += 1
            return true
        }
        for place in 0..<limit { #expect(enter(flood[place % 16])) }
        #expect(!enter(flood[0]))
        let most = limit / (others + 1)
        for round in 0..<most {
            // The flood opens as many sockets as all others together.
            for (place, share) in honest.enumerated() {
                #expect(enter(share), "place \(round) of source \(place)")
                _ = enter(flood[place % 16])
            }
        }
        #expect(sockets.count == limit)
        for share in honest { #expect(open[share] == most) }
        for share in honest.prefix(20) { _ = enter(share) }
        #expect(flood.reduce(0) { $0 + (open[$1] ?? 0) } >= most - 1)
    }

    @Test("s14: the socket that gives way is the one that was idle for longest") func idleSockets() {
        let sockets = StreamPlaces(limit: 1 << 30)
        sockets.hasRoom = { [unowned sockets] in sockets.count < 4 }
        let (flood, honest) = (share(0, of: 1), share(1, of: 2))
        var ended: [Int] = []
        let holders = (0..<6).map { number in Holder { ended.append(number) } }
        for holder in holders[..<4] { #expect(sockets.enter(holder, for: flood)) }
        sockets.noteActivity(of: holders[0])
        for holder in holders[4...] { #expect(sockets.enter(holder, for: honest)) }
        #expect(ended == [1, 2])
    }

    @Test("s14: associations of many sessions over one neighbour leave room for those over another")
    func associationsOfASource() {
        let associations = StreamPlaces(limit: 8)
        for session in 0..<8 { #expect(associations.enter(Holder(), for: share(session, of: 1))) }
        let honest = share(8, of: 2)
        for _ in 0..<4 { #expect(associations.enter(Holder(), for: honest)) }
        #expect(!associations.enter(Holder(), for: honest))
        #expect(associations.count == 8)
    }

    @Test("s14: all addresses of a network share one part of an exit's associations", arguments: [1, 20, 256, 1_000])
    func associationsOfANetwork(sources: Int) {
        let associations = StreamPlaces(limit: 2_000)
        for place in 0..<2_000 {
            let number = place % sources
            let address = IPAddress(high: 0x2001_0db8_0000_0000 + UInt64(number) << 8, low: 1)
            let share = StreamShare(
                source: .client(AddressShare(address)), session: ObjectIdentifier(sessions[number]))
            #expect(associations.enter(Holder(), for: share))
        }
        // A session over a neighbour gets as many as a network: half of all, or a fifth beside four networks.
        let neighbour = Bytes32(copying: [UInt8](repeating: 1, count: 32).rawSpan)
        let honest = StreamShare(source: .node(neighbour), session: ObjectIdentifier(sessions[1_050]))
        let granted = (0..<2_000).count { _ in associations.enter(Holder(), for: honest) }
        let part = 2_000 / ((sources + 255) / 256 + 1)
        #expect(granted == part)
    }
}

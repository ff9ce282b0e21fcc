import LoopTesting
import Requests
import Sessions
import Testing
import Transport
import Wire

@testable import Client
@testable import Relay

/// Limits on what a proxy can make a client's session hold.
@Suite struct RequestSessionTests {
    /// A forbidden action of a proxy.
    enum Deed: CaseIterable {
        case stream, streams, datagram, bytes
    }

    @Test(
        "RQ4: a proxy that opens streams or sends datagrams has its session ended; of answers 1 MiB is held at most",
        arguments: Deed.allCases)
    func rq4Proxy(_ deed: Deed) throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target) = (bench.relays[0], bench.relays[1])
        let session = try bench.session(to: proxy)
        #expect(try bench.ask(target, on: session)?.status == .answer)
        let hosted = try #require(proxy.sessions.legs.first?.place?.session.session)
        try #require(proxy.sessions.sessionCount == 1)
        let bytes = [UInt8](repeating: 1, count: 1_000)
        // The first bytes of a request.
        let begun: [UInt8] = [1, 6]
        var unread: [StreamID] = []
        switch deed {
        case .stream, .streams:
            for _ in 0..<(deed == .stream ? 1 : 128) {
                _ = hosted.connection.write(try hosted.connection.openStream(), bytes.rawSpan)
            }
        case .datagram:
            let isSent = hosted.connection.sendDatagram(flow: 0, bytes.rawSpan)
            #expect(isSent)
        case .bytes:
            // Streams that are not read, as if a client had stopped reading.
            for _ in 0..<32 {
                let id = try session.session.connection.openStream()
                _ = session.session.connection.write(id, begun.rawSpan)
                unread.append(id)
            }
            session.session.touch()
            bench.run(for: .seconds(1))
        }
        hosted.touch()
        var most = 0
        let more = [UInt8](repeating: 2, count: 100_000)
        for _ in 0..<50 {
            for id in unread { _ = hosted.connection.write(id, more.rawSpan) }
            hosted.touch()
            bench.run(for: .milliseconds(100))
            most = max(most, session.session.memoryUse)
        }
        if deed == .bytes { #expect(most > 512 << 10) } else { #expect(session.isOver) }
        #expect(most < 3 << 20, "with the room in the buffers")
    }
}

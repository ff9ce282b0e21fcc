import EventLoop
import Links
import LoopTesting
import Testing
import Transport
import Wire

@testable import Relay

/// What sessions hold at an exit beyond what their clients have sent.
@Suite struct ExitMemoryTests {
    private static let hello = LegHello(leg: 0, kind: .newSession).encoded

    /// Sends a packet of the session's first leg with these frames.
    private func send(_ client: TestClient, _ write: (inout ByteWriter) -> Void) {
        var writer = ByteWriter()
        writer.raw(Self.hello)
        write(&writer)
        client.sendRaw(writer.bytes)
    }

    private func stream(_ number: UInt64, at offset: UInt64, _ bytes: [UInt8], _ writer: inout ByteWriter) {
        writer.u8(0x0e)
        for value in [number * 4, offset, UInt64(bytes.count)] { writer.varint(value) }
        writer.raw(bytes)
    }

    private func build(_ client: TestClient) throws {
        guard case .path = try client.build() else { throw WireError.outOfRange }
    }

    @Test("s14: buffers of streams that were reset are not kept for a session that uses none")
    func buffersOfResetStreams() throws {
        let harness = try RelayHarness(exit: true)
        let client = try harness.client()
        try build(client)
        let exit = harness.relay.sessions
        send(client) { writer in
            for number in 0..<4 as Range<UInt64> { stream(number, at: 262_143, [7], &writer) }
        }
        #expect(harness.run { exit.memoryUse > 1 << 20 })
        send(client) { writer in
            for number in 0..<4 as Range<UInt64> {
                writer.u8(4)
                for value in [number * 4, 0, 262_144] { writer.varint(value) }
            }
        }
        #expect(harness.run(for: .seconds(3)) { exit.memoryUse < 100_000 })
        #expect(exit.sessionCount == 1)
    }

    @Test("R5: names and sockets of UDP associations count for their session") func associations() throws {
        let harness = try RelayHarness(exit: true)
        let client = try harness.client()
        try build(client)
        client.beginSession()
        let exit = harness.relay.sessions
        /// Runs until `condition` holds, and tells what the exit's sessions hold then.
        func memory(_ condition: @escaping () -> Bool) -> Int {
            #expect(
                harness.run {
                    client.connection.deadlineReached(now: client.links.now)
                    while client.connection.nextEvent() != nil {}
                    client.pump()
                    return condition()
                })
            return exit.memoryUse
        }
        let request = OpenRequest(kind: .udp, destination: OpenRequest.unspecified).encoded()
        var ids: [StreamID] = []
        func associate(_ count: Int) throws -> Int {
            for _ in 0..<count {
                let id = try client.connection.openStream()
                _ = client.connection.write(id, request.rawSpan)
                ids.append(id)
            }
            return memory { ids.allSatisfy { client.connection.readableCount($0) > 0 } }
        }
        let one = try associate(1)
        let many = try associate(16)
        #expect(many - one >= 16 * 10 << 10)
        for number in 0..<40 {
            let name = Destination(host: .name(try #require(HostName("n\(number).test"))), port: 9)
            let datagram = FlowDatagram.encoded(name, [7].rawSpan) ?? []
            let isSent = client.connection.sendDatagram(flow: ids[0].value, datagram.rawSpan)
            #expect(isSent)
        }
        let drops = { harness.relay.exit?.datagramDrops.byName["udpName"] ?? 0 }
        #expect(memory { drops() == 40 } - many >= 40 * 704)
    }

    @Test("s14: a session whose streams request nothing ends before a larger one whose streams are in use")
    func streamsThatRequestNothing() throws {
        let harness = try RelayHarness(exit: true)
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { accepted.append($0) }
        defer { listener.close() }
        let destination = Endpoint(try #require(listener.localAddress))
        let (mute, used) = (try harness.client(), try harness.client())
        try build(mute)
        try build(used)
        let exit = harness.relay.sessions
        for number in 0..<150 as Range<UInt64> {
            send(mute) { stream(number, at: 0, [], &$0) }
            if number % 50 == 49 { harness.run(for: .milliseconds(5)) { false } }
        }
        #expect(harness.run { exit.streamCount == 150 })
        let ofMute = exit.memoryUse
        #expect(ofMute > 64 << 10)
        used.beginSession()
        for _ in 0..<300 { #expect(try used.open(destination) == .ok) }
        #expect(exit.memoryUse > 2 * ofMute)
        let now = Instant(nanoseconds: harness.loop.now)
        exit.memoryLimit = exit.memoryUse - 1
        exit.sweep(now: now)
        #expect(harness.run { mute.destroyed == [mute.pathID] })
        #expect(used.destroyed.isEmpty && exit.sessionCount == 1)
        for stream in accepted { stream.close() }
    }
}

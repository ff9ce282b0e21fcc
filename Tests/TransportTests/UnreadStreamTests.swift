import Testing
import Wire

@testable import Transport

/// Streams that are not read stop only themselves.
@Suite(.serialized)
struct UnreadStreamTests {
    private static let chunk = [UInt8](repeating: 0x33, count: 64 << 10)

    /// A session over 100 Mbit/s and 60 ms whose responder answers each request (a stream that begins with 1).
    ///
    /// It reads `reads` bytes of each stream that begins with 0x33, and leaves the rest unread.
    final class Setting {
        let simulator: Simulator
        var bulk: [StreamID] = []
        var answered: [StreamID: Instant] = [:]
        var asked: [StreamID: Instant] = [:]
        var resets: [StreamID: UInt64] = [:]
        var stops: [StreamID: UInt64] = [:]
        private var read: [StreamID: Int] = [:]
        private var isRequest: Set<StreamID> = []

        var initiator: Endpoint { simulator.flows[0].initiator }
        var responder: Endpoint { simulator.flows[0].responder }

        init(seed: UInt64, reads most: Int) {
            simulator = Simulator(seed: seed)
            simulator.addFlow(legs: [0: (SimulatedLink(LinkShape()), SimulatedLink(LinkShape()))])
            responder.onEvent = { [unowned self] end, event, _ in
                if case .reset(let id, let code) = event {
                    resets[id] = code
                    end.connection.reset(id, code: code)
                }
                guard case .readable(let id) = event else { return }
                while isRequest.contains(id) || read[id, default: 0] < most || read[id] == nil {
                    let count = end.connection.withReadable(id) { bytes in
                        if unsafe bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self) == 1 {
                            isRequest.insert(id)
                            return bytes.byteCount
                        }
                        return min(bytes.byteCount, max(most, 1))
                    }
                    if count == 0 { break }
                    read[id, default: 0] += count
                }
                guard isRequest.contains(id), end.connection.readState(id) == .finished else { return }
                let bytes = [UInt8](repeating: 2, count: 400)
                let span = bytes.span
                _ = unsafe end.connection.write(id, span.bytes)
                end.connection.finish(id)
            }
            initiator.onEvent = { [unowned self] end, event, now in
                switch event {
                case .writable(let id): fill(id)
                case .stopSending(let id, let code): stops[id] = code
                case .readable(let id):
                    end.connection.withReadable(id) { $0.byteCount }
                    if asked[id] != nil, end.connection.readState(id) == .finished { answered[id] = now }
                default: break
                }
            }
        }

        func fill(_ id: StreamID) {
            guard asked[id] == nil else { return }
            let data = UnreadStreamTests.chunk
            let bytes = data.span
            while unsafe initiator.connection.write(id, bytes.bytes) == data.count {}
        }

        func startBulk() {
            guard let id = try? initiator.connection.openStream() else { return }
            bulk.append(id)
            fill(id)
        }

        /// Sends a request; whether all of it was accepted at once.
        func ask() -> Bool {
            guard let id = try? initiator.connection.openStream() else { return false }
            asked[id] = simulator.now
            let bytes = [UInt8](repeating: 1, count: 200)
            let span = bytes.span
            let taken = unsafe initiator.connection.write(id, span.bytes)
            initiator.connection.finish(id)
            return taken == 200
        }

        /// The longest time to an answer; nil if one is missing.
        var slowest: TimeSpan? {
            var longest = TimeSpan.zero
            for (id, time) in asked {
                guard let end = answered[id] else { return nil }
                longest = max(longest, end - time)
            }
            return longest
        }
    }

    /// The reader first takes some megabytes, as an application's socket buffers do, so that windows have grown.
    @Test(arguments: [1_000, 12_000_000]) func oneUnreadStreamStopsOnlyItself(reads: Int) throws {
        let setting = Setting(seed: 21, reads: reads)
        setting.startBulk()
        for _ in 0..<60 {
            setting.simulator.run(.milliseconds(100))
            #expect(setting.ask())
        }
        setting.simulator.run(.milliseconds(180))
        let slowest = try #require(setting.slowest)
        print("one unread stream: slowest answer \(slowest.inMilliseconds) ms")
        #expect(slowest <= .milliseconds(180))
        // A single stream may wait for its reader as long as it likes.
        #expect(setting.resets.isEmpty && setting.stops.isEmpty)
    }

    @Test func manyUnreadStreamsGiveWay() throws {
        let setting = Setting(seed: 22, reads: 0)
        setting.simulator.run(.milliseconds(100))
        for _ in 0..<200 { setting.startBulk() }
        for _ in 0..<100 {
            setting.simulator.run(.milliseconds(100))
            #expect(setting.ask())
        }
        setting.simulator.run(.milliseconds(180))
        let slowest = try #require(setting.slowest)
        print("200 unread streams: slowest answer \(slowest.inMilliseconds) ms, \(setting.resets.count) reset")
        // Three round trips, and in between one packet of each of the others.
        #expect(slowest <= .milliseconds(180 + 23))
        // Both ends learn of the drop, and no more streams are dropped than necessary.
        #expect(setting.resets.count >= 50 && setting.resets.count <= 150)
        #expect(setting.resets.values.allSatisfy { $0 == StreamCode.unread })
        #expect(setting.stops == setting.resets)
        #expect(holds(setting.responder.connection.unreadBytes < 24 << 20))
        #expect(setting.initiator.violations.isEmpty && setting.responder.violations.isEmpty)
        // Dropped bytes no longer take memory.
        let before = setting.responder.connection.memoryUse
        #expect(before < 48 << 20)
    }

    /// A stream with a hole at its front gives the application nothing to read; its grace begins when the hole is closed.
    @Test func aStreamBehindAHoleIsNotUnread() throws {
        var configuration = ConnectionConfiguration()
        configuration.maxConnectionWindow = 0
        var connection = Connection(role: .responder, configuration: configuration, seed: 25)
        let start = Instant(nanoseconds: 1_000_000_000)
        connection.addLeg(LegID(0), payloadSize: 1_260, now: start)
        var number: UInt64 = 0
        func deliver(_ stream: UInt64, at offset: UInt64, count: Int, _ connection: inout Connection, _ now: Instant) {
            var writer = ByteWriter()
            writer.u8(0x0e)
            for field in [stream, offset, UInt64(count)] { writer.varint(field) }
            writer.raw([UInt8](repeating: 0x33, count: count))
            let bytes = writer.bytes + [UInt8](repeating: 0, count: 1_260 - writer.bytes.count)
            #expect(
                connection.receive(leg: LegID(0), packetNumber: number, payload: bytes.rawSpan, now: now) == .accepted)
            number += 1
        }
        func resets(_ connection: inout Connection) -> [StreamID: UInt64] {
            var found: [StreamID: UInt64] = [:]
            while let event = connection.nextEvent() { if case .reset(let id, let code) = event { found[id] = code } }
            return found
        }
        // The first packet of each stream is missing.
        let streams = InitialLimits.data / InitialLimits.streamData
        for stream in 0..<UInt64(streams) {
            for offset in stride(from: 1_000, through: InitialLimits.streamData - 1_000, by: 1_000) {
                deliver(stream * 2, at: UInt64(offset), count: 1_000, &connection, start)
            }
        }
        #expect(holds(connection.isCrowded))
        let late = start + .seconds(3)
        connection.deadlineReached(now: late)
        #expect(resets(&connection).isEmpty)
        deliver(0, at: 0, count: 1_000, &connection, late)
        connection.deadlineReached(now: late + (configuration.unreadGrace - .milliseconds(1)))
        #expect(resets(&connection).isEmpty)
        connection.deadlineReached(now: late + configuration.unreadGrace + .milliseconds(100))
        #expect(resets(&connection) == [StreamID(0): StreamCode.unread])
    }

    /// Bytes that the application wrote to streams that the peer does not read leave room for other streams.
    @Test func blockedStreamsLeaveTheSendBufferToOthers() throws {
        let setting = Setting(seed: 23, reads: 0)
        for _ in 0..<60 { setting.startBulk() }
        setting.simulator.run(.seconds(3))
        let initiator = setting.initiator
        for id in setting.bulk { #expect(holds(initiator.connection.unacknowledgedCount(id) <= 320 << 10)) }
        let id = try initiator.connection.openStream()
        #expect(holds(initiator.connection.sendCapacity(id) >= 256 << 10))
    }

    /// The streams begin with the first packet.
    @Test func twoThousandStreamsAtOnceAreAnswered() throws {
        let setting = Setting(seed: 24, reads: 0)
        let start = setting.simulator.now
        let initiator = setting.initiator
        var missing = 2_000
        func open() {
            while missing > 0, holds(initiator.connection.streamsAvailable > 0), setting.ask() { missing -= 1 }
        }
        let before = initiator.onEvent
        initiator.onEvent = { end, event, now in
            if event == .streamsAvailable { open() } else { before(end, event, now) }
        }
        // The handler refers to the endpoint that holds it, so it is taken away at the end.
        defer { initiator.onEvent = before }
        open()
        setting.simulator.run(.seconds(3), until: { setting.answered.count == 2_000 })
        let took = setting.simulator.now - start
        print("2,000 streams at once: \(took.inMilliseconds) ms")
        #expect(setting.answered.count == 2_000)
        // Three round trips, 110 ms for about 1.3 MB of requests, answers and their frames, and the time in which the
        // controllers of both ends open their windows. No time is spent waiting for more streams.
        #expect(took <= .milliseconds(180 + 110 + 140))
    }
}

import Testing
import Transport
import Wire

/// A receiver that claims acknowledgement delays that it did not have.
@Suite struct SelfishReceiverTests {
    /// A sender of one endless stream over a bottleneck of 40 Mbit/s with a round trip of 20 ms and an unlimited queue.
    private final class Line {
        var bytesPerSecond = 5e6
        private static let delay = TimeSpan.milliseconds(10)
        private static let packetSize = 1_392
        private static let payloadSize = 1_260

        private var sender: Connection
        private var now = Instant(nanoseconds: 5_000_000_000)
        private var busyUntil = Instant(nanoseconds: 0)
        private var sent: UInt64 = 0
        private var received: UInt64 = 0
        /// The times at which the acknowledgements of packets come back, the oldest first.
        private var returns: [Instant] = []
        private var returned = 0
        /// The time that each packet waited at the bottleneck.
        private(set) var waits: [TimeSpan] = []

        init() {
            sender = Connection(role: .responder, configuration: ConnectionConfiguration(), seed: 7)
            sender.addLeg(LegID(0), payloadSize: Self.payloadSize, now: now)
            deliver([(0x10, [1 << 60]), (0x11, [0, 1 << 60])])
        }

        /// Runs for `span` with a receiver that acknowledges every packet at once and claims a delay of `claimed`.
        func run(_ span: TimeSpan, claimed: TimeSpan) {
            let end = now + span
            pump()
            while now < end {
                let next = returned < returns.count ? returns[returned] : end
                let deadline = sender.nextDeadline ?? end
                now = max(now, min(next, deadline, end))
                if returned < returns.count, returns[returned] <= now {
                    let largest = UInt64(returned)
                    returned += 1
                    acknowledge(largest, delay: UInt64(claimed.nanoseconds / 1_000))
                } else {
                    now = now + .microseconds(10)
                    sender.deadlineReached(now: now)
                }
                pump()
            }
        }

        private func pump() {
            let chunk = [UInt8](repeating: 7, count: 64 << 10)
            while sender.write(StreamID(0), chunk.rawSpan) == chunk.count {}
            while sender.nextEvent() != nil {}
            while sender.wantsToSend(leg: LegID(0), now: now) {
                var packet = [UInt8](repeating: 0, count: Self.payloadSize)
                var bytes = packet.mutableRawSpan
                guard sender.writePacket(leg: LegID(0), packetNumber: sent, into: &bytes, now: now) else { break }
                sent += 1
                let start = max(busyUntil, now)
                waits.append(start - now)
                busyUntil = start + TimeSpan(nanoseconds: Int64(Double(Self.packetSize) / bytesPerSecond * 1e9))
                returns.append(busyUntil + Self.delay * 2)
            }
        }

        private func acknowledge(_ largest: UInt64, delay: UInt64) {
            var writer = ByteWriter()
            writer.u8(2)
            writer.u8(0)
            for field in [largest, delay, 0, largest] { writer.varint(field) }
            deliver(writer.bytes)
        }

        private func deliver(_ frames: [(type: UInt8, fields: [UInt64])]) {
            var writer = ByteWriter()
            for frame in frames {
                writer.u8(frame.type)
                for field in frame.fields { writer.varint(field) }
            }
            // This frame opens the stream that carries the data.
            writer.raw([0x0e, 0, 0, 1, 7])
            deliver(writer.bytes)
        }

        private func deliver(_ frames: [UInt8]) {
            let payload = frames + [UInt8](repeating: 0, count: Self.payloadSize - frames.count)
            let verdict = sender.receive(
                leg: LegID(0), packetNumber: received, payload: payload.rawSpan, now: now)
            #expect(verdict == .accepted)
            received += 1
        }
    }

    @Test("R5: a receiver that claims 40 ms of delay hides no such queue, neither in start-up nor where the path slows")
    func claimedDelay() {
        func queues(_ claimed: TimeSpan) -> (atStart: TimeSpan, slowed: TimeSpan) {
            let line = Line()
            line.run(.seconds(1), claimed: claimed)
            let atStart = line.waits.max() ?? .zero
            let before = line.waits.count
            line.bytesPerSecond /= 2
            line.run(.seconds(1), claimed: claimed)
            let slowed = line.waits.dropFirst(before)
            return (atStart, TimeSpan(nanoseconds: slowed.reduce(.zero, +).nanoseconds / Int64(slowed.count)))
        }
        let (honest, selfish) = (queues(.zero), queues(.milliseconds(40)))
        print("at most \(honest.atStart.inMilliseconds) and \(selfish.atStart.inMilliseconds) ms of queue in start-up")
        print("\(honest.slowed.inMilliseconds) and \(selfish.slowed.inMilliseconds) ms while the path is slower")
        // A quarter of the round trip is 5 ms, which doubles in a round trip of start-up.
        #expect(selfish.atStart <= honest.atStart + .milliseconds(15))
        #expect(selfish.slowed <= honest.slowed + .milliseconds(10))
    }
}

import DNSProtocol
import EventLoop
import LoopTesting
import Sessions
import Testing
import Transport
import Wire

@testable import Client

/// Look-ups over a session whose exit the test plays.
@Suite struct RecordsLookupTests {
    /// The exit: it answers each look-up with the next of its replies.
    private final class Exit: SessionOwner {
        var connection = Connection(role: .responder, seed: 2)
        var replies: [RecordsReply]
        private(set) var asked = 0
        private let loop: Loop
        private var numbers: (UInt64, UInt64) = (0, 0)
        private var requests: [StreamID: [UInt8]] = [:]

        init(_ replies: [RecordsReply], on loop: Loop) {
            self.replies = replies
            self.loop = loop
            connection.addLeg(LegID(0), payloadSize: 1_260, now: Instant(nanoseconds: loop.now))
        }

        func transmit(_ session: Session, now: Instant) -> Bool {
            var packet = [UInt8](repeating: 0, count: 1_260)
            while session.connection.wantsToSend(leg: LegID(0), now: now) {
                var bytes = packet.mutableRawSpan
                guard session.connection.writePacket(leg: LegID(0), packetNumber: numbers.0, into: &bytes, now: now)
                else { break }
                _ = connection.receive(leg: LegID(0), packetNumber: numbers.0, payload: packet.rawSpan, now: now)
                numbers.0 += 1
            }
            return true
        }

        func event(_ event: ConnectionEvent, in session: Session) {}
        func closed(_ session: Session) {}

        /// Answers the look-ups that have arrived, and delivers the exit's packets to the session.
        func answer(_ session: Session) {
            let now = Instant(nanoseconds: loop.now)
            if let deadline = connection.nextDeadline, deadline <= now { connection.deadlineReached(now: now) }
            while let event = connection.nextEvent() {
                guard case .readable(let id) = event else { continue }
                connection.withReadable(id) { $0.byteCount }
                guard connection.readState(id) == .finished, connection.isSending(id), !replies.isEmpty else {
                    continue
                }
                asked += 1
                _ = connection.write(id, replies.removeFirst().encoded().rawSpan)
                connection.finish(id)
            }
            var packet = [UInt8](repeating: 0, count: 1_260)
            while connection.wantsToSend(leg: LegID(0), now: now) {
                var bytes = packet.mutableRawSpan
                guard connection.writePacket(leg: LegID(0), packetNumber: numbers.1, into: &bytes, now: now) else {
                    break
                }
                _ = session.connection.receive(
                    leg: LegID(0), packetNumber: numbers.1, payload: packet.rawSpan, now: now)
                numbers.1 += 1
                session.touch()
            }
        }
    }

    /// Gives every request the same session, and checks that no earlier stream is left on it.
    private final class Source: SessionSource {
        private let session: Session
        private(set) var asked = 0

        init(_ session: Session) { self.session = session }

        func connect(_ app: some SessionApp, isolation: IsolationKey, needs: Descriptor.ExitSummary) {
            asked += 1
            #expect(session.streamCount == 0)
            app.open(on: session)
        }

        func mayWaitOn(_ key: IsolationKey) -> Bool { false }
    }

    @Test("R2: a look-up that an exit refuses as one too many asks again, and the stream before does not end it")
    func asksAgain() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let turn = SessionTurn(loop: loop)
        loop.addAtTurnEnd { turn.run() }
        let found = RecordsReply.Outcome.found([.init(timeToLive: 60, data: [192, 0, 2, 1])])
        let exit = Exit([.init(.failed(.tooManyStreams)), .init(.failed(.tooManyStreams)), .init(found)], on: loop)
        let session = Session(turn: turn, role: .initiator, configuration: ConnectionConfiguration(), seed: 1)
        defer { session.end() }
        session.owner = exit
        let now = Instant(nanoseconds: loop.now)
        session.connection.addLeg(LegID(0), payloadSize: 1_260, now: now)
        session.connection.activate(LegID(0), now: now)

        let name = try #require(HostName("there.example"))
        var outcomes: [RecordsLookup.Outcome] = []
        let lookup = RecordsLookup(DNSQuestion(name: name, type: .a), mayTell: { _ in true }) { outcomes.append($0) }
        let source = Source(session)
        lookup.begin(isolation: IsolationKey(dns: 0), on: loop, from: source)
        #expect(
            loop.run(for: .seconds(5)) {
                exit.answer(session)
                return !outcomes.isEmpty
            })
        #expect(source.asked == 3 && exit.asked == 3 && outcomes.count == 1)
        guard case .answered(found)? = outcomes.first else {
            Issue.record("\(outcomes)")
            return
        }
    }
}

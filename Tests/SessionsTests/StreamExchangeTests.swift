import EventLoop
import LoopTesting
import SessionTesting
import Sessions
import Testing
import Transport
import Wire

/// The stream of one request, to a proxy that the test plays.
@Suite struct StreamExchangeTests {
    private static let longest = 65_829
    private let loop = Loop.simulated()
    private let pair: PeerSession
    private let stream = StreamID(0)

    init() { pair = PeerSession(on: loop) }

    private var now: Instant { Instant(nanoseconds: loop.now) }

    @Test(
        "RQ4: a proxy that reads no further gets a reset, and may answer; then nothing of the stream is left",
        arguments: [false, true])
    func rq4Stopped(_ answers: Bool) throws {
        defer { loop.close() }
        // The request is longer than the credit that the proxy has granted.
        let request = [UInt8](repeating: 1, count: 300_000)
        var told: [[UInt8]?] = []
        let attempt = try StreamExchange(request, on: pair.session, longest: Self.longest) { told.append($0) }
        _ = loop.run(for: .seconds(1)) { false }
        #expect(attempt.heldBytes > 0 && pair.peer.readState(stream) == .open)
        pair.peer.stopSending(stream, code: SessionError.cancelled)
        pair.answer(now)
        _ = loop.run(for: .seconds(1)) { false }
        #expect(!pair.session.connection.isSending(stream) && attempt.heldBytes == 0)
        if answers {
            let answer: [UInt8] = [5, 0, 0, 0, 0]
            let count = pair.peer.write(stream, answer.rawSpan)
            #expect(count == answer.count)
            pair.peer.finish(stream)
        } else {
            pair.peer.reset(stream, code: SessionError.cancelled)
        }
        pair.answer(now)
        _ = loop.run(for: .seconds(1)) { false }
        #expect(told == [answers ? [5, 0, 0, 0, 0] : nil])
        #expect(pair.session.streamCount == 0 && pair.session.connection.openStreamCount == 0)
    }

    @Test("RQ4: an answer that is longer than any is given up, whoever goes on to send it")
    func rq4TooLong() throws {
        defer { loop.close() }
        var told: [[UInt8]?] = []
        let attempt = try StreamExchange([1, 2, 3], on: pair.session, longest: Self.longest) { told.append($0) }
        _ = loop.run(for: .seconds(1)) { false }
        var most = 0
        for _ in 0..<20 {
            let part = [UInt8](repeating: 0, count: 20_000)
            _ = pair.peer.write(stream, part.rawSpan)
            pair.answer(now)
            _ = loop.run(for: .milliseconds(200)) { false }
            most = max(most, attempt.heldBytes)
        }
        #expect(told == [nil] && most <= 70_000 && pair.session.memoryUse < 1 << 20)
        #expect(pair.session.streamCount == 0)
    }
}

import EventLoop
import Links
import LoopTesting
import Sessions
import Testing
import Wire

@testable import Client

/// The places of apps' questions at a DNS port.
@Suite struct DNSPortTests {
    /// Has no session, and keeps those who ask waiting.
    private final class Source: SessionSource {
        private(set) var asked: [any SessionApp] = []

        func connect(_ app: some SessionApp, isolation: IsolationKey, needs: Descriptor.ExitSummary) {
            asked.append(app)
        }

        func mayWaitOn(_ key: IsolationKey) -> Bool { true }
    }

    /// An app that asks from one port.
    private final class App: DatagramReceiver {
        /// The codes of the answers, by the number of the question.
        var codes: [Int: UInt8] = [:]
        private(set) var socket: DatagramSocket!
        private let port: DNSPort

        init(on loop: Loop, of port: DNSPort) throws {
            self.port = port
            socket = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: self)
        }

        /// Asks for the address of the name with this number.
        func ask(_ number: Int) {
            let label = Array("n\(number)".utf8)
            let head = [UInt8(number >> 8), UInt8(number & 0xff), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
            let name = [UInt8(label.count)] + label + [7] + Array("example".utf8) + [0]
            socket.send((head + name + [0, 1, 0, 1]).rawSpan, to: SocketAddress(port.address))
        }

        func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
            for index in 0..<batch.count {
                let packet = batch.packet(index)
                let bytes = [UInt8](copying: packet.bytes)
                codes[Int(bytes[0]) << 8 | Int(bytes[1])] = bytes[3] & 15
            }
        }
    }

    private func run(_ change: (Loop, DNSPort, Source) throws -> Void) throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let source = Source()
        let port = try DNSPort(
            on: loop, at: Endpoint("127.0.0.1:0")!, number: 0, sessions: source,
            answers: AnswerRule(allowsPrivate: false))
        defer { port.close() }
        try change(loop, port, source)
    }

    /// An app on a TCP connection, and what it has heard.
    private final class Caller: ByteStreamDelegate {
        var received: [UInt8] = []
        var isOver = false
        func streamConnected(_ stream: ByteStream) { stream.startReading() }
        func stream(_ stream: ByteStream, received bytes: RawSpan) { received += [UInt8](copying: bytes) }
        func streamReachedEnd(_ stream: ByteStream) { isOver = true }
        func stream(_ stream: ByteStream, failed error: UVError) { isOver = true }
    }

    @Test("R3: messages that get no answer hold no places of a TCP connection, and its end does not wait for them")
    func unansweredMessages() throws {
        try run { loop, port, _ in
            let caller = Caller()
            let stream = try ByteStream.connect(on: loop, to: SocketAddress(port.address), delegate: caller)
            defer { stream.close() }
            // Answers, which nobody has asked for.
            let message = [0, 12] + [0, 1, 0x80, 0] + [UInt8](repeating: 0, count: 8)
            for _ in 0..<DNSConnection.questionLimit { try stream.write(message) }
            settle(loop)
            #expect(caller.received.isEmpty && !caller.isOver)
            // A query of an unknown kind is answered at once.
            try stream.write([0, 12] + [0, 7, 0x10, 0] + [UInt8](repeating: 0, count: 8))
            #expect(loop.run(for: .seconds(1)) { caller.received.prefix(4) == [0, 12, 0, 7] })
            stream.shutdown()
            #expect(loop.run(for: .seconds(1)) { caller.isOver })
        }
    }

    @Test("R3: a TCP connection that sends what is no DNS message is closed at once", arguments: [0, 1, 11, 4_097])
    func noMessages(length: Int) throws {
        try run { loop, port, source in
            let caller = Caller()
            let stream = try ByteStream.connect(on: loop, to: SocketAddress(port.address), delegate: caller)
            defer { stream.close() }
            let message = [UInt8(length >> 8), UInt8(length & 255)] + [UInt8](repeating: 0, count: length)
            var flood: [UInt8] = []
            while flood.count < 64 << 10 { flood += message }
            try stream.write(flood)
            #expect(loop.run(for: .seconds(1)) { caller.isOver })
            #expect(caller.received.isEmpty && source.asked.isEmpty)
        }
    }

    @Test("R3: of many messages in one piece each is taken once, wherever the piece is cut", arguments: [1, 7, 5_000])
    func messagesInPieces(piece: Int) throws {
        try run { loop, port, _ in
            let caller = Caller()
            let stream = try ByteStream.connect(on: loop, to: SocketAddress(port.address), delegate: caller)
            defer { stream.close() }
            // Each tenth is a query of an unknown kind, which is answered at once.
            let count = 1_000
            var said: [UInt8] = []
            for number in 0..<count {
                let isQuery = number % 10 == 0
                said += [0, 12, UInt8(number >> 8), UInt8(number & 255), isQuery ? 0x10 : 0x80, 0]
                said += [UInt8](repeating: 0, count: 8)
            }
            for start in stride(from: 0, to: said.count, by: piece) {
                try stream.write(Array(said[start..<min(start + piece, said.count)]))
                settle(loop)
            }
            #expect(caller.received.count == count / 10 * 14 && !caller.isOver)
            let numbers = stride(from: 2, to: caller.received.count, by: 14).map {
                Int(caller.received[$0]) << 8 | Int(caller.received[$0 + 1])
            }
            #expect(numbers == Array(stride(from: 0, to: count, by: 10)))
        }
    }

    private func settle(_ loop: Loop) { loop.run(for: .milliseconds(10)) { false } }

    @Test("R3: an app that asks for many names is refused, or loses its own questions, and not those of other apps")
    func floodOfOneApp() throws {
        try run { loop, port, source in
            let (greedy, other) = (try App(on: loop, of: port), try App(on: loop, of: port))
            defer { for app in [greedy, other] { app.socket.close() } }
            other.ask(60_000)
            settle(loop)
            for start in stride(from: 0, to: 600, by: 50) {
                for number in start..<start + 50 { greedy.ask(number) }
                settle(loop)
            }
            // The places are taken: the last ones of the app that has most are refused.
            #expect(greedy.codes.count == 600 + 1 - DNSPort.questionLimit && other.codes.isEmpty)
            #expect(greedy.codes.allSatisfy { $0.key >= DNSPort.questionLimit - 1 && $0.value == 2 })
            other.ask(60_001)
            other.ask(60_002)
            settle(loop)
            #expect(greedy.codes.count == 600 + 3 - DNSPort.questionLimit && other.codes.isEmpty)
            #expect(greedy.codes[0] == 2 && greedy.codes[1] == 2)
            #expect(source.asked.count == DNSPort.questionLimit + 2)
            for app in source.asked { app.fail(.noPath) }
            settle(loop)
            #expect(other.codes == [60_000: 2, 60_001: 2, 60_002: 2] && greedy.codes.count == 600)
            // All places are free again.
            for number in 600..<600 + DNSPort.questionLimit { greedy.ask(number) }
            settle(loop)
            #expect(greedy.codes.count == 600)
        }
    }

    @Test("R3: many that wait for one answer do not keep another app from it") func manyOfOneQuestion() throws {
        try run { loop, port, source in
            let greedy = try App(on: loop, of: port)
            let other = try App(on: loop, of: port)
            defer { for app in [greedy, other] { app.socket.close() } }
            for _ in 0..<20 {
                for _ in 0..<50 { greedy.ask(7) }
                settle(loop)
            }
            other.ask(7)
            settle(loop)
            #expect(other.codes.isEmpty && source.asked.count == 1)
            source.asked[0].fail(.noPath)
            settle(loop)
            #expect(other.codes == [7: 2])
        }
    }

    @Test("R3: from many ports of one address, newcomers get the places of others") func manyPorts() throws {
        try run { loop, port, source in
            let apps = try (0..<DNSPort.questionLimit + 20).map { _ in try App(on: loop, of: port) }
            defer { for app in apps { app.socket.close() } }
            for (number, app) in apps.enumerated() {
                app.ask(number)
                settle(loop)
                #expect(app.codes.isEmpty)
            }
            #expect(apps.count { !$0.codes.isEmpty } == 20)
        }
    }
}

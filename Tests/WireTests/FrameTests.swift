import Testing
import Wire

/// The exact bytes of frames; reading any other bytes is harmless.
struct FrameTests {
    private static func kinds(_ bytes: [UInt8]) -> (String, WireError?) {
        let span = bytes.span
        var reader = unsafe FrameReader(span.bytes)
        var seen = ""
        do throws(WireError) {
            while let frame = try reader.next() {
                switch frame {
                case .ping: seen += "ping "
                case .ack(let ack):
                    seen += "ack \(ack.leg) \(ack.delay)"
                    var ranges = ack.ranges
                    while let range = ranges.next() { seen += " \(range.low)-\(range.high)" }
                    seen += " "
                case .resetStream(let stream, let code, let size): seen += "reset \(stream) \(code) \(size) "
                case .stopSending(let stream, let code): seen += "stop \(stream) \(code) "
                case .stream(let stream):
                    seen +=
                        "stream \(stream.stream) \(stream.offset) \(stream.data.byteCount)\(stream.fin ? " fin" : "") "
                case .maxData(let limit): seen += "maxData \(limit) "
                case .maxStreamData(let stream, let limit): seen += "maxStreamData \(stream) \(limit) "
                case .maxStreams(let limit): seen += "maxStreams \(limit) "
                case .pathChallenge(let data): seen += "challenge \(data) "
                case .pathResponse(let data): seen += "response \(data) "
                case .connectionClose(let code): seen += "close \(code) "
                case .legHello(let hello): seen += "hello \(hello.leg) "
                case .legActive(let leg, let sequence): seen += "active \(leg) \(sequence) "
                case .legClose(let leg): seen += "legClose \(leg) "
                case .datagram(let datagram):
                    seen += "datagram \(datagram.flow) \(datagram.offset)/\(datagram.total) \(datagram.data.byteCount) "
                }
            }
        } catch { return (seen, error) }
        return (seen, nil)
    }

    @Test(
        arguments: [
            ([0x01, 0x00, 0xff], "ping "),
            ([0x02, 0x03, 0x0a, 0x05, 0x01, 0x02, 0x00, 0x01], "ack 3 5 8-10 5-6 "),
            ([0x04, 0x04, 0x05, 0x06], "reset 4 5 6 "),
            ([0x05, 0x04, 0x05], "stop 4 5 "),
            ([0x08, 0x04, 0x61, 0x62], "stream 4 0 2 "),
            ([0x0f, 0x04, 0x40, 0x64, 0x01, 0x61], "stream 4 100 1 fin "),
            ([0x10, 0x80, 0x10, 0x00, 0x00], "maxData 1048576 "),
            ([0x11, 0x02, 0x05], "maxStreamData 2 5 "),
            ([0x12, 0x05], "maxStreams 5 "),
            ([0x1a, 1, 0, 0, 0, 0, 0, 0, 0], "challenge 1 "),
            ([0x1b, 2, 0, 0, 0, 0, 0, 0, 0], "response 2 "),
            ([0x1c, 0x0a], "close 10 "),
            ([0x20, 0x00, 0x07], "hello 7 "),
            ([0x21, 0x02, 0x05], "active 2 5 "),
            ([0x22, 0x02], "legClose 2 "),
            ([0x30, 0x09, 0x02, 0x61, 0x62, 0x01], "datagram 9 0/2 2 ping "),
            ([0x31, 0x09, 0x01, 0x0a, 0x04, 0x02, 0x61, 0x62], "datagram 9 4/10 2 "),
        ] as [([UInt8], String)])
    func bytesMeanWhatTheySay(bytes: [UInt8], expected: String) {
        let (seen, error) = Self.kinds(bytes)
        #expect(seen == expected)
        #expect(error == nil)
    }

    @Test(
        arguments: [
            [0x02, 0, 5, 0, 0x20, 0], [0x02, 0, 5, 0, 0, 6], [0x02, 0, 5, 0, 1, 0, 4, 0], [0x02, 0, 5, 0, 1, 0, 0, 4],
            [0x0a, 4, 9, 1], [0x04, 1], [0x1a, 1], [0x20, 2, 0], [0x20, 1, 0, 5], [0x31, 1, 1, 1, 1, 1, 5], [0x03],
            [0x31, 1, 1, 4, 1, 0], [0x30, 1, 5, 1],
            [0x0c, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x61],
        ] as [[UInt8]])
    func malformedFramesAreErrors(bytes: [UInt8]) {
        #expect(Self.kinds(bytes).1 != nil)
    }

    @Test func helloGoesThereAndBack() throws {
        let join = LegHello(
            leg: 3, kind: .join(session: [UInt8](repeating: 1, count: 16), mac: [UInt8](repeating: 2, count: 16)))
        let bytes = join.encoded + [1, 0]
        let span = bytes.span
        #expect(try unsafe LegHello.first(of: span.bytes) == join)
        #expect(join.encoded.count == 35)
        #expect(LegHello(leg: 9, kind: .newSession).encoded == [0x20, 0, 9])
    }

    @Test func anyBytesEnd() {
        var state: UInt64 = 1
        for _ in 0..<20_000 {
            var bytes: [UInt8] = []
            for _ in 0..<24 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(UInt8(truncatingIfNeeded: state >> 33))
            }
            bytes[0] %= 0x34
            _ = Self.kinds(bytes)
        }
    }
}

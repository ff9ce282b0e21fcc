import Testing
import VectorFiles
import Wire

/// The vectors that an independent model computes from protocol.md, section 7.1.
@Suite struct StreamVectorTests {
    private static func destination(_ host: String, _ port: UInt16) -> Destination {
        let address = IPAddress(host)
        return Destination(host: address.map { .address($0) } ?? .name(HostName(host)!), port: port)
    }

    @Test(arguments: [
        ("tcp", OpenRequest(destination: destination("example.org", 443))),
        ("resolve", OpenRequest(kind: .resolve, destination: destination("example.org", 0))),
        ("pointer", OpenRequest(kind: .resolvePointer, destination: destination("192.0.2.1", 0))),
        ("udp", OpenRequest(kind: .udp, destination: OpenRequest.unspecified)),
        ("records", OpenRequest(kind: .records, destination: destination("example.org", 65))),
    ])
    func requests(name: String, request: OpenRequest) throws {
        let bytes = try VectorFile("streams")("request \(name)")
        #expect(request.encoded() == bytes)
        let decoded = try OpenRequest.decode(from: bytes.rawSpan)
        #expect(decoded?.request == request && decoded?.consumed == bytes.count)
        for length in 0..<bytes.count {
            let part = Array(bytes[..<length])
            #expect(try OpenRequest.decode(from: part.rawSpan) == nil)
        }
    }

    @Test(arguments: [
        ("v4", destination("192.0.2.1", 53)), ("v6", destination("2001:db8::1", 53)),
        ("name", destination("example.org", 443)),
    ])
    func datagrams(name: String, peer: Destination) throws {
        let bytes = try VectorFile("streams")("datagram \(name)")
        let data = (0..<16).map { UInt8($0) }
        #expect(FlowDatagram.encoded(peer, data.rawSpan) == bytes)
        let decoded = try FlowDatagram.decode(from: bytes.rawSpan)
        #expect(decoded.peer == peer && Array(bytes[decoded.offset...]) == data)
    }

    @Test func anEmptyDatagram() throws {
        let bytes = try VectorFile("streams")("datagram empty")
        #expect(try FlowDatagram.decode(from: bytes.rawSpan).offset == bytes.count)
    }

    private static let mail: [UInt8] =
        [0, 10, 4] + Array("mail".utf8) + [7] + Array("example".utf8) + [3, 0x6f, 0x72, 0x67, 0]
    private static let replies: [(String, RecordsReply.Outcome)] = [
        (
            "address",
            .found([.init(timeToLive: 60, data: [192, 0, 2, 1]), .init(timeToLive: 300, data: [192, 0, 2, 2])])
        ),
        ("mail", .found([.init(timeToLive: 300, data: mail)])),
        ("none", .found([])),
        ("failed", .failed(.hostNotFound)),
    ]

    @Test(arguments: replies)
    func records(name: String, outcome: RecordsReply.Outcome) throws {
        let bytes = try VectorFile("streams")("records \(name)")
        #expect(RecordsReply(outcome).encoded() == bytes)
        #expect(try RecordsReply.decode(from: bytes.rawSpan)?.outcome == outcome)
        for length in 0..<bytes.count {
            let part = Array(bytes[..<length])
            #expect(try RecordsReply.decode(from: part.rawSpan) == nil)
        }
    }
}

@Suite struct FlowDatagramTests {
    @Test func nothingGoesToPortZeroOrToNobody() {
        for bytes in [[1, 1, 2, 3, 4, 0, 0], [4, 1], [], [1, 1, 2, 3], [3, 0, 53, 0], [3, 1, 0x41, 53, 0]] as [[UInt8]]
        {
            #expect(throws: WireError.self) { _ = try FlowDatagram.decode(from: bytes.rawSpan) }
        }
    }

    @Test func theWholeHasABound() {
        let peer = Destination(host: .address(IPAddress("192.0.2.1")!), port: 9)
        let longest = [UInt8](repeating: 1, count: FlowDatagram.maximumSize - 7)
        #expect(FlowDatagram.encoded(peer, longest.rawSpan)?.count == FlowDatagram.maximumSize)
        let longer = longest + [1]
        #expect(FlowDatagram.encoded(peer, longer.rawSpan) == nil)
    }

    @Test func requestsForUDPAndRecordsAreStrict() {
        for bytes in [
            [1, 4, 1, 1, 2, 3, 4, 0, 0], [1, 4, 1, 0, 0, 0, 0, 80, 0], [1, 5, 1, 1, 2, 3, 4, 1, 0],
            [1, 5, 3, 1, 0x61, 0, 0],
        ] as [[UInt8]] {
            #expect(throws: WireError.outOfRange) { _ = try OpenRequest.decode(from: bytes.rawSpan) }
        }
    }

    @Test func recordsHaveABound() {
        var bytes: [UInt8] = [0, 255]
        for _ in 0..<64 { bytes += [0, 0, 0, 0, 0, 4] + [UInt8](repeating: 0, count: 1_024) }
        #expect(throws: WireError.outOfRange) { _ = try RecordsReply.decode(from: bytes.rawSpan) }
        let many = (0..<300).map { _ in RecordsReply.Record(timeToLive: 1, data: [UInt8](repeating: 7, count: 600)) }
        let encoded = RecordsReply(.found(many)).encoded()
        #expect(encoded.count <= RecordsReply.maximumSize)
        guard case .found(let kept)? = try? RecordsReply.decode(from: encoded.rawSpan)?.outcome else {
            Issue.record("its own encoding is unreadable")
            return
        }
        #expect(!kept.isEmpty)
    }
}

import Testing
import Wire

private func request(_ bytes: [UInt8]) throws -> OpenRequest? {
    unsafe try OpenRequest.decode(from: bytes.span.bytes)?.request
}

private func reply(_ bytes: ArraySlice<UInt8>, _ kind: OpenRequest.Kind) throws -> LookupReply? {
    unsafe try LookupReply.decode(from: bytes.span.bytes, to: kind)
}

@Suite struct LookupTests {
    private static let name = Destination.Host.name(HostName("a.b")!)
    private static let v4 = Destination.Host.address(IPAddress("1.2.3.4")!)
    private static let v6 = Destination.Host.address(IPAddress("2001:db8::1")!)
    private static let v6Bytes: [UInt8] = [2, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]

    @Test func requestsHaveOneEncoding() throws {
        for (kind, host, bytes) in [
            (OpenRequest.Kind.resolve, Self.name, [1, 2, 3, 3, 0x61, 0x2e, 0x62, 0, 0]),
            (.resolvePointer, Self.v4, [1, 3, 1, 1, 2, 3, 4, 0, 0]),
            (.resolvePointer, Self.v6, [1, 3] + Self.v6Bytes + [0, 0]),
        ] as [(OpenRequest.Kind, Destination.Host, [UInt8])] {
            let wanted = OpenRequest(kind: kind, destination: Destination(host: host, port: 0))
            #expect(wanted.encoded() == bytes)
            #expect(try request(bytes) == wanted)
            for length in 0..<bytes.count { #expect(try request(Array(bytes[..<length])) == nil) }
        }
    }

    @Test(
        arguments: [
            [1, 2, 3, 3, 0x61, 0x2e, 0x62, 80, 0], [1, 2, 1, 1, 2, 3, 4, 0, 0], [1, 3, 1, 1, 2, 3, 4, 80, 0],
            [1, 3, 3, 3, 0x61, 0x2e, 0x62, 0, 0], [1, 1, 1, 1, 2, 3, 4, 0, 0],
        ] as [[UInt8]])
    func refusesPortsAndTheWrongHosts(bytes: [UInt8]) {
        #expect(throws: WireError.outOfRange) { _ = try request(bytes) }
        #expect(throws: WireError.unknownKind(6)) { _ = try request([1, 6] + bytes.dropFirst(2)) }
    }

    @Test func repliesFromAnyPrefix() throws {
        for (kind, host, bytes) in [
            (OpenRequest.Kind.resolve, Self.v4, [0, 1, 1, 2, 3, 4]), (.resolve, Self.v6, [0] + Self.v6Bytes),
            (.resolvePointer, Self.name, [0, 3, 3, 0x61, 0x2e, 0x62]),
        ] as [(OpenRequest.Kind, Destination.Host, [UInt8])] {
            #expect(LookupReply.encoded(found: host) == bytes)
            for length in 0..<bytes.count { #expect(try reply(bytes[..<length], kind) == nil) }
            #expect(try reply(bytes[...], kind)?.outcome == .found(host))
            let other = kind == .resolve ? OpenRequest.Kind.resolvePointer : .resolve
            #expect(throws: WireError.outOfRange) { _ = try reply(bytes[...], other) }
        }
        for status in OpenReply.Status.allCases where status != .ok {
            #expect(try reply([status.rawValue], .resolve)?.outcome == .failed(status))
        }
        #expect(throws: WireError.unknownKind(9)) { _ = try reply([9], .resolve) }
        #expect(throws: WireError.unknownKind(4)) { _ = try reply([0, 4], .resolve) }
        #expect(throws: WireError.outOfRange) { _ = try reply([0, 3, 1, 0x41], .resolvePointer) }
    }
}

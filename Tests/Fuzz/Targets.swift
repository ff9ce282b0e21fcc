import DNSProtocol
import Directory
import SocksProtocol
import Wire

/// Every target; each takes bytes from the network, from an application or from a file.
///
/// A broken expectation traps.
let targets: [(name: String, run: @Sendable (RawSpan) -> Void)] = [
    ("socks", socks), ("destination", destination), ("open", open), ("reply", reply), ("text", text),
    ("frames", frames), ("descriptor", descriptor), ("descriptors", descriptors), ("snapshot", snapshot),
    ("network", network), ("link", link), ("datagram", datagram), ("links", links), ("nodes", nodes),
    ("snapshots", snapshots), ("gossip", gossip), ("exchange", exchange),
    ("build", build), ("paths", paths),
    ("relay", relay), ("transport", transport), ("udp", udp), ("query", query), ("answer", answer),
    ("ledger", ledger), ("registry", registry), ("watch", watch), ("connections", connections), ("jury", jury),
    ("contact", contact), ("consensus", consensus), ("lists", lists), ("http", http),
    ("store", store), ("swarm", swarm), ("request", request), ("proxy", proxy), ("requests", requests),
    ("address", address), ("service", service), ("services", services), ("shown", shown),
]

/// A request for an http: URL that the server can read in one way only.
///
/// The end of its body does not depend on the sizes of the reads.
private func http(_ input: RawSpan) {
    let said = Array("POST http://a.example/ HTTP/1.1\r\nHost: a\r\n".utf8) + [UInt8](copying: input)
    var handshake = SocksHandshake()
    let head = said.prefix(handshake.room)
    guard case .request(let request, _) = unsafe handshake.receive(head.span.bytes),
        let forward = request.forward
    else { return }
    let early = handshake.takeEarlyData()
    let lines = forward.head.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let names = lines.dropFirst().map { line in
        String(decoding: line.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self).lowercased()
    }
    func count(_ name: String) -> Int { names.count { $0 == name } }
    precondition(count("host") == 1 && count("connection") == 1, "the server's own name, and that it is to close")
    precondition(count("content-length") + count("transfer-encoding") <= 1, "one end of the body")
    precondition(
        ["proxy-authorization", "upgrade", "te", "keep-alive"].allSatisfy { count($0) == 0 },
        "what is the proxy's stays here")
    precondition(lines.allSatisfy { $0.last == UInt8(ascii: "\r") || $0.isEmpty }, "no line ends otherwise")
    func taken(_ size: Int) -> Int? {
        var body = forward.body
        var sum = 0
        var rest = early[...]
        while !rest.isEmpty {
            let piece = Array(rest.prefix(size))
            guard let count = try? unsafe body.take(piece.span.bytes) else { return nil }
            precondition(count == piece.count || body.isDone, "a body that goes on takes all")
            sum += count
            if count < piece.count { return sum }
            rest = rest.dropFirst(size)
        }
        return sum
    }
    precondition(taken(1) == taken(1 << 20) && taken(1) == taken(7), "where a body ends depends on the reads")
}

/// A conversation that ends the same in one piece, in two pieces and byte by byte.
///
/// The first byte of the input says where it is split.
private func socks(_ input: RawSpan) {
    let bytes = [UInt8](copying: input)
    guard let first = bytes.first else { return }
    let said = bytes.dropFirst()
    let split = min(Int(first), said.count)
    let whole = converse([said])
    let parts = converse([said.prefix(split), said.dropFirst(split)])
    precondition(whole == parts, "the outcome depends on the split")
    let bytewise = said.prefix(600).map { [$0][...] } + [said.dropFirst(600)]
    precondition(whole == converse(bytewise), "the outcome depends on the reads")
}

private struct Conversation: Equatable {
    var sent: [UInt8] = []
    var request: SocksRequest?
    var early: [UInt8] = []
    var error: SocksError?
}

private func converse(_ pieces: [ArraySlice<UInt8>]) -> Conversation {
    var handshake = SocksHandshake()
    var outcome = Conversation()
    for piece in pieces {
        switch unsafe handshake.receive(piece.span.bytes) {
        case .wait(let send): outcome.sent += send
        case .request(let request, let send):
            outcome.sent += send
            outcome.request = request
        case .refuse(let error, let send):
            outcome.sent += send
            outcome.error = error
        }
    }
    if outcome.request != nil { outcome.early = handshake.takeEarlyData() }
    precondition(outcome.sent.count <= 512, "more is said than a handshake has")
    return outcome
}

private func destination(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let value = try? Destination.decode(from: &reader) else { return }
    var writer = ByteWriter()
    value.encode(into: &writer)
    precondition(writer.bytes == [UInt8](copying: input.extracting(first: reader.offset)), "two encodings")
}

private func open(_ input: RawSpan) {
    guard let result = try? OpenRequest.decode(from: input) else {
        return
    }
    precondition(result.consumed <= OpenRequest.maximumSize)
    precondition(result.request.encoded() == [UInt8](copying: input.extracting(first: result.consumed)))
}

private func reply(_ input: RawSpan) {
    for kind in [OpenRequest.Kind.resolve, .resolvePointer] {
        guard case .found(let host)? = (try? LookupReply.decode(from: input, to: kind))?.outcome else { continue }
        let encoded = LookupReply.encoded(found: host)
        precondition(encoded == [UInt8](copying: input.extracting(first: encoded.count)), "two encodings")
    }
    guard let result = try? OpenReply.decode(from: input) else { return }
    precondition(result.reply.encoded().count == result.consumed)
}

/// Addresses, endpoints, ranges and names as text.
private func text(_ input: RawSpan) {
    let text = String(decoding: [UInt8](copying: input), as: UTF8.self)
    if let address = IPAddress(text) {
        precondition(IPAddress(address.description) == address)
        precondition(HostName(text) == nil, "a name that is an address")
        _ = ExitPolicy().allows(address, port: 443, .tcp)
    }
    if let endpoint = Endpoint(text) { precondition(Endpoint(endpoint.description) == endpoint) }
    if let range = CIDR(text) { precondition(CIDR(range.description) == range && range.contains(range.address)) }
    if let name = HostName(text) { precondition(HostName(name.text) == name) }
}

private func frames(_ input: RawSpan) {
    var reader = FrameReader(input)
    var before = 0
    while let frame = try? reader.next() {
        _ = frame
        precondition(reader.offset > before, "a frame without bytes")
        before = reader.offset
    }
    precondition(reader.offset <= input.byteCount)
}

/// A datagram of an app, and one of a session.
private func udp(_ input: RawSpan) {
    if let (peer, offset) = SocksDatagram.decode(from: input) {
        let data = input.extracting(droppingFirst: offset)
        let encoded = SocksDatagram.encoded(from: peer, data)
        guard let again = SocksDatagram.decode(from: encoded.rawSpan) else {
            preconditionFailure("its own encoding is unreadable")
        }
        precondition(again.peer == peer && encoded.count - again.offset == data.byteCount)
    }
    if let (peer, offset) = try? FlowDatagram.decode(from: input) {
        let encoded = FlowDatagram.encoded(peer, input.extracting(droppingFirst: offset))
        precondition(encoded == [UInt8](copying: input), "two encodings")
    }
}

/// An app's DNS query; every answer to it keeps within its size limit.
private func query(_ input: RawSpan) {
    let records = [RecordsReply.Record(timeToLive: 1, data: [UInt8](repeating: 1, count: 700))]
    switch DNSQuery.decode(from: input) {
    case .none: break
    case .answer(let query, let code): precondition(query.answer(code, overUDP: true).count <= 1_232)
    case .query(let query):
        precondition(query.name != nil && query.type.isCarried)
        for found in [[], records] {
            precondition(query.answer(.noError, records: found, reason: .noExit, overUDP: true).count <= 1_232)
        }
    }
}

/// A name server's message at the exit, and an exit's records at the client; the first two bytes name the type.
private func answer(_ input: RawSpan) {
    guard input.byteCount > 2 else { return }
    let bytes = [UInt8](copying: input.extracting(first: 2))
    let type = RecordType(rawValue: UInt16(bytes[0]) | UInt16(bytes[1] & 1) << 8)
    let message = input.extracting(droppingFirst: 2)
    if let name = HostName("a.b"), let found = NameServerAnswer.records(of: name, type: type, in: message) {
        for record in found { precondition(RecordData.isValid(record.data, of: type), "malformed data came through") }
    }
    if let reply = try? RecordsReply.decode(from: message), case .found = reply.outcome {
        let encoded = reply.encoded()
        precondition(encoded == [UInt8](copying: message.extracting(first: encoded.count)), "two encodings")
    }
}

private func descriptor(_ input: RawSpan) {
    guard let value = try? SignedDescriptor(decoding: input) else { return }
    precondition(value.bytes == [UInt8](copying: input))
    var reader = ByteReader(input)
    guard let plain = try? Descriptor.decode(from: &reader) else { preconditionFailure("signed but unreadable") }
    precondition(plain.encoded() == [UInt8](copying: input.extracting(first: reader.offset)), "two encodings")
}

private func descriptors(_ input: RawSpan) {
    guard let list = try? SignedDescriptor.decodeList(input) else { return }
    precondition(SignedDescriptor.encodeList(list).count <= input.byteCount)
}

private func snapshot(_ input: RawSpan) {
    guard let value = try? SignedSnapshot(decoding: input) else { return }
    precondition(value.encoded() == [UInt8](copying: input), "two encodings")
}

private func network(_ input: RawSpan) {
    guard let file = try? NetworkFile(json: [UInt8](copying: input)) else { return }
    guard let again = try? NetworkFile(json: file.json()) else { preconditionFailure("its own text is unreadable") }
    precondition(again == file)
}

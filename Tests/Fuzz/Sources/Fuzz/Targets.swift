import Directory
import SocksProtocol
import Wire

/// Every target: what takes bytes from the network, from an application or from a file.
///
/// A broken promise traps.
let targets: [(name: String, run: @Sendable (RawSpan) -> Void)] = [
    ("socks", socks), ("destination", destination), ("open", open), ("reply", reply), ("text", text),
    ("frames", frames), ("descriptor", descriptor), ("descriptors", descriptors), ("snapshot", snapshot),
    ("network", network), ("link", link), ("datagram", datagram), ("build", build), ("relay", relay),
    ("transport", transport),
]

/// A conversation in two pieces, or byte by byte, ends as it does in one; the first byte of the input says where it is split.
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

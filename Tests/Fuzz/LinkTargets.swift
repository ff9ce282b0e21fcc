import ExchangeModel
import Link
import LinkModel
import LinksModel
import OnionCrypto
import Wire

private let network = LinkNetwork(id: Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan))
private let source = Endpoint(address: IPAddress(v4: 0x0a00_0001), port: 4_000)

/// The two nodes; libFuzzer runs one input at a time.
private struct Nodes: @unchecked Sendable {
    let responder = Nodes.identity(1)
    let initiator = Nodes.identity(2)

    static func identity(_ number: UInt8) -> LinkIdentity {
        LinkIdentity(SigningKey(seed: Secret(copying: [UInt8](repeating: number, count: 32).rawSpan)))
    }
}

private let pair = Nodes()

/// A handshake in which the input changes one message: it does not trap, and makes no link from forged bytes.
///
/// The first byte says whether a node or a client begins (bit 0), which message is changed (bits 1 and 2), and whether
/// the message's first MAC is recomputed (bit 3), which only a peer that knows the node can do.
func link(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let choice = try? reader.u8() else { return }
    let isNode = choice & 1 == 0
    let target = Int(choice >> 1 & 3)
    let repairs = choice & 8 != 0
    var responder = LinkResponder(network: network, identity: pair.responder, now: start)
    guard
        var initiator = try? LinkInitiator(
            network: network, responder: pair.responder.nodeID, identity: isNode ? pair.initiator : nil,
            localIndex: 4_242, now: start)
    else { preconditionFailure("a node id is a public key") }

    for attempt in 0..<2 {
        guard case .send(var initiation) = initiator.poll(now: start, wallClock: 1) else { return }
        let mac1 = initiation.count - 32
        var isAuthentic = true
        if target == attempt {
            let mutation = Mutation(&reader, on: &initiation)
            if repairs { repair(&initiation) }
            isAuthentic = !mutation.touches(8..<mac1) && (repairs || !mutation.touches(0..<mac1 + 16))
        }
        switch responder.receive(initiation.rawSpan, from: source, now: start, wallClock: 1, isStaked: { _ in true }) {
        case .drop: return
        case .cookie(var cookie):
            precondition(cookie.count == network.packetSize, "an answer of another length")
            precondition(attempt == 0 || target < 2, "a good cookie is asked for again")
            guard attempt == 0 else { return }
            var isTouched = false
            if target == 2 { isTouched = Mutation(&reader, on: &cookie).touches(0..<64) }
            switch initiator.receive(cookie.rawSpan, now: start) {
            case .cookie: precondition(!isTouched, "a cookie that nobody made")
            case .drop: return
            case .established: preconditionFailure("a link from a cookie")
            }
        case .accepted(let accepted):
            precondition(isAuthentic, "an initiation that nobody made")
            guard let response = accepted.respond(localIndex: 777_777, time: wallClock, now: start) else { return }
            var bytes = response.bytes
            let mutation = target == 3 ? Mutation(&reader, on: &bytes) : nil
            if case .established = initiator.receive(bytes.rawSpan, now: start) {
                precondition(mutation?.touches(12..<bytes.count) != true, "a response that nobody made")
            }
            return
        }
    }
}

/// The input as a whole datagram, padded with zeros, with the right first MAC.
func datagram(_ input: RawSpan) {
    var bytes = [UInt8](copying: input)
    bytes += [UInt8](repeating: 0, count: max(0, network.packetSize - bytes.count))
    bytes.removeLast(bytes.count - network.packetSize)
    repair(&bytes)
    var responder = LinkResponder(network: network, identity: pair.responder, now: start)
    switch responder.receive(bytes.rawSpan, from: source, now: start, wallClock: 1, isStaked: { _ in true }) {
    case .drop: break
    case .cookie(let cookie): precondition(cookie.count == bytes.count, "an answer of another length")
    case .accepted: preconditionFailure("an initiation that nobody made")
    }
    guard
        var initiator = try? LinkInitiator(
            network: network, responder: pair.responder.nodeID, identity: nil, localIndex: 4_242, now: start)
    else { preconditionFailure("a node id is a public key") }
    _ = initiator.poll(now: start, wallClock: 1)
    guard case .drop = initiator.receive(bytes.rawSpan, now: start) else {
        preconditionFailure("an answer that nobody made")
    }
}

/// Recomputes the first MAC of an initiation (protocol.md, section 3.1).
private func repair(_ datagram: inout [UInt8]) {
    let place = datagram.count - 32
    var context = ByteWriter(capacity: 34)
    context.u16(LinkNetwork.version)
    context.bytes32(pair.responder.nodeID)
    let key = Secret(copying: network.id.array.rawSpan).derive("mac1", context: context.bytes)
    let mac = Blake2b.mac16(key: key.bytes, datagram.rawSpan.extracting(0..<place))
    datagram.replaceSubrange(place..<place + 16, with: mac)
}

/// Two honest ends and a hostile one on a network that the input controls; the model traps.
func links(_ input: RawSpan) {
    let bytes = [UInt8](copying: input)
    guard let first = bytes.first else { return }
    var model = LinkModel(isNode: first & 1 == 1)
    var place = 1
    while place < bytes.count {
        model.step { bound in
            guard bound > 0, place < bytes.count else { return 0 }
            defer { place += 1 }
            return Int(bytes[place]) % bound
        }
    }
}

/// Whole links of two honest nodes and a client beside a hostile peer; the model traps.
///
/// The input begins with a seed (two bytes), from which the network and the hostile peer's answers follow. The bytes
/// after it are choices. With one seed in 128 the run ends with the hostile peer gone for a minute, which costs as much
/// as the steps of many other inputs; with others, all processes end at once.
func nodes(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let seed = try? reader.u16() else { return }
    let model = LinksModel(seed: UInt64(seed))
    var steps = 0
    run(input.extracting(droppingFirst: reader.offset)) { choose in
        // The rest of a long input has no effect.
        guard steps < 200 else { return _ = choose(1) }
        steps += 1
        model.step(choose)
    }
    if seed % 128 == 0 { model.finish() } else { model.stop() }
}

/// A node's control messages with an honest client and a hostile one, as the input says; the model traps.
func exchange(_ input: RawSpan) {
    var model = ExchangeModel()
    run(input) { model.step($0) }
    model.finish()
}

import Onion
import OnionCrypto
import OnionModel
import Wire

private let network = Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan)

/// One node that answers builds and holds paths; libFuzzer runs one input at a time.
private final class Node: @unchecked Sendable {
    let id: Bytes32
    let onionKey: [UInt8]
    var responder: BuildResponder
    var table = ForwardingTable(worker: 0, maximumPaths: 100)

    init(_ number: UInt8) {
        guard let keys = try? OnionKeys(now: start) else { preconditionFailure("no onion key") }
        id = Bytes32(copying: [UInt8](repeating: number, count: 32).rawSpan)
        onionKey = keys.publicKey
        responder = BuildResponder(network: network, node: id, keys: keys, cache: BuildReplayCache(now: start))
    }

    var target: HopTarget { HopTarget(node: id, onionKey: onionKey, suite: .chacha20poly1305) }

    func open(_ records: [UInt8]) -> BuildOutcome {
        responder.open(records.rawSpan, from: 0, time: wallClock, now: start)
    }
}

private let first = Node(1)
private let last = Node(2)

private func builder(_ hops: [HopTarget]) -> PathBuilder {
    guard let builder = try? PathBuilder(hops: hops, network: network, time: wallClock) else {
        preconditionFailure("no path")
    }
    return builder
}

/// A build of one hop in which the input changes the records or the answer.
///
/// Any change to the records ends the build, and so does any change to the hop's own record of the answer.
func build(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let choice = try? reader.u8() else { return }
    let builder = builder([last.target])
    var records = builder.records
    if choice & 1 == 0 {
        let mutation = Mutation(&reader, on: &records)
        if choice & 2 != 0 { records.removeLast(Int(choice)) }
        let isWhole = mutation.changed.isEmpty && choice & 2 == 0
        switch last.open(records) {
        case .unreadable: precondition(!isWhole, "a good build is refused")
        case .refuse: preconditionFailure("a refusal without a reason")
        case .onward: preconditionFailure("a terminal's build goes on")
        case .terminal: precondition(isWhole, "records that nobody made")
        }
        return
    }
    guard case .terminal(_, let reply, _) = last.open(records) else { preconditionFailure("a good build is refused") }
    var message = BuildMessage.encode(pathID: 9, reply.answer(.ready))
    let own = 8 + 3 * BuildMessage.replyRecordSize..<message.count
    let mutation = Mutation(&reader, on: &message)
    if choice & 2 != 0 { message.removeLast(Int(choice)) }
    switch builder.receive(message.rawSpan, now: start) {
    case .built: precondition(!mutation.touches(own) && choice & 2 == 0, "an answer that nobody made")
    case .refused: preconditionFailure("a refusal that nobody made")
    case .broken: precondition(!mutation.changed.isEmpty || choice & 2 != 0, "a good answer is refused")
    }
}

/// A built path with a guard and a terminal.
private final class StandingPath: @unchecked Sendable {
    var client: ClientPath?
    let guardID: UInt64
    let terminal: PathHandle

    init() {
        let builder = builder([first.target, last.target])
        guard case .onward(_, let onward, let guardKeys, let guardReply) = first.open(builder.records),
            case .terminal(let lastKeys, let lastReply, _) = last.open(onward),
            let guardPath = try? first.table.insert(
                guardKeys, previous: PathNeighbour(link: 1, pathID: 5), nextLink: 2, linkLimit: 100, now: start),
            let backwardID = first.table.backwardID(of: guardPath),
            let terminal = try? last.table.insert(
                lastKeys, previous: PathNeighbour(link: 2, pathID: backwardID), nextLink: nil, linkLimit: 100,
                now: start),
            let terminalID = last.table.forwardID(of: terminal), first.table.connect(guardPath, nextPathID: terminalID),
            let guardID = first.table.forwardID(of: guardPath),
            let answer = guardReply.wrap(lastReply.answer(.ready).rawSpan),
            case .built(let client, _) = builder.receive(
                BuildMessage.encode(pathID: guardID, answer).rawSpan, now: start)
        else { preconditionFailure("no path") }
        self.client = consume client
        self.guardID = guardID
        self.terminal = terminal
    }
}

private let path = StandingPath()

/// A packet on a path of a guard and a terminal, changed on the way.
///
/// It is dropped where its layer does not verify, and delivered once if nothing was changed. The first byte gives the
/// direction (bit 0), the link on which the packet is changed (bit 1) and whether it arrives twice (bit 2). The second
/// byte makes the packet longer.
func relay(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let choice = try? reader.u8(), let extra = try? reader.u8() else { return }
    var packet = [UInt8](repeating: 0x5a, count: Packet.minimumSize + Int(extra) % 221)
    let isLater = choice & 2 != 0
    if choice & 1 == 0 {
        var span = packet.mutableRawSpan
        span.pathID = path.guardID
        guard var client = path.client.take() else { preconditionFailure("no path") }
        guard client.seal(&span, now: start) != nil else { preconditionFailure("the counters are used up") }
        path.client = consume client
        let mutation = isLater ? nil : Mutation(&reader, on: &packet)
        let copy = packet
        let isGood = send(&packet, by: first, link: 1)
        precondition(!isGood || mutation?.touches(Packet.firstSlotOffset..<packet.count) != true, "a forged layer")
        if choice & 4 != 0, isGood {
            var again = copy
            precondition(!send(&again, by: first, link: 1), "a packet is sent twice")
        }
        guard isGood else { return }
        let later = isLater ? Mutation(&reader, on: &packet) : nil
        let isDelivered = send(&packet, by: last, link: 2)
        let changed = later?.touches(Packet.slotOffset(4)..<packet.count) == true
        precondition(!isDelivered || !changed, "a forged layer")
        precondition(isDelivered || later?.changed.isEmpty == false, "a good packet is dropped")
    } else {
        var span = packet.mutableRawSpan
        guard case .send = last.table.sealAtTerminal(path.terminal, &span, now: start).verdict else {
            preconditionFailure("the counters are used up")
        }
        var mutation = isLater ? nil : Mutation(&reader, on: &packet)
        guard send(&packet, by: first, link: 2) else { return }
        if isLater { mutation = Mutation(&reader, on: &packet) }
        // Until the guard seals the packet, no layer covers the slots before slot 4.
        let from = isLater ? Packet.firstSlotOffset : Packet.slotOffset(4)
        var end = packet.mutableRawSpan
        guard var client = path.client.take() else { preconditionFailure("no path") }
        let opening = client.open(&end, now: start)
        path.client = consume client
        switch opening {
        case .packet: precondition(mutation?.touches(from..<packet.count) != true, "a forged layer")
        case .dropped: precondition(mutation?.changed.isEmpty == false, "a good packet is dropped")
        }
    }
}

/// Whether `node` forwards or delivers a packet from `link`.
private func send(_ packet: inout [UInt8], by node: Node, link: UInt32) -> Bool {
    var span = packet.mutableRawSpan
    let verdict: ForwardingStep
    switch node.table.find(link: link, pathID: span.pathID) {
    case .unknown: return false
    case .forward(let place): verdict = node.table.forward(place, &span, now: start)
    case .backward(let place): verdict = node.table.backward(place, &span, now: start)
    }
    if case .drop = verdict { return false }
    return true
}

/// Honest clients and nodes beside a hostile one, on a network that the input controls; the model traps.
func paths(_ input: RawSpan) {
    let model = OnionModel()
    run(input) { model.step($0) }
}

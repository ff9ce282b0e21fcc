import Link
import Onion
import OnionCrypto
import Requests
import RequestsModel
import SeededRandom
import Wire

/// Every decoder of onion requests: a value that is read is written as the same bytes.
func request(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let choice = try? reader.u8(), let head = try? reader.array(min(60, reader.remaining)) else { return }
    // The second body is padded to the length of a whole envelope, so that lengths are right at times.
    let rest = (try? reader.array(reader.remaining)) ?? []
    let size = RequestClass.bytes1024.envelopeSize
    let bodies = [head + rest, head + rest + [UInt8](repeating: choice, count: max(0, size - rest.count))]
    for bytes in bodies {
        let span = bytes.rawSpan
        func same(_ written: [UInt8]?) { precondition(written ?? bytes == bytes, "one form for each value") }
        switch choice % 8 {
        case 0: same((try? RequestOpen(decoding: span))?.encoded())
        case 1: same((try? ForwardMessage(decoding: span))?.encoded())
        case 2: same((try? AnswerMessage(decoding: span))?.encoded())
        case 3: same((try? RelayRequest(decoding: span))?.encoded())
        case 4: same((try? RequestAnswer(decoding: span))?.encoded())
        case 5:
            // Unknown flags are ignored.
            let state = try? NodeState(decoding: span)
            let written = state?.encoded() ?? []
            precondition((try? NodeState(decoding: written.rawSpan)) == state, "a state is read as it was written")
        default:
            for place in [OuterAnswer.Place.stream, .ownStream, .forward, .message] {
                same((try? OuterAnswer(decoding: span, at: place))?.encoded(for: place))
            }
        }
    }
}

/// A proxy whose sessions, links and targets the input plays.
///
/// Each request ends once and within its time, and no bound is exceeded.
func proxy(_ input: RawSpan) {
    var now = start
    var proxy = RequestProxy(node: RequestNetwork.id(0), random: SeededGenerator(seed: 1), now: now)
    var reader = ByteReader(input)
    var asker: UInt64 = 0
    var waiting: [UInt64: Instant] = [:]
    var sessions: [UInt64: UInt64] = [:]
    var tickets: [(ticket: UInt64, node: NodeID, id: UInt64)] = []
    var connecting: [NodeID: Instant] = [:]
    var performing: [UInt64] = []
    let envelope = [UInt8](repeating: 1, count: RequestClass.bytes1024.envelopeSize)
    /// The link of a session; each link has four sessions.
    func link(_ detail: UInt8) -> LinkSource { .node(RequestNetwork.id(Int(detail >> 6)).key) }
    func take(_ actions: [RequestProxy.Action]) {
        for action in actions {
            switch action {
            case .answer(let asker, _):
                precondition(waiting.removeValue(forKey: asker) != nil, "one answer for each")
            case .perform(let ticket, _, _, _): performing.append(ticket)
            case .connect(let node):
                let last = connecting.updateValue(now, forKey: node)
                precondition(last.map { now - $0 >= RequestLimits.linkTime } ?? true, "one handshake for each")
            case .forward(let ticket, let node, let body):
                guard let message = try? ForwardMessage(decoding: body.rawSpan) else {
                    preconditionFailure("its own message is unreadable")
                }
                precondition(!tickets.contains { $0.node == node && $0.id == message.id }, "an id is used once")
                tickets.append((ticket, node, message.id))
            }
        }
    }
    while let kind = try? reader.u8(), let detail = try? reader.u8() {
        let node = RequestNetwork.id(Int(detail % 6))
        switch kind % 10 {
        case 0, 1, 2:
            asker += 1
            waiting[asker] = now
            sessions[asker] = UInt64(detail >> 4)
            let open: RequestOpen? =
                kind & 0x40 != 0
                ? .own(method: detail, arguments: []) : kind & 0x80 != 0 ? nil : .envelope(envelope, to: node)
            let known = RequestProxy.Knowledge(isNode: kind & 0x10 == 0, hasLink: kind & 0x20 != 0)
            take(proxy.ask(open, asker: asker, from: UInt64(detail >> 4), over: link(detail), target: known, now: now))
        case 3:
            connecting[node] = nil
            let fault: RequestProxy.LinkFault =
                kind & 0x20 == 0 ? .unanswered : kind & 0x40 == 0 ? .limit : .unreachable
            take(kind & 0x10 == 0 ? proxy.linkUp(node, now: now) : proxy.linkFailed(node, fault, now: now))
        case 4: take(proxy.linkEnded(node))
        case 5:
            guard !tickets.isEmpty else { continue }
            let ticket = tickets[Int(detail) % tickets.count].ticket
            let failures: [ControlFailure] = [.refused, .timedOut, .linkDown, .limit]
            let result = Result<[UInt8], ControlFailure>.success([kind >> 5])
            take(
                proxy.forwarded(
                    ticket, kind & 0x10 == 0 ? result : .failure(failures[Int(kind >> 5) % 4]), now: now))
        case 6:
            guard !tickets.isEmpty else { continue }
            let asked = tickets[Int(detail) % tickets.count]
            let answer = AnswerMessage(id: asked.id, answer: .busy(seconds: kind)).encoded()
            take(proxy.answered(answer, from: kind & 0x10 == 0 ? asked.node : node, now: now))
        case 7:
            proxy.sessionEnded(UInt64(detail >> 4), over: link(detail))
            for (asker, session) in sessions where session == UInt64(detail >> 4) { waiting[asker] = nil }
        case 8: if let ticket = performing.popLast() { take(proxy.performed(ticket, RequestAnswer(.done), now: now)) }
        default:
            now = now + .milliseconds(Int64(detail) * 40)
            take(proxy.advance(now))
        }
        precondition(proxy.pending == waiting.count, "each request is pending or has ended")
        precondition(connecting.count <= RequestLimits.handshakes)
    }
    take(proxy.advance(now + .seconds(15)))
    precondition(proxy.pending == 0 && waiting.isEmpty, "nothing stays")
}

/// A whole network with one hostile party, from a seed.
func requests(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let choice = try? reader.u8(), let seed = try? reader.u64() else { return }
    let kinds = RequestNetwork.Hostile.allCases
    let network = RequestNetwork(kinds[Int(choice) % kinds.count], seed: seed)
    while let step = try? reader.u8() {
        switch step % 4 {
        case 0: network.ask(targets: [Int(step) / 4 % 6, 5], box: step)
        case 1: network.disturb()
        default: network.run(.milliseconds(Int64(step) * 10))
        }
    }
    network.run(.seconds(45))
    network.checkQuiet()
}

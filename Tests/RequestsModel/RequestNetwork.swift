internal import Link
internal import Onion
internal import OnionCrypto
public import Requests
internal import SeededRandom
public import Wire

/// A network of nodes and one honest client on virtual time, with one hostile party.
///
/// Every message has its own delay, so messages overtake each other. A broken expectation traps: an honest call ends
/// once and in time, an answer is its target's, ids are not used twice, and in the end nothing is pending.
///
/// It has more members than most types: nodes, clients, the network, and what is pending.
public final class RequestNetwork {
    /// The party that lies, stalls, repeats and goes away.
    public enum Hostile: CaseIterable, Sendable {
        case nobody, client, proxy, target, links
    }

    /// A node with its roles.
    final class Node {
        let index: Int
        let key: KEM.PrivateKey
        var target: RequestTarget
        var proxy: RequestProxy
        var isHostile = false
        /// The answers that a hostile node has seen and may use again.
        var seen: [[UInt8]] = []

        init(_ index: Int, _ key: KEM.PrivateKey, seed: UInt64, now: Instant) {
            self.index = index
            self.key = key
            target = RequestTarget(
                network: RequestNetwork.network, node: RequestNetwork.id(index), keys: OnionKeys(key, now: now),
                descriptor: [UInt8](repeating: 7, count: 100), random: SeededGenerator(seed: seed &+ 1_000), now: now)
            proxy = RequestProxy(node: RequestNetwork.id(index), random: SeededGenerator(seed: seed), now: now)
        }
    }

    /// The network's id.
    public static let network = Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan)
    /// The source of all sessions.
    static let link = LinkSource.node(network)
    /// The number of nodes.
    public static let count = 6
    private static let keys: [KEM.PrivateKey] = (1...UInt8(count)).compactMap {
        try? KEM.PrivateKey(seed: [UInt8](repeating: $0, count: 32))
    }

    /// The id of node `index`.
    public static func id(_ index: Int) -> NodeID {
        NodeID(Bytes32(copying: [UInt8](repeating: UInt8(index + 1), count: 32).rawSpan))
    }

    private static func index(of node: NodeID) -> Int? { (0..<count).first { id($0) == node } }

    /// An honest target's answer.
    public static func result(_ node: NodeID, _ arguments: [UInt8]) -> [UInt8] {
        Blake2b.digest((node.key.array + arguments).rawSpan).array
    }

    var random: SeededGenerator
    let hostile: Hostile
    /// Virtual time.
    public private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
    private let start: Instant
    let nodes: [Node]
    /// The honest client.
    public var client: RequestClient
    private var events: [(at: Instant, number: UInt64, run: () -> Void)] = []
    private var eventNumber: UInt64 = 0
    /// The proxies of the sessions, by the client's numbers.
    var sessions: [UInt64: Int] = [:]
    var links: Set<[Int]> = []
    private var ids: Set<[UInt64]> = []
    private var messages: [UInt64: (proxy: Int, ticket: UInt64)] = [:]
    private var answered: Set<UInt64> = []
    private var asked: [UInt64: (arguments: [UInt8], at: Instant)] = [:]
    /// The outcomes of the honest client's calls.
    public private(set) var outcomes: [RequestClient.Outcome] = []
    /// The number of ANSWER messages that targets have sent.
    public private(set) var deferred = 0

    /// A network whose last node is hostile if `hostile` is a proxy or a target.
    public init(_ hostile: Hostile, seed: UInt64) {
        self.hostile = hostile
        random = SeededGenerator(seed: seed)
        start = now
        let now = now
        nodes = Self.keys.enumerated().map { Node($0.offset, $0.element, seed: seed &+ UInt64($0.offset), now: now) }
        client = RequestClient(network: Self.network, random: SeededGenerator(seed: seed &+ 100)) { _ in { _ in true } }
        client.nodes = (0..<Self.count).map {
            RequestNode(id: Self.id($0), operatorID: Self.id($0 / 2).key, weight: UInt32(1 + $0))
        }
        nodes[Self.count - 1].isHostile = hostile == .proxy || hostile == .target
    }

    /// The wall clock.
    public var time: UnixTime { UnixTime(seconds: 1_800_000_000 + UInt64((now - start).inSeconds)) }

    // MARK: Running

    /// Runs `run` after `milliseconds`.
    public func after(_ milliseconds: Int, _ run: @escaping () -> Void) {
        eventNumber += 1
        let event = (at: now + .milliseconds(Int64(milliseconds)), number: eventNumber, run: run)
        let place = events.firstIndex { $0.at > event.at } ?? events.count
        events.insert(event, at: place)
    }

    func delay(_ most: Int = 40) -> Int { Int.random(in: 1...most, using: &random) }

    /// Runs the network for `span`.
    public func run(_ span: TimeSpan) {
        let end = now + span
        while let next = nextTime, next <= end {
            now = max(now, next)
            while let event = events.first, event.at <= now {
                events.removeFirst()
                event.run()
            }
            perform(client.advance(now, time: time))
            for node in nodes {
                perform(node.proxy.advance(now), at: node)
                perform(node.target.advance(now), at: node)
            }
        }
        now = end
    }

    private var nextTime: Instant? {
        var times = nodes.flatMap { [$0.proxy.nextDeadline, $0.target.nextDeadline] }
        times += [client.nextDeadline, events.first?.at]
        return times.compactMap(\.self).min()
    }

    /// Traps if a request is pending anywhere.
    public func checkQuiet() {
        precondition(client.pending == 0 && asked.isEmpty, "each call ends")
        for node in nodes {
            precondition(node.proxy.pending == 0, "a proxy's requests end")
            precondition(node.target.pending == 0, "a target's requests end")
        }
    }

    // MARK: The client

    /// A call to one of `targets`.
    public func ask(
        _ method: RequestMethod = .lookup, targets: [Int], box: UInt8 = 1, arguments: [UInt8] = [1, 2, 3]
    ) {
        let box = Bytes32(copying: [UInt8](repeating: box, count: 32).rawSpan)
        let call = RequestClient.Call(
            scope: .init(isolation: 1, purpose: .box(box)), method: method,
            targets: targets.map { .init(node: Self.id($0), onionKey: nodes[$0].key.publicKey) }
        ) { _ in arguments }
        let (number, actions) = client.ask(call, now: now, time: time)
        asked[number] = (arguments, now)
        perform(actions)
    }

    func perform(_ actions: [RequestClient.Action]) {
        for action in actions {
            switch action {
            case .openSession(let number, let proxy):
                guard let index = Self.index(of: proxy) else { preconditionFailure("a node of the network") }
                sessions[number] = index
                after(delay(60)) { [unowned self] in
                    guard sessions[number] != nil else { return }
                    if hostile == .links, random.happens(20) {
                        endSession(number)
                    } else {
                        perform(client.sessionReady(number, now: now, time: time))
                    }
                }
            case .closeSession(let number):
                if let index = sessions.removeValue(forKey: number) {
                    nodes[index].proxy.sessionEnded(number, over: Self.link)
                }
            case .send(let attempt, let session, let bytes):
                after(delay()) { [unowned self] in
                    guard let index = sessions[session] else { return }
                    arrive(bytes, attempt: attempt, session: session, at: nodes[index])
                }
            case .cancel: break
            case .checkDescriptor(let attempt, let target, _):
                let key = Self.index(of: target).map { nodes[$0].key.publicKey }
                after(delay()) { [unowned self] in
                    perform(client.keyChecked(attempt, key, now: now, time: time))
                }
            case .finished(let call, let outcome): finished(call, outcome)
            }
        }
    }

    private func finished(_ call: UInt64, _ outcome: RequestClient.Outcome) {
        guard let asked = asked.removeValue(forKey: call) else { preconditionFailure("a call ends once") }
        precondition(now - asked.at <= RequestClient.callTime, "a call ends in time")
        outcomes.append(outcome)
        if case .answered(let answer, let node, _) = outcome, Self.index(of: node).map({ nodes[$0].isHostile }) == false
        {
            if answer.status == .done, answer.result.count == 32 {
                precondition(answer.result == Self.result(node, asked.arguments), "the answer is the target's")
            }
        }
    }

    func endSession(_ number: UInt64) {
        guard let index = sessions.removeValue(forKey: number) else { return }
        nodes[index].proxy.sessionEnded(number, over: Self.link)
        perform(client.sessionEnded(number, now: now, time: time))
    }

    func answer(_ attempt: UInt64, _ bytes: [UInt8]?) {
        after(delay()) { [unowned self] in
            perform(client.received(attempt, bytes, now: now, time: time))
        }
    }

    // MARK: Nodes

    func knowledge(_ node: Node, of target: NodeID) -> RequestProxy.Knowledge {
        let index = Self.index(of: target)
        return .init(isNode: index != nil, hasLink: index.map { links.contains([node.index, $0]) } ?? false)
    }

    func arrive(_ bytes: [UInt8], attempt: UInt64, session: UInt64, at node: Node) {
        if hostile == .proxy, node.isHostile, lie(bytes, attempt: attempt, session: session, at: node) { return }
        ask(bytes, asker: attempt, session: session, at: node)
    }

    func ask(_ bytes: [UInt8], asker: UInt64, session: UInt64, at node: Node) {
        let request = try? RequestOpen(decoding: bytes.rawSpan)
        var known = RequestProxy.Knowledge(isNode: true, hasLink: false)
        if case .envelope(_, let target)? = request { known = knowledge(node, of: target) }
        perform(
            node.proxy.ask(request, asker: asker, from: session, over: Self.link, target: known, now: now), at: node)
    }

    private static let relayBit: UInt64 = 1 << 63

    func perform(_ actions: [RequestProxy.Action], at node: Node) {
        for action in actions {
            switch action {
            case .answer(let asker, let outer):
                if asker & Self.relayBit != 0 {
                    perform(node.target.relayed(asker & ~Self.relayBit, outer, now: now), at: node)
                    continue
                }
                if asker < Self.foreign, !node.isHostile {
                    precondition(answered.insert(asker).inserted, "one answer for each request")
                }
                let bytes = outer.encoded(for: .stream)
                answer(asker, bytes)
                if node.isHostile { node.seen.append(bytes) }
            case .perform(let ticket, _, let arguments, _):
                let result = Self.result(Self.id(node.index), arguments)
                perform(node.proxy.performed(ticket, RequestAnswer(.done, result), now: now), at: node)
            case .connect(let other):
                guard let index = Self.index(of: other) else { preconditionFailure("a node of the network") }
                // A hostile target does not always answer a handshake.
                if nodes[index].isHostile, hostile == .target, random.happens(30) { continue }
                after(delay(80)) { [unowned self] in
                    if hostile == .links, random.happens(20) {
                        perform(node.proxy.linkFailed(other, .unanswered, now: now), at: node)
                        return
                    }
                    links.insert([node.index, index])
                    perform(node.proxy.linkUp(other, now: now), at: node)
                }
            case .forward(let ticket, let other, let body):
                guard let index = Self.index(of: other), let message = try? ForwardMessage(decoding: body.rawSpan)
                else {
                    preconditionFailure("a proxy writes well")
                }
                precondition(
                    ids.insert([UInt64(node.index), UInt64(index), message.id]).inserted, "an id is used once")
                eventNumber += 1
                let number = eventNumber
                messages[number] = (node.index, ticket)
                after(delay()) { [unowned self] in
                    perform(
                        nodes[index].target.received(body, message: number, from: Self.id(node.index), now: now),
                        at: nodes[index])
                }
            }
        }
    }

    func perform(_ actions: [RequestTarget.Action], at node: Node) {
        for action in actions {
            switch action {
            case .answer(let number, let bytes):
                guard let message = messages.removeValue(forKey: number) else {
                    preconditionFailure("FORWARD is answered once")
                }
                bring(bytes, from: node) { [unowned self] bytes in
                    let proxy = nodes[message.proxy]
                    let result = bytes.map { Result<[UInt8], ControlFailure>.success($0) } ?? .failure(.linkDown)
                    perform(proxy.proxy.forwarded(message.ticket, result, now: now), at: proxy)
                }
            case .open(let ticket, let key, let envelope):
                let request = RequestEnvelope.open(
                    envelope, with: key, node: Self.id(node.index), network: Self.network)
                after(delay(5)) { [unowned self] in
                    perform(node.target.opened(ticket, request, now: now, time: time), at: node)
                }
            case .perform(let ticket, _, let arguments, _, _):
                let result = RequestAnswer(.done, Self.result(Self.id(node.index), arguments))
                after(delay(100)) { [unowned self] in
                    perform(node.target.performed(ticket, result, now: now), at: node)
                }
            case .relay(let ticket, let request, let asking):
                perform(
                    node.proxy.relay(
                        request, asker: ticket | Self.relayBit, for: asking,
                        target: knowledge(node, of: request.target), now: now), at: node)
            case .send(let other, let body):
                deferred += 1
                guard let index = Self.index(of: other) else { preconditionFailure("a node of the network") }
                bring(body, from: node) { [unowned self] bytes in
                    guard let bytes else { return }
                    let proxy = nodes[index]
                    perform(proxy.proxy.answered(bytes, from: Self.id(node.index), now: now), at: proxy)
                }
            }
        }
    }

    /// Delivers a target's bytes; a hostile target alters, drops, repeats and delays them.
    private func bring(_ bytes: [UInt8], from node: Node, _ run: @escaping ([UInt8]?) -> Void) {
        guard hostile == .target, node.isHostile else { return after(delay()) { run(bytes) } }
        switch random.next() % 8 {
        case 0: after(delay()) { run(nil) }
        case 1: break
        case 2: after(delay()) { [unowned self] in run(flipped(bytes)) }
        case 3:
            after(delay()) { run(bytes) }
            after(delay(20_000)) { run(bytes) }
        case 4: after(delay(15_000)) { run(bytes) }
        case 5:
            after(delay()) { [unowned self] in
                run((0..<delay(60)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
            }
        default: after(delay()) { run(bytes) }
        }
        // An unsolicited ANSWER, to a proxy that may have asked nothing.
        let stray = AnswerMessage(id: random.next(), answer: .answer([UInt8](repeating: 1, count: 1_056))).encoded()
        let other = nodes[Int(random.next() % UInt64(nodes.count))]
        perform(other.proxy.answered(stray, from: Self.id(node.index), now: now), at: other)
    }

    func flipped(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        guard !bytes.isEmpty else { return bytes }
        bytes[Int(random.next() % UInt64(bytes.count))] ^= UInt8(1 << (random.next() % 8))
        return bytes
    }
}

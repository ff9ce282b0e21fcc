internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Requests
internal import Wire

/// Onion requests at a node (protocol.md, section 13): forwards those of its sessions, and answers those of other
/// nodes.
///
/// `RequestProxy` and `RequestTarget` make the decisions. This type brings them events and performs their actions. No
/// log contains a target or a session.
///
/// It has more members than most types: the parts, and the owners of requests under way.
final class RequestService {
    private let links: Links
    private let nodes: KnownNodes
    private let recent: RecentNodes
    /// The swarm store; nil if the network has none.
    private let swarm: SwarmService?
    private let network: Bytes32
    private let node: NodeID
    private var proxy: RequestProxy
    private var target: RequestTarget
    private var arrivals = RequestArrivals()
    /// The streams that are bringing a request or waiting for an answer, by number.
    private var streams: [UInt64: RequestStream] = [:]
    private var lastNumber: UInt64 = 0
    /// The FORWARD messages that wait for an answer, by number.
    private var messages: [UInt64: ControlResponder] = [:]
    private var lastMessage: UInt64 = 0
    private var timer: LoopTimer?
    /// The actions that wait to be performed, in this order.
    private var steps: [Step] = []
    private var isPerforming = false

    private enum Step {
        /// The source is the one that handshakes count for.
        case proxy(RequestProxy.Action, LinkSource?)
        case target(RequestTarget.Action)
    }

    /// Requests at `node`, whose onion keys are `keys`.
    ///
    /// `recent` has the nodes that may be targets. `swarm` runs the methods of the store.
    init(
        links: Links, nodes: KnownNodes, recent: RecentNodes, swarm: SwarmService?, network: Bytes32, node: NodeID,
        keys: OnionKeys
    ) {
        self.links = links
        self.nodes = nodes
        self.recent = recent
        self.swarm = swarm
        self.network = network
        self.node = node
        let now = links.now
        proxy = RequestProxy(node: node, random: SecureRandom(), now: now)
        target = RequestTarget(
            network: network, node: node, keys: keys, descriptor: [], random: SecureRandom(), now: now)
        timer = LoopTimer(on: links.loop) { [weak self] in self?.advance() }
    }

    private var now: Instant { links.now }

    /// The counters of onion requests.
    var status: RelayRequestStatus {
        let (asked, received) = (proxy.counters, target.counters)
        return RelayRequestStatus(
            asked: UInt64(clamping: asked.asked), answered: UInt64(clamping: asked.answered),
            refused: UInt64(clamping: asked.refused + arrivals.lost), pending: proxy.pending,
            received: UInt64(clamping: received.received), answeredHere: UInt64(clamping: received.answered),
            busy: UInt64(clamping: received.busy), bad: UInt64(clamping: received.unreadable &+ received.replayed),
            pendingHere: target.pending)
    }

    /// Replaces the onion keys, and `descriptor`, which announces them.
    func renew(keys: OnionKeys, descriptor: [UInt8]) {
        target.keys = keys
        target.descriptor = descriptor
    }

    // MARK: Sessions

    /// A new number for a stream.
    func newNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    /// Notes that a stream holds `bytes` bytes of an incomplete request; returns false if the stream must be abandoned.
    ///
    /// Other streams may be abandoned to make room for it.
    func isArriving(_ bytes: Int, on stream: RequestStream) -> Bool {
        let number = stream.number
        streams[number] = stream
        let losers = arrivals.hold(number, bytes, of: stream.session, over: stream.source, now: now)
        for loser in losers where loser != number { streams[loser]?.abandon() }
        return !losers.contains(number)
    }

    /// Takes a complete request of a stream; nil stands for an unreadable one.
    func ask(_ request: RequestOpen?, by stream: RequestStream) {
        let number = stream.number
        arrivals.end(number)
        streams[number] = stream
        var known = RequestProxy.Knowledge(isNode: false, hasLink: false)
        if case .envelope(_, let target)? = request { known = knowledge(of: target) }
        perform(
            proxy.ask(
                request, asker: RequestAsker.stream(number).raw, from: stream.session, over: stream.source,
                target: known,
                now: now), for: stream.source)
    }

    /// Removes a stream that has ended.
    func forget(_ number: UInt64) {
        arrivals.end(number)
        streams[number] = nil
    }

    /// To be called when a session has ended.
    func sessionEnded(_ session: UInt64, over link: LinkSource) {
        proxy.sessionEnded(session, over: link)
        setTimer()
    }

    private func knowledge(of target: NodeID) -> RequestProxy.Knowledge {
        RequestProxy.Knowledge(isNode: recent.contains(target), hasLink: links.existingLink(to: target) != nil)
    }

    // MARK: Messages and links

    /// Takes a control message from `peer`.
    func received(_ message: RequestMessage, _ body: [UInt8], from peer: NodeID, _ responder: ControlResponder) {
        switch message {
        case .forward:
            lastMessage += 1
            messages[lastMessage] = responder
            perform(target.received(body, message: lastMessage, from: peer, now: now))
        case .answer:
            links.answer(responder, [])
            perform(proxy.answered(body, from: peer, now: now), for: nil)
        }
    }

    /// To be called when a link to a node is up.
    func linkUp(_ peer: NodeID) { perform(proxy.linkUp(peer, now: now), for: nil) }

    /// To be called when a link has ended; another link to the same node may be up.
    func linkDown(_ link: LinkID, _ peer: NodeID) {
        messages = messages.filter { $0.value.link != link }
        guard links.existingLink(to: peer) == nil else { return }
        perform(proxy.linkEnded(peer), for: nil)
        perform(target.linkEnded(peer, now: now))
    }

    private func connect(_ peer: NodeID, for source: LinkSource?) {
        guard let addresses = nodes.addresses(of: peer) else { return linkFailed(peer, .noAddress) }
        links.link(to: peer, at: addresses, for: source, within: RequestLimits.linkTime) { [weak self] result in
            switch result {
            case .success: self?.linkUp(peer)
            case .failure(let failure): self?.linkFailed(peer, failure)
            }
        }
    }

    private func linkFailed(_ peer: NodeID, _ failure: LinkFailure) {
        let fault: RequestProxy.LinkFault =
            switch failure {
            case .noAnswer: .unanswered
            case .limit: .limit
            case .badIdentity, .noAddress, .closing: .unreachable
            }
        perform(proxy.linkFailed(peer, fault, now: now), for: nil)
    }

    private func forward(_ ticket: RequestProxy.Ticket, _ body: [UInt8], to peer: NodeID) {
        guard let link = links.existingLink(to: peer) else { return perform(proxy.linkEnded(peer), for: nil) }
        links.request(on: link, RequestMessage.forward, body: body, timeout: RequestLimits.answerTime) {
            [weak self] result in
            guard let self else { return }
            // Without any link to the peer, all requests to it have failed.
            let isGone = result == .failure(.linkDown) && links.existingLink(to: peer) == nil
            perform(
                isGone ? proxy.linkEnded(peer) : proxy.forwarded(ticket, result, now: now), for: nil)
        }
    }

    // MARK: Actions

    /// Performs actions of the proxy.
    ///
    /// Handshakes count for `source`.
    private func perform(_ actions: [RequestProxy.Action], for source: LinkSource?) {
        steps += actions.map { .proxy($0, source) }
        performSteps()
    }

    /// Performs actions of the target.
    private func perform(_ actions: [RequestTarget.Action]) {
        steps += actions.map { .target($0) }
        performSteps()
    }

    /// Performs the steps one after the other.
    ///
    /// Steps that follow from a step are queued, so that no chain of them fills the stack.
    private func performSteps() {
        guard !isPerforming else { return }
        isPerforming = true
        var done = 0
        while done < steps.count {
            let step = steps[done]
            done += 1
            switch step {
            case .proxy(let action, let source): perform(action, for: source)
            case .target(let action): perform(action)
            }
        }
        steps.removeAll(keepingCapacity: done <= 64)
        isPerforming = false
        setTimer()
    }

    private func perform(_ action: RequestProxy.Action, for source: LinkSource?) {
        switch action {
        case .answer(let asker, let answer):
            switch RequestAsker(raw: asker) {
            case .stream(let number): streams.removeValue(forKey: number)?.answer(answer)
            case .relayed(let ticket): perform(target.relayed(ticket, answer, now: now))
            }
        case .perform(let ticket, let method, let arguments, let asker):
            // A session's requests have no binding here, so none can prove that it may read a box.
            let isOpen = method == .store || method == .lookup
            run(method, arguments, for: asker.asker, isOpen ? Bytes32() : nil) { [weak self] answer in
                guard let self else { return }
                perform(proxy.performed(ticket, answer, now: now), for: source)
            }
        case .connect(let peer): connect(peer, for: source)
        case .forward(let ticket, let peer, let body): forward(ticket, body, to: peer)
        }
    }

    private func perform(_ action: RequestTarget.Action) {
        switch action {
        case .answer(let message, let bytes):
            if let responder = messages.removeValue(forKey: message) { links.answer(responder, bytes) }
        case .open(let ticket, let key, let envelope): open(ticket, envelope, with: key)
        case .perform(let ticket, let method, let arguments, let binding, _):
            let asker = target.bringer(of: ticket).map { Asker.node($0) }
            run(method, arguments, for: asker, binding) { [weak self] answer in
                guard let self else { return }
                perform(target.performed(ticket, answer, now: now))
            }
        case .relay(let ticket, let request, let peer):
            perform(
                proxy.relay(
                    request, asker: RequestAsker.relayed(ticket).raw, for: peer,
                    target: knowledge(of: request.target), now: now), for: .node(peer.key))
        case .send(let peer, let body):
            if let link = links.existingLink(to: peer) { links.send(on: link, RequestMessage.answer, body: body) }
        }
    }

    private func open(_ ticket: RequestTarget.Ticket, _ envelope: [UInt8], with key: OnionKeys.Key) {
        let (node, network) = (node, network)
        links.loop.work {
            RequestEnvelope.open(envelope, with: key, node: node, network: network)
        } completion: { [weak self] request in
            guard let self else { return }
            perform(target.opened(ticket, request, now: now, time: links.time))
        }
    }

    /// Runs a method of this node; `done` gets the answer, perhaps inside this call.
    ///
    /// A method of the store runs for an asker, and under the request's binding; without these it is unknown.
    private func run(
        _ method: RequestMethod, _ arguments: [UInt8], for asker: Asker?, _ binding: Bytes32?,
        done: @escaping (RequestAnswer) -> Void
    ) {
        switch method {
        case .store, .delete, .list, .fetch, .lookup:
            guard let swarm, let asker, let binding else { return done(RequestAnswer(.unknown)) }
            swarm.handle(method, arguments, by: asker, binding: binding, done: done)
        case .status, .descriptor, .introduce, .relay: done(result(of: method, arguments))
        }
    }

    /// The answer to a method that needs nobody else.
    private func result(of method: RequestMethod, _ arguments: [UInt8]) -> RequestAnswer {
        switch method {
        case .status:
            guard arguments.isEmpty else { return RequestAnswer(.malformed) }
            let state = NodeState(
                height: nodes.snapshot.height, fill: swarm?.state.fill ?? 0, stores: swarm != nil)
            return RequestAnswer(.done, state.encoded())
        case .descriptor:
            guard let node = Bytes32(arguments).map(NodeID.init) else { return RequestAnswer(.malformed) }
            return RequestAnswer(.done, nodes.descriptor(of: node)?.bytes ?? [])
        case .store, .delete, .list, .fetch, .introduce, .relay, .lookup: return RequestAnswer(.unknown)
        }
    }

    // MARK: Time

    private func advance() {
        perform(proxy.advance(now), for: nil)
        perform(target.advance(now))
    }

    private func setTimer() {
        guard let timer else { return }
        let next = [proxy.nextDeadline, target.nextDeadline].compactMap(\.self).min()
        if let next { timer.schedule(at: next.nanoseconds) } else { timer.cancel() }
    }

    /// Stops waiting: all streams and messages are dropped.
    func close() {
        timer?.close()
        timer = nil
        streams = [:]
        messages = [:]
    }
}

extension RequestProxy.Source {
    /// The party for which the store counts a request of this source.
    fileprivate var asker: Asker {
        switch origin {
        case .link(let source): Asker(source)
        case .relay(let node): .node(node)
        }
    }
}

/// The party that waits for an answer of the proxy, encoded as one number.
private enum RequestAsker {
    /// A stream of a session.
    case stream(UInt64)
    /// A request of another node that this one relays.
    case relayed(RequestTarget.Ticket)

    init(raw: UInt64) { self = raw & 1 == 0 ? .stream(raw >> 1) : .relayed(raw >> 1) }

    var raw: UInt64 {
        switch self {
        case .stream(let number): number << 1
        case .relayed(let ticket): ticket << 1 | 1
        }
    }
}

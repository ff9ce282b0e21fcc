internal import EventLoop
internal import Link
internal import Links
internal import Swarm
internal import Wire

/// The questions of this node's replica to the other replicas, over links that are made for them.
final class SwarmPeers {
    typealias Done = ([UInt8]?) -> Void

    /// The questions for one node that are under way; the link takes as many, and a few more.
    static let underway = 12
    /// The questions for one node that wait for their turn or for the link.
    static let waiting = 32
    /// How long a question waits for the handshake, from its turn on, and for the answer.
    static let linkTime = TimeSpan.seconds(3)
    static let answerTime = TimeSpan.seconds(10)
    /// How long a node without a link is asked nothing, in milliseconds.
    static let pause = (first: UInt64(30_000), longest: UInt64(240_000))

    private struct PeerQueue {
        var underway = 0
        var waiting: [(kind: SwarmMessage, body: [UInt8], done: Done)] = []
        /// Whether the link is being made, or waits for its turn.
        var isConnecting = false
    }

    private let links: Links
    private let nodes: KnownNodes
    private var queues: [NodeID: PeerQueue] = [:]
    private var handshakes = PeerHandshakes()
    private var failures = Pauses<NodeID>(
        first: SwarmPeers.pause.first, longest: SwarmPeers.pause.longest, capacity: 1_024)

    /// No questions yet; `nodes` has the addresses.
    init(links: Links, nodes: KnownNodes) {
        self.links = links
        self.nodes = nodes
    }

    private var milliseconds: UInt64 { links.now.nanoseconds / 1_000_000 }

    /// How many nodes have questions under way or waiting.
    var count: Int { queues.count }

    /// Asks a node; `done` is called once, later or inside this call, with the answer or with nil.
    func ask(_ peer: NodeID, _ kind: SwarmMessage, _ body: [UInt8], done: @escaping Done) {
        let isLinked = links.existingLink(to: peer) != nil
        guard isLinked || !failures.isPaused(peer, now: milliseconds),
            queues[peer]?.waiting.count ?? 0 < Self.waiting
        else { return done(nil) }
        queues[peer, default: PeerQueue()].waiting.append((kind, body, done))
        advance(peer)
    }

    /// To be called when a link to a node is up.
    func linkUp(_ peer: NodeID) {
        failures.delivered(peer)
        advance(peer)
    }

    private func advance(_ peer: NodeID) {
        guard let link = links.existingLink(to: peer) else { return connect(peer) }
        while let queue = queues[peer], queue.underway < Self.underway, let next = queue.waiting.first {
            queues[peer]?.waiting.removeFirst()
            queues[peer]?.underway += 1
            links.request(on: link, next.kind, body: next.body, timeout: Self.answerTime) { [weak self] result in
                let answer: [UInt8]? = if case .success(let body) = result { body } else { nil }
                self?.ended(peer)
                next.done(answer)
            }
        }
    }

    private func ended(_ peer: NodeID) {
        queues[peer]?.underway -= 1
        guard let queue = queues[peer] else { return }
        // One that waits for its place in the queue for a link keeps it.
        if queue.underway == 0, queue.waiting.isEmpty, !queue.isConnecting { queues[peer] = nil } else { advance(peer) }
    }

    private func connect(_ peer: NodeID) {
        guard let queue = queues[peer], !queue.isConnecting, !queue.waiting.isEmpty else { return }
        queues[peer]?.isConnecting = true
        if handshakes.begin(peer, hasFailed: failures.hasFailed(peer)) { makeLink(to: peer) }
    }

    /// Makes the link to a node that has a place in ``PeerHandshakes``.
    private func makeLink(to peer: NodeID) {
        guard let queue = queues[peer], !queue.waiting.isEmpty, let addresses = nodes.addresses(of: peer) else {
            return linkEnded(peer, .failure(.noAddress))
        }
        links.link(to: peer, at: addresses, within: Self.linkTime) { [weak self] result in
            self?.linkEnded(peer, result)
        }
    }

    private func linkEnded(_ peer: NodeID, _ result: Result<LinkID, LinkFailure>) {
        queues[peer]?.isConnecting = false
        // Before those who are told ask again, and begin the next link.
        let next = handshakes.ended(peer)
        switch result {
        case .success: linkUp(peer)
        case .failure(.noAnswer), .failure(.badIdentity):
            failures.failed(peer, now: milliseconds)
            fail(peer)
        // It is not the node's fault.
        case .failure(.limit), .failure(.noAddress), .failure(.closing): fail(peer)
        }
        if let next { makeLink(to: next) }
    }

    /// Ends all questions that wait for a node's link.
    private func fail(_ peer: NodeID) {
        let waiting = queues[peer]?.waiting ?? []
        queues[peer]?.waiting = []
        if queues[peer]?.underway == 0, queues[peer]?.isConnecting == false { queues[peer] = nil }
        for question in waiting { question.done(nil) }
    }

    /// Forgets all questions; none is answered any more.
    func close() { queues = [:] }
}

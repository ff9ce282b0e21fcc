internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import OnionCrypto
internal import Transport
internal import Wire

/// Spreads descriptors: each node publishes its own, passes on new ones, and asks others for those that it missed.
final class Gossip: SnapshotFollower {
    /// The most neighbours that get new descriptors, and the most links that are being made while this node announces
    /// itself.
    static let fanout = 8
    /// The interval at which a random neighbour is asked for missed descriptors.
    static let refresh = TimeSpan.seconds(600)
    /// The longest wait for an answer.
    static let answerLimit = TimeSpan.seconds(10)
    /// The time in seconds by which repeated requests for missed descriptors overlap.
    static let overlap: UInt64 = 7_200
    /// The longest list that is decoded on the loop's thread, in bytes.
    private static let shortBody = 16_384

    private let links: Links
    private let network: NetworkFile
    private let node: NodeID
    private let neighbours: Neighbours
    private let nodes: KnownNodes
    /// Descriptors whose signatures are not checked yet.
    ///
    /// Lists of neighbours that sent a wrong signature are not read until the next snapshot.
    private var inbox = DescriptorInbox()
    private var isChecking = false
    /// The neighbours whose published long lists are being decoded.
    private var reading = Shares<NodeID>(capacity: 8, most: 2)
    /// The neighbours whose long answers are being decoded: what others publish takes no place of what was asked for.
    private var readingAnswers = Shares<NodeID>(capacity: 8, most: 2)
    /// Bootstrap nodes that have not received this node's present descriptor yet.
    private var untold: Set<NodeID> = []
    private var nextRefresh = Instant(nanoseconds: 0)
    /// When the last question that was answered was asked; 0 if none was.
    private var refreshed = UnixTime(seconds: 0)
    /// Who is asked for all descriptors.
    private var full = FullAnswers()
    /// The time of the trusted snapshot.
    private var snapshotTime: UnixTime
    /// When a descriptor of this node was published that others hold, and for which they refuse the present one.
    private var rival: UnixTime?

    /// The gossip of `node` with its neighbours.
    init(links: Links, network: NetworkFile, node: NodeID, neighbours: Neighbours) {
        self.links = links
        self.network = network
        self.node = node
        self.neighbours = neighbours
        nodes = neighbours.nodes
        snapshotTime = neighbours.nodes.snapshot.time
    }

    /// Continues with the nodes of a newer snapshot.
    func follow(_ snapshot: Snapshot, digest: Bytes32) {
        inbox.forgive()
        // This node was behind. It refused the descriptors of nodes that it did not know.
        let step = max(Self.overlap, 2 * network.epochSeconds)
        if snapshot.time.seconds > snapshotTime.seconds &+ step { full.restart() }
        snapshotTime = snapshot.time
        // Descriptors of the snapshot's new nodes may have come before the snapshot, and were refused.
        nextRefresh = min(nextRefresh, now + .seconds(2))
    }

    /// Asks a neighbour for missed descriptors at the next tick.
    func refreshSoon() { nextRefresh = min(nextRefresh, now) }

    private var now: Instant { links.now }

    /// Whether a neighbour has answered since the start, or the network file names no other bootstrap node.
    var hasHeard: Bool { full.hasHeard || network.bootstrap.allSatisfy { $0.node == node } }

    // MARK: This node's descriptor

    /// Stores this node's new descriptor and sends it to the neighbours.
    ///
    /// Some of the bootstrap nodes get it as soon as they can be reached. Returns why this node refuses it, as others
    /// will; nil if it does not.
    func publish(_ own: SignedDescriptor) -> DescriptorRefusal? {
        var refusal: DescriptorRefusal?
        do throws(DescriptorRefusal) {
            _ = try nodes.descriptors.insert(own, at: links.time)
        } catch {
            refusal = error
        }
        let others = network.bootstrap.map(\.node).filter { $0 != node && nodes.isListed($0) }
        untold = Set(SecureRandom.shuffled(others).prefix(max(Self.fanout, 32)))
        send([own], except: nil)
        return refusal
    }

    private var own: SignedDescriptor? { nodes.descriptor(of: node) }

    /// When another descriptor of this node was published for which others refuse the present one; nil if the node has
    /// heard of none since the last call.
    func takeRival() -> UnixTime? {
        defer { rival = nil }
        return rival
    }

    // MARK: Neighbours

    /// To be called when a link to a node is up.
    func linkUp(_ link: LinkID, _ peer: NodeID) {
        tell(peer, link)
        if !askFully([(peer, link)]), isRefreshDue { refresh(link) }
    }

    /// Sends this node's descriptor to a neighbour that has not received it.
    private func tell(_ peer: NodeID, _ link: LinkID) {
        guard let own else { return }
        untold.remove(peer)
        links.send(on: link, DirectoryMessage.publish, body: SignedDescriptor.encodeList([own]))
    }

    /// Makes links to nodes that have not received this node's descriptor, and asks for missed descriptors.
    ///
    /// To be called every second.
    func tick() {
        for peer in untold where neighbours.mayContact(peer) {
            let isKnown = neighbours.contact(peer) { [weak self] link in
                if let self, untold.contains(peer) { tell(peer, link) }
            }
            if !isKnown { untold.remove(peer) }
            if neighbours.contactCount >= Self.fanout { break }
        }
        full.follow(links.time, running: links.running)
        let isAsked = !full.isComplete && askFully(SecureRandom.shuffled(neighbours.up.map { ($0.key, $0.value) }))
        if !isAsked, isRefreshDue, let link = SecureRandom.element(of: neighbours.up)?.value { refresh(link) }
        inbox.advance(to: now)
        check()
    }

    /// Asks the first of these neighbours that has to be asked for all descriptors; false if there is none.
    private func askFully(_ peers: [(NodeID, LinkID)]) -> Bool {
        guard let (peer, link) = peers.first(where: { full.mustAsk($0.0, of: owner(of: $0.0), now: now) }) else {
            return false
        }
        full.ask(peer)
        ask(link, since: UnixTime(seconds: 0)) { [weak self] isRead in
            guard let self else { return }
            full.end(peer, of: owner(of: peer), isRead: isRead, now: now)
            // After a failure the other neighbours are asked as before: one that always fails holds up nothing.
            if isRead { nextRefresh = now + Self.refresh }
        }
        return true
    }

    private func owner(of peer: NodeID) -> Bytes32 { nodes.snapshot.entry(of: peer)?.operatorID ?? peer.key }

    /// Whether a neighbour is to be asked for missed descriptors; until one has answered, all are asked for everything.
    private var isRefreshDue: Bool { full.hasHeard && now >= nextRefresh }

    /// Asks a neighbour for the descriptors that may have been missed.
    private func refresh(_ link: LinkID) {
        nextRefresh = now + Self.refresh
        let last = min(refreshed, links.time).seconds
        ask(link, since: UnixTime(seconds: last - min(last, Self.overlap))) { [weak self] isRead in
            guard let self, !isRead else { return }
            nextRefresh = now + FullAnswers.pause
        }
    }

    /// Asks for the descriptors that were published at `time` or later; `then` gets whether the answer was read.
    private func ask(_ link: LinkID, since time: UnixTime, then: @escaping (Bool) -> Void) {
        let began = links.time
        var writer = ByteWriter(capacity: 8)
        writer.u64(time.seconds)
        links.request(on: link, DirectoryMessage.getDescriptors, body: writer.bytes, timeout: Self.answerLimit) {
            [weak self] result in
            guard let self else { return }
            let isRead = if case .success(let body) = result { take(body, from: link, isAnswer: true) } else { false }
            if isRead { refreshed = began }
            then(isRead)
        }
    }

    // MARK: Messages

    /// Takes descriptors from a neighbour, checks their signatures on another thread, and passes on the new ones.
    ///
    /// Long lists are decoded there too. Reading one of 2,000 descriptors takes longer than a packet may wait.
    ///
    /// Returns false if it does not read them: the neighbour has lied, or too many lists are being decoded.
    @discardableResult
    func take(_ body: [UInt8], from link: LinkID, isAnswer: Bool = false) -> Bool {
        guard let sender = links.peer(of: link)?.node, !inbox.liars.contains(sender) else { return false }
        let (held, time, own) = (nodes.descriptors, links.time, node)
        @Sendable func news() -> [SignedDescriptor] {
            let list = (try? SignedDescriptor.decodeList(body.rawSpan)) ?? []
            return list.filter { Self.matters($0, to: own, with: held, at: time) }
        }
        guard body.count > Self.shortBody else {
            add(news(), from: sender)
            return true
        }
        let admission = isAnswer ? readingAnswers.take(for: sender) : reading.take(for: sender)
        guard admission == .granted else { return false }
        links.loop.work(news) { [weak self] in
            guard let self else { return }
            if isAnswer { readingAnswers.release(sender) } else { reading.release(sender) }
            add($0, from: sender)
        }
        return true
    }

    /// Whether a node that has `held` reads a descriptor: one that is new, or one for which others refuse its own.
    private static func matters(
        _ signed: SignedDescriptor, to node: NodeID, with held: DescriptorStore, at time: UnixTime
    ) -> Bool {
        guard signed.descriptor.node != node else { return held.isRival(signed, at: time) }
        return (try? held.isNews(signed, at: time)) == true
    }

    private func add(_ news: [SignedDescriptor], from sender: NodeID) {
        inbox.put(news, from: sender, now: now)
        check()
    }

    private func check() {
        guard !isChecking else { return }
        let batch = inbox.take()
        guard !batch.isEmpty else { return }
        let (held, time, id, own) = (nodes.descriptors, links.time, network.id, node)
        isChecking = true
        links.loop.work {
            DescriptorInbox.checked(batch) {
                Self.matters($0, to: own, with: held, at: time)
            } isAuthentic: {
                $0.isAuthentic(network: id)
            }
        } completion: { [weak self] checked in
            guard let self else { return }
            isChecking = false
            inbox.shun(checked.liars)
            for entry in checked.good where entry.signed.descriptor.node == node {
                rival = max(rival ?? entry.signed.descriptor.published, entry.signed.descriptor.published)
                inbox.accepted(entry.signed, now: now)
            }
            let news = checked.good.filter {
                $0.signed.descriptor.node != node && nodes.descriptors.insert(authentic: $0.signed, at: links.time)
            }
            for entry in news { inbox.accepted(entry.signed, now: now) }
            for (sender, list) in Dictionary(grouping: news, by: \.source) { send(list.map(\.signed), except: sender) }
            check()
        }
    }

    private func send(_ list: [SignedDescriptor], except sender: NodeID?) {
        let others = neighbours.up.filter { $0.key != sender }
        // A list that is too long for one message is not sent; other nodes ask for it.
        let isShort = list.reduce(0) { $0 + $1.bytes.count + 2 } <= DirectoryMessage.publish.longestBody
        let body = isShort ? SignedDescriptor.encodeList(list) : []
        for (peer, other) in SecureRandom.shuffled(others).prefix(Self.fanout) {
            if list.count == 1, list[0].descriptor.node == node { untold.remove(peer) }
            if isShort { links.send(on: other, DirectoryMessage.publish, body: body) }
        }
    }
}

internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import OnionCrypto
internal import Store
internal import Transport
internal import Wire

/// The nodes of the snapshot that is trusted now, for whoever decides who may link as a node.
final class StakedNodes {
    var snapshot: Snapshot?

    /// Whether `node` is staked, or suspended: it must be tested to come back.
    func contains(_ node: NodeID) -> Bool { snapshot?.isListed(node) ?? false }
}

/// How descriptors spread: each node publishes its own, passes on what is new to it, and asks others for what it missed.
final class Gossip {
    /// How many neighbours a node seeks for itself at its start, and passes news on to.
    static let fanout = 8
    /// How often a random neighbour is asked for what was missed.
    static let refresh = TimeSpan.seconds(600)
    /// How long a question or a handshake may take.
    static let answerLimit = TimeSpan.seconds(10)
    /// The longest answer to GET_DESCRIPTORS.
    static let answerBytes = 15 << 20
    /// Up to how many bytes a list is read at once.
    private static let shortBody = 16_384

    private let links: Links
    private let loop: Loop
    private let network: NetworkFile
    private let node: NodeID
    private let store: Store?
    /// Why the last write to the store failed; nil when it did not.
    private(set) var storeError: StoreError?
    private var snapshot: Snapshot
    private(set) var descriptors: DescriptorStore
    /// Descriptors whose signatures are to be checked.
    ///
    /// Liars' lists are not read any more until the next snapshot.
    private var inbox = DescriptorInbox()
    private var isChecking = false
    /// The neighbours whose long lists are read.
    private var reading = Shares<NodeID>(capacity: 8, most: 2)
    /// The answers to GET_DESCRIPTORS, and the questions that wait for them to be encoded: one of each link at the most.
    private var encoded: EncodedDescriptors?
    private var asking: [(since: UnixTime, responder: ControlResponder)] = []
    private var isEncoding = false
    /// Questions for changes that wait for their turn, oldest first, and whom they count for.
    private var comparing: [(question: ChangesQuestion, source: LinkSource)] = []
    private var comparingShares = Shares<LinkSource>(capacity: 256, most: 16, freely: 128)
    private var isComparing = false
    /// Where the nodes are whose descriptors are held, and those of the bootstrap list.
    private(set) var endpoints: Set<Endpoint> = []
    /// Their addresses.
    private(set) var addresses: Set<IPAddress> = []
    private var endpointsGeneration: UInt64?
    /// Links to nodes that are up.
    private(set) var neighbours: [NodeID: LinkID] = [:]
    /// Nodes of the bootstrap list that have not heard of our present descriptor yet.
    private var untold: Set<NodeID> = []
    private var contacting: Set<NodeID> = []
    private var retries: [NodeID: (at: Instant, failures: Int)] = [:]
    private var nextRefresh = Instant(nanoseconds: 0)
    private var savedGeneration: UInt64 = 0
    private var nextSave = Instant(nanoseconds: 0)
    /// Moves the store's log into its database, away from the loop.
    private let checkpoint: StoreCheckpoint?
    private var nextCheckpoint: Instant
    private static let checkpointPause = TimeSpan.seconds(600)
    private var isFirstAnswerDue = true

    init(
        links: Links, loop: Loop, network: NetworkFile, node: NodeID, snapshot: Snapshot, store: Store?
    ) throws {
        self.links = links
        self.loop = loop
        self.network = network
        self.node = node
        self.store = store
        checkpoint = try store?.checkpointElsewhere()
        nextCheckpoint = Instant(nanoseconds: loop.now) + Self.checkpointPause
        self.snapshot = snapshot
        descriptors = DescriptorStore(network, snapshot: snapshot, kept: try store?.descriptors() ?? [], at: links.time)
        savedGeneration = descriptors.generation
        noteEndpoints()
    }

    /// Keeps the set of endpoints that descriptors name as they are now.
    private func noteEndpoints() {
        guard endpointsGeneration != descriptors.generation else { return }
        endpointsGeneration = descriptors.generation
        endpoints = Set(descriptors.all.flatMap(\.descriptor.addresses))
        for other in network.bootstrap where isListed(other.node) { endpoints.formUnion(other.addresses) }
        addresses = Set(endpoints.map(\.address))
    }

    /// Goes on with the nodes of a newer snapshot.
    func follow(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        inbox.forgive()
        descriptors.follow(snapshot)
        // Descriptors of nodes that are new in it may have come before it, and were refused then.
        nextRefresh = min(nextRefresh, now + .seconds(2))
    }

    /// Asks a neighbour at the next tick for what was missed.
    func refreshSoon() { nextRefresh = min(nextRefresh, now) }

    private var now: Instant { Instant(nanoseconds: loop.now) }

    private func isListed(_ node: NodeID) -> Bool { snapshot.isListed(node) }

    /// Whether a neighbour has answered since the start, or there is none to ask.
    var hasHeard: Bool { !isFirstAnswerDue || network.bootstrap.allSatisfy { $0.node == node } }

    /// Where a node can be reached.
    func addresses(of node: NodeID) -> [Endpoint]? {
        guard isListed(node) else { return nil }
        if let descriptor = descriptors.descriptor(of: node, at: links.time) { return descriptor.descriptor.addresses }
        return network.bootstrap.first { $0.node == node }?.addresses
    }

    // MARK: Our own

    /// Takes our new descriptor and tells the neighbours; those of the bootstrap list hear of it as soon as they can be reached.
    func publish(_ own: SignedDescriptor) {
        _ = try? descriptors.insert(own, at: links.time)
        let others = network.bootstrap.map(\.node).filter { $0 != node && isListed($0) }
        untold = Set(SecureRandom.shuffled(others).prefix(max(Self.fanout, 32)))
        send([own], except: nil)
    }

    private var own: SignedDescriptor? { descriptors.descriptor(of: node, at: links.time) }

    // MARK: Neighbours

    /// A link to a node stands.
    func linkUp(_ link: LinkID, _ peer: NodeID) {
        neighbours[peer] = link
        retries[peer] = nil
        tell(peer, link)
        if isFirstAnswerDue || now >= nextRefresh { ask(link, everything: isFirstAnswerDue) }
    }

    /// A link is gone; another to the same node may stand by.
    func linkDown(_ link: LinkID, _ peer: NodeID) {
        if neighbours[peer] == link { neighbours[peer] = links.existingLink(to: peer) }
    }

    /// Hands our descriptor to a neighbour that has not heard of it.
    private func tell(_ peer: NodeID, _ link: LinkID) {
        guard let own else { return }
        untold.remove(peer)
        links.send(on: link, DirectoryMessage.publish, body: SignedDescriptor.encodeList([own]))
    }

    /// Makes links to nodes that are to hear of us, and refreshes; to be called every second.
    func tick() {
        for peer in untold where !contacting.contains(peer) && (retries[peer]?.at ?? now) <= now {
            contact(peer)
            if contacting.count >= Self.fanout { break }
        }
        if now >= nextRefresh, let link = SecureRandom.element(of: neighbours.values) { ask(link, everything: false) }
        if now >= nextSave { save() }
        noteEndpoints()
        inbox.advance(to: now)
        check()
    }

    /// The links to the nodes that are up.
    var linksToNeighbours: [LinkID] { Array(neighbours.values) }

    /// Tries nodes again at once that could not be reached before.
    func forgetFailures() { retries.removeAll() }

    /// Makes a link to one more node, any whose address is known.
    func seek() {
        guard contacting.count < 2 else { return }
        let known = descriptors.all.lazy.map(\.descriptor.node)
        let others = (Array(known) + network.bootstrap.map(\.node)).filter {
            $0 != node && neighbours[$0] == nil && !contacting.contains($0) && (retries[$0]?.at ?? now) <= now
        }
        if let peer = SecureRandom.element(of: others) { contact(peer) }
    }

    private func contact(_ peer: NodeID) {
        guard let addresses = addresses(of: peer) else {
            untold.remove(peer)
            return
        }
        contacting.insert(peer)
        links.link(to: peer, at: addresses) { [weak self] result in
            guard let self else { return }
            contacting.remove(peer)
            if case .success(let link) = result {
                if untold.contains(peer) { tell(peer, link) }
            } else {
                let failures = (retries[peer]?.failures ?? 0) + 1
                retries[peer] = (now + .seconds(Int64(min(60, 1 << min(failures, 6)))), failures)
            }
        }
    }

    private func ask(_ link: LinkID, everything: Bool) {
        nextRefresh = now + Self.refresh
        var writer = ByteWriter(capacity: 8)
        let newest = descriptors.newest.seconds
        writer.u64(everything || newest < 7_200 ? 0 : newest - 7_200)
        links.request(on: link, DirectoryMessage.getDescriptors, body: writer.bytes, timeout: Self.answerLimit) {
            [weak self] result in
            guard let self else { return }
            guard case .success(let body) = result else {
                nextRefresh = now + .seconds(5)
                return
            }
            isFirstAnswerDue = false
            take(body, from: link)
        }
    }

    // MARK: Messages

    /// Takes descriptors from a neighbour, checks their signatures on another thread, and passes on those that are news.
    ///
    /// Long lists are read there too: one of 2,000 descriptors takes longer to look through than a packet may wait.
    func take(_ body: [UInt8], from link: LinkID) {
        guard let sender = links.peer(of: link)?.node, !inbox.liars.contains(sender) else { return }
        let (held, time, own) = (descriptors, links.time, node)
        @Sendable func news() -> [SignedDescriptor] {
            let list = (try? SignedDescriptor.decodeList(body.rawSpan)) ?? []
            return list.filter { $0.descriptor.node != own && (try? held.isNews($0, at: time)) == true }
        }
        guard body.count > Self.shortBody else { return add(news(), from: sender) }
        guard reading.take(for: sender) == .granted else { return }
        loop.work(news) { [weak self] in
            self?.reading.release(sender)
            self?.add($0, from: sender)
        }
    }

    private func add(_ news: [SignedDescriptor], from sender: NodeID) {
        inbox.put(news, from: sender, now: now)
        check()
    }

    private func check() {
        guard !isChecking else { return }
        let batch = inbox.take()
        guard !batch.isEmpty else { return }
        let (held, time, id) = (descriptors, links.time, network.id)
        isChecking = true
        loop.work {
            DescriptorInbox.checked(batch) {
                (try? held.isNews($0, at: time)) == true
            } isAuthentic: {
                $0.isAuthentic(network: id)
            }
        } completion: { [weak self] checked in
            guard let self else { return }
            isChecking = false
            inbox.shun(checked.liars)
            let news = checked.good.filter { descriptors.insert(authentic: $0.signed, at: links.time) }
            for entry in news { inbox.accepted(entry.signed, now: now) }
            for (sender, list) in Dictionary(grouping: news, by: \.source) { send(list.map(\.signed), except: sender) }
            check()
        }
    }

    private func send(_ list: [SignedDescriptor], except sender: NodeID?) {
        let others = neighbours.filter { $0.key != sender }
        // What is longer than one message may be is left to the others' questions.
        let isShort = list.reduce(0) { $0 + $1.bytes.count + 2 } <= DirectoryMessage.publish.longestBody
        let body = isShort ? SignedDescriptor.encodeList(list) : []
        for (peer, other) in SecureRandom.shuffled(others).prefix(Self.fanout) {
            if list.count == 1, list[0].descriptor.node == node { untold.remove(peer) }
            if isShort { links.send(on: other, DirectoryMessage.publish, body: body) }
        }
    }

    /// Answers GET_DESCRIPTORS; what has changed since the last question is encoded once, on another thread.
    func answer(since time: UnixTime, _ responder: ControlResponder) {
        if let encoded, encoded.isCurrent(for: descriptors, at: links.time) {
            return answer(responder, since: time, from: encoded)
        }
        asking.append((time, responder))
        encode()
    }

    private func answer(_ responder: ControlResponder, since time: UnixTime, from encoded: EncodedDescriptors) {
        links.answer(responder, encoded.bytes, part: encoded.since(time, byteLimit: Self.answerBytes))
    }

    private func encode() {
        guard !isEncoding, !asking.isEmpty else { return }
        isEncoding = true
        let (batch, descriptors, now) = (asking, descriptors, links.time)
        asking.removeAll()
        loop.work {
            EncodedDescriptors(descriptors, at: now)
        } completion: { [weak self] encoded in
            guard let self else { return }
            isEncoding = false
            self.encoded = encoded
            for (time, responder) in batch { answer(responder, since: time, from: encoded) }
            encode()
        }
    }

    /// A question for changes.
    private struct ChangesQuestion: Sendable {
        let since: UnixTime
        let marks: Set<UInt64>
        let responder: ControlResponder
    }

    /// Answers GET_DESCRIPTOR_CHANGES, from another thread: one question at a time, the other threads have more to do.
    func answerChanges(_ body: [UInt8], _ responder: ControlResponder) {
        guard let (time, marks) = try? DescriptorChange.readQuestion(body.rawSpan),
            let source = links.source(of: responder.link)
        else { return links.refuse(responder) }
        while true {
            switch comparingShares.take(for: source) {
            case .granted:
                let question = ChangesQuestion(since: time, marks: marks, responder: responder)
                comparing.append((question, source))
                return compare()
            case .makeRoom(let largest):
                guard let index = comparing.firstIndex(where: { $0.source == largest }) else {
                    return links.refuse(responder)
                }
                comparingShares.release(largest)
                links.refuse(comparing.remove(at: index).question.responder)
            case .shareUsed, .full: return links.refuse(responder)
            }
        }
    }

    private func compare() {
        guard !isComparing, !comparing.isEmpty else { return }
        isComparing = true
        let (question, source) = comparing.removeFirst()
        comparingShares.release(source)
        let (descriptors, now) = (descriptors, links.time)
        loop.work {
            DescriptorChange.encodeList(
                descriptors.changes(
                    since: question.since, having: question.marks, at: now, byteLimit: Self.answerBytes))
        } completion: { [weak self] in
            self?.isComparing = false
            self?.links.answer(question.responder, $0)
            self?.compare()
        }
    }

    /// The answer to GET_DESCRIPTOR.
    func descriptor(of node: NodeID) -> [UInt8] { descriptors.descriptor(of: node, at: links.time)?.bytes ?? [] }

    // MARK: Store

    /// Writes what has changed to the store: some at a time, or all of it at the end.
    ///
    /// What could not be written is tried again.
    func save(all: Bool = false) {
        nextSave = now + .seconds(10)
        if now >= nextCheckpoint, let checkpoint {
            nextCheckpoint = now + Self.checkpointPause
            loop.work {
                (try? checkpoint.run()) != nil
            } completion: { _ in
            }
        }
        guard let store, descriptors.generation != savedGeneration else { return }
        let (list, upTo) = descriptors.arrivals(after: savedGeneration, limit: all ? .max : 64)
        do throws(StoreError) {
            try store.addDescriptors(list)
            if upTo == descriptors.generation {
                try store.removeExpiredDescriptors(at: links.time)
            } else {
                nextSave = now + .seconds(1)
            }
            savedGeneration = upTo
            storeError = nil
        } catch {
            storeError = error
            nextSave = now + .seconds(3)
        }
    }
}

public import SeededRandom
public import Swarm
public import Wire

/// Replicas on a virtual clock, some of which lie; the seed decides everything.
///
/// The network loses, delays, doubles and reorders messages. Processes lose their disks or keep them. New snapshots
/// name other nodes.
///
/// It has more members than most types: nodes, clients, the network, and what was acknowledged.
public final class SwarmNetwork {
    /// The faults of the network.
    public struct Conditions {
        /// The percentage of messages that are lost; a lost message fails after five seconds.
        public var loss = 0
        /// The percentage of messages that arrive twice.
        public var doubles = 0
        /// The longest delay of a message, in milliseconds.
        public var delay: UInt64 = 50

        /// A network without faults.
        public init() {}
    }

    /// A node, up or down.
    struct Node {
        let key: Key
        let placed: PlacedNode
        var replica: Replica<MemoryStorage>?
        var disk: MemoryStorage
        /// The number of its starts; answers to an earlier process are lost.
        var life = 0
        var isListed = true
        /// The milliseconds by which its clock is ahead.
        var skew: Int64 = 0
        /// The liar in place of an honest node; nil: it is honest.
        var liar: Liar?
    }

    private struct Event {
        let time: UInt64
        let number: UInt64
        let run: () -> Void
    }

    /// The present faults.
    public var conditions = Conditions()
    /// Nodes that reach each other but no others.
    public var cutOff: Set<Int> = []
    /// Whether liars that bring new items do so.
    public var isFed = true
    /// The source of all randomness.
    public var random: SeededGenerator
    /// Milliseconds since 1970.
    public private(set) var now = UInt64(firstMinute) * 60_000
    var nodes: [Node] = []
    private var places: [NodeID: Int] = [:]
    private var heap: [Event] = []
    private var eventCount: UInt64 = 0
    private(set) var views: [SwarmView] = []
    private let shardCount: Int
    private let swarmSize: Int
    private let settings: Replica<MemoryStorage>.Settings
    private var nextAsk: UInt64 = 1
    private var answers: [UInt64: (StoreAnswer) -> Void] = [:]
    private var replies: [UInt64: ([UInt8]?) -> Void] = [:]
    /// The events pushed to readers, by stream.
    public private(set) var pushes: [UInt64: [SubscriptionEvent]] = [:]
    /// The number of messages sent, by kind.
    public private(set) var messageCounts: [SwarmMessage: Int] = [:]
    /// The bytes of answers with copies, and of copies that were brought.
    public private(set) var copyBytes = 0

    /// `count` nodes with as many operators, all listed by the first snapshot.
    public init(
        seed: UInt64, nodes count: Int, swarmSize: Int = 5, shards: Int = 64, quota: UInt64 = 1 << 30,
        liars: [Int: Liar.Kind] = [:], skew: Int64 = 0
    ) {
        random = SeededGenerator(seed: seed)
        shardCount = shards
        self.swarmSize = swarmSize
        settings = .init(quota: quota, recoveryRate: 16 << 20)
        for index in 0..<count { addNode(UInt32(index), skew: skew, liar: liars[index]) }
        publish()
        for index in nodes.indices { tickLater(index) }
    }

    private func addNode(_ number: UInt32, skew: Int64, liar: Liar.Kind?) {
        let key = Key(1_000 + number)
        let placed = PlacedNode(node: key.node, operatorID: Key(5_000 + number).publicKey, placement: random.next())
        var node = Node(key: key, placed: placed, disk: MemoryStorage(logSalt: random.next()))
        if skew > 0 { node.skew = Int64.random(in: -skew...skew, using: &random) }
        node.liar = liar.map { Liar($0) }
        places[key.node] = nodes.count
        nodes.append(node)
        start(nodes.count - 1)
    }

    /// Adds a node that the next snapshot names; returns its index.
    public func join() -> Int {
        addNode(UInt32(nodes.count), skew: 0, liar: nil)
        tickLater(nodes.count - 1)
        return nodes.count - 1
    }

    // MARK: Time

    /// Runs `body` after `time` milliseconds.
    public func after(_ time: UInt64, _ body: @escaping () -> Void) {
        eventCount += 1
        heap.append(Event(time: now + time, number: eventCount, run: body))
        var index = heap.count - 1
        while index > 0, comes(index, before: (index - 1) / 2) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private func comes(_ index: Int, before other: Int) -> Bool {
        (heap[index].time, heap[index].number) < (heap[other].time, heap[other].number)
    }

    private func next() -> Event? {
        guard let first = heap.first else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && comes(child, before: least) {
                least = child
            }
            if least == index { return first }
            heap.swapAt(index, least)
            index = least
        }
    }

    /// Runs the network for `minutes`.
    public func run(minutes: UInt64) {
        let end = now + minutes * 60_000
        while let first = heap.first, first.time <= end {
            guard let event = next() else { break }
            now = event.time
            event.run()
        }
        now = end
    }

    private func tickLater(_ index: Int) {
        after(UInt64.random(in: 50_000...70_000, using: &random)) { [self] in
            handle(index, [.tick])
            if nodes[index].liar?.kind == .feeds, isFed { feed(index) }
            tickLater(index)
        }
    }

    // MARK: Nodes

    /// The nodes that are listed, honest and up.
    public var honest: [Int] {
        nodes.indices.filter { nodes[$0].liar == nil && nodes[$0].isListed && nodes[$0].replica != nil }
    }
    /// The replica of a node that is up.
    public func replica(_ index: Int) -> Replica<MemoryStorage>? { nodes[index].replica }
    /// A node's id.
    public func id(_ index: Int) -> NodeID { nodes[index].key.node }
    /// The number of nodes that ever existed.
    public var count: Int { nodes.count }
    /// Whether the newest snapshot names a node.
    public func isListed(_ index: Int) -> Bool { nodes[index].isListed }
    /// Whether a node lies.
    public func isLiar(_ index: Int) -> Bool { nodes[index].liar != nil }
    /// The newest map.
    public var view: SwarmView { views[0] }
    /// The maps of the newest three snapshots.
    public var recentViews: [SwarmView] { views }

    /// Stops a node at once; with `losesDisk` it also loses its disk.
    public func crash(_ index: Int, losesDisk: Bool = false) {
        if let storage = nodes[index].replica?.storage { nodes[index].disk = storage }
        nodes[index].replica = nil
        if losesDisk { nodes[index].disk = MemoryStorage(logSalt: random.next()) }
    }

    /// The present disk of a node.
    public func backup(_ index: Int) -> MemoryStorage { nodes[index].replica?.storage ?? nodes[index].disk }

    /// Restarts a node whose disk has spoiled a random item, of which a majority of the swarm stays.
    public func spoil(_ index: Int) {
        guard let storage = nodes[index].replica?.storage,
            let entry = storage.allEntries.sorted(by: { $0.id < $1.id }).randomElement(using: &random),
            nodes.count(where: { $0.replica?.storage.bytes(of: entry.id) != nil }) > swarmSize / 2 + 1
        else { return }
        crash(index)
        nodes[index].disk.damage(entry.id)
        start(index)
    }

    /// Puts an older disk back while the node is down.
    public func restore(_ index: Int, _ disk: MemoryStorage) { nodes[index].disk = disk }

    /// Starts a node with its disk.
    public func start(_ index: Int) {
        guard nodes[index].replica == nil else { return }
        nodes[index].life += 1
        nodes[index].replica = Replica(
            network: network, key: nodes[index].key.copy(), storage: nodes[index].disk, settings: settings,
            random: SeededGenerator(seed: random.next()), hasEndedCleanly: false, now: clock(index))
        for view in views.reversed() { handle(index, [.snapshot(view)]) }
    }

    /// Sets whether the next snapshots list a node.
    public func setListed(_ index: Int, _ isListed: Bool) { nodes[index].isListed = isListed }

    /// Publishes a snapshot, which nodes receive within a minute.
    public func publish() {
        let listed = nodes.filter(\.isListed).map(\.placed)
        guard let map = SwarmMap(network: network, shards: shardCount, swarmSize: swarmSize, nodes: listed) else {
            preconditionFailure("the numbers of the map are allowed")
        }
        let view = SwarmView(height: (views.first?.height ?? 0) + 1, map: map)
        views.insert(view, at: 0)
        if views.count > 3 { views.removeLast() }
        for index in nodes.indices {
            after(UInt64.random(in: 0...60_000, using: &random)) { [self] in handle(index, [.snapshot(view)]) }
        }
    }

    private func clock(_ index: Int) -> UInt64 { UInt64(Int64(now) + nodes[index].skew) }

    /// Gives a node events, and performs its actions.
    func handle(_ index: Int, _ events: [Replica<MemoryStorage>.Event]) {
        let time = clock(index)
        guard let actions = nodes[index].replica?.handle(events, now: time) else { return }
        for action in actions {
            switch action {
            case .answer(let ask, let answer): answers.removeValue(forKey: ask)?(answer)
            case .reply(let ask, let body): replies.removeValue(forKey: ask)?(body)
            case .ask(let peer, let kind, let body, let question): send(kind, body, from: index, to: peer, question)
            case .opened(let id, let refusal): if refusal != nil { pushes[id] = nil }
            case .push(let id, let event):
                pushes[id, default: []].append(event)
                after(UInt64.random(in: 1...conditions.delay, using: &random)) { [self] in
                    handle(index, [.pushed(id: id)])
                }
            case .close: break
            }
        }
    }

    private var delay: UInt64 { UInt64.random(in: 1...max(1, conditions.delay), using: &random) }

    private func send(_ kind: SwarmMessage, _ body: [UInt8], from: Int, to peer: NodeID, _ question: UInt64) {
        precondition(body.count <= kind.longestBody, "no message is longer than its type allows")
        messageCounts[kind, default: 0] += 1
        if kind == .replicate { copyBytes += body.count }
        let life = nodes[from].life
        func answer(_ body: [UInt8]?) {
            precondition(
                body.map { $0.count <= kind.longestAnswer } ?? true, "no answer is longer than its type allows")
            if kind == .fetchCopies { copyBytes += body?.count ?? 0 }
            let isLost = body == nil || random.happens(conditions.loss)
            after(isLost ? 5_000 : delay) { [self] in
                if nodes[from].life == life { handle(from, [.answer(question: question, isLost ? nil : body)]) }
            }
        }
        guard let to = places[peer], cutOff.contains(from) == cutOff.contains(to),
            !random.happens(conditions.loss)
        else { return answer(nil) }
        if random.happens(conditions.doubles) { deliver(kind, body, from: from, to: to) { _ in } }
        deliver(kind, body, from: from, to: to, answer)
    }

    /// Delivers a message to a node, honest or not.
    func deliver(
        _ kind: SwarmMessage, _ body: [UInt8], from: Int, to: Int, _ answer: @escaping ([UInt8]?) -> Void
    ) {
        after(delay) { [self] in
            guard nodes[to].replica != nil else { return answer(nil) }
            if nodes[to].liar?.kind.answersItself ?? false {
                return answer(lie(to, kind, body, to: from))
            }
            nodes[to].liar?.sees(kind, body)
            let ask = newAsk()
            replies[ask] = answer
            handle(to, [.message(ask: ask, from: nodes[from].key.node, kind, body)])
            replies[ask] = nil
        }
    }

    private func newAsk() -> UInt64 {
        defer { nextAsk += 1 }
        return nextAsk
    }

    // MARK: Clients

    /// Asks a node as a client does; `done` gets nil after ten seconds without an answer.
    public func request(
        _ index: Int, _ request: StoreRequest, binding: Bytes32 = network, _ done: @escaping (StoreAnswer?) -> Void
    ) {
        let ask = newAsk()
        after(delay) { [self] in
            answers[ask] = { answer in done(answer) }
            handle(index, [.request(ask: ask, via: id(index), request, binding: binding)])
            for time in [1_600, 3_000] as [UInt64] { after(time) { [self] in handle(index, [.tick]) } }
            after(10_000) { [self] in if answers.removeValue(forKey: ask) != nil { done(nil) } }
        }
    }

    /// Opens a subscription at a node; its events are added to ``pushes``.
    public func subscribe(_ index: Int, _ open: SubscriptionOpen, binding: Bytes32 = network) -> UInt64 {
        let id = newAsk()
        pushes[id] = []
        handle(index, [.subscribe(id: id, via: self.id(index), open, binding: binding)])
        return id
    }

    /// A random node of a box's swarm in a view.
    public func coordinator(of box: Bytes32, _ view: SwarmView) -> Int? {
        view.map.swarm(view.map.shard(of: box)).randomElement(using: &random).flatMap { places[$0] }
    }

    /// Whether `receipts` prove that a majority holds `id`.
    public func isStored(_ id: ItemID, box: Bytes32, _ height: UInt64, _ receipts: [StoreAnswer.IndexedReceipt]) -> Bool
    {
        guard let view = views.first(where: { $0.height == height }) else { return false }
        let swarm = view.map.swarm(view.map.shard(of: box))
        let good = receipts.filter { entry in
            Int(entry.index) < swarm.count
                && StoreReceipt.isGood(
                    entry.receipt, of: swarm[Int(entry.index)], height: height, id: id, network: network)
        }
        return Set(good.map(\.index)).count >= view.map.majority
    }
}

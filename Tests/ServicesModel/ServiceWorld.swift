internal import OnionCrypto
public import SeededRandom
public import Services
public import Swarm
internal import SwarmModel
public import Wire

/// Replicas, services and a client on a virtual clock, over a network that loses and delays; the seed decides all.
///
/// What always holds is checked at each step, and traps where it does not: see ``check()`` and its callers.
/// It has more members than most types: nodes, network, service, client, and what they have said.
public final class ServiceWorld {
    /// A question that an end of the network has asked.
    public struct Asked: Sendable {
        /// When.
        public let at: Instant
        /// The node.
        public let replica: NodeID
        /// The box.
        public let box: Bytes32
        /// The item that is to be stored; nil: it was a look-up.
        public let item: StoredItem?
    }

    /// The percentage of questions without an answer.
    public var loss = 0
    /// The longest time to a replica and back, in milliseconds.
    public var delay: Int64 = 300
    /// The seconds by which the service's network time is ahead of the replicas'.
    public var serviceSkew: Int64 = 0 { didSet { skews.append((now, serviceSkew)) } }
    /// The same of the client's.
    public var clientSkew: Int64 = 0
    /// The values of `serviceSkew`, and from when on each held.
    private var skews: [(from: Instant, skew: Int64)] = [(Instant(nanoseconds: 0), 0)]
    /// The source of all randomness but that of keys.
    public var random: SeededGenerator
    /// The time.
    public private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
    /// The snapshot that everyone trusts.
    public private(set) var swarms: ServiceSwarms
    /// What publishers and the client have asked.
    public private(set) var stores: [Asked] = [], tests: [Asked] = [], lookups: [Asked] = []
    /// What publishers have told.
    public private(set) var news: [DescriptorPublisher.Action] = []
    /// The publishers whose owners were told of a copy.
    public private(set) var copied: [Int] = []
    /// The results of look-ups.
    public private(set) var results: [UInt64: Result<[FoundDescriptor], LookupFailure>] = [:]
    /// The client.
    public var client: ServiceLookups
    /// The publishers by number; nil: the process is down.
    public var publishers: [DescriptorPublisher?] = []
    /// Whether no question can be sent.
    public var sendsNothing = false
    /// Nodes whose keys nobody knows.
    public var unknown: Set<NodeID> = []
    /// The look-ups' questions that are under way.
    public private(set) var asking: Set<UInt64> = []
    /// What all replicas answer to everything; nil: they answer themselves.
    public var said: [UInt8]?
    var replicas: [NodeID: ModelReplica] = [:]
    private var order: [NodeID] = []
    private(set) var staked: Set<NodeID>
    private(set) var height: UInt64 = 100
    private let start: Instant
    /// The seconds of network time that ``now`` has not counted.
    private var slept: Int64 = 0
    private var events: [(at: Instant, number: UInt64, run: () -> Void)] = []
    private var eventCount: UInt64 = 0
    private var began: [UInt64: Instant] = [:]

    /// A world of so many nodes, by `seed`.
    public init(seed: UInt64, nodes: Int = 20) {
        random = SeededGenerator(seed: seed)
        for number in 0..<UInt32(nodes) {
            let replica = ModelReplica(Key(5_000 + number))
            replicas[replica.key.node] = replica
            order.append(replica.key.node)
        }
        staked = Set(order)
        swarms = Self.swarms(order, staked, height: 100, at: firstTime)
        client = ServiceLookups(patience: .milliseconds(1_500), random: SeededGenerator(seed: seed &+ 1))
        start = now
        client.moved(to: swarms)
    }

    private static func swarms(
        _ order: [NodeID], _ staked: Set<NodeID>, height: UInt64, at time: UnixTime
    ) -> ServiceSwarms {
        let entries = order.sorted().map { node in
            Snapshot.Entry(
                node: node, operatorID: node.key, state: staked.contains(node) ? .staked : .suspended, weight: 1,
                placement: node.key.array.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
        }
        guard let snapshot = Snapshot(network: SwarmModel.network, height: height, time: time, entries: entries) else {
            preconditionFailure("entries in order")
        }
        return ServiceSwarms(snapshot, shards: 64, swarmSize: 7)
    }

    /// Network time as the replicas have it.
    public var time: UnixTime { time(0) }
    private func time(_ skew: Int64) -> UnixTime {
        let passed = Int64((now - start).nanoseconds / 1_000_000_000) + slept
        return UnixTime(seconds: UInt64(clamping: Int64(firstTime.seconds) + passed + skew))
    }
    var minute: UInt32 { UInt32(time.seconds / 60) }

    // MARK: Nodes

    /// The replicas of `service` in a period, in random order.
    public func members(of service: Service, in period: TimePeriod? = nil) -> [NodeID] {
        let box = service.reader(in: period ?? swarms.period).box
        return (swarms.swarm(of: box)?.members ?? []).shuffled(using: &random)
    }

    /// Sets the conduct of nodes.
    public func set(_ conduct: Conduct, _ nodes: some Sequence<NodeID>) {
        for node in nodes { replicas[node]?.conduct = conduct }
    }

    /// Nodes go away, or come back with an empty memory.
    public func kill(_ nodes: some Sequence<NodeID>) { for node in nodes { replicas[node]?.isUp = false } }
    /// Nodes come back with an empty memory.
    public func restart(_ nodes: some Sequence<NodeID>) { for node in nodes { replicas[node]?.restart() } }

    /// How many replicas hold descriptors of `service` in a period.
    public func holders(of service: Service, in period: TimePeriod? = nil) -> Int {
        let box = service.reader(in: period ?? swarms.period).box
        return replicas.values.count { $0.count(in: box) > 0 && $0.isUp }
    }

    /// Nodes get an item from somebody who has kept it.
    public func plant(_ item: StoredItem, at nodes: some Sequence<NodeID>) {
        for node in nodes { _ = replicas[node]?.keep(item, minute: minute, ahead: 40) }
    }

    /// What a replica holds in a box.
    public func items(at node: NodeID?, in box: Bytes32) -> [StoredItem] {
        node.flatMap { replicas[$0]?.items(in: box) } ?? []
    }

    /// Network time at a moment, in minutes since 1970, as the replicas have it.
    public func minute(at moment: Instant) -> UInt32 {
        UInt32((Int64(firstTime.seconds) + (moment - start).nanoseconds / 1_000_000_000) / 60)
    }

    /// All nodes.
    public var nodes: [NodeID] { order }

    /// A newer snapshot, without the nodes of `leaving`; `later` is by how many seconds its time is ahead.
    public func move(without leaving: Set<NodeID> = [], later: UInt64 = 0) {
        staked = Set(order).subtracting(leaving)
        height += 60
        let at = UnixTime(seconds: time.seconds + later)
        swarms = Self.swarms(order, staked, height: height, at: at)
        client.moved(to: swarms)
        for number in publishers.indices { change(number) { $0.moved(to: self.swarms, now: self.now, time: $1) } }
    }

    // MARK: Services and client

    /// Starts a publisher of `service`; its number.
    @discardableResult
    public func start(
        _ service: Service, _ descriptor: ServiceDescriptor? = nil, clients: [ClientKey]? = nil
    ) -> Int {
        publishers.append(
            DescriptorPublisher(
                service.key, instance: service.instance, network: SwarmModel.network,
                random: SeededGenerator(seed: random.next())))
        let number = publishers.count - 1
        change(number) { $0.moved(to: self.swarms, now: self.now, time: $1) }
        publish(descriptor ?? service.descriptor(), clients: clients, by: number)
        return number
    }

    /// Replicas can be reached again.
    public func networkIsBack() {
        for number in publishers.indices { change(number) { $0.networkIsBack(now: self.now, time: $1) } }
    }

    /// Gives a publisher another descriptor.
    public func publish(_ descriptor: ServiceDescriptor?, clients: [ClientKey]? = nil, by number: Int = 0) {
        change(number) { $0.publish(descriptor, clients: clients, now: self.now, time: $1) }
    }

    private func change(
        _ number: Int, _ body: (inout DescriptorPublisher, UnixTime) -> [DescriptorPublisher.Action]
    ) {
        guard var publisher = publishers[number] else { return }
        let actions = body(&publisher, time(serviceSkew))
        publishers[number] = publisher
        for action in actions { perform(action, by: number) }
    }

    private func perform(_ action: DescriptorPublisher.Action, by number: Int) {
        switch action {
        case .ask(let question), .test(let question):
            let asked = self.asked(question)
            if asked.item == nil { tests.append(asked) } else { noteStore(asked) }
            carry(question) { [unowned self] reply in
                change(number) { $0.answered(question.number, reply, now: self.now, time: $1) }
            }
        case .stored(let period, let proof):
            let box = publishers[number].map { _ in stores.last { $0.item?.id == proof.id }?.box } ?? nil
            let good = box.flatMap { swarms.swarm(of: $0) }.map { proof.isGood(for: $0, network: SwarmModel.network) }
            precondition(good != false || proof.height != swarms.height, "a proof of a majority: \(period)")
            news.append(action)
        case .copied:
            copied.append(number)
            news.append(action)
        case .failed: news.append(action)
        }
    }

    /// Each version is greater than the ones before, unless one was further ahead of the service's clock than replicas
    /// accept, so that the service may have forgotten it.
    private func noteStore(_ asked: Asked) {
        var wasAhead = false
        for old in stores.suffix(64).reversed() {
            guard let one = old.item, let two = asked.item, one.id != two.id, one.header.box == two.header.box,
                let first = one.version, let second = two.version, first.name == second.name,
                first.certificate == second.certificate
            else { continue }
            wasAhead = wasAhead || one.header.created > lowestMinute(since: old.at) + 40
            precondition(
                wasAhead || (one.header.created, first.counter) < (two.header.created, second.counter),
                "versions of one process grow")
        }
        stores.append(asked)
    }

    /// The earliest minute that the service's clock has shown since a moment.
    private func lowestMinute(since moment: Instant) -> UInt32 {
        let later = skews.indices.filter { $0 + 1 == skews.count || skews[$0 + 1].from > moment }
        return later.map { index in
            let from = max(moment, skews[index].from)
            return UInt32((Int64(minute(at: from)) * 60 + skews[index].skew) / 60)
        }.min() ?? 0
    }

    /// Looks a service up; the number of the result.
    @discardableResult
    public func find(
        _ service: Service, source: UInt64 = 1, isolation: UInt64 = 1, keys: [ClientKey] = []
    ) -> UInt64 {
        let (number, actions) = client.find(
            service.address, for: .init(source: source, isolation: isolation), keys: keys, now: now,
            time: time(clientSkew))
        began[number] = now
        perform(actions)
        return number
    }

    /// Performs the client's actions.
    public func perform(_ actions: [ServiceLookups.Action]) {
        for action in actions {
            switch action {
            case .ask(let question, _):
                lookups.append(asked(question))
                asking.insert(question.number)
                carry(question) { [unowned self] reply in
                    asking.remove(question.number)
                    perform(client.answered(question.number, reply, now: now, time: time(clientSkew)))
                }
            case .cancel(let number):
                precondition(asking.remove(number) != nil, "a question that is over is not cancelled")
            case .ended(let number, let result):
                precondition(results[number] == nil, "a look-up ends once")
                results[number] = result
                if let began = began.removeValue(forKey: number) {
                    precondition(now - began <= .seconds(10), "a look-up ends in time")
                }
            }
        }
    }

    // MARK: Time

    func after(_ wait: TimeSpan, _ run: @escaping () -> Void) {
        eventCount += 1
        events.append((now + wait, eventCount, run))
    }

    /// Network time goes on, while the machine of the service and the client sleeps: ``now``, their loop's time, stands.
    public func sleep(_ span: TimeSpan) { slept += span.nanoseconds / 1_000_000_000 }

    /// Lets time pass; ends early if `isDone`.
    public func run(_ span: TimeSpan, until isDone: () -> Bool = { false }) {
        let end = now + span
        while !isDone() {
            for number in publishers.indices where publishers[number]?.isOld(at: time(serviceSkew)) == true {
                change(number) { $0.advance(self.now, time: $1) }
            }
            let event = events.indices.min { (events[$0].at, events[$0].number) < (events[$1].at, events[$1].number) }
            let deadlines = publishers.compactMap { $0?.nextDeadline } + [client.nextDeadline].compactMap(\.self)
            guard let next = (deadlines + (event.map { [events[$0].at] } ?? [])).min(), next <= end else { break }
            now = max(now, next)
            if let event, events[event].at <= now { events.remove(at: event).run() }
            for number in publishers.indices where publishers[number]?.nextDeadline.map({ $0 <= now }) == true {
                change(number) { $0.advance(self.now, time: $1) }
                let isLater = publishers[number]?.nextDeadline.map { $0 > now } ?? true
                precondition(isLater, "time goes on")
            }
            if client.nextDeadline.map({ $0 <= now }) == true {
                perform(client.advance(now, time: time(clientSkew)))
                precondition(client.nextDeadline.map { $0 > now } ?? true, "time goes on")
            }
        }
        if !isDone() { now = max(now, end) }
    }

    /// What must hold when all has settled.
    public func check() {
        precondition(client.count == 0 && began.isEmpty && asking.isEmpty, "no look-up stays, and no question of one")
        precondition(lookups.count <= results.count * 6, "a look-up asks six replicas at most")
    }
}

internal import Directory
internal import EventLoop
internal import OnionCrypto
internal import Requests
internal import Sessions
internal import Swarm
internal import Wire

/// The client's calls to the swarm store: each asks replicas of one box, one after the other, until it has enough.
///
/// `RequestClient` finds proxies and asks again where no answer comes. This class chooses the replicas, and decides
/// what their answers are worth.
final class SwarmCalls {
    /// How long two replicas may take to answer before others are asked too.
    private static let patience = TimeSpan.seconds(2)

    /// Takes an answer of a replica to the request of a binding; if that ends the call, what tells the result.
    typealias Judge = (RequestAnswer, NodeID, Bytes32) -> (() -> Void)?

    /// A call that is not over.
    private final class Call {
        let scope: RequestClient.Scope
        let method: RequestMethod
        /// The arguments for the binding of a request.
        let arguments: @Sendable (Bytes32) -> [UInt8]
        let members: Set<NodeID>
        /// The replicas that are not being asked and have not answered yet, in random order.
        var left: [RequestClient.Target]
        /// How many requests are under way, and how the last one without an answer ended.
        var underway = 0
        var last: RequestClient.Outcome?
        var began = Instant(nanoseconds: 0)
        let judge: Judge
        /// Called once, when the call ends otherwise.
        let fail: (RequestClient.Outcome?) -> Void
        var timer: LoopTimer?
        var isOver = false

        init(
            _ method: RequestMethod, in scope: RequestClient.Scope, members: [NodeID],
            targets: [RequestClient.Target], arguments: @escaping @Sendable (Bytes32) -> [UInt8],
            judge: @escaping Judge,
            fail: @escaping (RequestClient.Outcome?) -> Void
        ) {
            self.method = method
            self.arguments = arguments
            self.scope = scope
            self.members = Set(members)
            left = SecureRandom.shuffled(targets)
            self.judge = judge
            self.fail = fail
        }
    }

    private let requests: RequestCalls
    private let directory: DirectoryClient
    private let loop: Loop
    private var calls: [ObjectIdentifier: Call] = [:]
    private var isClosed = false

    init(requests: RequestCalls, directory: DirectoryClient, loop: Loop) {
        self.requests = requests
        self.directory = directory
        self.loop = loop
    }

    /// How many calls are not over.
    var count: Int { calls.count }

    var network: Bytes32 { directory.network.id }
    private var minute: UInt32 { UInt32(clamping: directory.time.seconds / 60) }

    /// The swarm of a box by the trusted snapshot; nil if the network has no store.
    func swarm(of box: Bytes32) -> BoxSwarm? {
        let numbers = directory.network.swarms
        return BoxSwarm(
            of: box, by: directory.trust.chain.snapshot, shards: numbers.shards, swarmSize: numbers.size)
    }

    /// Stores an item; `done` is called once, at the latest 10 s later.
    func store(
        _ item: StoredItem, isolation: UInt64, done: @escaping (Result<StoreProof, StoreFailure>) -> Void
    ) {
        let box = item.header.box
        guard let swarm = swarm(of: box) else { return done(.failure(.noStore)) }
        let tally = Box(StoreTally(of: item.id, in: swarm, network: network))
        let request = StoreRequest.store(height: swarm.height, item)
        begin(
            .store, in: swarm, isolation, arguments: { _ in request.arguments() },
            judge: { answer, replica, _ in
                let answer = try? StoreAnswer(decoding: answer.encoded().rawSpan, to: .store)
                switch tally.value.add(answer, from: replica) {
                case .stored(let proof): return { done(.success(proof)) }
                case .refused(let refusal): return { done(.failure(.refused(refusal))) }
                case .open: return nil
                }
            },
            fail: { outcome in
                let count = tally.value.count
                done(.failure(count.isEmpty ? StoreFailure(outcome) : .undecided(count)))
            })
    }

    /// Looks items up; `done` is called once, at the latest 10 s later.
    func lookUp(
        _ question: LookupQuestion, isolation: UInt64, done: @escaping (Result<[StoredItem], StoreFailure>) -> Void
    ) {
        guard let swarm = swarm(of: question.box) else { return done(.failure(.noStore)) }
        let tally = Box(LookupTally(of: question, replicas: swarm.members.count, network: network))
        begin(
            .lookup, in: swarm, isolation, arguments: { _ in question.request.arguments() },
            judge: { [weak self] answer, _, _ in
                guard let self else { return nil }
                let answer = try? StoreAnswer(decoding: answer.encoded().rawSpan, to: .lookup)
                return tally.value.add(answer, at: minute).map { items in { done(.success(items)) } }
            },
            fail: { outcome in
                // Without an outcome all replicas have answered.
                if outcome == nil, tally.value.isEmpty { return done(.success([])) }
                let count = tally.value.count
                if let refusal = tally.value.agreedRefusal { return done(.failure(.refused(refusal))) }
                done(.failure(count.isEmpty ? StoreFailure(outcome) : .undecided(count)))
            })
    }

    /// Asks replicas of a swarm, or one of them alone, until `judge` has heard enough.
    func begin(
        _ method: RequestMethod, in swarm: BoxSwarm, of replica: NodeID? = nil, _ isolation: UInt64,
        arguments: @escaping @Sendable (Bytes32) -> [UInt8], judge: @escaping Judge,
        fail: @escaping (RequestClient.Outcome?) -> Void
    ) {
        let targets = swarm.members.filter { replica == nil || $0 == replica }.compactMap { member in
            directory.descriptor(of: member).map { RequestClient.Target(node: member, onionKey: $0.onionKey) }
        }
        guard !isClosed, !targets.isEmpty else { return fail(.noProxy) }
        let call = Call(
            method, in: .init(isolation: isolation, purpose: .box(swarm.box)), members: swarm.members,
            targets: targets, arguments: arguments, judge: judge, fail: fail)
        calls[ObjectIdentifier(call)] = call
        call.began = Instant(nanoseconds: loop.now)
        call.timer = LoopTimer(on: loop) { [weak self, weak call] in
            if let self, let call { advance(call) }
        }
        advance(call)
    }

    /// Asks two more replicas, or ends the call after its time.
    private func advance(_ call: Call) {
        let now = Instant(nanoseconds: loop.now)
        let end = call.began + RequestClient.callTime
        guard now < end else { return self.end(call, .timedOut) }
        call.timer?.schedule(at: min(end, now + Self.patience).nanoseconds)
        ask(call)
    }

    /// Asks the next two of the replicas that are left, of which one has to answer.
    ///
    /// A request tries a few replicas at once, and dead ones may leave it without an answer until its time is over. So
    /// none gets all replicas, and the next two are asked while it waits.
    private func ask(_ call: Call) {
        let targets = Array(call.left.prefix(2))
        guard !targets.isEmpty else {
            if call.underway == 0 { end(call, call.last) }
            return
        }
        call.left.removeFirst(targets.count)
        call.underway += 1
        let request = RequestClient.Call(
            scope: call.scope, method: call.method, targets: targets, swarm: call.members, arguments: call.arguments)
        requests.ask(request) { [weak self, weak call] outcome in
            guard let self, let call, !call.isOver else { return }
            call.underway -= 1
            if case .answered(let answer, let replica, let binding) = outcome {
                call.left.insert(contentsOf: targets.filter { $0.node != replica }, at: 0)
                if let tell = call.judge(answer, replica, binding) {
                    // The call is over first: whoever hears the result may close the client.
                    over(call)
                    return tell()
                }
            } else {
                call.last = outcome
            }
            ask(call)
        }
    }

    private func end(_ call: Call, _ outcome: RequestClient.Outcome?) {
        guard !call.isOver else { return }
        over(call)
        call.fail(outcome)
    }

    private func over(_ call: Call) {
        call.isOver = true
        call.timer?.close()
        call.timer = nil
        calls[ObjectIdentifier(call)] = nil
    }

    /// Ends all calls; later ones fail.
    func close() {
        isClosed = true
        for call in calls.values { end(call, .noProxy) }
    }
}

/// A value that closures share.
private final class Box<Value> {
    var value: Value
    init(_ value: Value) { self.value = value }
}

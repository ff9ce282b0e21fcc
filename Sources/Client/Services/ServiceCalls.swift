internal import Directory
internal import EventLoop
internal import OnionCrypto
internal import Requests
internal import Services
internal import Sessions
internal import Swarm
internal import Wire

/// The client's look-ups of services, and the services that it publishes (protocol.md, sections 14.5 and 14.6).
///
/// `ServiceLookups` and `DescriptorPublisher` decide what to ask whom, and when. This class brings them the snapshot
/// and the time, and carries their questions as onion requests.
final class ServiceCalls {
    /// How long a replica may take before another one is asked too: a path has to be built first.
    private static let patience = TimeSpan.milliseconds(1_500)
    /// The isolation keys of services, apart from all others.
    private static let ownIsolation: UInt64 = 1 << 62

    private enum Action {
        case look(ServiceLookups.Action)
        case publish(DescriptorPublisher.Action, by: UInt64)
    }

    private let requests: RequestCalls
    private let directory: DirectoryClient
    private let loop: Loop
    private var lookups = ServiceLookups(patience: patience, random: SecureRandom())
    /// The requests of look-ups' questions.
    private var requestNumbers: [UInt64: RequestClient.Number] = [:]
    private var waiting: [UInt64: (Result<[FoundDescriptor], LookupFailure>) -> Void] = [:]
    private var publishers: [UInt64: ServicePublisher] = [:]
    private var last: UInt64 = 0
    private var swarms: ServiceSwarms?
    private var timer: LoopTimer?
    /// The actions that are still to be performed, in order.
    private var actions: [Action] = []
    private var isActing = false

    init(requests: RequestCalls, directory: DirectoryClient, loop: Loop) {
        self.requests = requests
        self.directory = directory
        self.loop = loop
        timer = LoopTimer(on: loop) { [weak self] in self?.advance() }
    }

    private var now: Instant { Instant(nanoseconds: loop.now) }
    private var time: UnixTime { directory.time }

    /// How many look-ups are not over.
    var count: Int { lookups.count }
    /// How many services are published.
    var published: Int { publishers.count }

    // MARK: Events

    /// Takes the newest trusted snapshot, and sees what network time has made old; to be called several times a second
    /// once a path is ready.
    func tick() {
        defer { replaceOld() }
        let snapshot = directory.trust.chain.snapshot
        guard timer != nil, snapshot.height != swarms?.height else { return }
        let numbers = directory.network.swarms
        let swarms = ServiceSwarms(snapshot, shards: numbers.shards, swarmSize: numbers.size)
        self.swarms = swarms
        lookups.moved(to: swarms)
        for number in publishers.keys.sorted() { change(number) { $0.moved(to: swarms, now: $1, time: $2) } }
    }

    /// A path is ready after a time without one.
    func pathsAreBack() {
        for number in publishers.keys.sorted() { change(number) { $0.networkIsBack(now: $1, time: $2) } }
    }

    /// Has versions replaced that have become old while the machine slept, and the loop's timer with it.
    private func replaceOld() {
        let time = time
        for number in publishers.keys.sorted() where publishers[number]?.state.isOld(at: time) == true {
            change(number) { $0.advance($1, time: $2) }
        }
    }

    private func advance() {
        perform(lookups.advance(now, time: time).map { .look($0) })
        for number in publishers.keys.sorted() { change(number) { $0.advance($1, time: $2) } }
    }

    // MARK: Look-ups

    /// Finds the descriptors of a service; `done` is called once, at the latest 10 s later.
    func find(
        _ service: ServiceAddress, for caller: ServiceLookups.Caller, keys: [ClientKey],
        done: @escaping (Result<[FoundDescriptor], LookupFailure>) -> Void
    ) {
        guard timer != nil else { return done(.failure(.ended)) }
        let (number, actions) = lookups.find(service, for: caller, keys: keys, now: now, time: time)
        waiting[number] = done
        perform(actions.map { .look($0) })
    }

    /// These descriptors could not be used.
    func failed(_ found: [FoundDescriptor], of service: ServiceAddress, for caller: ServiceLookups.Caller) {
        lookups.failed(found, of: service, for: caller, now: now)
    }

    /// Forgets all that is known of services for isolation keys with these numbers, or for all if nil.
    func forget(_ isolations: Set<UInt64>?) { perform(lookups.forget(isolations: isolations).map { .look($0) }) }

    // MARK: Publishing

    /// Begins to publish; the number is that of the publisher.
    func add(_ publisher: DescriptorPublisher, news: @escaping (DescriptorPublisher.Action) -> Void) -> UInt64 {
        last += 1
        let number = last
        guard timer != nil else { return number }
        publishers[number] = ServicePublisher(publisher, news: news)
        if let swarms { change(number) { $0.moved(to: swarms, now: $1, time: $2) } }
        return number
    }

    /// Ends a publisher: what it has stored expires by itself.
    func remove(_ number: UInt64) { publishers[number] = nil }

    /// Gives a publisher an event, and performs what follows from it.
    func change(
        _ number: UInt64, _ body: (inout DescriptorPublisher, Instant, UnixTime) -> [DescriptorPublisher.Action]
    ) {
        guard let publisher = publishers[number] else { return }
        let actions = body(&publisher.state, now, time)
        perform(actions.map { .publish($0, by: number) })
    }

    /// The states of a publisher.
    func states(of number: UInt64) -> [(period: TimePeriod, state: PublishingState)] {
        publishers[number]?.state.states ?? []
    }

    // MARK: Actions

    /// Performs `new` actions; the actions that follow from one are performed after all earlier ones.
    private func perform(_ new: [Action]) {
        actions.append(contentsOf: new)
        guard !isActing else { return }
        isActing = true
        var next = 0
        while next < actions.count {
            let action = actions[next]
            next += 1
            perform(action)
        }
        actions = []
        isActing = false
        schedule()
    }

    private func schedule() {
        let publishing = publishers.values.compactMap(\.state.nextDeadline)
        guard let next = (publishing + [lookups.nextDeadline].compactMap(\.self)).min() else {
            timer?.cancel()
            return
        }
        timer?.schedule(at: next.nanoseconds)
    }

    private func perform(_ action: Action) {
        switch action {
        case .look(.ask(let question, let isolation)):
            requestNumbers[question.number] = ask(question, isolation: isolation) { [weak self] reply in
                guard let self else { return }
                requestNumbers[question.number] = nil
                perform(lookups.answered(question.number, reply, now: now, time: time).map { .look($0) })
            }
        case .look(.cancel(let number)):
            if let request = requestNumbers.removeValue(forKey: number) { requests.cancel(request) }
        case .look(.ended(let number, let result)): waiting.removeValue(forKey: number)?(result)
        case .publish(.ask(let question), let number): ask(question, by: number, isTest: false)
        case .publish(.test(let question), let number): ask(question, by: number, isTest: true)
        case .publish(let news, let number): publishers[number]?.news(news)
        }
    }

    /// A question of a publisher; a test has sessions of its own, as a stranger's question.
    private func ask(_ question: ReplicaQuestion, by number: UInt64, isTest: Bool) {
        let isolation = Self.ownIsolation | number << 1 | (isTest ? 1 : 0)
        _ = ask(question, isolation: isolation) { [weak self] reply in
            self?.change(number) { $0.answered(question.number, reply, now: $1, time: $2) }
        }
    }

    /// Asks a replica; returns the request's number, or nil if `done` was called already.
    private func ask(
        _ question: ReplicaQuestion, isolation: UInt64, done: @escaping (ReplicaReply) -> Void
    ) -> RequestClient.Number? {
        guard let descriptor = directory.descriptor(of: question.replica),
            let method = RequestMethod(rawValue: question.request.method)
        else {
            done(.unknownReplica)
            return nil
        }
        let arguments = question.request.arguments()
        let call = RequestClient.Call(
            scope: .init(isolation: isolation, purpose: .box(question.swarm.box)), method: method,
            targets: [.init(node: question.replica, onionKey: descriptor.onionKey)],
            swarm: Set(question.swarm.members), arguments: { _ in arguments })
        return requests.ask(call) { outcome in
            switch outcome {
            case .answered(let answer, _, _): done(.answer(answer.encoded()))
            case .refused, .timedOut: done(.silence)
            case .noProxy, .tooMany: done(.notSent)
            }
        }
    }

    /// Ends all look-ups and publishers; later ones fail.
    func close() {
        timer?.close()
        timer = nil
        publishers = [:]
        actions = []
        let left = waiting
        waiting = [:]
        requestNumbers = [:]
        for done in left.values { done(.failure(.ended)) }
    }
}

/// A publisher, and who hears of it.
private final class ServicePublisher {
    var state: DescriptorPublisher
    let news: (DescriptorPublisher.Action) -> Void

    init(_ state: DescriptorPublisher, news: @escaping (DescriptorPublisher.Action) -> Void) {
        self.state = state
        self.news = news
    }
}

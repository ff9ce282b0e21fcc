public import OnionCrypto
public import Swarm
public import Wire

/// Keeps the descriptor of one instance of a service published (protocol.md, section 14.5).
///
/// Events and times go in, actions come out. It publishes in two periods, which share no version, receipt or time.
/// After each event and at ``nextDeadline`` the owner performs the actions. The host's clock measures waits only;
/// descriptors carry network time.
public struct DescriptorPublisher {
    /// A task for the owner, or an event to tell the service of.
    public enum Action: Sendable {
        /// Ask a replica, then call `answered`.
        case ask(ReplicaQuestion)
        /// Ask a replica over a session of its own, so that it looks like a client's question, then call `answered`.
        case test(ReplicaQuestion)
        /// A majority of the replicas has signed that it holds the newest version.
        case stored(TimePeriod, StoreProof)
        /// A round has failed; the next one follows.
        case failed(TimePeriod, PublishingFailure)
        /// Another process publishes as the same instance: the owner has to give one of the two a new secret. Told once.
        case copied
    }

    enum Question {
        case store(TimePeriod, ReplicaOrder.Seat)
        case test(TimePeriod, NodeID)

        var period: TimePeriod {
            switch self {
            case .store(let period, _), .test(let period, _): period
            }
        }
    }

    let network: Bytes32
    private let keys: InstanceKeys
    var random: RandomSource
    private var descriptor: ServiceDescriptor?
    private var clients: [ClientKey]?
    var publications: [TimePeriod: Publication] = [:]
    var questions: [UInt64: Question] = [:]
    private var last: UInt64 = 0
    private var hasBegun = false
    /// When the first version was made, by the loop's clock: no answer and no change of network time moves it.
    private(set) var began: Instant?
    /// Whether the owner was told of another process.
    var toldOfCopy = false

    /// The publisher of `instance` of the service whose key is `identity`; it has nothing to publish yet.
    public init(
        _ identity: consuming SigningKey, instance: consuming ServiceInstance, network: Bytes32,
        random: any RandomNumberGenerator & Sendable
    ) {
        keys = InstanceKeys(identity, instance)
        self.network = network
        self.random = RandomSource(random)
    }

    /// The state in each period, the newer one first.
    public var states: [(period: TimePeriod, state: PublishingState)] {
        publications.keys.sorted(by: >).compactMap { period in
            publications[period].map { (period, $0.state) }
        }
    }

    /// When `advance` is to be called next.
    public var nextDeadline: Instant? {
        descriptor == nil ? nil : publications.values.compactMap(\.deadline).min()
    }

    // MARK: Events

    /// Sets the descriptor to publish, and the clients that can read it; a nil descriptor ends publishing.
    ///
    /// With nil clients everybody who knows the address can read it. An equal descriptor for the same clients changes
    /// nothing.
    public mutating func publish(
        _ wanted: ServiceDescriptor?, clients readers: [ClientKey]? = nil, now: Instant, time: UnixTime
    ) -> [Action] {
        let isSame = wanted == descriptor && readers?.map(ObjectIdentifier.init) == clients?.map(ObjectIdentifier.init)
        guard !isSame else { return [] }
        descriptor = wanted
        clients = readers
        questions = [:]
        for period in publications.keys { publications[period]?.stop() }
        guard wanted != nil else { return [] }
        hasten(Array(publications.keys), now)
        return advance(now, time: time)
    }

    /// Takes the periods and replicas of a newer trusted snapshot.
    ///
    /// The descriptor is published again at once in a box whose replicas have changed.
    public mutating func moved(to swarms: ServiceSwarms, now: Instant, time: UnixTime) -> [Action] {
        let periods = swarms.period.withPrevious
        publications = publications.filter { periods.contains($0.key) }
        questions = questions.filter { periods.contains($0.value.period) }
        var changed: [TimePeriod] = []
        for period in periods {
            if let old = publications[period] {
                let swarm = swarms.swarm(of: old.key.box)
                publications[period]?.swarm = swarm
                if swarm?.members != old.swarm?.members {
                    changed.append(period)
                    publications[period]?.keepHolders()
                }
            } else {
                let key = keys.key(of: period, network: network)
                let wait = TimeSpan.drawn(PublishingTimes.newPeriod, using: &random)
                publications[period] = Publication(key, swarm: swarms.swarm(of: key.box), due: now + wait)
                // The service has not been published at all: nobody waits for a new period.
                if !hasBegun { changed.append(period) }
            }
        }
        for period in periods where publications[period]?.swarm == nil {
            publications[period]?.state.failure = .noStore
        }
        hasBegun = true
        hasten(changed, now)
        return advance(now, time: time)
    }

    /// Begins the next round at once where the last one failed: replicas can be reached again.
    ///
    /// Rounds under way continue. Otherwise a network that comes and goes would end each of them.
    public mutating func networkIsBack(now: Instant, time: UnixTime) -> [Action] {
        hasten(publications.filter { $0.value.failures > 0 && $0.value.round == nil }.map(\.key), now)
        return advance(now, time: time)
    }

    /// A question to a replica is over.
    public mutating func answered(
        _ number: UInt64, _ reply: ReplicaReply, now: Instant, time: UnixTime
    ) -> [Action] {
        var actions: [Action] = []
        switch questions.removeValue(forKey: number) {
        case .store(let period, let seat): stored(period, seat, reply, now, time, &actions)
        case .test(let period, let replica): tested(period, replica, reply, now, time, &actions)
        case nil: break
        }
        return actions + advance(now, time: time)
    }

    /// Performs everything that is due.
    public mutating func advance(_ now: Instant, time: UnixTime) -> [Action] {
        var actions: [Action] = []
        guard descriptor != nil else { return actions }
        replaceOld(now, time)
        for period in publications.keys.sorted() {
            if let round = publications[period]?.round, now >= round.ends || round.order.isOver {
                endRound(period, now, &actions)
            }
            if let publication = publications[period], publication.round == nil, publication.swarm != nil,
                now >= publication.due
            {
                begin(period, now, time, &actions)
            }
            ask(period, now, &actions)
            test(period, now, &actions)
        }
        return actions
    }

    // MARK: Rounds

    /// Whether a version that counts as stored is older than any is when the service is well, so that `advance` has
    /// something to do although its time has not come.
    ///
    /// The clock that times the renewal stops while the machine sleeps; network time does not.
    public func isOld(at time: UnixTime) -> Bool {
        descriptor != nil && publications.values.contains { $0.isOld(at: time) }
    }

    /// Forgets the receipts for versions that are too old, and replaces these soon.
    private mutating func replaceOld(_ now: Instant, _ time: UnixTime) {
        let old = publications.filter { $0.value.isOld(at: time) }.map(\.key)
        guard !old.isEmpty else { return }
        for period in old { publications[period]?.state.holders = [] }
        hasten(old, now)
    }

    /// Publishes anew soon, and under two periods at different moments: one within 1 s, the other within 5 s.
    mutating func hasten(_ periods: [TimePeriod], _ now: Instant) {
        guard descriptor != nil else { return }
        var waits = PublishingTimes.urgent.shuffled(using: &random)
        for period in periods.sorted() {
            let wait = periods.count == 1 ? PublishingTimes.urgent[0] : waits.removeFirst()
            publications[period]?.hasten(.drawn(wait, using: &random), now: now)
            forgetQuestions(of: period)
        }
    }

    /// Answers to earlier questions count no more.
    private mutating func forgetQuestions(of period: TimePeriod) {
        questions = questions.filter { $0.value.period != period }
    }

    mutating func number() -> UInt64 {
        last += 1
        return last
    }

    private mutating func begin(_ period: TimePeriod, _ now: Instant, _ time: UnixTime, _ actions: inout [Action]) {
        guard var publication = publications[period], let swarm = publication.swarm, let descriptor else { return }
        if !publication.canRepeat(at: time) {
            let stamp = publication.stamps.next(at: time, random: &random)
            began = began ?? now
            guard publication.renew(descriptor, stamp, clients, now) else {
                publication.failed(.unusable, now, &random)
                publications[period] = publication
                actions.append(.failed(period, .unusable))
                return
            }
        }
        let order = ReplicaOrder(
            [swarm.members], atOnce: PublishingTimes.atOnce, patience: PublishingTimes.patience, now: now,
            random: &random)
        publication.begin(order, swarm, network: network, now: now)
        publications[period] = publication
    }

    private mutating func ask(_ period: TimePeriod, _ now: Instant, _ actions: inout [Action]) {
        guard let swarm = publications[period]?.asked, let item = publications[period]?.item else { return }
        for seat in publications[period]?.round?.order.next(now) ?? [] {
            let number = number()
            questions[number] = .store(period, seat)
            actions.append(
                .ask(
                    ReplicaQuestion(
                        number: number, replica: seat.replica, swarm: swarm,
                        request: .store(height: swarm.height, item))))
        }
    }

    private mutating func stored(
        _ period: TimePeriod, _ seat: ReplicaOrder.Seat, _ reply: ReplicaReply, _ now: Instant, _ time: UnixTime,
        _ actions: inout [Action]
    ) {
        var answer: StoreAnswer?
        switch reply {
        case .answer(let bytes): answer = try? StoreAnswer(decoding: bytes.rawSpan, to: .store)
        case .silence: break
        case .notSent:
            _ = publications[period]?.round?.order.putBack(seat, now)
            return
        case .unknownReplica:
            _ = publications[period]?.round?.order.passOver(seat)
            return
        }
        guard publications[period]?.round?.order.ended(seat, isOfUse: false) == true else { return }
        switch publications[period]?.tally?.add(answer, from: seat.replica) {
        case .stored(let proof):
            publications[period]?.succeeded(proof, now, &random)
            forgetQuestions(of: period)
            actions.append(.stored(period, proof))
        case .refused(let refusal):
            forgetQuestions(of: period)
            refused(period, refusal, now, time, &actions)
        case .open, nil: break
        }
    }

    /// Two replicas refuse the descriptor for the same reason.
    private mutating func refused(
        _ period: TimePeriod, _ refusal: StoreRefusal, _ now: Instant, _ time: UnixTime, _ actions: inout [Action]
    ) {
        guard var publication = publications[period] else { return }
        var failure = PublishingFailure.refused(refusal)
        switch refusal {
        case .superseded(let created, let counter):
            let stamp = DescriptorStamp(created: created, counter: counter)
            // After a restart the replicas have versions that this process does not know.
            let follows = publication.stamps.goOn(from: stamp, at: time)
            if follows, publication.leads < PublishingTimes.leads {
                publication.leads += 1
                publication.round = nil
                publication.isOutdated = true
                publication.due = now
                publications[period] = publication
                return
            }
            failure = .superseded
        case .timeInvalid:
            publication.stamps.forgetIfUnstorable(at: time)
            failure = .clock
        case .malformed, .unknown, .notReplica, .full, .notAuthorised, .busy: break
        }
        // A refused version stays refused.
        publication.isOutdated = true
        publication.failed(failure, now, &random)
        publications[period] = publication
        actions.append(.failed(period, failure))
    }

    private mutating func endRound(_ period: TimePeriod, _ now: Instant, _ actions: inout [Action]) {
        let count = publications[period]?.tally?.count
        let isAsked = publications[period]?.round.map { $0.order.asked > 0 } ?? false
        let lack = isAsked ? PublishingFailure.noAnswer : .notAsked
        let failure = count.map { $0.isEmpty ? lack : .undecided($0) } ?? lack
        forgetQuestions(of: period)
        publications[period]?.failed(failure, now, &random)
        actions.append(.failed(period, failure))
    }
}

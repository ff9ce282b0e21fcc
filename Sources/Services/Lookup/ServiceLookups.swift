internal import Swarm
public import Wire

/// A client's look-ups of services: it answers from its cache, or asks replicas (protocol.md, section 14.6).
///
/// Events and times go in, actions come out. Each caller gets one result, at most 10 s after it has asked. Callers of
/// one isolation key, with the same client keys, share a look-up of a service; isolation keys share nothing.
public struct ServiceLookups {
    /// The app and isolation key for which a service is looked up.
    public struct Caller: Hashable, Sendable {
        /// The number that the owner gave the app; apps share the places for look-ups.
        public let source: UInt64
        /// The number that the owner gave the isolation key; keys share no result.
        public let isolation: UInt64

        /// The app `source` with the isolation key `isolation`.
        public init(source: UInt64, isolation: UInt64) {
            self.source = source
            self.isolation = isolation
        }
    }

    /// A task for the owner, or a result.
    public enum Action: Sendable {
        /// Ask a replica over a session of this box and isolation key alone, then call `answered`.
        case ask(ReplicaQuestion, isolation: UInt64)
        /// Nobody waits for the answer to the question with this number any more: give up its request.
        case cancel(UInt64)
        /// The result for a caller: the newest descriptor of each instance that was found.
        case ended(UInt64, Result<[FoundDescriptor], LookupFailure>)
    }

    /// A service within an isolation key, and the client keys for it.
    private struct Key: Hashable {
        let place: DescriptorCache.Key
        let keys: ClientKeys
    }

    private struct Running {
        let source: UInt64
        var lookup: DescriptorLookup
        let began: UInt64
        var callers: [UInt64]
    }

    private struct Question {
        let key: Key
        let began: UInt64
        let seat: ReplicaOrder.Seat
    }

    /// The most look-ups at once.
    ///
    /// Until thirty are under way, one source may have any number of them; from then on it may have ten. Each asks up
    /// to six replicas, and a client has 256 requests under way, 64 of one isolation key.
    public static let lookups = 40
    static let lookupsOfSource = 10
    /// The most callers that wait for one look-up.
    static let callers = 64

    private var random: RandomSource
    /// How long a replica may take before another one is asked too.
    private let patience: TimeSpan
    private var swarms: ServiceSwarms?
    private(set) var cache = DescriptorCache()
    private var running: [Key: Running] = [:]
    private var shares = Shares<UInt64>(
        capacity: Self.lookups, most: Self.lookupsOfSource, freely: Self.lookups - Self.lookupsOfSource)
    private var questions: [UInt64: Question] = [:]
    private var last: UInt64 = 0

    /// No look-ups; a replica may take `patience` before another one is asked too.
    public init(patience: TimeSpan, random: any RandomNumberGenerator & Sendable) {
        self.patience = patience
        self.random = RandomSource(random)
    }

    /// How many look-ups are under way.
    public var count: Int { running.count }
    /// When `advance` is to be called next.
    public var nextDeadline: Instant? { running.values.map(\.lookup.deadline).min() }

    // MARK: Events

    /// Takes the period and replicas of a newer trusted snapshot; look-ups under way keep the earlier ones.
    public mutating func moved(to swarms: ServiceSwarms) { self.swarms = swarms }

    /// Finds the descriptors of a service; returns the number that `ended` will have.
    ///
    /// `keys` are the client's for a restricted service.
    public mutating func find(
        _ service: ServiceAddress, for caller: Caller, keys: [ClientKey] = [], now: Instant, time: UnixTime
    ) -> (number: UInt64, actions: [Action]) {
        let number = nextNumber()
        let place = DescriptorCache.Key(isolation: caller.isolation, service: service)
        let key = Key(place: place, keys: ClientKeys(keys))
        func fails(_ failure: LookupFailure) -> (UInt64, [Action]) { (number, [.ended(number, .failure(failure))]) }
        let entry = cache.entry(place)
        let useless = Set((entry?.useless ?? [:]).filter { now < $0.value }.keys)
        if let known = entry?.known[key.keys] {
            let found = known.found.filter { !$0.isExpired(at: time) && !useless.contains($0.digest) }
            if !found.isEmpty { return (number, [.ended(number, .success(found))]) }
            if let failure = known.failure, now < known.failsUntil { return fails(failure) }
        }
        if let waiting = running[key]?.callers {
            guard waiting.count < Self.callers else { return fails(.tooMany) }
            running[key]?.callers.append(number)
            return (number, [])
        }
        // A place comes first: what follows costs the mixes of two swarms.
        var actions: [Action] = []
        guard makeRoom(for: caller.source, &actions) else { return (number, actions + fails(.tooMany).1) }
        let places = self.places(of: service)
        guard !places.isEmpty else {
            shares.release(caller.source)
            return (number, actions + fails(.noStore).1)
        }
        let lookup = DescriptorLookup(
            of: places, keys: keys, held: entry?.held ?? [:], useless: useless, patience: patience, now: now,
            random: &random)
        running[key] = Running(source: caller.source, lookup: lookup, began: number, callers: [number])
        step(key, now, time, &actions)
        return (number, actions)
    }

    /// A question to a replica is over.
    public mutating func answered(
        _ number: UInt64, _ reply: ReplicaReply, now: Instant, time: UnixTime
    ) -> [Action] {
        var actions: [Action] = []
        guard let question = questions.removeValue(forKey: number), running[question.key]?.began == question.began
        else {
            return actions
        }
        running[question.key]?.lookup.answered(question.seat, reply, now, time: time)
        step(question.key, now, time, &actions)
        return actions
    }

    /// Performs everything that is due.
    public mutating func advance(_ now: Instant, time: UnixTime) -> [Action] {
        var actions: [Action] = []
        let due = running.filter { $0.value.lookup.deadline <= now }
        for (key, _) in due.sorted(by: { $0.value.began < $1.value.began }) { step(key, now, time, &actions) }
        return actions
    }

    /// These descriptors could not be used: they are forgotten, and a look-up that follows takes one that says something
    /// else.
    public mutating func failed(
        _ found: [FoundDescriptor], of service: ServiceAddress, for caller: Caller, now: Instant
    ) {
        let key = DescriptorCache.Key(isolation: caller.isolation, service: service)
        guard cache.entry(key) != nil else { return }
        cache.change(key, source: caller.source) { entry in
            entry.forget(Set(found.map(\.digest)))
            entry.useless = entry.useless.filter { now < $0.value }
            if entry.useless.count + found.count > DescriptorCache.names { entry.useless = [:] }
            for descriptor in found.prefix(DescriptorCache.names) {
                entry.useless[descriptor.digest] = now + LookupTimes.useless
            }
        }
    }

    /// Forgets all that is known for these isolation keys, or for all; look-ups of them end without a result.
    public mutating func forget(isolations: Set<UInt64>? = nil) -> [Action] {
        func isMeant(_ place: DescriptorCache.Key) -> Bool { isolations?.contains(place.isolation) ?? true }
        cache.remove(where: isMeant)
        var actions: [Action] = []
        for (key, _) in running.filter({ isMeant($0.key.place) }).sorted(by: { $0.value.began < $1.value.began }) {
            end(key, .failure(.ended), &actions)
        }
        return actions
    }

    // MARK: Look-ups

    private mutating func nextNumber() -> UInt64 {
        last += 1
        return last
    }

    /// The boxes of a service in the period of the snapshot and the one before.
    private func places(of service: ServiceAddress) -> [DescriptorLookup.Place] {
        guard let swarms else { return [] }
        return swarms.period.withPrevious.compactMap { period in
            guard let reader = try? DescriptorReader(service, in: period, network: swarms.network),
                let swarm = swarms.swarm(of: reader.box)
            else { return nil }
            return DescriptorLookup.Place(period: period, reader: reader, swarm: swarm)
        }
    }

    /// Takes a place for a look-up of `source`; in a full table the oldest of the source with most ends.
    private mutating func makeRoom(for source: UInt64, _ actions: inout [Action]) -> Bool {
        while true {
            switch shares.take(for: source) {
            case .granted: return true
            case .shareUsed, .full: return false
            case .makeRoom(let loser):
                let own = running.filter { $0.value.source == loser }
                guard let oldest = own.min(by: { $0.value.began < $1.value.began })?.key else { return false }
                end(oldest, .failure(.tooMany), &actions)
            }
        }
    }

    /// Ends a look-up that is over, or asks the replicas whose turn it is.
    private mutating func step(
        _ key: Key, _ now: Instant, _ time: UnixTime, _ actions: inout [Action]
    ) {
        guard let current = running[key] else { return }
        if let outcome = current.lookup.outcome(now, time: time) {
            remember(outcome, of: current, key, now)
            return end(key, outcome, &actions)
        }
        for seat in running[key]?.lookup.next(now) ?? [] {
            let swarm = current.lookup.places[seat.box].swarm
            let question = LookupQuestion(
                box: swarm.box, kind: .descriptor, most: ServiceLimits.descriptorsOfAnswer)
            guard let question else { continue }
            let number = nextNumber()
            questions[number] = Question(key: key, began: current.began, seat: seat)
            actions.append(
                .ask(
                    ReplicaQuestion(number: number, replica: seat.replica, swarm: swarm, request: question.request),
                    isolation: key.place.isolation))
        }
    }

    private mutating func end(
        _ key: Key, _ outcome: Result<[FoundDescriptor], LookupFailure>, _ actions: inout [Action]
    ) {
        guard let ended = running.removeValue(forKey: key) else { return }
        shares.release(ended.source)
        for number in questions.filter({ $0.value.began == ended.began }).keys.sorted() {
            questions[number] = nil
            actions.append(.cancel(number))
        }
        for caller in ended.callers { actions.append(.ended(caller, outcome)) }
    }

    private mutating func remember(
        _ outcome: Result<[FoundDescriptor], LookupFailure>, of ended: Running, _ key: Key, _ now: Instant
    ) {
        cache.change(key.place, source: ended.source) { entry in
            // Another look-up of the service, with other keys, may have seen newer versions meanwhile.
            entry.held.merge(ended.lookup.held) { $0.isBehind($1) ? $1 : $0 }
            entry.change(for: key.keys) { known in
                switch outcome {
                // It says nothing of the service.
                case .failure(.notAsked): break
                case .success(let found):
                    known.found = found
                    known.failure = nil
                    known.failures = 0
                case .failure(let failure):
                    known.found = []
                    known.failure = failure
                    known.failures = failure.isLasting ? known.failures + 1 : 0
                    var pause = LookupTimes.firstPause
                    for _ in 1..<max(2, min(known.failures, 10)) { pause = min(pause * 2, LookupTimes.longestPause) }
                    known.failsUntil = now + pause
                }
            }
        }
    }
}

internal import Requests
public import Swarm

/// Why an item could not be stored or looked up.
public enum StoreFailure: Error, Equatable, Sendable {
    /// The network has no store.
    case noStore
    /// No path to a proxy, or no replica whose key is known.
    case noPath
    /// No replica answered in time; `hint` is the last status that a proxy reported, which is unproven.
    case noAnswer(hint: String?)
    /// Two replicas refuse the request for the same reason.
    case refused(StoreRefusal)
    /// Replicas have answered, but too few agree: the item may be stored, or get lost.
    case undecided(StoreCount)
    /// Too many requests are under way.
    case tooMany
}

extension StoreFailure {
    /// The failure when a request ended without an answer; nil: all replicas were asked.
    init(_ outcome: RequestClient.Outcome?) {
        switch outcome {
        case .answered, .timedOut, nil: self = .noAnswer(hint: nil)
        case .refused(let status): self = .noAnswer(hint: status.name)
        case .noProxy: self = .noPath
        case .tooMany: self = .tooMany
        }
    }
}

extension Client {
    /// Stores an item in its box's swarm, by onion requests to random replicas.
    ///
    /// It is stored when a majority of the replicas has signed a receipt, all by the trusted snapshot. `done` is called
    /// once, at the latest 10 s later, and perhaps inside this call. Requests of different isolation keys share no
    /// session.
    public func store(
        _ item: StoredItem, isolation: UInt64 = 0, done: @escaping (Result<StoreProof, StoreFailure>) -> Void
    ) {
        guard sessions.readiness.isReady else { return done(.failure(.noPath)) }
        swarm.store(item, isolation: isolation, done: done)
    }

    /// Looks up items that anyone may read, at random replicas of their box.
    ///
    /// What `done` gets is authentic, and of each name the newest of one replica's answer. Nothing means that three
    /// replicas have nothing, or all if there are fewer. `done` is called once, at the latest 10 s later, and perhaps
    /// inside this call.
    public func lookUp(
        _ question: LookupQuestion, isolation: UInt64 = 0,
        done: @escaping (Result<[StoredItem], StoreFailure>) -> Void
    ) {
        guard sessions.readiness.isReady else { return done(.failure(.noPath)) }
        swarm.lookUp(question, isolation: isolation, done: done)
    }
}

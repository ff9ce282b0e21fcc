internal import Directory
public import OnionCrypto
public import Services
internal import Wire

extension Client {
    /// Looks a service up at replicas of its boxes, by onion requests.
    ///
    /// If a path is ready, results found before for the same isolation key are returned at once. `keys` are this
    /// client's keys for a restricted service. `done` is called once, at the latest 10 s later, and perhaps inside this
    /// call. Places are shared among sources; isolation keys share nothing.
    public func lookUp(
        _ service: ServiceName, for caller: ServiceLookups.Caller, keys: [ClientKey] = [],
        done: @escaping (Result<[FoundDescriptor], LookupFailure>) -> Void
    ) {
        guard sessions.readiness.isReady else { return done(.failure(.noAnswer)) }
        services.tick()
        services.find(service.address, for: caller, keys: keys, done: done)
    }

    /// Notes that descriptors led to no connection; for some time look-ups return none with the same content.
    public func couldNotUse(
        _ found: [FoundDescriptor], of service: ServiceName, for caller: ServiceLookups.Caller
    ) {
        services.failed(found, of: service.address, for: caller)
    }

    /// Keeps the descriptor of one instance of a service published until the result is ended.
    ///
    /// It begins when a path is ready. `news` tells when a majority of replicas holds a version, why a round has
    /// failed, and that another process publishes as this instance.
    public func publish(
        _ identity: consuming SigningKey, instance: consuming ServiceInstance, _ descriptor: ServiceDescriptor,
        clients: [ClientKey]? = nil, news: @escaping (DescriptorPublisher.Action) -> Void = { _ in }
    ) -> PublishedService {
        let publisher = DescriptorPublisher(
            identity, instance: instance, network: directory.network.id, random: SecureRandom())
        let service = PublishedService(services, services.add(publisher, news: news))
        service.publish(descriptor, clients: clients)
        return service
    }
}

/// A service that a client publishes.
public final class PublishedService {
    private let calls: ServiceCalls
    private let number: UInt64

    init(_ calls: ServiceCalls, _ number: UInt64) {
        self.calls = calls
        self.number = number
    }

    /// Replaces the descriptor, and the clients that can read it; with nil clients, everybody who knows the address.
    public func publish(_ descriptor: ServiceDescriptor, clients: [ClientKey]? = nil) {
        calls.change(number) { $0.publish(descriptor, clients: clients, now: $1, time: $2) }
    }

    /// The state in each period, the newer one first.
    public var states: [PublishingState] { calls.states(of: number).map(\.state) }

    /// Ends publishing; stored descriptors expire within three hours.
    public func end() { calls.remove(number) }
}

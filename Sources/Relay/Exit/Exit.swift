internal import EventLoop
internal import Wire

/// The exit: the services for streams to the outside, and the parts that all of them share.
final class Exit {
    /// The longest time for resolving and connecting together.
    static let openLimit = TimeSpan.seconds(20)
    /// The age of a connection from which the kernel probes an idle destination; most connections end before.
    static let probedAfter = TimeSpan.seconds(30)
    /// How long bytes may wait for a socket whose stream has ended, while none of them moves.
    static let flushLimit = TimeSpan.seconds(60)
    /// The most such sockets of sessions that have ended; each has 64 KiB at most.
    static let flushingLimit = 1_024
    /// The most UDP associations.
    static let associationLimit = 8_192

    let loop: Loop
    let resolver: ExitResolver
    /// The destinations that streams and datagrams may go to.
    var policy: ExitPolicy
    /// The places of UDP associations.
    let associations = StreamPlaces(limit: Exit.associationLimit)
    /// The places of streams and associations that have sockets; their number is bounded by the process's free
    /// descriptors.
    ///
    /// A connecting stream or an association may use a few sockets for one place.
    let sockets: StreamPlaces
    /// The places of sockets that still have bytes to write after their sessions have ended.
    let flushing = StreamPlaces(limit: Exit.flushingLimit)
    /// The rates to hosts that have not answered.
    var hostRates: HostRates
    /// The dropped datagrams of all associations, by reason.
    var datagramDrops = DatagramDrops()

    /// An exit with the `configuration` of its relay.
    ///
    /// It connects to none of its `own` addresses.
    init(on loop: Loop, own: Set<IPAddress>, _ configuration: RelayConfiguration) throws(UVError) {
        self.loop = loop
        hostRates = HostRates(now: Instant(nanoseconds: loop.now))
        policy = ExitPolicy(allowed: configuration.exitAllowed, own: own, rules: configuration.exitRules)
        var setup = Resolver.Configuration()
        setup.servers = configuration.exitResolvers
        resolver = try ExitResolver(on: loop, configuration: setup)
        // A number above any descriptor limit: the free descriptors are the bound.
        sockets = StreamPlaces(limit: 1 << 30) { loop.hasDescriptorsToSpare }
    }

    /// The services by kind of request.
    var services: [OpenRequest.Kind: any StreamService] {
        let lookups = ExitLookup.Service(exit: self)
        return [
            .tcp: ExitConnection.Service(exit: self), .udp: ExitAssociation.Service(exit: self), .resolve: lookups,
            .resolvePointer: lookups, .records: lookups,
        ]
    }

    /// Cancels all look-ups and closes the resolver.
    func close() { resolver.close() }
}

extension OpenReply.Status {
    /// The status that a client gets for a failed look-up.
    init(_ error: ResolverError) {
        self =
            switch error {
            case .notFound, .invalidName: .hostNotFound
            case .timedOut: .timeout
            case .tooManyQueries, .failed: .generalFailure
            }
    }

    /// The status that a client gets for a failed connection.
    init(_ failure: UVError) {
        self =
            switch failure.kind {
            case .connectionRefused, .connectionReset: .refused
            case .timedOut: .timeout
            case .networkUnreachable: .networkUnreachable
            case .hostUnreachable: .hostUnreachable
            case .notPermitted: .notAllowed
            case .addressInUse, .noResources, .cancelled, .other: .generalFailure
            }
    }
}

internal import EventLoop
internal import Wire

/// The exit: what serves the streams to the outside, and what all of them share.
final class Exit {
    /// How long resolving and connecting may take together.
    static let openLimit = TimeSpan.seconds(20)
    /// How many UDP associations there may be.
    static let associationLimit = 8_192

    let loop: Loop
    let resolver: ExitResolver
    /// What streams and datagrams may go to.
    var policy: ExitPolicy
    /// The places of UDP associations.
    let associations = StreamPlaces(limit: Exit.associationLimit)
    /// The places of streams and associations that have sockets, as many as the process may have descriptors.
    ///
    /// Streams that connect, and associations, may have a few sockets for the one that is counted.
    let sockets: StreamPlaces
    /// Datagrams of all associations that went no further.
    var datagramDrops = DatagramDrops()

    /// An exit by the `configuration` of its relay, which opens nothing at its `own` addresses.
    init(on loop: Loop, own: Set<IPAddress>, _ configuration: RelayConfiguration) throws(UVError) {
        self.loop = loop
        policy = ExitPolicy(allowed: configuration.exitAllowed, own: own, rules: configuration.exitRules)
        var setup = Resolver.Configuration()
        setup.servers = configuration.exitResolvers
        resolver = ExitResolver(try Resolver(on: loop, configuration: setup))
        // More than a process can have descriptors: those are what is bounded.
        sockets = StreamPlaces(limit: 1 << 30) { loop.hasDescriptorsToSpare }
    }

    /// What it serves.
    var services: [OpenRequest.Kind: any StreamService] {
        let lookups = ExitLookup.Service(exit: self)
        return [
            .tcp: ExitConnection.Service(exit: self), .udp: ExitAssociation.Service(exit: self), .resolve: lookups,
            .resolvePointer: lookups, .records: lookups,
        ]
    }

    /// Forgets all look-ups.
    func close() { resolver.close() }
}

extension OpenReply.Status {
    /// What a client hears of a look-up that failed.
    init(_ error: ResolverError) {
        self =
            switch error {
            case .notFound, .invalidName: .hostNotFound
            case .timedOut: .timeout
            case .tooManyQueries, .failed: .generalFailure
            }
    }

    /// What a client hears of a connection that failed.
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

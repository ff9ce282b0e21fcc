internal import EventLoop
internal import Link
internal import Wire

/// Looks up names for all sessions of an exit.
///
/// Each source has a share of the pending queries, and within it each session.
final class ExitResolver {
    /// The most pending queries of all sessions.
    static let queryLimit = 4_096
    /// The most pending queries of one session.
    static let sessionLimit = 1_024

    /// A pending query, for ``cancel(_:)``.
    struct Query: Hashable { fileprivate let number: UInt64 }

    private struct Running {
        let query: Resolver.Query
        let refuse: () -> Void
    }

    private let resolver: Resolver
    private var places: SharedTable<LinkSource, ObjectIdentifier, UInt64>
    private var running: [UInt64: Running] = [:]
    private var nextNumber: UInt64 = 0

    /// Queries go to `resolver`, which may have more of them pending than `queryLimit`: those that lost their places to
    /// others.
    init(_ resolver: Resolver, queryLimit: Int = ExitResolver.queryLimit) {
        self.resolver = resolver
        places = SharedTable(capacity: queryLimit, most: min(Self.sessionLimit, queryLimit))
    }

    /// Whether no name server has answered recently.
    var isUnanswered: Bool { resolver.isUnanswered }

    /// The number of pending queries, cancelled ones included.
    var count: Int { places.count }

    /// Looks up `name` as `Resolver.resolve` does, for a stream that counts for `share`.
    ///
    /// Returns nil if that share has no query left.
    ///
    /// The callback gets `tooManyQueries` if the place goes to another share.
    func resolve(
        _ name: HostName, port: UInt16, for share: StreamShare, callback: @escaping (Resolver.Answer) -> Void
    ) -> Query? {
        begin(share, callback) { resolver.resolve(name.text, port: port, family: .ipv4First, callback: $0) }
    }

    /// Looks up the name of `address`, in the same way.
    func name(
        of address: SocketAddress, for share: StreamShare, callback: @escaping (Resolver.NameAnswer) -> Void
    ) -> Query? {
        begin(share, callback) { resolver.name(of: address, callback: $0) }
    }

    /// Asks for the records of `name`, in the same way.
    func records(
        of name: HostName, type: UInt16, for share: StreamShare, callback: @escaping (Resolver.MessageAnswer) -> Void
    ) -> Query? {
        begin(share, callback) { resolver.records(of: name.text, type: type, callback: $0) }
    }

    private func begin<Value>(
        _ share: StreamShare, _ callback: @escaping (Result<Value, ResolverError>) -> Void,
        _ ask: (@escaping (Result<Value, ResolverError>) -> Void) -> Resolver.Query
    ) -> Query? {
        let number = nextNumber
        nextNumber += 1
        let insertion = places.insert(number, for: share.session, in: share.source)
        if case .refused = insertion { return nil }
        let query = ask { [weak self] answer in
            guard let self else { return }
            places.remove(number)
            if running.removeValue(forKey: number) != nil { callback(answer) }
        }
        running[number] = Running(query: query) { callback(.failure(.tooManyQueries)) }
        if case .replaced(let other) = insertion, let loser = running.removeValue(forKey: other) {
            resolver.cancel(loser.query)
            loser.refuse()
        }
        return Query(number: number)
    }

    /// Cancels a query.
    ///
    /// Its callback is not called.
    ///
    /// Its place stays taken until the resolver is done with it. Otherwise a session could have any number of queries
    /// pending, by cancelling each at once.
    func cancel(_ query: Query) { running[query.number] = nil }

    /// Cancels all queries and closes the resolver's sockets.
    func close() {
        running = [:]
        resolver.close()
    }
}

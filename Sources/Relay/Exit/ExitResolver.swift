internal import EventLoop
internal import Link
internal import Wire

/// Looks names up for all sessions of an exit: each source has a share of the queries that may be under way, and in it each session.
final class ExitResolver {
    /// How many queries may be under way for all sessions.
    static let queryLimit = 4_096
    /// How many queries may be under way for one session.
    static let sessionLimit = 1_024

    /// A query under way, to cancel it by.
    struct Query: Hashable { fileprivate let number: UInt64 }

    private struct Running {
        let query: Resolver.Query
        let refuse: () -> Void
    }

    private let resolver: Resolver
    private var places: SharedTable<LinkSource, ObjectIdentifier, UInt64>
    private var running: [UInt64: Running] = [:]
    private var nextNumber: UInt64 = 0

    /// Asks `resolver`, which may have more queries under way than `queryLimit`: those that gave their places to others.
    init(_ resolver: Resolver, queryLimit: Int = ExitResolver.queryLimit) {
        self.resolver = resolver
        places = SharedTable(capacity: queryLimit, most: min(Self.sessionLimit, queryLimit))
    }

    /// Whether no name server has answered of late.
    var isUnanswered: Bool { resolver.isUnanswered }

    /// How many queries are under way, those that were given up among them.
    var count: Int { places.count }

    /// Looks `name` up as `Resolver.resolve` does, for a stream that counts for `share`; nil when that has none left.
    ///
    /// The callback gets `tooManyQueries` when another share is given the place.
    func resolve(
        _ name: HostName, port: UInt16, for share: StreamShare, callback: @escaping (Resolver.Answer) -> Void
    ) -> Query? {
        begin(share, callback) { resolver.resolve(name.text, port: port, family: .ipv4First, callback: $0) }
    }

    /// Looks the name of `address` up, likewise.
    func name(
        of address: SocketAddress, for share: StreamShare, callback: @escaping (Resolver.NameAnswer) -> Void
    ) -> Query? {
        begin(share, callback) { resolver.name(of: address, callback: $0) }
    }

    /// Asks for records, likewise.
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

    /// Forgets a query: its callback is not called.
    ///
    /// Its place stays taken until the resolver is done with it. Otherwise one session could have any number under way, by
    /// giving each up at once.
    func cancel(_ query: Query) { running[query.number] = nil }

    /// Forgets all queries and closes the sockets.
    func close() {
        running = [:]
        resolver.close()
    }
}

internal import EventLoop
internal import Link
internal import Wire

/// Looks up names for all sessions of an exit.
///
/// Each source has a share of the look-ups whose answers are awaited, and within it each session. It has a share of the
/// resolver's work too (``LookupSlots``), which look-ups count for until the resolver is done with them. A look-up
/// without a slot waits in line until one of its source's ends.
final class ExitResolver {
    /// The most look-ups of all sessions whose answers are awaited.
    static let queryLimit = 4_096
    /// The most of one session.
    static let sessionLimit = 1_024
    /// How many sessions in line are asked when a slot is free.
    private static let mostAsked = 8

    /// A look-up, for ``cancel(_:)``.
    struct Query: Hashable { fileprivate let number: UInt64 }

    private struct Lookup {
        let share: StreamShare
        /// Asks the resolver.
        let ask: () -> Resolver.Query
        let refuse: () -> Void
        /// The resolver's number for it; nil while it waits in line.
        var query: Resolver.Query?
    }

    private struct Work {
        let number: UInt64
        let slot: LookupSlots.Slot
        let source: LinkSource
    }

    private let resolver: Resolver
    private var places: SharedTable<LinkSource, ObjectIdentifier, UInt64>
    /// The look-ups whose answers are awaited.
    private var lookups: [UInt64: Lookup] = [:]
    /// What the resolver works on.
    private var slots = LookupSlots()
    private var works: [Resolver.Query: Work] = [:]
    /// The look-ups of each source that wait for a slot: only while the source has one.
    private var lines: [LinkSource: LookupLine] = [:]
    private var nextNumber: UInt64 = 0

    /// Look-ups go to `resolver`, which must have room for ``LookupSlots/capacity`` of them.
    init(_ resolver: Resolver, queryLimit: Int = ExitResolver.queryLimit) {
        self.resolver = resolver
        places = SharedTable(capacity: queryLimit, most: min(Self.sessionLimit, queryLimit))
        resolver.ended = { [weak self] in self?.ended($0) }
    }

    /// Whether no name server has answered recently.
    var isUnanswered: Bool { resolver.isUnanswered }

    /// The number of look-ups that have places, cancelled ones included.
    var count: Int { places.count }
    /// The number of look-ups that the resolver works on.
    var workCount: Int { slots.count }

    /// Looks up `name` as `Resolver.resolve` does, for a stream that counts for `share`.
    ///
    /// Returns nil if that share has no place left.
    ///
    /// The callback gets `tooManyQueries` if the place goes to another share.
    func resolve(
        _ name: HostName, port: UInt16, for share: StreamShare, callback: @escaping (Resolver.Answer) -> Void
    ) -> Query? {
        begin(share, callback) { [resolver] in
            resolver.resolve(name.text, port: port, family: .ipv4First, callback: $0)
        }
    }

    /// Looks up the name of `address`, in the same way.
    func name(
        of address: SocketAddress, for share: StreamShare, callback: @escaping (Resolver.NameAnswer) -> Void
    ) -> Query? {
        begin(share, callback) { [resolver] in resolver.name(of: address, callback: $0) }
    }

    /// Asks for the records of `name`, in the same way.
    func records(
        of name: HostName, type: UInt16, for share: StreamShare, callback: @escaping (Resolver.MessageAnswer) -> Void
    ) -> Query? {
        begin(share, callback) { [resolver] in resolver.records(of: name.text, type: type, callback: $0) }
    }

    private func begin<Value>(
        _ share: StreamShare, _ callback: @escaping (Result<Value, ResolverError>) -> Void,
        _ ask: @escaping (@escaping (Result<Value, ResolverError>) -> Void) -> Resolver.Query
    ) -> Query? {
        let number = nextNumber
        nextNumber += 1
        let isInLine = lines[share.source]?.holds(share.session) == true
        let slot = isInLine ? nil : slots.take(for: share)
        // Only the end of a look-up of its source brings a slot to one in line.
        guard slot != nil || slots.count(of: share.source) > 0 else { return nil }
        let insertion = places.insert(number, for: share.session, in: share.source)
        if case .refused = insertion {
            if let slot { slots.release(slot) }
            return nil
        }
        lookups[number] = Lookup(
            share: share,
            ask: {
                ask { [weak self] answer in
                    if self?.lookups.removeValue(forKey: number) != nil { callback(answer) }
                }
            },
            refuse: { callback(.failure(.tooManyQueries)) })
        if let slot {
            work(on: number, slot)
        } else {
            lines[share.source, default: LookupLine()].add(number, of: share.session)
        }
        if case .replaced(let other) = insertion, let loser = lookups.removeValue(forKey: other) {
            giveUp(other, loser)
            loser.refuse()
        }
        return Query(number: number)
    }

    private func work(on number: UInt64, _ slot: LookupSlots.Slot) {
        guard let lookup = lookups[number] else { return slots.release(slot) }
        let query = lookup.ask()
        lookups[number]?.query = query
        works[query] = Work(number: number, slot: slot, source: lookup.share.source)
    }

    /// Leaves a look-up to the resolver, which works on it until its time is over, or takes it out of the line.
    private func giveUp(_ number: UInt64, _ lookup: Lookup) {
        if let query = lookup.query {
            resolver.cancel(query)
        } else {
            places.remove(number)
            lines[lookup.share.source]?.remove(number, of: lookup.share.session)
            if lines[lookup.share.source]?.isEmpty == true { lines[lookup.share.source] = nil }
        }
    }

    /// The resolver is done with a query: its slot goes to those of its source that wait.
    private func ended(_ query: Resolver.Query) {
        guard let work = works.removeValue(forKey: query) else { return }
        slots.release(work.slot)
        places.remove(work.number)
        let asked = min(lines[work.source]?.sessions ?? 0, Self.mostAsked)
        for _ in 0..<asked {
            guard let next = lines[work.source]?.next() else { break }
            guard let slot = slots.take(for: StreamShare(source: work.source, session: next.session)) else { continue }
            lines[work.source]?.remove(next.number, of: next.session)
            self.work(on: next.number, slot)
        }
        if lines[work.source]?.isEmpty == true { lines[work.source] = nil }
    }

    /// Cancels a look-up.
    ///
    /// Its callback is not called.
    ///
    /// Its place and its slot stay taken until the resolver is done with it. Otherwise a session could have any number
    /// of them, by cancelling each at once.
    func cancel(_ query: Query) {
        if let lookup = lookups.removeValue(forKey: query.number) { giveUp(query.number, lookup) }
    }

    /// Cancels all look-ups and closes the resolver's sockets.
    func close() {
        lookups = [:]
        lines = [:]
        resolver.close()
    }
}

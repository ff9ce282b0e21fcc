internal import EventLoop
internal import Link
internal import Wire

/// Looks up names for all sessions of an exit.
///
/// Look-ups that wait for an answer have places, which sources and their sessions share. A look-up on which the
/// resolver works also has a slot (``LookupSlots``), until the resolver is done with it. A look-up without a slot waits
/// in a queue until another look-up of the same source ends.
final class ExitResolver {
    /// The most look-ups of all sessions whose answers are awaited.
    static let queryLimit = 4_096
    /// The most look-ups of one session that wait for an answer.
    static let sessionLimit = 1_024
    /// The most sessions in a queue that are tried when a slot becomes free.
    private static let mostAsked = 8

    /// A look-up, for ``cancel(_:)``.
    struct Query: Hashable { fileprivate let number: UInt64 }

    private struct Lookup {
        let share: StreamShare
        /// Asks the resolver.
        let ask: () -> Resolver.Query
        let refuse: () -> Void
        /// The resolver's query; nil while the look-up waits in a queue.
        var query: Resolver.Query?
    }

    private struct Work {
        let number: UInt64
        let slot: LookupSlots.Slot
        let group: LinkSource.Group
    }

    /// Made last by the initialiser, since it reports to this object.
    private var resolver: Resolver!
    private var places: SharedTable<LinkSource.Group, ObjectIdentifier, UInt64>
    /// The look-ups that wait for an answer.
    private var lookups: [UInt64: Lookup] = [:]
    /// The slots of the look-ups on which the resolver works.
    private var slots = LookupSlots()
    private var works: [Resolver.Query: Work] = [:]
    /// The look-ups of each source that wait for a slot; a source waits only while it holds slots.
    private var queues: [LinkSource.Group: LookupQueue] = [:]
    private var nextNumber: UInt64 = 0

    /// A resolver for sessions, whose `configuration` must have room for ``LookupSlots/capacity`` queries.
    init(
        on loop: Loop, configuration: Resolver.Configuration = Resolver.Configuration(),
        queryLimit: Int = ExitResolver.queryLimit
    ) throws(UVError) {
        places = SharedTable(capacity: queryLimit, most: min(Self.sessionLimit, queryLimit))
        resolver = try Resolver(on: loop, configuration: configuration) { [weak self] in self?.ended($0) }
    }

    /// Whether no name server has answered recently.
    var isUnanswered: Bool { resolver.isUnanswered }

    /// The number of look-ups that have places, cancelled ones included.
    var count: Int { places.count }
    /// The number of look-ups on which the resolver works.
    var workCount: Int { slots.count }

    /// Looks up `name` as `Resolver.resolve` does, for a stream that counts for `share`.
    ///
    /// Returns nil if that share has no place left. The callback gets `tooManyQueries` if the place goes to another
    /// share.
    func resolve(
        _ name: HostName, port: UInt16, for share: StreamShare, callback: @escaping (Resolver.Answer) -> Void
    ) -> Query? {
        begin(share, callback) { [unowned self] in
            resolver.resolve(name.text, port: port, family: .ipv4First, callback: $0)
        }
    }

    /// Looks up the name of `address`, in the same way.
    func name(
        of address: SocketAddress, for share: StreamShare, callback: @escaping (Resolver.NameAnswer) -> Void
    ) -> Query? {
        begin(share, callback) { [unowned self] in resolver.name(of: address, callback: $0) }
    }

    /// Asks for the records of `name`, in the same way.
    func records(
        of name: HostName, type: UInt16, for share: StreamShare, callback: @escaping (Resolver.MessageAnswer) -> Void
    ) -> Query? {
        begin(share, callback) { [unowned self] in resolver.records(of: name.text, type: type, callback: $0) }
    }

    private func begin<Value>(
        _ share: StreamShare, _ callback: @escaping (Result<Value, ResolverError>) -> Void,
        _ ask: @escaping (@escaping (Result<Value, ResolverError>) -> Void) -> Resolver.Query
    ) -> Query? {
        let number = nextNumber
        nextNumber += 1
        let isQueued = queues[share.group]?.holds(share.session) == true
        let slot = isQueued ? nil : slots.take(for: share)
        // A look-up in a queue gets a slot only when another look-up of its source ends.
        guard slot != nil || slots.count(of: share.group) > 0 else { return nil }
        let insertion = places.insert(number, for: share.session, in: share.group)
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
            queues[share.group, default: LookupQueue()].add(number, of: share.session)
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
        works[query] = Work(number: number, slot: slot, group: lookup.share.group)
    }

    /// Gives up a look-up: one in a queue is removed; the resolver works on any other until its time is over.
    private func giveUp(_ number: UInt64, _ lookup: Lookup) {
        if let query = lookup.query {
            resolver.cancel(query)
        } else {
            places.remove(number)
            queues[lookup.share.group]?.remove(number, of: lookup.share.session)
            if queues[lookup.share.group]?.isEmpty == true { queues[lookup.share.group] = nil }
        }
    }

    /// The resolver is done with a query: its slot goes to a look-up in a queue of the same source.
    private func ended(_ query: Resolver.Query) {
        guard let work = works.removeValue(forKey: query) else { return }
        slots.release(work.slot)
        places.remove(work.number)
        let asked = min(queues[work.group]?.sessions ?? 0, Self.mostAsked)
        for _ in 0..<asked {
            guard let next = queues[work.group]?.next() else { break }
            guard let share = lookups[next.number]?.share, let slot = slots.take(for: share) else { continue }
            queues[work.group]?.remove(next.number, of: next.session)
            self.work(on: next.number, slot)
        }
        if queues[work.group]?.isEmpty == true { queues[work.group] = nil }
    }

    /// Cancels a look-up; its callback is not called.
    ///
    /// The look-up keeps its place and its slot until the resolver is done with it. Otherwise a session could cancel
    /// each look-up at once, and keep the resolver busy with any number of them.
    func cancel(_ query: Query) {
        if let lookup = lookups.removeValue(forKey: query.number) { giveUp(query.number, lookup) }
    }

    /// Cancels all look-ups and closes the resolver's sockets.
    func close() {
        lookups = [:]
        queues = [:]
        resolver.close()
    }
}

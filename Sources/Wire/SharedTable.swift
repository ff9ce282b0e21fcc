/// The entries of a bounded table, by holder and by age (docs/architecture/state.md, "Shares").
///
/// It stores no values: it returns the entry that must be removed for a new one, by the rule of `Shares`, and the
/// table's owner removes that one. Sources may belong to groups: the group with the most loses an entry, and in it the
/// source with the most. The owner can mark an entry as *busy*. A source that loses an entry loses its oldest idle one,
/// and a busy one only if it has no other. A source that holds nothing gets the place of the oldest idle entry, even if
/// all sources hold the same number: of its own group if that has places, otherwise of all. Every operation takes
/// constant time.
public struct SharedTable<Group: Hashable & Sendable, Source: Hashable & Sendable, Entry>: Sendable
where Entry: Hashable & Sendable {
    /// The result of an insertion.
    public enum Insertion: Equatable, Sendable {
        /// The entry has a place.
        case inserted
        /// The entry has the place of this one, which was removed from the table.
        case replaced(Entry)
        /// There is no place for the entry.
        case refused
    }

    @usableFromInline
    struct Holder: Hashable, Sendable {
        @usableFromInline let group: Group
        @usableFromInline let source: Source

        @inlinable
        init(group: Group, source: Source) {
            self.group = group
            self.source = source
        }
    }

    @usableFromInline
    struct Holding: Sendable {
        @usableFromInline var idle = AgeQueue<Entry>()
        @usableFromInline var busy = AgeQueue<Entry>()

        @inlinable init() {}
    }

    @usableFromInline let most: Int
    @usableFromInline var shares: GroupedShares<Group, Source>
    @usableFromInline var holders: [Entry: Holder] = [:]
    @usableFromInline var holdings: [Holder: Holding] = [:]
    /// The idle entries of all sources.
    @usableFromInline var idle = AgeQueue<Entry>()

    /// A table of `capacity` places, of which one source holds at most `most`.
    @inlinable
    public init(capacity: Int, most: Int) {
        self.most = most
        shares = GroupedShares(capacity: capacity)
    }

    /// How many entries there are.
    @inlinable public var count: Int { holders.count }
    /// How many entries `source` of `group` holds.
    @inlinable
    public func count(of source: Source, in group: Group) -> Int { shares.places(of: source, in: group) }

    /// Inserts a new entry, as the youngest idle one.
    ///
    /// `isFull` says that no further entry can be created although the table has places, because another resource of
    /// the entries is used up. With `replacesOwn`, a source for which nobody else gives way gets the place of its own
    /// oldest idle entry: for tables whose sources stand for many parties, and whose idle entries cost little to lose.
    @inlinable
    public mutating func insert(
        _ entry: Entry, for source: Source, in group: Group, isFull: Bool = false, replacesOwn: Bool = false
    ) -> Insertion {
        precondition(holders[entry] == nil, "an entry comes once")
        let own = shares.places(of: source, in: group)
        let isOver = own >= most
        var removed: Entry?
        if isOver || isFull || shares.count >= shares.capacity {
            if !isOver { removed = loser(to: group, own) ?? (own == 0 ? oldestIdle(for: group) : nil) }
            if removed == nil, replacesOwn {
                removed = holdings[Holder(group: group, source: source)]?.idle.oldest
            }
            guard let removed else { return .refused }
            remove(removed)
        }
        let holder = Holder(group: group, source: source)
        shares.add(source, in: group)
        holders[entry] = holder
        holdings[holder, default: Holding()].idle.append(entry)
        idle.append(entry)
        return removed.map { .replaced($0) } ?? .inserted
    }

    /// The entry to remove for one of a source of `group` that holds `own`: of the source with the most, in the group
    /// with the most.
    @inlinable
    func loser(to group: Group, _ own: Int) -> Entry? {
        guard let largest = shares.largest else { return nil }
        let losing = shares.places(of: largest) > shares.places(of: group) + 1 ? largest : group
        guard let source = shares.largest(in: losing),
            losing != group || shares.places(of: source, in: group) > own + 1
        else { return nil }
        return holdings[Holder(group: losing, source: source)].flatMap { $0.idle.oldest ?? $0.busy.oldest }
    }

    /// The idle entry to remove for a source that holds nothing: of all, or of its own group if that already has
    /// places.
    @inlinable
    func oldestIdle(for group: Group) -> Entry? {
        guard shares.places(of: group) > 0 else { return idle.oldest }
        return shares.largest(in: group).flatMap { holdings[Holder(group: group, source: $0)]?.idle.oldest }
    }

    /// Removes an entry; has no effect if it is not there.
    @inlinable
    public mutating func remove(_ entry: Entry) {
        guard let holder = holders.removeValue(forKey: entry) else { return }
        shares.release(holder.source, in: holder.group)
        idle.remove(entry)
        holdings[holder]?.idle.remove(entry)
        holdings[holder]?.busy.remove(entry)
        if shares.places(of: holder.source, in: holder.group) == 0 { holdings[holder] = nil }
    }

    /// Marks an entry as busy, or as idle, from when on it is the youngest idle one; has no effect if it is not there.
    @inlinable
    public mutating func setBusy(_ entry: Entry, _ isBusy: Bool) {
        guard let holder = holders[entry] else { return }
        idle.remove(entry)
        holdings[holder]?.idle.remove(entry)
        holdings[holder]?.busy.remove(entry)
        if isBusy {
            holdings[holder]?.busy.append(entry)
        } else {
            holdings[holder]?.idle.append(entry)
            idle.append(entry)
        }
    }
}

extension SharedTable where Group == Source {
    /// How many entries `source` holds.
    @inlinable
    public func count(of source: Source) -> Int { count(of: source, in: source) }

    /// Inserts an entry of a source that is its own group.
    @inlinable
    public mutating func insert(_ entry: Entry, for source: Source, replacesOwn: Bool = false) -> Insertion {
        insert(entry, for: source, in: source, replacesOwn: replacesOwn)
    }
}

/// Elements in order of insertion; each operation takes constant time on average.
@usableFromInline
struct AgeQueue<Element: Hashable & Sendable>: Sendable {
    @usableFromInline var items: [Element?] = []
    /// The first index that may have an element.
    @usableFromInline var head = 0
    @usableFromInline var places: [Element: Int] = [:]

    @inlinable init() {}

    @inlinable var count: Int { places.count }

    /// The element that was inserted first.
    @inlinable var oldest: Element? { head < items.count ? items[head] : nil }

    /// Inserts an element that is not there.
    @inlinable
    mutating func append(_ element: Element) {
        places[element] = items.count
        items.append(element)
    }

    /// Removes an element if it is there.
    @inlinable
    mutating func remove(_ element: Element) {
        guard let place = places.removeValue(forKey: element) else { return }
        items[place] = nil
        while head < items.count, items[head] == nil { head += 1 }
        if items.count > 2 * places.count + 16 {
            items = items[head...].filter { $0 != nil }
            head = 0
            for (place, element) in items.enumerated() { if let element { places[element] = place } }
        }
    }
}

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
        @usableFromInline var idle = NumberLinks.List()
        @usableFromInline var busy = NumberLinks.List()

        @inlinable init() {}
    }

    @usableFromInline
    struct State: Sendable {
        @usableFromInline let holder: Int
        @usableFromInline var isBusy = false

        @inlinable
        init(holder: Int) { self.holder = holder }
    }

    @usableFromInline let most: Int
    @usableFromInline var shares: GroupedShares<Group, Source>
    @usableFromInline var entries = Slots<Entry, State>()
    @usableFromInline var holders = Slots<Holder, Holding>()
    /// The entries of each holder, the idle and the busy ones.
    @usableFromInline var ofHolders = NumberLinks()
    /// The idle entries of all holders.
    @usableFromInline var ofAll = NumberLinks()
    @usableFromInline var idle = NumberLinks.List()

    /// A table of `capacity` places, of which one source holds at most `most`.
    @inlinable
    public init(capacity: Int, most: Int) {
        self.most = most
        shares = GroupedShares(capacity: capacity)
    }

    /// How many entries there are.
    @inlinable public var count: Int { entries.count }
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
        precondition(entries.number(of: entry) == nil, "an entry comes once")
        let own = shares.places(of: source, in: group)
        let isOver = own >= most
        var removed: Entry?
        if isOver || isFull || shares.count >= shares.capacity {
            if !isOver { removed = loser(to: group, own) ?? (own == 0 ? oldestIdle(for: group) : nil) }
            if removed == nil, replacesOwn { removed = oldest(of: source, in: group, orBusy: false) }
            guard let removed else { return .refused }
            remove(removed)
        }
        let key = Holder(group: group, source: source)
        let holder = holders.number(of: key) ?? holders.insert(key, Holding())
        shares.add(source, in: group)
        let number = entries.insert(entry, State(holder: holder))
        ofHolders.append(number, to: &holders[holder].idle)
        ofAll.append(number, to: &idle)
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
        return oldest(of: source, in: losing, orBusy: true)
    }

    /// The idle entry to remove for a source that holds nothing: of all, or of its own group if that already has
    /// places.
    @inlinable
    func oldestIdle(for group: Group) -> Entry? {
        guard shares.places(of: group) > 0 else { return idle.oldest.flatMap { entries.key(of: $0) } }
        return shares.largest(in: group).flatMap { oldest(of: $0, in: group, orBusy: false) }
    }

    /// The oldest idle entry of a source; if it has none, its oldest busy one where that counts too.
    @inlinable
    func oldest(of source: Source, in group: Group, orBusy: Bool) -> Entry? {
        guard let number = holders.number(of: Holder(group: group, source: source)) else { return nil }
        let holding = holders[number]
        return (holding.idle.oldest ?? (orBusy ? holding.busy.oldest : nil)).flatMap { entries.key(of: $0) }
    }

    /// Removes an entry; has no effect if it is not there.
    @inlinable
    public mutating func remove(_ entry: Entry) {
        guard let number = entries.number(of: entry) else { return }
        let holder = entries[number].holder
        unlink(number)
        entries.remove(number)
        guard let key = holders.key(of: holder) else { return }
        shares.release(key.source, in: key.group)
        if holders[holder].idle.isEmpty, holders[holder].busy.isEmpty { holders.remove(holder) }
    }

    /// Marks an entry as busy, or as idle, from when on it is the youngest idle one; has no effect if it is not there.
    @inlinable
    public mutating func setBusy(_ entry: Entry, _ isBusy: Bool) {
        guard let number = entries.number(of: entry) else { return }
        let holder = entries[number].holder
        unlink(number)
        entries[number].isBusy = isBusy
        if isBusy {
            ofHolders.append(number, to: &holders[holder].busy)
        } else {
            ofHolders.append(number, to: &holders[holder].idle)
            ofAll.append(number, to: &idle)
        }
    }

    /// Takes an entry out of the lists in which it is.
    @inlinable
    mutating func unlink(_ number: Int) {
        let holder = entries[number].holder
        guard !entries[number].isBusy else { return ofHolders.remove(number, from: &holders[holder].busy) }
        ofHolders.remove(number, from: &holders[holder].idle)
        ofAll.remove(number, from: &idle)
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

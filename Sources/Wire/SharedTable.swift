/// The entries of a bounded table, by who holds them and by age (docs/architecture.md, "Shares").
///
/// It keeps no values: it says which entry has to go when another comes, by the rule of `Shares`, and its owner ends that one.
/// An entry is *busy* as long as its owner says so. Where a source has to give way its oldest idle entry goes, and a busy one only
/// when it has no other. A source that holds nothing gets the place of the oldest idle entry of all, even when all have equally much.
/// Every operation takes constant time.
public struct SharedTable<Source: Hashable & Sendable, Entry: Hashable & Sendable>: Sendable {
    /// What became of an entry that came.
    public enum Insertion: Equatable, Sendable {
        /// It has a place.
        case inserted
        /// It has the place of this entry, which is in the table no more.
        case replaced(Entry)
        /// There is no place for it.
        case refused
    }

    private struct Holding: Sendable {
        var idle = AgeQueue<Entry>()
        var busy = AgeQueue<Entry>()
    }

    private var shares: Shares<Source>
    private var holders: [Entry: Source] = [:]
    private var holdings: [Source: Holding] = [:]
    /// The idle entries of all.
    private var idle = AgeQueue<Entry>()

    /// A table of `capacity` places, of which one source holds `most` at the most.
    public init(capacity: Int, most: Int) { shares = Shares(capacity: capacity, most: most) }

    /// How many entries there are.
    public var count: Int { holders.count }
    /// How many entries `source` holds.
    public func count(of source: Source) -> Int { shares.places(of: source) }

    /// Puts in an entry that is not there, idle and young.
    public mutating func insert(_ entry: Entry, for source: Source) -> Insertion {
        precondition(holders[entry] == nil, "an entry comes once")
        var removed: Entry?
        switch shares.take(for: source) {
        case .granted: break
        case .shareUsed: return .refused
        case .makeRoom(let largest):
            removed = holdings[largest].flatMap { $0.idle.oldest ?? $0.busy.oldest }
        case .full:
            guard shares.places(of: source) == 0, let oldest = idle.oldest else { return .refused }
            removed = oldest
        }
        if let removed {
            remove(removed)
            guard shares.take(for: source) == .granted else { preconditionFailure("a place has just become free") }
        }
        holders[entry] = source
        holdings[source, default: Holding()].idle.append(entry)
        idle.append(entry)
        return removed.map { .replaced($0) } ?? .inserted
    }

    /// Takes an entry out; nothing happens when it is not there.
    public mutating func remove(_ entry: Entry) {
        guard let source = holders.removeValue(forKey: entry) else { return }
        shares.release(source)
        idle.remove(entry)
        holdings[source]?.idle.remove(entry)
        holdings[source]?.busy.remove(entry)
        if shares.places(of: source) == 0 { holdings[source] = nil }
    }

    /// Says that an entry is in use, or not any more, from when on it is the youngest idle one; nothing happens when it is not there.
    public mutating func setBusy(_ entry: Entry, _ isBusy: Bool) {
        guard let source = holders[entry] else { return }
        idle.remove(entry)
        holdings[source]?.idle.remove(entry)
        holdings[source]?.busy.remove(entry)
        if isBusy {
            holdings[source]?.busy.append(entry)
        } else {
            holdings[source]?.idle.append(entry)
            idle.append(entry)
        }
    }
}

/// Elements in the order in which they came; each operation takes constant time, on average.
struct AgeQueue<Element: Hashable & Sendable>: Sendable {
    private var items: [Element?] = []
    /// The first that may be an element.
    private var head = 0
    private var places: [Element: Int] = [:]

    var count: Int { places.count }

    /// The element that came first.
    var oldest: Element? { head < items.count ? items[head] : nil }

    /// Puts in an element that is not there.
    mutating func append(_ element: Element) {
        places[element] = items.count
        items.append(element)
    }

    /// Takes an element out, if it is there.
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

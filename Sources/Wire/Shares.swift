/// The places of a bounded table by source, and the source that loses one when it is full (docs/architecture/state.md,
/// "Shares").
///
/// Every table that strangers can fill uses the same rule:
///
/// 1. No source holds more than `most` places, except while fewer than `freely` are taken in all.
/// 2. While places are free, a source below its limit gets one.
/// 3. In a full table the source with the most gives one up to a source that holds at least two fewer.
///
/// So a flood from one source costs only its own places, and each of n equal sources keeps a share of 1/n. This type
/// counts; the owner has the table. Every operation takes constant time. If an entry has a size, the places are units
/// of it, and an entry takes several at once.
public struct Shares<Source: Hashable & Sendable>: Sendable {
    /// The answer to a source that asks for a place.
    public enum Admission: Equatable, Sendable {
        /// A place, which is now counted.
        case granted
        /// No place yet: remove an entry of this source from the table (and `release` it), then ask again.
        case makeRoom(Source)
        /// No place: the source has its limit.
        case shareUsed
        /// No place: the table is full, and no source holds more than this one would.
        case full
    }

    /// The number of places.
    public let capacity: Int
    /// The most places of one source.
    public let most: Int
    /// How many places may be taken in all before `most` applies.
    public let freely: Int
    /// The number of taken places.
    @inlinable public var count: Int { taken }
    @usableFromInline var taken = 0
    @usableFromInline var holders = Slots<Source, Int>()
    /// The numbers of the sources that hold n places, at index n.
    @usableFromInline var levels: [NumberLinks.List] = [NumberLinks.List()]
    @usableFromInline var links = NumberLinks()

    /// A table of `capacity` places, of which one source holds at most `most` once `freely` are taken.
    @inlinable
    public init(capacity: Int, most: Int, freely: Int = 0) {
        precondition(capacity > 0 && most > 0, "a table has places")
        self.capacity = capacity
        self.most = min(most, capacity)
        self.freely = min(freely, capacity)
    }

    /// How many sources hold a place.
    @inlinable public var sources: Int { holders.count }

    /// How many places `source` holds.
    @inlinable
    public func places(of source: Source) -> Int { holders.number(of: source).map { holders[$0] } ?? 0 }

    /// A source that holds as many places as any; nil while all are free.
    @inlinable public var largest: Source? {
        levels[levels.count - 1].oldest.flatMap { holders.key(of: $0) }
    }

    /// Takes `places` for `source`, or returns why there are none.
    @inlinable
    public mutating func take(for source: Source, places: Int = 1) -> Admission {
        let admission = admission(for: source, places: places)
        if admission == .granted { add(source, places: places) }
        return admission
    }

    /// The answer that `take` would give.
    @inlinable
    public func admission(for source: Source, places: Int = 1) -> Admission {
        let own = self.places(of: source)
        guard own + places <= most || count + places <= freely else { return .shareUsed }
        if count + places > capacity {
            guard levels.count - 1 > own + places, let largest else { return .full }
            return .makeRoom(largest)
        }
        return .granted
    }

    /// Counts `places` of `source` whatever its share and the table's size: for entries that got their places
    /// otherwise.
    @inlinable
    public mutating func add(_ source: Source, places: Int = 1) {
        guard places > 0 else { return }
        move(holders.number(of: source) ?? holders.insert(source, 0), by: places)
    }

    /// Returns `places` of `source`; has no effect for a source without places.
    @inlinable
    public mutating func release(_ source: Source, places: Int = 1) {
        guard places > 0 else { return }
        guard let number = holders.number(of: source), holders[number] >= places else {
            return assertionFailure("a place is given back by who holds it")
        }
        move(number, by: -places)
        if holders[number] == 0 { holders.remove(number) }
    }

    @inlinable
    mutating func move(_ number: Int, by places: Int) {
        let (old, new) = (holders[number], holders[number] + places)
        if old > 0 { links.remove(number, from: &levels[old]) }
        while new >= levels.count { levels.append(NumberLinks.List()) }
        if new > 0 { links.append(number, to: &levels[new]) }
        while levels.count > 1, levels[levels.count - 1].isEmpty { levels.removeLast() }
        holders[number] = new
        taken += places
    }
}

/// The source that an address counts for: an IPv4 address itself, an IPv6 address's /56, which one subscriber gets.
public struct AddressShare: Hashable, Sendable {
    private let key: UInt64

    /// The source that `address` belongs to.
    public init(_ address: IPAddress) {
        // No /56 of global addresses begins with 32 zero bits.
        key = address.v4.map(UInt64.init) ?? address.high & ~0xff
    }

    /// The network that the source belongs to.
    public var network: NetworkShare { NetworkShare(key: key) }
}

/// A network of addresses that may belong to one party: a /24 of IPv4 or a /48 of IPv6, which are 256 sources each.
public struct NetworkShare: Hashable, Sendable {
    private let key: UInt64

    fileprivate init(key: UInt64) { self.key = key >> 32 == 0 ? key & ~0xff : key & ~0xffff }

    /// The network that `address` belongs to.
    public init(_ address: IPAddress) { self = AddressShare(address).network }
}

/// The places of a table whose sources belong to groups, by group and by source in it.
///
/// It counts like `Shares`. A group with many sources is as large as one with a single source of as many places.
public struct GroupedShares<Group: Hashable & Sendable, Source: Hashable & Sendable>: Sendable {
    @usableFromInline var groups: Shares<Group>
    /// The sources of each group, by the group's number; empty for a number that no group has.
    @usableFromInline var members: [Shares<Source>] = []

    /// A table of `capacity` places.
    @inlinable
    public init(capacity: Int) { groups = Shares(capacity: capacity, most: capacity) }

    /// How many places there are.
    @inlinable public var capacity: Int { groups.capacity }
    /// How many places are taken.
    @inlinable public var count: Int { groups.count }
    /// A group that holds as many places as any; nil while all are free.
    @inlinable public var largest: Group? { groups.largest }

    /// How many places `group` holds.
    @inlinable
    public func places(of group: Group) -> Int { groups.places(of: group) }

    /// How many places `source` of `group` holds.
    @inlinable
    public func places(of source: Source, in group: Group) -> Int {
        groups.holders.number(of: group).map { members[$0].places(of: source) } ?? 0
    }

    /// A source that holds as many places as any of `group`.
    @inlinable
    public func largest(in group: Group) -> Source? {
        groups.holders.number(of: group).flatMap { members[$0].largest }
    }

    /// Counts places of `source`.
    @inlinable
    public mutating func add(_ source: Source, in group: Group, places: Int = 1) {
        guard places > 0 else { return }
        let number = groups.holders.number(of: group) ?? groups.holders.insert(group, 0)
        groups.move(number, by: places)
        while members.count <= number {
            members.append(Shares(capacity: groups.capacity, most: groups.capacity))
        }
        members[number].add(source, places: places)
    }

    /// Returns places of `source`.
    @inlinable
    public mutating func release(_ source: Source, in group: Group, places: Int = 1) {
        guard places > 0 else { return }
        guard let number = groups.holders.number(of: group), members[number].places(of: source) >= places else {
            return assertionFailure("a place is given back by who holds it")
        }
        members[number].release(source, places: places)
        groups.release(group, places: places)
        // The next group with this number begins without what this one has allocated.
        if members[number].count == 0 {
            members[number] = Shares(capacity: groups.capacity, most: groups.capacity)
        }
    }
}

/// One entry's part of memory that all entries share.
public struct MemoryHolder<Source: Hashable & Sendable>: Sendable {
    /// The source that it counts for.
    public var source: Source
    /// How many bytes it holds.
    public var bytes: Int
    /// Whether it has made no progress for a while.
    public var isStalled: Bool

    /// An entry that holds `bytes`.
    public init(source: Source, bytes: Int, isStalled: Bool = false) {
        self.source = source
        self.bytes = bytes
        self.isStalled = isStalled
    }

    /// The numbers of the entries to end, so that the others hold at most `limit` bytes together.
    ///
    /// Repeatedly the source that holds the most loses one: the largest of its stalled entries, then of its others.
    public static func losers(of holders: [MemoryHolder], limit: Int) -> [Int] {
        var total = holders.reduce(0) { $0 + $1.bytes }
        guard total > limit else { return [] }
        var numbers = Dictionary(grouping: holders.indices) { holders[$0].source }
        // The next one to end comes last.
        for source in numbers.keys {
            numbers[source]?.sort {
                let (one, other) = (holders[$0], holders[$1])
                return one.isStalled == other.isStalled ? one.bytes < other.bytes : other.isStalled
            }
        }
        var bytes = numbers.mapValues { $0.reduce(0) { $0 + holders[$1].bytes } }
        var losers: [Int] = []
        while total > limit, let source = bytes.max(by: { $0.value < $1.value })?.key {
            guard let number = numbers[source]?.popLast() else {
                bytes[source] = nil
                continue
            }
            losers.append(number)
            bytes[source]? -= holders[number].bytes
            total -= holders[number].bytes
        }
        return losers
    }
}

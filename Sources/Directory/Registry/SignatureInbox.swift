public import Wire

/// Signatures that wait for their check, with the neighbours that sent them.
///
/// An honest neighbour sends only verified signatures. After a neighbour's first wrong signature, its signatures are
/// dropped unchecked until ``forgive()`` is called.
public struct SignatureInbox: Sendable {
    /// A signature and the neighbour that sent it.
    public typealias Entry = (item: SignatureItem, source: NodeID)
    /// The maximum number of waiting signatures; those beyond it are dropped, and requested again later.
    public static let maximum = 8_192
    /// The maximum number of waiting signatures from one neighbour.
    public static let share = 2_048

    /// The waiting signatures, oldest first, each with the digest that it signs.
    private var waiting: [(digest: Bytes32, entry: Entry)] = []
    /// The neighbours that sent a wrong signature since the last ``forgive()``.
    public private(set) var liars: Set<NodeID> = []

    /// An empty inbox.
    public init() {}

    /// The number of waiting signatures.
    public var count: Int { waiting.count }
    /// The digest that the oldest waiting signature signs; nil if none waits.
    public var digest: Bytes32? { waiting.first?.digest }

    /// Adds the items of `source` that `collection` lacks, up to the source's share of the places.
    ///
    /// Items that find no place are dropped. No waiting item gives way, because none of them is verified yet.
    public mutating func put<Subject>(
        _ items: [SignatureItem], from source: NodeID, for collection: Signatures<Subject>
    ) {
        let unknown = collection.unknown(items)
        guard !liars.contains(source), !unknown.isEmpty else { return }
        let share = Self.share - waiting.count { $0.entry.source == source }
        let room = max(0, min(share, Self.maximum - waiting.count))
        waiting += unknown.prefix(room).map { (collection.digest, ($0, source)) }
    }

    /// Removes all items for `collection`, and returns those that it still lacks and whose senders are not ``liars``.
    ///
    /// If two neighbours sent an item for the same place, both are returned, because one of them may be wrong.
    public mutating func take<Subject>(for collection: Signatures<Subject>) -> [Entry] {
        defer { drop(collection.digest) }
        return waiting.filter { $0.digest == collection.digest }.map(\.entry).filter {
            !collection.holds($0.item.place) && !liars.contains($0.source)
        }
    }

    /// Drops the items for `digest`, whose signatures are no longer collected.
    public mutating func drop(_ digest: Bytes32) { waiting.removeAll { $0.digest == digest } }

    /// Adds `nodes` to ``liars``; returns whether one of them was not there.
    public mutating func shun(_ nodes: Set<NodeID>) -> Bool {
        let before = liars.count
        liars.formUnion(nodes)
        return liars.count > before
    }

    /// Accepts signatures from all neighbours again.
    public mutating func forgive() { liars = [] }
}

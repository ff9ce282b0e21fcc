public import Wire

/// Signatures that wait for their check, with the neighbours that sent them.
///
/// An honest neighbour sends only verified signatures. After a neighbour's first wrong signature, its signatures are
/// dropped unchecked until ``forgive()`` is called.
public struct SignatureInbox: Sendable {
    /// A signature and the neighbour that sent it.
    public typealias Entry = (item: SignatureItem, source: NodeID)
    /// The maximum number of waiting signatures; dropped ones are requested again.
    public static let maximum = 8_192
    /// The maximum number of waiting signatures from one neighbour.
    public static let share = 2_048

    /// The digest of the snapshot or list that the waiting signatures are for.
    public private(set) var digest: Bytes32?
    private var waiting: [Entry] = []
    /// The neighbours that sent a wrong signature.
    public private(set) var liars: Set<NodeID> = []

    /// An empty inbox.
    public init() {}

    /// The number of waiting signatures.
    public var count: Int { waiting.count }

    /// Keeps the items of `source` that `collection` lacks; drops the waiting ones for another digest.
    public mutating func put<Subject>(
        _ items: [SignatureItem], from source: NodeID, for collection: Signatures<Subject>
    ) {
        let unknown = collection.unknown(items)
        // Without a missing signature nothing is dropped: otherwise an empty bundle for another digest would drop the
        // waiting ones.
        guard !liars.contains(source), !unknown.isEmpty else { return }
        if digest != collection.digest {
            waiting.removeAll()
            digest = collection.digest
        }
        let share = Self.share - waiting.count { $0.source == source }
        let room = max(0, min(share, Self.maximum - waiting.count))
        waiting += unknown.prefix(room).map { ($0, source) }
    }

    /// Takes out the waiting signatures for `collection`; returns those that it still lacks.
    ///
    /// If two neighbours sent one for the same place, both are returned, because one of them may be wrong.
    public mutating func take<Subject>(for collection: Signatures<Subject>) -> [Entry] {
        guard digest == collection.digest else { return [] }
        defer { waiting.removeAll() }
        return waiting.filter { !collection.holds($0.item.place) && !liars.contains($0.source) }
    }

    /// Ignores `nodes` from now on; returns whether one of them is new.
    public mutating func shun(_ nodes: Set<NodeID>) -> Bool {
        let before = liars.count
        liars.formUnion(nodes)
        return liars.count > before
    }

    /// Accepts signatures from all neighbours again.
    public mutating func forgive() { liars = [] }
}

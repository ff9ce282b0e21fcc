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

    /// Those that wait, each with the digest of what it signs, oldest first.
    private var waiting: [(digest: Bytes32, entry: Entry)] = []
    /// The neighbours that brought a wrong signature.
    public private(set) var liars: Set<NodeID> = []

    /// An empty inbox.
    public init() {}

    /// The number of waiting signatures.
    public var count: Int { waiting.count }
    /// The digest of what the oldest one signs.
    public var digest: Bytes32? { waiting.first?.digest }

    /// Keeps the items of `source` that `collection` lacks, as many as its share has room for.
    ///
    /// Nobody's items make others' give way, whatever they sign: none of them is verified yet.
    public mutating func put<Subject>(
        _ items: [SignatureItem], from source: NodeID, for collection: Signatures<Subject>
    ) {
        let unknown = collection.unknown(items)
        guard !liars.contains(source), !unknown.isEmpty else { return }
        let share = Self.share - waiting.count { $0.entry.source == source }
        let room = max(0, min(share, Self.maximum - waiting.count))
        waiting += unknown.prefix(room).map { (collection.digest, ($0, source)) }
    }

    /// Takes out what waits for `collection`, and returns what it still lacks.
    ///
    /// If two neighbours sent one for the same place, both are returned, because one of them may be wrong.
    public mutating func take<Subject>(for collection: Signatures<Subject>) -> [Entry] {
        defer { drop(collection.digest) }
        return waiting.filter { $0.digest == collection.digest }.map(\.entry).filter {
            !collection.holds($0.item.place) && !liars.contains($0.source)
        }
    }

    /// Drops what waits for `digest`, which is collected no longer.
    public mutating func drop(_ digest: Bytes32) { waiting.removeAll { $0.digest == digest } }

    /// Listens no more to `nodes`; returns whether one of them is new.
    public mutating func shun(_ nodes: Set<NodeID>) -> Bool {
        let before = liars.count
        liars.formUnion(nodes)
        return liars.count > before
    }

    /// Accepts signatures from all neighbours again.
    public mutating func forgive() { liars = [] }
}

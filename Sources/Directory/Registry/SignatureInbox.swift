public import Wire

/// Signatures that wait for their check, with the neighbours that brought them.
///
/// An honest neighbour passes on verified signatures only. One wrong signature therefore shows a liar, whose signatures are
/// dropped unseen until it is forgiven.
public struct SignatureInbox: Sendable {
    /// A signature and the neighbour that brought it.
    public typealias Entry = (item: SignatureItem, source: NodeID)
    /// The most signatures that wait; one beyond is asked for again.
    public static let maximum = 8_192
    /// The most of them that one neighbour has brought.
    public static let share = 2_048

    /// The digest of what the waiting ones sign.
    public private(set) var digest: Bytes32?
    private var waiting: [Entry] = []
    /// The neighbours that brought a wrong signature.
    public private(set) var liars: Set<NodeID> = []

    /// An empty inbox.
    public init() {}

    /// How many wait.
    public var count: Int { waiting.count }

    /// Keeps the items of `source` that `collection` lacks; what waits for another digest is dropped.
    public mutating func put<Subject>(
        _ items: [SignatureItem], from source: NodeID, for collection: Signatures<Subject>
    ) {
        let unknown = collection.unknown(items)
        // Without news nothing gives way: an empty bundle for another digest would drop what waits.
        guard !liars.contains(source), !unknown.isEmpty else { return }
        if digest != collection.digest {
            waiting.removeAll()
            digest = collection.digest
        }
        let share = Self.share - waiting.count { $0.source == source }
        let room = max(0, min(share, Self.maximum - waiting.count))
        waiting += unknown.prefix(room).map { ($0, source) }
    }

    /// Takes out what waits and `collection` still lacks, one for each place.
    ///
    /// A place that two neighbours brought is left with both, for one of them may lie.
    public mutating func take<Subject>(for collection: Signatures<Subject>) -> [Entry] {
        guard digest == collection.digest else { return [] }
        defer { waiting.removeAll() }
        return waiting.filter { !collection.holds($0.item.place) && !liars.contains($0.source) }
    }

    /// Listens no more to `nodes`; returns whether one of them is new.
    public mutating func shun(_ nodes: Set<NodeID>) -> Bool {
        let before = liars.count
        liars.formUnion(nodes)
        return liars.count > before
    }

    /// Listens to all neighbours again.
    public mutating func forgive() { liars = [] }
}

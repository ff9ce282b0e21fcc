public import Wire

/// Descriptors that wait for the check of their signatures, with the neighbours that brought them (protocol.md, section 10.5).
///
/// A neighbour has one place for each node, which holds the newest version that it brought. Of one node ``burst`` versions are checked
/// at once, and one in each ``pace`` afterwards; a newer one waits until then. So a node that signs version after version costs
/// its network one version a minute, and its newest version arrives all the same.
/// A version counts once its signature has proved right: forged ones cost the node nothing.
/// An honest neighbour passes on checked descriptors only. After its first wrong signature a neighbour is a liar, of which
/// nothing more is taken until it is forgiven.
public struct DescriptorInbox: Sendable {
    /// A descriptor and the neighbour that brought it.
    public struct Entry: Equatable, Sendable {
        /// The descriptor, whose signature is to be checked.
        public let signed: SignedDescriptor
        /// The neighbour that brought it.
        public let source: NodeID
    }

    /// The most descriptors that wait, over all neighbours.
    public static let maximum = 16_384
    /// How long it takes until one more version of a node is checked.
    public static let pace = TimeSpan.seconds(60)
    /// How many versions of a node are checked at once after a rest.
    public static let burst = 4
    /// How long it takes until the rest of a burst is there again, when one version is left of it.
    private static let rest = TimeSpan.seconds(180)

    /// What waits, by the node that it describes and the neighbour that brought it.
    private var waiting: [NodeID: [NodeID: SignedDescriptor]] = [:]
    /// The nodes whose descriptors wait, by the neighbour that brought them.
    private var brought: [NodeID: Set<NodeID>] = [:]
    private var shares = Shares<NodeID>(capacity: maximum, most: maximum)
    /// The nodes of which something waits that may be checked now.
    private var due: Set<NodeID> = []
    /// When the whole burst of a node is there again; a node that is left out has it.
    private var rested: [NodeID: Instant] = [:]
    /// The neighbours that brought a wrong signature.
    public private(set) var liars: Set<NodeID> = []

    /// An empty inbox.
    public init() {}

    /// How many descriptors wait.
    public var count: Int { shares.count }

    /// How many descriptors that `source` brought wait.
    public func count(of source: NodeID) -> Int { shares.places(of: source) }

    private func isAdmitted(_ node: NodeID, _ now: Instant) -> Bool {
        rested[node].map { $0 <= now + Self.rest } ?? true
    }

    /// Keeps descriptors that `source` brings and that are news; of each node the newest.
    ///
    /// When all places are taken the neighbour with the most gives one up to one with fewer.
    public mutating func put(_ news: [SignedDescriptor], from source: NodeID, now: Instant) {
        guard !liars.contains(source) else { return }
        for signed in news {
            let node = signed.descriptor.node
            if let known = waiting[node]?[source] {
                guard signed.descriptor.published > known.descriptor.published else { continue }
            } else {
                guard makeRoom(for: source) else { return }
                brought[source, default: []].insert(node)
            }
            waiting[node, default: [:]][source] = signed
            if isAdmitted(node, now) { due.insert(node) }
        }
    }

    private mutating func makeRoom(for source: NodeID) -> Bool {
        while true {
            switch shares.take(for: source) {
            case .granted: return true
            case .makeRoom(let largest):
                guard let node = brought[largest]?.first else {
                    preconditionFailure("a neighbour that holds places has descriptors")
                }
                drop(node, of: largest)
            case .shareUsed, .full: return false
            }
        }
    }

    private mutating func drop(_ node: NodeID, of source: NodeID) {
        guard waiting[node]?.removeValue(forKey: source) != nil else { return }
        if waiting[node]?.isEmpty == true {
            waiting[node] = nil
            due.remove(node)
        }
        brought[source]?.remove(node)
        if brought[source]?.isEmpty == true { brought[source] = nil }
        shares.release(source)
    }

    /// Lets those be checked whose time has come; to be called every second.
    ///
    /// Costs a pass over what waits.
    public mutating func advance(to now: Instant) {
        rested = rested.filter { $0.value > now }
        for node in waiting.keys where isAdmitted(node, now) { due.insert(node) }
    }

    /// Takes out what is to be checked now: those of one node stand together, the newest first.
    public mutating func take() -> [Entry] {
        var batch: [Entry] = []
        for node in due {
            let versions = (waiting[node] ?? [:]).map { Entry(signed: $0.value, source: $0.key) }
            batch += versions.sorted { $0.signed.descriptor.published > $1.signed.descriptor.published }
            for version in versions { drop(node, of: version.source) }
        }
        due = []
        return batch
    }

    /// Those of `batch` that are good, at most one of each node, and the neighbours that brought a wrong signature.
    ///
    /// Nothing more of a neighbour is verified after its first wrong signature, nor of a node after its right one.
    public static func checked(
        _ batch: [Entry], isNews: (SignedDescriptor) -> Bool, isAuthentic: (SignedDescriptor) -> Bool
    ) -> (good: [Entry], liars: Set<NodeID>) {
        var good: [Entry] = []
        var liars: Set<NodeID> = []
        var done: Set<NodeID> = []
        for entry in batch where !liars.contains(entry.source) && !done.contains(entry.signed.descriptor.node) {
            guard isNews(entry.signed) else { continue }
            if isAuthentic(entry.signed) {
                good.append(entry)
                done.insert(entry.signed.descriptor.node)
            } else {
                liars.insert(entry.source)
            }
        }
        return (good, liars)
    }

    /// A descriptor was taken in: it counts for its node, and what waits and is not newer is dropped.
    public mutating func accepted(_ signed: SignedDescriptor, now: Instant) {
        let node = signed.descriptor.node
        rested[node] = max(rested[node] ?? now, now) + Self.pace
        for (source, other) in waiting[node] ?? [:] where other.descriptor.published <= signed.descriptor.published {
            drop(node, of: source)
        }
        if !isAdmitted(node, now) { due.remove(node) }
    }

    /// Listens no more to `nodes`, and drops what they brought.
    public mutating func shun(_ nodes: Set<NodeID>) {
        liars.formUnion(nodes)
        for source in nodes { for node in brought[source] ?? [] { drop(node, of: source) } }
    }

    /// Listens to all neighbours again.
    public mutating func forgive() { liars = [] }
}

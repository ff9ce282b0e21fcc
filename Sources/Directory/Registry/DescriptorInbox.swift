public import Wire

/// Descriptors that wait for the check of their signatures, and the neighbours that sent them (protocol.md, section
/// 10.5).
///
/// A neighbour has one place for each node, with the newest version that it sent. For each node, ``burst`` versions are
/// checked at once, then one in each ``pace``; newer versions wait. So a node that signs version after version costs
/// its network one version a minute, and its newest version still arrives. Only versions with a right signature count,
/// so forged versions cost the node nothing.
///
/// An honest neighbour sends only checked descriptors. After a neighbour's first wrong signature, its descriptors are
/// dropped until ``forgive()`` is called.
public struct DescriptorInbox: Sendable {
    /// A descriptor and the neighbour that sent it.
    public struct Entry: Equatable, Sendable {
        /// The descriptor, with an unchecked signature.
        public let signed: SignedDescriptor
        /// The neighbour that sent it.
        public let source: NodeID
    }

    /// The maximum number of waiting descriptors, over all neighbours.
    public static let maximum = 16_384
    /// The time until one more version of a node is checked.
    public static let pace = TimeSpan.seconds(60)
    /// The number of versions of a node that are checked at once after a pause of ``rest``.
    public static let burst = 4
    /// The time until one remaining version of a burst has grown to the whole burst again.
    private static let rest = TimeSpan.seconds(180)

    /// The waiting descriptors, by the described node and the neighbour that sent them.
    private var waiting: [NodeID: [NodeID: SignedDescriptor]] = [:]
    /// The nodes whose descriptors wait, by the neighbour that sent them.
    private var brought: [NodeID: Set<NodeID>] = [:]
    private var shares = Shares<NodeID>(capacity: maximum, most: maximum)
    /// The nodes whose waiting descriptors may be checked now.
    private var due: Set<NodeID> = []
    /// The time from which the whole burst of a node is available again; a missing node has its whole burst.
    private var rested: [NodeID: Instant] = [:]
    /// The neighbours that sent a wrong signature.
    public private(set) var liars: Set<NodeID> = []

    /// An empty inbox.
    public init() {}

    /// The number of waiting descriptors.
    public var count: Int { shares.count }

    /// The number of waiting descriptors that `source` sent.
    public func count(of source: NodeID) -> Int { shares.places(of: source) }

    private func isAdmitted(_ node: NodeID, _ now: Instant) -> Bool {
        rested[node].map { $0 <= now + Self.rest } ?? true
    }

    /// Keeps new descriptors from `source`, the newest one of each node.
    ///
    /// If all places are taken, the neighbour with the most places gives one up to a neighbour with fewer.
    public mutating func put(_ news: [SignedDescriptor], from source: NodeID, now: Instant) {
        guard !liars.contains(source) else { return }
        for signed in news {
            let node = signed.descriptor.node
            if let known = waiting[node]?[source] {
                guard signed.descriptor.published > known.descriptor.published else { continue }
            } else {
                // Newer versions of nodes that have places need no room.
                guard makeRoom(for: source) else { continue }
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

    /// Marks the descriptors that may be checked now; call it every second.
    ///
    /// The cost is a pass over the waiting descriptors.
    public mutating func advance(to now: Instant) {
        rested = rested.filter { $0.value > now }
        for node in waiting.keys where isAdmitted(node, now) { due.insert(node) }
    }

    /// Takes out the descriptors to check now; those of one node are adjacent, the newest first.
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

    /// The good entries of `batch`, at most one of each node, and the neighbours that sent a wrong signature.
    ///
    /// No more signatures of a neighbour are verified after its first wrong one, nor of a node after its first right
    /// one.
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

    /// Counts an accepted descriptor for its node, and drops waiting ones that are not newer.
    public mutating func accepted(_ signed: SignedDescriptor, now: Instant) {
        let node = signed.descriptor.node
        rested[node] = max(rested[node] ?? now, now) + Self.pace
        for (source, other) in waiting[node] ?? [:] where other.descriptor.published <= signed.descriptor.published {
            drop(node, of: source)
        }
        if !isAdmitted(node, now) { due.remove(node) }
    }

    /// Ignores `nodes` from now on, and drops the descriptors that they sent.
    public mutating func shun(_ nodes: Set<NodeID>) {
        liars.formUnion(nodes)
        for source in nodes { for node in brought[source] ?? [] { drop(node, of: source) } }
    }

    /// Accepts descriptors from all neighbours again.
    public mutating func forgive() { liars = [] }
}

internal import OnionCrypto
public import Wire

/// Why a descriptor was not taken in.
public enum DescriptorRefusal: Error, Equatable {
    /// The bytes are not a descriptor.
    case malformed(WireError)
    /// Its node is neither staked nor suspended.
    case notStaked
    /// One that was published at the same time or later is held.
    case notNewer
    /// It was published after now and the tolerance.
    case fromTheFuture
    /// Its time is over.
    case expired
    /// It claims to hold for longer than it may.
    case lifetimeTooLong
    /// An address is private, special, or has port 0.
    case forbiddenAddress
    /// The signature is not that of the node.
    case badSignature
}

/// The newest descriptor of each staked node, in memory (protocol.md, section 10.5).
///
/// Bounded by the registry: one descriptor of at most 2,048 bytes for each staked node.
public struct DescriptorStore: Sendable {
    /// The longest time between publication and expiry, in seconds.
    public static let maximumLifetime: UInt64 = 24 * 3600
    /// How far the clock of a node may be ahead, in seconds.
    public static let clockTolerance: UInt64 = 600
    /// How often a node signs a new descriptor, in seconds; after a restart at once.
    public static let publishInterval: UInt64 = 8 * 3600
    /// How long after another one of its node a version must come to count as that node's only one, in seconds: it is with all by then.
    public static let settling: UInt64 = 1_800
    /// How much of the past to ask for again in GET_DESCRIPTORS: a descriptor may be on its way for that long, in seconds.
    public static let overlap: UInt64 = 3600

    private let network: Bytes32
    private let allowsPrivateAddresses: Bool
    private var snapshot: Snapshot
    /// A descriptor that is held.
    private struct Held: Sendable {
        let signed: SignedDescriptor
        /// When the first one was published that said the same, as far as that is known here.
        let since: UnixTime
        /// What names it in lists; its first bytes name it in GET_DESCRIPTOR_CHANGES.
        let digest: Bytes32
        /// What names it in GET_DESCRIPTOR_CHANGES.
        let mark: UInt64
        /// When it came, and when the first one of its node did.
        let arrived: UnixTime, first: UnixTime
        /// From when on all others have it, if it came after another one of its node and not long after.
        let settled: UnixTime
        /// The generation in which it came.
        let generation: UInt64
        /// Whether enough operators had it, though no list names it.
        var isVouched = false

        init(_ signed: SignedDescriptor, after known: Held?, at now: UnixTime, generation: UInt64) {
            self.generation = generation
            arrived = now
            first = known?.first ?? now
            let isEarly = known.map { now.seconds < $0.arrived.seconds &+ DescriptorStore.settling } ?? false
            settled = isEarly ? UnixTime(seconds: now.seconds &+ DescriptorStore.settling) : now
            digest = signed.digest
            self.signed = signed
            let says = known.map { $0.signed.descriptor.says(asMuchAs: signed.descriptor) } ?? false
            since = says ? known!.since : signed.descriptor.published
            mark = SignedDescriptor.mark(of: digest)
        }
    }

    private var held: [NodeID: Held] = [:]
    /// The hashes of the list that is used; nil where none is, and every newest descriptor counts.
    private var listed: Set<Bytes32>?
    /// Newer descriptors than those of the list, with the operators whose nodes have each; at most three of a node.
    private var fresh: [NodeID: [Fresh]] = [:]
    /// Goes up with every change, so that what was made from the descriptors can tell whether it is still current.
    public private(set) var generation: UInt64 = 0

    /// An empty store for the staked nodes of `snapshot`.
    public init(network: Bytes32, allowsPrivateAddresses: Bool, snapshot: Snapshot) {
        self.network = network
        self.allowsPrivateAddresses = allowsPrivateAddresses
        self.snapshot = snapshot
    }

    /// How many nodes have a descriptor here.
    public var count: Int { held.count }

    /// All descriptors, in no order.
    public var all: some Collection<SignedDescriptor> { held.values.lazy.map(\.signed) }

    /// The newest publication that is held; 0 when nothing is.
    public var newest: UnixTime { held.values.lazy.map(\.signed.descriptor.published).max() ?? UnixTime(seconds: 0) }

    /// Goes on with the nodes of `snapshot`: descriptors of nodes that are neither staked nor suspended are dropped.
    public mutating func follow(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        held = held.filter { snapshot.isListed($0.key) }
        fresh = fresh.filter { snapshot.isListed($0.key) }
        generation &+= 1
    }

    /// The descriptor of `node`, if one is held and still holds at `now`.
    public func descriptor(of node: NodeID, at now: UnixTime) -> SignedDescriptor? {
        guard let found = held[node]?.signed, now < found.descriptor.expires else { return nil }
        return found
    }

    // MARK: A client's list

    /// A descriptor that no list names yet.
    private struct Fresh: Sendable {
        let signed: SignedDescriptor
        let digest: Bytes32
        var operators: Set<Bytes32>
    }

    /// How many versions of one node are kept beside the list's.
    private static let maximumFresh = 3
    /// How many operators must have a version that no list names.
    public static let vouchers = 3

    /// Whether a list is used.
    public var isListed: Bool { listed != nil }

    /// Uses the descriptors of `list` alone from now on, with versions that are newer and that enough operators had.
    ///
    /// What it does not name is dropped; what is not held is to be taken in by ``hear(_:from:operators:at:)``.
    public mutating func use(_ list: DescriptorList) {
        let hashes = Set(list.hashes)
        held = held.filter { hashes.contains($0.value.digest) || $0.value.isVouched }
        listed = hashes
        for (node, versions) in fresh {
            let used = held[node]?.signed.descriptor.published
            if let named = versions.first(where: { hashes.contains($0.digest) }),
                named.signed.descriptor.published > used ?? UnixTime(seconds: 0)
            {
                put(named.signed, at: named.signed.descriptor.published)
            }
            trim(node)
        }
        generation &+= 1
    }

    /// The places of the hashes of `list` whose descriptors are not here.
    public func lacking(_ list: DescriptorList) -> [Int] {
        var known = Set(held.values.map(\.digest))
        for versions in fresh.values { known.formUnion(versions.map(\.digest)) }
        return list.hashes.indices.filter { !known.contains(list.hashes[$0]) }
    }

    /// Whether of one of `nodes` a version is known that no list names, and that too few operators had to be used.
    public func hasFresh(of nodes: Set<NodeID>) -> Bool { nodes.contains { fresh[$0] != nil } }

    /// Takes in a descriptor whose signature was checked, as a node of `witness` has it; says whether it is used now.
    ///
    /// Without a list it is used if it is news. One that the list names is used; another one only when ``vouchers`` operators had the very
    /// same one, or all but its own where the network has fewer. Its own operator's word counts for nothing, unless there is no other.
    public mutating func hear(
        _ candidate: SignedDescriptor, from witness: Bytes32?, operators: Int, at now: UnixTime
    ) -> Bool {
        guard (try? isNews(candidate, at: now)) == true else { return false }
        let (node, digest) = (candidate.descriptor.node, candidate.digest)
        guard let listed, !listed.contains(digest) else {
            put(candidate, at: now)
            trim(node)
            return true
        }
        guard let witness, operators < 2 || snapshot.entry(of: node)?.operatorID != witness else { return false }
        var versions = fresh[node] ?? []
        if let place = versions.firstIndex(where: { $0.digest == digest }) {
            versions[place].operators.insert(witness)
        } else {
            // Of too many versions those that fewest had give way.
            versions.sort { $0.operators.count > $1.operators.count }
            versions = Array(versions.prefix(Self.maximumFresh - 1))
            versions.append(Fresh(signed: candidate, digest: digest, operators: [witness]))
        }
        fresh[node] = versions
        let needed = min(Self.vouchers, max(1, operators - 1))
        guard versions.contains(where: { $0.digest == digest && $0.operators.count >= needed }) else { return false }
        put(candidate, at: now)
        held[node]!.isVouched = true
        trim(node)
        return true
    }

    /// Drops the versions of `node` that are not newer than the one that is used.
    private mutating func trim(_ node: NodeID) {
        guard let used = held[node]?.signed.descriptor.published else { return }
        fresh[node]?.removeAll { $0.signed.descriptor.published <= used }
        if fresh[node]?.isEmpty == true { fresh[node] = nil }
    }

    /// Takes in a descriptor as it came from the network, and returns it; the signature is checked last.
    ///
    /// Returns `nil` for one that is held already, byte by byte.
    public mutating func insert(
        _ bytes: RawSpan, at now: UnixTime
    ) throws(DescriptorRefusal) -> SignedDescriptor? {
        let candidate: SignedDescriptor
        do {
            candidate = try SignedDescriptor(decoding: bytes)
        } catch {
            throw .malformed(error)
        }
        return try insert(candidate, at: now) ? candidate : nil
    }

    /// Takes in a descriptor, and says whether it is new here.
    public mutating func insert(_ candidate: SignedDescriptor, at now: UnixTime) throws(DescriptorRefusal) -> Bool {
        guard try isNews(candidate, at: now) else { return false }
        guard candidate.isAuthentic(network: network) else { throw .badSignature }
        put(candidate, at: now)
        return true
    }

    /// Takes in a descriptor whose signature was checked, and says whether it is new here.
    public mutating func insert(authentic candidate: SignedDescriptor, at now: UnixTime) -> Bool {
        guard (try? isNews(candidate, at: now)) == true else { return false }
        put(candidate, at: now)
        return true
    }

    private mutating func put(_ candidate: SignedDescriptor, at now: UnixTime) {
        let node = candidate.descriptor.node
        generation &+= 1
        held[node] = Held(candidate, after: held[node], at: now, generation: generation)
    }

    /// Whether a descriptor is new and acceptable but for its signature, which is left to be checked; false where it is held already.
    public func isNews(_ candidate: SignedDescriptor, at now: UnixTime) throws(DescriptorRefusal) -> Bool {
        let descriptor = candidate.descriptor
        guard snapshot.isListed(descriptor.node) else { throw .notStaked }
        if let known = held[descriptor.node]?.signed {
            if known.bytes == candidate.bytes { return false }
            guard descriptor.published > known.descriptor.published else { throw .notNewer }
        }
        try checkSound(candidate, at: now)
        return true
    }

    /// Throws where a descriptor is not acceptable at `now` in itself, whatever is held; its signature is left to be checked.
    ///
    /// By `slack` seconds its times may be off more than those of a descriptor that is taken in.
    public func checkSound(
        _ candidate: SignedDescriptor, at now: UnixTime, slack: UInt64 = 0
    ) throws(DescriptorRefusal) {
        let descriptor = candidate.descriptor
        guard snapshot.isListed(descriptor.node) else { throw .notStaked }
        let latest = now.seconds.addingReportingOverflow(Self.clockTolerance + slack)
        guard latest.overflow || descriptor.published.seconds <= latest.partialValue else { throw .fromTheFuture }
        guard now.seconds - min(now.seconds, slack) < descriptor.expires.seconds else { throw .expired }
        guard descriptor.expires.seconds - descriptor.published.seconds <= Self.maximumLifetime else {
            throw .lifetimeTooLong
        }
        guard descriptor.addresses.allSatisfy({ Self.isAcceptable($0, allowingPrivate: allowsPrivateAddresses) }) else {
            throw .forbiddenAddress
        }
    }

    // MARK: Lists

    /// All that is held, by the hashes that name it in lists.
    public var byDigest: [Bytes32: SignedDescriptor] {
        Dictionary(held.values.map { ($0.digest, $0.signed) }, uniquingKeysWith: { first, _ in first })
    }

    /// What a list that is proposed at `now` has: all that is held, and what has expired but now, which others may not know yet.
    public func listable(at now: UnixTime) -> [Bytes32: SignedDescriptor] {
        let earliest = now.seconds - min(now.seconds, Self.clockTolerance / 2)
        return byDigest.filter { $0.value.descriptor.expires.seconds > earliest }
    }

    /// What a list must have at `now`: each node's descriptor that came until `cut`, or a later one of the node.
    ///
    /// Where it came after `cut` in place of another one, any of the node will do. So it is for ``settling`` where two came in that time,
    /// for a node takes in the versions of one that publishes so often at a pace. What its publisher dated after `cut` or lets expire
    /// soon is not demanded, for others with other clocks may not have it.
    public func demands(cut: UnixTime, at now: UnixTime) -> [NodeID: UnixTime] {
        var found: [NodeID: UnixTime] = [:]
        for (node, held) in held where held.first <= cut {
            let descriptor = held.signed.descriptor
            guard descriptor.published <= cut, descriptor.expires.seconds > now.seconds &+ 2 * Self.clockTolerance
            else {
                continue
            }
            found[node] = held.settled <= cut ? descriptor.published : UnixTime(seconds: 0)
        }
        return found
    }

    /// Whether a node may be at `endpoint`: a public address, or one that documents write as an example, which leads nowhere.
    ///
    /// Private ones only where they are allowed, which lets in any but the unspecified, multicast and reserved ones; never
    /// port 0.
    public static func isAcceptable(_ endpoint: Endpoint, allowingPrivate: Bool) -> Bool {
        guard endpoint.port != 0 else { return false }
        if endpoint.address.isPublic || endpoint.address.isDocumentation { return true }
        guard allowingPrivate else { return false }
        if let value = endpoint.address.v4 { return value >> 24 != 0 && value >> 28 < 14 }
        return !(endpoint.address.high == 0 && endpoint.address.low == 0) && endpoint.address.high >> 56 != 0xff
    }

    /// The descriptors published at `time` or later that hold at `now`, oldest first, cut before `byteLimit`.
    ///
    /// The list form's two bytes of length count.
    public func since(_ time: UnixTime, at now: UnixTime, byteLimit: Int = .max) -> [SignedDescriptor] {
        var left = byteLimit
        return Array(
            news(since: time, at: now).map(\.signed).prefix {
                left -= $0.bytes.count + 2
                return left >= 0
            })
    }

    /// What came after `generation`, in the order in which it came, at most `limit`; with the generation up to which that is all.
    public func arrivals(after generation: UInt64, limit: Int) -> (list: [SignedDescriptor], upTo: UInt64) {
        let list = held.values.filter { $0.generation > generation }.sorted { $0.generation < $1.generation }
        guard list.count > limit else { return (list.map(\.signed), self.generation) }
        return (list.prefix(limit).map(\.signed), list[limit - 1].generation)
    }

    private func news(since time: UnixTime, at now: UnixTime) -> [Held] {
        held.values.filter { $0.signed.descriptor.published >= time && now < $0.signed.descriptor.expires }.sorted {
            let (a, b) = ($0.signed.descriptor, $1.signed.descriptor)
            return (a.published, a.node) < (b.published, b.node)
        }
    }

    /// What one lacks that holds what was published before `time`, and of the rest what has the marks `having`; oldest first, cut before `byteLimit`.
    ///
    /// A descriptor that says what one from before `time` said goes as its new times and signature.
    public func changes(
        since time: UnixTime, having: Set<UInt64>, at now: UnixTime, byteLimit: Int = .max
    ) -> [DescriptorChange] {
        var left = byteLimit
        return Array(
            news(since: time, at: now).lazy.filter { !having.contains($0.mark) }.map { held in
                held.since < time ? .renewed(DescriptorRenewal(held.signed)) : .whole(held.signed)
            }.prefix {
                left -= $0.size
                return left >= 0
            })
    }

    /// The marks of what is held and was published at `time` or later, ascending; the newest 4,096.
    public func marks(since time: UnixTime) -> [UInt64] {
        let list = held.values.filter { $0.signed.descriptor.published >= time }.sorted {
            $0.signed.descriptor.published > $1.signed.descriptor.published
        }
        return list.prefix(DescriptorChange.maximumMarks).map(\.mark).sorted()
    }

    /// What a change stands for here; `nil` where it renews what is not held.
    public func resolve(_ change: DescriptorChange) -> SignedDescriptor? {
        switch change {
        case .whole(let signed): signed
        case .renewed(let renewal): held[renewal.node].flatMap { renewal.applied(to: $0.signed.descriptor) }
        }
    }
}

internal import OnionCrypto
public import Wire

/// Why a descriptor was not accepted.
public enum DescriptorRefusal: Error, Equatable {
    /// The bytes are not a descriptor.
    case malformed(WireError)
    /// Its node is neither staked nor suspended.
    case notStaked
    /// The store holds one with the same or a later publication time.
    case notNewer
    /// Its publication time is more than the tolerance ahead of the clock.
    case fromTheFuture
    /// It has expired.
    case expired
    /// The time from publication to expiry is not ``DescriptorStore/lifetime``.
    case otherLifetime
    /// An address is private, special, or has port 0.
    case forbiddenAddress
    /// The signature is not the node's.
    case badSignature
}

/// The newest descriptor of each staked or suspended node, in memory (protocol.md, section 10.5).
///
/// The registry bounds its size: one descriptor of at most 2,048 bytes for each such node.
public struct DescriptorStore: Sendable {
    /// The time from publication to expiry, in seconds; it is the same for all descriptors.
    ///
    /// So the newest version of a node is the last one to expire. If a newer version could expire first, a node that
    /// never had it would go on to demand the older one, which the others have replaced and cannot get again.
    public static let lifetime = publishInterval * 2 + 3600
    /// The maximum time in seconds by which a node's clock may be ahead.
    public static let clockTolerance: UInt64 = 600
    /// The interval in seconds at which a node signs a new descriptor; it also signs one right after a restart.
    public static let publishInterval: UInt64 = 8 * 3600
    /// The time in seconds in which a descriptor reaches all nodes; a version that replaces another within it is not
    /// yet demanded.
    public static let settling: UInt64 = 1_800
    /// The overlap in seconds of repeated requests by GET_DESCRIPTORS: a descriptor may take so long to arrive.
    public static let overlap: UInt64 = 3600

    private let network: Bytes32
    private let allowsPrivateAddresses: Bool
    private(set) var snapshot: Snapshot
    /// A descriptor that is held.
    struct Held: Sendable {
        let signed: SignedDescriptor
        /// The publication time of the oldest known descriptor in a row with the same contents.
        let since: UnixTime
        /// The descriptor's name in lists; its first bytes are its name in GET_DESCRIPTOR_CHANGES.
        let digest: Bytes32
        /// The descriptor's name in GET_DESCRIPTOR_CHANGES.
        let shortDigest: UInt64
        /// The arrival of this descriptor, and of the first one of its node.
        let arrived: UnixTime, first: UnixTime
        /// The time from which all other nodes have it; later than its arrival if it replaced another one within
        /// ``settling``.
        let settled: UnixTime
        /// The store's generation at its arrival.
        let generation: UInt64
        /// Whether enough operators had it although no list names it.
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
            shortDigest = SignedDescriptor.shortDigest(of: digest)
        }
    }

    var held: [NodeID: Held] = [:]
    /// The list in use; nil if none is in use, so that each node's newest descriptor counts.
    var listed: Listed?
    /// Newer descriptors than the list's, each with the operators whose nodes have it; at most three of a node.
    var fresh: [NodeID: [Fresh]] = [:]
    /// Increases with every change, so that users of derived data can tell whether it is current.
    public internal(set) var generation: UInt64 = 0

    /// An empty store for the staked and suspended nodes of `snapshot`.
    public init(network: Bytes32, allowsPrivateAddresses: Bool, snapshot: Snapshot) {
        self.network = network
        self.allowsPrivateAddresses = allowsPrivateAddresses
        self.snapshot = snapshot
    }

    /// The number of nodes that have a descriptor here.
    public var count: Int { held.count }

    /// All descriptors, in no order.
    public var all: some Collection<SignedDescriptor> { held.values.lazy.map(\.signed) }

    /// The latest publication time of all held descriptors; 0 if there are none.
    public var newest: UnixTime { held.values.lazy.map(\.signed.descriptor.published).max() ?? UnixTime(seconds: 0) }

    /// Continues with the nodes of `snapshot`; drops descriptors of nodes that are neither staked nor suspended.
    public mutating func follow(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        held = held.filter { snapshot.isListed($0.key) }
        fresh = fresh.filter { snapshot.isListed($0.key) }
        generation &+= 1
    }

    /// The descriptor of `node`, if one is held and has not expired at `now`.
    public func descriptor(of node: NodeID, at now: UnixTime) -> SignedDescriptor? {
        guard let found = held[node]?.signed, now < found.descriptor.expires else { return nil }
        return found
    }

    /// Adds a descriptor as it arrived, and returns it; the signature is checked last.
    ///
    /// Returns `nil` if the same bytes are held already.
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

    /// Adds a descriptor, which has come at `arrived` if that is not `now`; returns whether it is new here.
    public mutating func insert(
        _ candidate: SignedDescriptor, at now: UnixTime, arrived: UnixTime? = nil
    ) throws(DescriptorRefusal) -> Bool {
        guard try isNews(candidate, at: now) else { return false }
        guard candidate.isAuthentic(network: network) else { throw .badSignature }
        put(candidate, at: arrived ?? now)
        return true
    }

    /// Adds a descriptor with a checked signature; returns whether it is new here.
    public mutating func insert(authentic candidate: SignedDescriptor, at now: UnixTime) -> Bool {
        guard (try? isNews(candidate, at: now)) == true else { return false }
        put(candidate, at: now)
        return true
    }

    /// Holds a descriptor that is accepted.
    mutating func put(_ candidate: SignedDescriptor, at now: UnixTime) {
        let node = candidate.descriptor.node
        generation &+= 1
        held[node] = Held(candidate, after: held[node], at: now, generation: generation)
    }

    /// Whether a descriptor is new and acceptable, except for its signature; false if it is held already.
    public func isNews(_ candidate: SignedDescriptor, at now: UnixTime) throws(DescriptorRefusal) -> Bool {
        let descriptor = candidate.descriptor
        guard snapshot.isListed(descriptor.node) else { throw .notStaked }
        if let known = held[descriptor.node]?.signed {
            if known.bytes == candidate.bytes { return false }
            // One that was dated by a clock that was ahead gives way.
            let mayReplace =
                descriptor.published > known.descriptor.published || Self.isAhead(known.descriptor.published, at: now)
            guard mayReplace else { throw .notNewer }
        }
        try checkSound(candidate, at: now)
        return true
    }

    /// Whether those who hold `other`, a descriptor with an unchecked signature, refuse the one that is held here of
    /// the same node; false if it is the same one.
    public func isRival(_ other: SignedDescriptor, at now: UnixTime) -> Bool {
        guard let known = held[other.descriptor.node]?.signed, known.bytes != other.bytes,
            other.descriptor.published >= known.descriptor.published
        else { return false }
        return (try? checkSound(other, at: now)) != nil
    }

    /// Throws if a descriptor is not acceptable at `now`, regardless of held ones; does not check the signature.
    ///
    /// `slack` seconds are added to the limits on its times.
    public func checkSound(
        _ candidate: SignedDescriptor, at now: UnixTime, slack: UInt64 = 0
    ) throws(DescriptorRefusal) {
        let descriptor = candidate.descriptor
        guard snapshot.isListed(descriptor.node) else { throw .notStaked }
        guard !Self.isAhead(descriptor.published, at: now, slack: slack) else { throw .fromTheFuture }
        guard now.seconds - min(now.seconds, slack) < descriptor.expires.seconds else { throw .expired }
        guard descriptor.expires.seconds - descriptor.published.seconds == Self.lifetime else { throw .otherLifetime }
        guard descriptor.addresses.allSatisfy({ Self.isAcceptable($0, allowingPrivate: allowsPrivateAddresses) }) else {
            throw .forbiddenAddress
        }
    }

    /// Whether a descriptor that was published at `published` is dated so far ahead that other nodes refuse it.
    public static func isAhead(_ published: UnixTime, at now: UnixTime, slack: UInt64 = 0) -> Bool {
        let latest = now.seconds.addingReportingOverflow(clockTolerance + slack)
        return !latest.overflow && published.seconds > latest.partialValue
    }

    // MARK: Lists

    /// All held descriptors, by their hashes.
    public var byDigest: [Bytes32: SignedDescriptor] {
        Dictionary(held.values.map { ($0.digest, $0.signed) }, uniquingKeysWith: { first, _ in first })
    }

    /// The descriptors for a list proposed at `now`: all held ones, and those that expired so recently that others may
    /// still hold them; none that others refuse because it is dated too far ahead.
    public func listable(at now: UnixTime) -> [Bytes32: SignedDescriptor] {
        let earliest = now.seconds - min(now.seconds, Self.clockTolerance / 2)
        return byDigest.filter {
            let descriptor = $0.value.descriptor
            return descriptor.expires.seconds > earliest && !Self.isAhead(descriptor.published, at: now)
        }
    }

    /// The descriptors that a list must have at `now`: for each node, the earliest publication time that satisfies.
    ///
    /// A node's descriptor that arrived by `cut` is demanded, or a later one of the node. If it replaced another one
    /// after `cut`, any descriptor of the node satisfies (time 0). The same applies for ``settling`` after a
    /// replacement that came within ``settling`` of another, because nodes accept frequent versions at a limited rate.
    /// A node whose descriptor is dated after `cut`, or expires within twice the clock tolerance, is not demanded,
    /// because nodes with other clocks may not hold that descriptor.
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

    /// Whether a node may have the address `endpoint`: a public one, or one reserved for documentation, which leads
    /// nowhere.
    ///
    /// If private addresses are allowed, all addresses but unspecified, multicast and reserved ones are acceptable.
    /// Port 0 never is.
    public static func isAcceptable(_ endpoint: Endpoint, allowingPrivate: Bool) -> Bool {
        guard endpoint.port != 0 else { return false }
        if endpoint.address.isPublic || endpoint.address.isDocumentation { return true }
        guard allowingPrivate else { return false }
        if let value = endpoint.address.v4 { return value >> 24 != 0 && value >> 28 < 14 }
        return !(endpoint.address.high == 0 && endpoint.address.low == 0) && endpoint.address.high >> 56 != 0xff
    }

    /// The descriptors published at `time` or later that are valid at `now`, oldest first, cut before `byteLimit`.
    ///
    /// The two length bytes of each descriptor in a list count towards the limit.
    public func since(_ time: UnixTime, at now: UnixTime, byteLimit: Int = .max) -> [SignedDescriptor] {
        var left = byteLimit
        return Array(
            news(since: time, at: now).map(\.signed).prefix {
                left -= $0.bytes.count + 2
                return left >= 0
            })
    }

    /// The descriptors that arrived after `generation`, in order of arrival, at most `limit`; and the generation up to
    /// which they are complete.
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

    /// The changes for a requester that has the descriptors published before `time`, and later ones with the short
    /// digests `having`.
    ///
    /// The oldest come first, and the list is cut before `byteLimit`. A descriptor with the same contents as one from
    /// before `time` is sent as its new times and signature.
    public func changes(
        since time: UnixTime, having: Set<UInt64>, at now: UnixTime, byteLimit: Int = .max
    ) -> [DescriptorChange] {
        var left = byteLimit
        return Array(
            news(since: time, at: now).lazy.filter { !having.contains($0.shortDigest) }.map { held in
                held.since < time ? .renewed(DescriptorRenewal(held.signed)) : .whole(held.signed)
            }.prefix {
                left -= $0.size
                return left >= 0
            })
    }

    /// The short digests of the descriptors published at `time` or later, ascending; of the newest 4,096.
    public func shortDigests(since time: UnixTime) -> [UInt64] {
        let list = held.values.filter { $0.signed.descriptor.published >= time }.sorted {
            $0.signed.descriptor.published > $1.signed.descriptor.published
        }
        return list.prefix(DescriptorChange.maximumShortDigests).map(\.shortDigest).sorted()
    }

    /// The descriptor that a change stands for; `nil` for a renewal of a descriptor that is not held.
    public func resolve(_ change: DescriptorChange) -> SignedDescriptor? {
        switch change {
        case .whole(let signed): signed
        case .renewed(let renewal): held[renewal.node].flatMap { renewal.applied(to: $0.signed.descriptor) }
        }
    }
}

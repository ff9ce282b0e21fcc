public import Wire

// A client's list: the versions that it names are used, and newer ones that enough operators have.

extension DescriptorStore {
    /// The list in use.
    struct Listed: Sendable {
        let hashes: Set<Bytes32>
        /// The list names all nodes' versions up to this time, or later ones.
        let whole: UnixTime
    }

    /// A descriptor that no list names yet.
    struct Fresh: Sendable {
        let signed: SignedDescriptor
        let digest: Bytes32
        var operators: Set<Bytes32>
    }

    /// The maximum number of versions of one node that are kept in addition to the list's.
    private static let maximumFresh = 3
    /// The number of operators that must have a version that no list names.
    public static let vouchers = 3

    /// Whether a list is in use.
    public var isListed: Bool { listed != nil }

    /// Uses only the descriptors of `list` from now on, and newer versions that enough operators have.
    ///
    /// Drops the descriptors that it does not name. A version that enough operators had is dropped too if the list
    /// would have to name it: its node has shown it to few. Missing ones are to be added by
    /// ``hear(_:from:operators:at:)``.
    public mutating func use(_ list: DescriptorList, _ schedule: ListSchedule) {
        // A version of the last ``settling`` seconds before the cut need not be named.
        let cut = schedule.cut(of: list.round).seconds
        let listed = Listed(
            hashes: Set(list.hashes), whole: UnixTime(seconds: cut - min(cut, Self.settling)))
        self.listed = listed
        held = held.filter {
            listed.hashes.contains($0.value.digest) || $0.value.isVouched && isUnlisted($0.value.signed)
        }
        for (node, versions) in fresh {
            let used = held[node]?.signed.descriptor.published
            if let named = versions.first(where: { listed.hashes.contains($0.digest) }),
                named.signed.descriptor.published > used ?? UnixTime(seconds: 0)
            {
                put(named.signed, at: named.signed.descriptor.published)
            }
            trim(node)
        }
        generation &+= 1
    }

    /// Whether an honest version may be missing in the list in use: it is newer than the time up to which that is whole.
    private func isUnlisted(_ version: SignedDescriptor) -> Bool {
        listed.map { version.descriptor.published > $0.whole } ?? true
    }

    /// The places in `list` of the hashes whose descriptors are missing here.
    public func lacking(_ list: DescriptorList) -> [Int] {
        var known = Set(held.values.map(\.digest))
        for versions in fresh.values { known.formUnion(versions.map(\.digest)) }
        return list.hashes.indices.filter { !known.contains(list.hashes[$0]) }
    }

    /// Whether a version of one of `nodes` is known that no list names and that too few operators have.
    public func hasFresh(of nodes: Set<NodeID>) -> Bool { nodes.contains { fresh[$0] != nil } }

    /// The nodes of which a version is known that no list names and that too few operators have.
    public var freshNodes: [NodeID] { fresh.keys.sorted() }

    /// Adds a descriptor with a checked signature that a node of the operator `witness` has; returns whether it is now
    /// in use.
    ///
    /// Without a list, a new descriptor is used. With a list, a descriptor that it names is used. Another one is used
    /// only if the list need not name it, and ``vouchers`` operators have the same one, or all operators but its own in
    /// a network with fewer. The word of its own operator does not count, unless there is no other operator. With nil
    /// as `witness`, nobody vouches for it.
    public mutating func hear(
        _ candidate: SignedDescriptor, from witness: Bytes32?, operators: Int, at now: UnixTime
    ) -> Bool {
        guard (try? isNews(candidate, at: now)) == true else { return false }
        let (node, digest) = (candidate.descriptor.node, candidate.digest)
        guard let listed, !listed.hashes.contains(digest) else {
            put(candidate, at: now)
            trim(node)
            return true
        }
        guard let witness, isUnlisted(candidate), operators < 2 || snapshot.entry(of: node)?.operatorID != witness
        else { return false }
        var versions = fresh[node] ?? []
        if let place = versions.firstIndex(where: { $0.digest == digest }) {
            versions[place].operators.insert(witness)
        } else {
            // If there are too many versions, those of the fewest operators are dropped.
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

    /// Drops the versions of `node` that are not newer than the one in use, or that the list would have to name.
    private mutating func trim(_ node: NodeID) {
        let used = held[node]?.signed.descriptor.published ?? UnixTime(seconds: 0)
        let left = (fresh[node] ?? []).filter { $0.signed.descriptor.published > used && isUnlisted($0.signed) }
        fresh[node] = left.isEmpty ? nil : left
    }
}

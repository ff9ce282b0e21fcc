internal import Directory
internal import OnionCrypto
internal import Wire

/// Checks of lists of descriptors, which run on other threads than the loop's.
enum ListCheck {
    /// The result of judging a proposed list.
    enum Outcome: Sendable {
        case good([Bytes32: SignedDescriptor])
        case refused(ListRefusal)
        /// The list places of missing descriptors, and the valid descriptors that were fetched.
        case lacks([Int], [Bytes32: SignedDescriptor])
    }

    /// Judges a proposed list, with the descriptors that were fetched for it and those that were known before.
    static func judged(
        _ list: DescriptorList, _ fetched: [SignedDescriptor], _ known: [Bytes32: SignedDescriptor],
        by store: DescriptorStore, _ schedule: ListSchedule, network: Bytes32, at time: UnixTime
    ) -> Outcome {
        let found = resolved(list, fetched, known, by: store, network: network)
        let lacking = list.hashes.indices.filter { found[list.hashes[$0]] == nil }
        guard lacking.isEmpty else {
            let fresh = Set(fetched.map(\.digest))
            return .lacks(lacking, found.filter { fresh.contains($0.key) && known[$0.key] == nil })
        }
        do throws(ListRefusal) {
            try ListSigning.judge(list, found, by: store, schedule, at: time)
            return .good(found)
        } catch {
            return .refused(error)
        }
    }

    /// The available descriptors of a list.
    ///
    /// The signatures of the fetched ones are verified.
    static func resolved(
        _ list: DescriptorList, _ fetched: [SignedDescriptor], _ known: [Bytes32: SignedDescriptor],
        by store: DescriptorStore, network: Bytes32
    ) -> [Bytes32: SignedDescriptor] {
        let held = store.byDigest
        var found: [Bytes32: SignedDescriptor] = [:]
        for hash in list.hashes {
            if let signed = held[hash] ?? known[hash] { found[hash] = signed }
        }
        for signed in fetched {
            let hash = signed.digest
            guard list.place(of: hash) != nil, found[hash] == nil, signed.isAuthentic(network: network) else {
                continue
            }
            found[hash] = signed
        }
        return found
    }

    /// Checks a certified list; nil if it is refused.
    static func checked(
        _ body: [UInt8], _ known: [Bytes32: SignedDescriptor], by store: DescriptorStore, trusted: Snapshot,
        digest: Bytes32, network: Bytes32
    ) -> (signed: SignedDescriptorList, digest: Bytes32, descriptors: [Bytes32: SignedDescriptor])? {
        guard let signed = try? SignedDescriptorList(decoding: body.rawSpan),
            let digest = try? ListSigning.check(signed, network: network, trusted: trusted, digest: digest)
        else { return nil }
        return (signed, digest, resolved(signed.list, [], known, by: store, network: network))
    }
}

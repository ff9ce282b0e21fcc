internal import Directory
internal import OnionCrypto
internal import Wire

/// A client of ``ListModel``: it uses the newest certified list, and newer descriptors that enough operators have.
final class ListReader {
    private unowned let model: ListModel
    private var store: DescriptorStore
    private var list: DescriptorList?
    /// The honest nodes that have told each descriptor.
    private var told: [Bytes32: Set<Int>] = [:]

    init(_ model: ListModel) {
        self.model = model
        store = DescriptorStore(network: ListModel.network, allowsPrivateAddresses: false, snapshot: model.snapshot)
    }

    /// Whether it has the descriptor of `node` that was published at `time`.
    func uses(_ node: NodeID, _ time: UnixTime) -> Bool {
        store.descriptor(of: node, at: model.time)?.descriptor.published == time
    }

    /// Asks a node for its list above a round, for descriptors of it, and for `all` descriptors.
    func visit(
        _ peer: Int, _ newer: (_ above: UInt64) -> [UInt8], listed: ([UInt8]) -> [UInt8], all: () -> [UInt8]
    ) {
        if let found = ListModel.checked(newer(list?.round ?? 0), model), found.signed.list.round > list?.round ?? 0 {
            model.certifies(found.signed.list, found.digest)
            list = found.signed.list
            store.use(found.signed.list, ListModel.schedule)
        }
        if let list {
            let places = store.lacking(list)
            if !places.isEmpty {
                hear(listed(ListedQuestion(digest: list.digest, places: places).encoded()), from: peer)
            }
        }
        hear(all(), from: peer)
        check()
    }

    private func hear(_ body: [UInt8], from peer: Int) {
        for signed in (try? SignedDescriptor.decodeList(body.rawSpan)) ?? [] {
            guard VerifiedSignatures.isAuthentic(signed, network: ListModel.network) else { continue }
            if peer != ListModel.hostile { told[signed.digest, default: []].insert(peer) }
            _ = store.hear(
                signed, from: model.id(of: peer).key, operators: model.snapshot.entries.count, at: model.time)
        }
    }

    private func check() {
        precondition(store.count <= model.snapshot.entries.count, "descriptors of nodes that are not staked")
        for signed in store.all {
            precondition(model.made[signed.digest] != nil, "a descriptor that its node did not make")
            guard let list, list.place(of: signed.digest) == nil else { continue }
            precondition(told[signed.digest]?.count ?? 0 >= 2, "a descriptor that is not listed, and few nodes have")
            let limit = ListModel.schedule.cut(of: list.round).seconds - DescriptorStore.settling
            precondition(signed.descriptor.published.seconds > limit, "a descriptor that the list would have to name")
        }
    }
}

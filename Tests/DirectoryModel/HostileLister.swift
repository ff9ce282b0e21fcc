internal import Directory
internal import OnionCrypto
internal import Wire

/// The hostile node of ``ListModel``, which is a voter and hears all that is made and signed.
final class HostileLister {
    private struct Offer {
        let proposal: [UInt8]
        let descriptors: [SignedDescriptor]
    }

    private unowned let model: ListModel
    private var offers: [Bytes32: Offer] = [:]
    /// The digests of its offers, the newest last.
    private var offered: [Bytes32] = []
    private var isStalled = false
    private var isGone = false

    init(_ model: ListModel) { self.model = model }

    func goAway() { isGone = true }
    func hasOffered(_ digest: Bytes32) -> Bool { offers[digest] != nil }

    private func say(_ content: ListLetter.Content, to target: Int) {
        model.send(content, from: ListModel.hostile, to: target)
    }

    // MARK: Descriptors

    /// Descriptors as it likes: its own in several versions, old ones of others, and forged ones.
    func descriptors(_ choose: (Int) -> Int) -> [UInt8] {
        var list: [SignedDescriptor] = []
        for _ in 0...choose(3) { if let signed = descriptor(choose) { list.append(signed) } }
        var body = SignedDescriptor.encodeList(list)
        if choose(8) == 0, !body.isEmpty { body[choose(256) * 5 % body.count] ^= UInt8(1 << choose(8)) }
        return body
    }

    private func descriptor(_ choose: (Int) -> Int) -> SignedDescriptor? {
        let now = model.time.seconds
        switch choose(8) {
        case 0, 1, 2: return own(now - 300 + UInt64(choose(4)) * 300, choose)
        case 3: return own(now + UInt64(choose(3)) * 4_000, choose)
        case 4:
            let time = UnixTime(seconds: now - UInt64(choose(2)))
            return model.descriptor(of: ListModel.hostile, time, lifetime: [1, 600, 90_000][choose(3)])
        case 5:
            return model.descriptor(of: ListModel.hostile, UnixTime(seconds: now), address: 0x0a00_0001)
        case 6:
            // Another's, which it did not make.
            let signed = model.newest.last.flatMap { model.made[$0] }
            guard var value = signed?.descriptor, let signature = signed?.signature else { return nil }
            value.published.seconds += UInt64(choose(2))
            value.expires.seconds += 1
            value.onionKey[0] ^= 1
            return SignedDescriptor(value, signature: Array(signature))
        default: return model.made[model.newest[choose(model.newest.count)]]
        }
    }

    private func own(_ published: UInt64, _ choose: (Int) -> Int) -> SignedDescriptor {
        model.descriptor(
            of: ListModel.hostile, UnixTime(seconds: published), mark: UInt8(truncatingIfNeeded: choose(4)))
    }

    // MARK: Lists

    /// Makes a list for a round of this cycle, and offers it to some.
    private func propose(_ choose: (Int) -> Int) {
        let round = ListModel.schedule.round(at: model.time) / 4 * 4 + UInt64(choose(4))
        var stock = model.nodes[choose(ListModel.honestCount)].store.listable(at: model.time)
        switch choose(8) {
        case 0: if let first = stock.keys.min() { stock[first] = nil }
        case 1: stock = stock.filter { _ in choose(2) == 0 }
        case 2, 3:
            let own = own(model.time.seconds - UInt64(choose(100)), choose)
            if choose(2) == 0 { stock = stock.filter { $0.value.descriptor.node != model.hostileID } }
            stock[own.digest] = own
        default: break
        }
        var hashes = Array(stock.keys)
        if choose(8) == 0 { hashes.append(model.snapshotDigest) }
        guard
            let list = DescriptorList(
                round: round, height: 7, snapshot: choose(16) == 1 ? Bytes32() : model.snapshotDigest, hashes: hashes)
        else { return }
        let digest = list.digest
        let proposal = ListProposal(signature: signature(digest), list: list)
        if offers[digest] == nil { offered.append(digest) }
        if offered.count > 24 { offers[offered.removeFirst()] = nil }
        offers[digest] = Offer(proposal: proposal.encoded(), descriptors: stock.values.sorted { $0.digest < $1.digest })
        let targets = choose(16)
        for target in 0..<ListModel.honestCount where targets >> target & 1 == 0 {
            announce(digest, round: round, [item(digest)], to: target)
        }
    }

    private func message(_ digest: Bytes32) -> [UInt8] {
        [UInt8]("tunic descriptor list signature".utf8) + [0] + ListModel.network.array + digest.array
    }

    private func signature(_ digest: Bytes32, as number: Int = ListModel.hostile) -> [UInt8] {
        model.sign(message(digest), as: number)
    }

    private func place(_ number: Int) -> Int { model.snapshot.voters.firstIndex(of: model.id(of: number)) ?? 0 }

    private func item(_ digest: Bytes32) -> SignatureItem {
        SignatureItem(place: place(ListModel.hostile), bytes: signature(digest))
    }

    private func announce(_ digest: Bytes32, round: UInt64, _ items: [SignatureItem], to target: Int) {
        say(.signatures(round: round, digest: digest, items: ListSignatures.encode(items)), to: target)
    }

    /// A list that some node or it has offered.
    private func known(_ choose: (Int) -> Int) -> (digest: Bytes32, round: UInt64)? {
        let open = model.nodes[choose(ListModel.honestCount)].signing.collections
        if !open.isEmpty, choose(3) > 0 {
            let found = open[choose(open.count)]
            return (found.digest, found.height)
        }
        guard !offered.isEmpty else { return nil }
        return (offered[offered.count - 1 - choose(offered.count)], ListModel.schedule.round(at: model.time))
    }

    /// Right and wrong signatures of a list; those of honest nodes are those that they have made.
    private func items(_ digest: Bytes32, _ choose: (Int) -> Int) -> [SignatureItem] {
        switch choose(5) {
        case 0, 1: [item(digest)]
        case 2, 3:
            [item(digest)]
                + model.signed(digest).sorted().map {
                    SignatureItem(place: place($0), bytes: signature(digest, as: $0))
                }
        default: [SignatureItem(place: choose(7), bytes: signature(digest))]
        }
    }

    /// A certified list: that of a node, one with too few signatures, or one of its own.
    func list(_ choose: (Int) -> Int) -> [UInt8] {
        guard !isGone, !isStalled else { return [] }
        let node = model.nodes[choose(ListModel.honestCount)]
        switch choose(4) {
        case 0: return node.list(above: 0)
        case 1:
            guard let digest = offered.last,
                let offer = offers[digest],
                let proposal = try? ListProposal(decoding: offer.proposal.rawSpan)
            else { return [] }
            let signers = [ListModel.hostile] + model.signed(digest).sorted()
            let signatures = signers.map {
                SignedSnapshot.Signature(signer: model.id(of: $0), bytes: signature(digest, as: $0))
            }.sorted { $0.signer < $1.signer }
            return SignedDescriptorList(proposal.list, signatures: signatures).encoded()
        case 2:
            guard let certified = node.signing.certified else { return [] }
            let all = certified.signed(for: model.snapshot.voters).signatures
            return SignedDescriptorList(certified.list, signatures: all.dropLast(1 + choose(2))).encoded()
        default:
            var body = node.list(above: 0)
            if !body.isEmpty { body[choose(256) * 3 % body.count] ^= UInt8(1 << choose(8)) }
            return body
        }
    }

    // MARK: Acts

    /// One hostile act.
    func attack(_ choose: (Int) -> Int) {
        guard !isGone else { return }
        model.reached.attacks += 1
        let target = choose(ListModel.honestCount)
        switch choose(10) {
        case 0: isStalled.toggle()
        case 1, 2, 3: say(.descriptors(descriptors(choose)), to: target)
        case 4, 5, 6: propose(choose)
        case 7:
            // Lists that nobody has.
            for number in 0...choose(12) {
                let digest = Blake2b.digest([UInt8(truncatingIfNeeded: number)].rawSpan)
                announce(digest, round: ListModel.schedule.round(at: model.time), [item(digest)], to: target)
            }
        default:
            guard let (digest, round) = known(choose) else { return }
            announce(digest, round: round, items(digest, choose), to: target)
        }
    }

    /// A letter to it, which it answers as it likes.
    func receive(_ letter: ListLetter, _ choose: (Int) -> Int) {
        guard !isGone, !isStalled else { return }
        switch letter.content {
        case .getDescriptors: say(.gotDescriptors(descriptors(choose)), to: letter.from)
        case .getSignatures(let digest, _):
            say(.gotSignatures(digest: digest, items: ListSignatures.encode(items(digest, choose))), to: letter.from)
        case .getProposal(let digest):
            let other = offered.isEmpty ? nil : offers[offered[choose(offered.count)]]
            let offer = choose(4) > 0 ? offers[digest] : other
            say(.gotProposal(digest, body: choose(8) == 1 ? [1] : offer?.proposal ?? []), to: letter.from)
        case .getListed(_, let digest):
            let list = offers[digest]?.descriptors ?? []
            let body = choose(4) > 0 ? SignedDescriptor.encodeList(list.dropLast(choose(2))) : descriptors(choose)
            say(.gotListed(digest: digest, body: body), to: letter.from)
        case .getList: say(.gotList(list(choose)), to: letter.from)
        default: break
        }
    }
}

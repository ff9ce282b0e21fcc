import Directory
import OnionCrypto
import Wire

/// Lists of descriptors from other nodes: one encoding, and at most one signature in a round.
func lists(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    let kind = unsafe input.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
    let span = input.extracting(1..<input.byteCount)
    let bytes = [UInt8](copying: span)
    var encoded: [UInt8]?
    switch kind % 4 {
    case 0: encoded = (try? SignedDescriptorList(decoding: span))?.encoded()
    case 1: encoded = (try? ListProposal(decoding: span))?.encoded()
    case 2:
        guard let question = try? ListedQuestion(decoding: span) else { return }
        // A bitmap may end with zeros, which mean nothing.
        precondition((try? ListedQuestion(decoding: question.encoded().rawSpan)) == question, "two questions")
    default: return converse(bytes)
    }
    precondition(encoded == nil || encoded == bytes, "two encodings")
}

private let network = Bytes32()
private let snapshot: Snapshot = {
    let entries = (1...4).map { number in
        var id = [UInt8](repeating: 0, count: 32)
        id[0] = UInt8(number)
        let node = NodeID(Bytes32(copying: id.rawSpan))
        return Snapshot.Entry(node: node, operatorID: node.key, weight: 1, placement: 0)
    }
    return Snapshot(network: network, height: 1, time: UnixTime(seconds: 0), entries: entries)!
}()

/// One node of four receives proposals, signatures and certified lists in any order while time passes.
///
/// A signature whose first byte is even counts as good.
private func converse(_ input: [UInt8]) {
    let anything = SignatureCheck { signature, _, _ in signature[0] & 1 == 0 }
    let node = snapshot.voters[0]
    var signing = ListSigning(
        network: network, schedule: ListSchedule(epoch: 8), snapshot: snapshot, digest: snapshot.digest)
    let store = DescriptorStore(network: network, allowsPrivateAddresses: true, snapshot: snapshot)
    var time = UnixTime(seconds: 800)
    var signedRounds: Set<UInt64> = []
    var lastRound: UInt64 = 0
    signing.advance(to: time)
    for (place, byte) in input.prefix(512).enumerated() {
        let hashes = byte & 0x80 == 0 ? [] : [Blake2b.digest([byte].rawSpan)]
        let round = signing.round &+ UInt64(byte >> 6)
        let list = DescriptorList(round: round, height: 1, snapshot: snapshot.digest, hashes: hashes)!
        let signature = [UInt8](repeating: UInt8(truncatingIfNeeded: place), count: 64)
        let peer = snapshot.voters[Int(byte >> 4) % 4]
        switch byte % 6 {
        case 0:
            // The clock goes on, or is set back by some cycles.
            if byte < 0xe0 { time.seconds += UInt64(byte >> 4) } else { time.seconds -= min(time.seconds, 40) }
            signing.advance(to: time)
        case 1:
            let proposal = ListProposal(signature: signature, list: list)
            if signing.wants(list.digest, round: round, from: peer) {
                try? signing.take(proposal.encoded(), digest: list.digest, from: peer, check: anything)
            }
        case 2:
            if let open = signing.unjudged(list.digest) {
                let isGood = (try? ListSigning.judge(open, [:], by: store, signing.schedule, at: time)) != nil
                precondition(!isGood || open.hashes.isEmpty, "a list without its descriptors is good")
                signing.judged(list.digest, isGood ? [:] : nil)
            }
        case 3:
            if let digest = signing.due(node, at: time), signing.sign(digest, as: node, by: { _ in signature }) != nil {
                let round = signing.collection(digest)!.height
                precondition(signedRounds.insert(round).inserted, "two signatures in a round")
            }
        case 4: _ = signing.add([SignatureItem(place: Int(byte >> 4), bytes: signature)], for: list.digest)
        default:
            let signatures = snapshot.voters.map { SignedSnapshot.Signature(signer: $0, bytes: signature) }
            let whole = SignedDescriptorList(list, signatures: signatures)
            if let digest = try? ListSigning.check(
                whole, network: network, trusted: snapshot, digest: snapshot.digest, check: anything)
            {
                signing.take(checked: whole, digest: digest, descriptors: [:])
            }
        }
        let certified = signing.certified?.list.round ?? 0
        precondition(certified >= lastRound, "a list went back")
        precondition(signing.collections.count <= ListSchedule.maximumRounds)
        lastRound = certified
    }
}

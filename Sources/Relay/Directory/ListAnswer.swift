internal import Directory
internal import Wire

/// The answer to GET_LIST, made once for each certified list and trusted snapshot.
///
/// Under a newer snapshot a list may have too few signatures. Readers would refuse it, so the answer is empty. The
/// empty answer is stored too, because making it takes a pass over all voters and any client may ask.
struct ListAnswer {
    private struct Subject: Equatable {
        let list: Bytes32
        let snapshot: Bytes32
    }

    private var made: (subject: Subject, signatures: Int, bytes: [UInt8])?

    /// The encoded list for readers that trust the snapshot with `digest`, which has these `voters`; empty if too few
    /// of them signed it.
    mutating func bytes(
        of certified: ListSigning.Certified, under digest: Bytes32, voters: () -> [NodeID]
    ) -> [UInt8] {
        let subject = Subject(list: certified.digest, snapshot: digest)
        // An empty answer stays valid until another signature has come.
        if let made, made.subject == subject, !made.bytes.isEmpty || made.signatures == certified.signatures.count {
            return made.bytes
        }
        let voters = voters()
        let signed = certified.signed(for: voters)
        let isEnough = signed.signatures.count >= SnapshotChain.quorum(of: voters.count)
        made = (subject, certified.signatures.count, isEnough ? signed.encoded() : [])
        return made?.bytes ?? []
    }
}

internal import Directory
internal import OnionCrypto
package import Process
package import Wire

/// Makes the draft of a new network file for the remaining nodes.
package struct Recovery {
    /// The number of nodes in the draft's snapshot.
    package let nodes: Int
    /// The draft's height, and the height of the newest snapshot before it.
    package let height: UInt64, newest: UInt64
    /// The number of nodes that must sign it.
    package let needed: Int
    /// BLAKE2b-256 over the draft without signatures, in hexadecimal digits.
    package let fingerprint: String

    /// Writes the draft to `output`, which must not exist: the network of the file `network` without the nodes of
    /// `gone`.
    ///
    /// With a data folder, the nodes are those of the newest snapshot that the folder's node trusts, and the default
    /// height is above all that this node knows; the node must not run.
    package init(
        of network: String, data: String?, without gone: Set<NodeID>, height: UInt64?, output: String
    ) throws(Failure) {
        Sodium.initialize()
        let file = try NetworkFile.read(network)
        var newest = file.snapshot.snapshot
        var next = height
        if let data {
            // A service's data folder is a link to its user's folder.
            let known = try KnownNetwork(in: Files.resolved(data), file)
            newest = known.newest
            next = next ?? known.next
        }
        let draft: NetworkFile
        do throws(RecoveryRefusal) {
            draft = try file.recovered(from: newest, without: gone, height: next, at: currentTime())
        } catch {
            throw Failure(.usage, error.text)
        }
        try Files.writeNew(output, draft.json(), mode: 0o644)
        let snapshot = draft.snapshot.snapshot
        nodes = snapshot.stakedCount
        self.height = snapshot.height
        self.newest = newest.height
        needed = draft.progress.needed
        fingerprint = draft.unsignedFingerprint
    }
}

extension NetworkFile {
    /// BLAKE2b-256 over the file without signatures, in hexadecimal digits.
    var unsignedFingerprint: String { hexadecimal(Blake2b.digest(unsigned.json().rawSpan).array) }
}

extension RecoveryRefusal {
    /// The problem in one sentence.
    var text: String {
        switch self {
        case .unknownNode(let node): "\(node) is not in the newest snapshot; 'tunic nodes' shows its nodes"
        case .heightNotAbove(let height): "use a --height above \(height), that of the newest snapshot"
        case .noNodes: "no node is left"
        case .noBootstrap:
            "no node of the network file's bootstrap list remains; first add one that does, with its address"
        case .differs(let keys):
            "it is not a copy of the draft: it has another value of \(keys.joined(separator: ", "))"
        case .badSignature(let node): "the signature of \(node) is wrong"
        case .heightNotNear(let height, let trusted):
            "the draft's height is \(height), and this node trusts a snapshot at \(trusted)"
        case .hasSigned(let height):
            "this node has signed a snapshot at height \(height); make the draft with --height "
                + "\(height.addingReportingOverflow(1).partialValue) or more"
        }
    }
}

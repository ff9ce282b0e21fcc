internal import Directory
package import OnionCrypto
package import Process
internal import Wire

/// The draft of a new network file, and its signature by the node of a data folder; the node must not run meanwhile.
package struct DraftSigning: ~Copyable {
    /// The numbers of nodes that have signed, must sign and can sign.
    package struct Progress {
        package let signed: Int, needed: Int, nodes: Int
        /// Whether nodes and clients can start with the file.
        package var isComplete: Bool { signed >= needed }
    }

    /// The most nodes of a kind that a message names.
    private static let namedNodes = 20

    private let file: String
    private var draft: NetworkFile
    private let key: SigningKey
    private let known: KnownNetwork
    /// The keys whose values differ between the draft and the network file.
    package let changed: [String]

    /// Reads the draft, the first of `files`, and the signatures of its copies, the others.
    ///
    /// `network` is the file with which the node runs, `data` its data folder.
    package init(
        _ files: [String], network: String, data: String, passphrase: borrowing Passphrase?
    ) throws(Failure) {
        Sodium.initialize()
        var draft = try Self.read(files[0])
        for path in files {
            let copy = try Self.read(path)
            do throws(RecoveryRefusal) {
                try draft.merge(copy)
            } catch {
                throw Failure(.data, "\(path): \(error.text)")
            }
        }
        let own = try NetworkFile.read(network)
        guard draft.id == own.id else {
            throw Failure(.data, "\(files[0]) belongs to another network than \(network)")
        }
        // A service's data folder is a link to its user's folder.
        let folder = Files.resolved(data)
        let key = try RoleFolder.readKey(in: folder, passphrase: passphrase)
        guard draft.snapshot.snapshot.isStaked(NodeID(key.publicKey)) else {
            throw Failure(.usage, "\(files[0]) does not name \(NodeID(key.publicKey)) among its nodes")
        }
        known = try KnownNetwork(in: folder, own)
        file = files[0]
        changed = own.changes(by: draft)
        self.draft = draft
        self.key = key
    }

    /// BLAKE2b-256 over the draft without signatures, in hexadecimal digits.
    package var fingerprint: String { draft.unsignedFingerprint }

    /// Signs the draft and replaces its file; refuses if the draft has a change that is not in `accepted`.
    package mutating func sign(accepting accepted: [String]) throws(Failure) -> Progress {
        let refused = changed.filter { !accepted.contains($0) }
        guard refused.isEmpty else {
            throw Failure(
                .usage,
                "\(file) is not signed: it changes \(refused.joined(separator: ", ")); if the operators have agreed on that, "
                    + "add \(refused.map { "--accept \($0)" }.joined(separator: " "))")
        }
        let snapshot = draft.snapshot.snapshot
        try known.keep(draft)
        draft.snapshot.sign(with: key)
        try Files.replace(file, draft.json(), mode: 0o644)
        let (signed, needed) = draft.progress
        return Progress(signed: signed, needed: needed, nodes: snapshot.stakedCount)
    }

    private static func read(_ path: String) throws(Failure) -> NetworkFile {
        do {
            return try NetworkFile(draft: Files.read(path, limit: NetworkFile.maximumFileSize))
        } catch let error as Failure {
            throw error
        } catch {
            throw Failure(.data, "\(path): \(error)")
        }
    }

    /// The differences from the nodes that this node knows, with one line for each kind.
    package var differences: [String] {
        let (draft, known) = (draft.snapshot.snapshot, known.newest)
        let kinds: [(String, [Snapshot.Entry])] = [
            ("out", known.entries.filter { $0.isStaked && !draft.isStaked($0.node) }),
            ("in", draft.entries.filter { $0.isStaked && !known.isStaked($0.node) }),
            (
                "with another operator, weight or placement",
                draft.entries.filter { entry in
                    guard let before = known.entry(of: entry.node) else { return false }
                    return before.operatorID != entry.operatorID || before.weight != entry.weight
                        || before.placement != entry.placement
                }
            ),
        ]
        let preface = draft.preface == known.preface ? [] : ["the names or the extension in front of the nodes"]
        let lines =
            kinds.filter { !$0.1.isEmpty }.map { kind, entries in
                let named = entries.prefix(Self.namedNodes).map(\.node.description).joined(separator: " ")
                let more = entries.count > Self.namedNodes ? " and \(entries.count - Self.namedNodes) more" : ""
                return "\(entries.count) \(kind): \(named)\(more)"
            } + preface
        return ["nodes, against the snapshot at height \(known.height) that this node trusts:"]
            + (lines.isEmpty ? ["the same"] : lines).map { "  \($0)" }
    }
}

internal import ArgumentParser
internal import Directory
internal import Glibc
internal import OnionCrypto
internal import Store
internal import Wire

/// Makes the draft of a new network file for the nodes that are left.
struct NetworkRecoverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover", abstract: "Make the draft of a new network file for the nodes that are left.",
        discussion: """
            Example:
              tunic network recover --network network.json --data /var/lib/tunic --without 7zc…q8.snode --output recovery.json

            For a network of which a third of the nodes is gone, so that no newer snapshot becomes trusted. The draft has the \
            network's id, and the nodes of the newest snapshot that the node of this data folder trusts; the node must not run. \
            More than two thirds of the nodes that are left sign it with 'tunic network sign'.
            """)

    @Option(help: ArgumentHelp("The network file.", valueName: "file"))
    var network: String

    @Option(help: ArgumentHelp("The data folder of a node that knows the newest snapshot.", valueName: "folder"))
    var data: String?

    @Option(help: ArgumentHelp("A node that is gone, repeated for each.", valueName: "node"), transform: nodeName)
    var without: [NodeID] = []

    @Option(
        help: ArgumentHelp(
            "The new snapshot's height (default: above all that this folder knows).", valueName: "height"))
    var height: UInt64?

    @Option(help: ArgumentHelp("The draft to write.", valueName: "file"))
    var output: String

    func run() throws {
        Sodium.initialize()
        let file = try NetworkFile.read(network)
        var newest = file.snapshot.snapshot
        var next = height
        if let data {
            // A service's data folder is a link to the folder of its user.
            let known = try Known(in: Files.resolved(data), file)
            newest = known.newest
            next = next ?? known.next
        }
        let draft: NetworkFile
        do throws(RecoveryRefusal) {
            draft = try file.recovered(from: newest, without: Set(without), height: next, at: currentTime())
        } catch {
            throw Failure(.usage, text(of: error))
        }
        try Files.writeNew(output, draft.json(), mode: 0o644)
        let snapshot = draft.snapshot.snapshot
        print("Made \(output): \(snapshot.stakedCount) nodes at height \(snapshot.height), above \(newest.height).")
        print("fingerprint without signatures: \(draft.unsignedFingerprint)")
        print("\(draft.progress.needed) of them must sign. At each, while it does not run:")
        print("")
        print("  tunic network sign --network \(network) --data FOLDER \(output)")
    }
}

/// What the node or client of a data folder knows of its network.
private struct Known {
    let store: Store
    /// The newest snapshot that it trusts.
    let newest: Snapshot
    /// A height above all that it trusts and has signed; nil where that is the next one.
    let next: UInt64?

    init(in folder: String, _ file: NetworkFile) throws(Failure) {
        store = try RoleFolder.openStore(in: folder)
        do {
            let kept = try store.trustedSnapshot(of: file.id)
            let newest = try SnapshotChain(
                file, kept: kept?.bytes, mark: kept.map { .init(height: $0.height, digest: $0.digest) }
            ).snapshot
            self.newest = newest
            let signed = try store.value(SnapshotSigning.keptName).map {
                try SnapshotSigning.signed(kept: $0).signed.height
            }
            next = signed.flatMap { $0 > newest.height ? $0.addingReportingOverflow(1).partialValue : nil }
        } catch let error as StoreError {
            throw Failure.of(error)
        } catch is WireError {
            throw Failure.of(StoreError.damaged(path: store.path(of: Store.fileName)))
        } catch {
            throw Failure(.data, "the snapshot in \(folder) cannot be used: \(error)")
        }
    }
}

/// Signs a draft of a new network file as a node.
struct NetworkSignCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign", abstract: "Sign the draft of a new network file, as one of its nodes.",
        discussion: """
            Examples:
              tunic network sign --network network.json --data /var/lib/tunic recovery.json
              tunic network sign --network network.json --data /var/lib/tunic recovery.json copy-of-another.json

            Whoever starts with the new file trusts it in all: compare the fingerprint that is printed with the other operators, \
            and look at what changes. The draft of 'tunic network recover' differs from the network file in the snapshot, and in \
            the bootstrap list by the nodes that are gone. Any other difference is refused but for the keys of --accept. The \
            signature is written to the first file, with those of the other copies. The node must not run meanwhile.
            """)

    @Option(help: ArgumentHelp("The network file that the node runs with.", valueName: "file"))
    var network: String

    @Option(help: ArgumentHelp("The node's data folder.", valueName: "folder"))
    var data: String

    @OptionGroup var passphrase: PassphraseOption

    @Option(
        help: ArgumentHelp("A key of which the draft may have another value, repeated for each.", valueName: "key"))
    var accept: [String] = []

    @Argument(help: ArgumentHelp("The draft, and copies of it with other nodes' signatures.", valueName: "file"))
    var files: [String]

    func validate() throws {
        guard !files.isEmpty else { throw ValidationError("name the draft to sign") }
    }

    func run() throws {
        Sodium.initialize()
        var draft = try Self.read(files[0])
        for path in files {
            let copy = try Self.read(path)
            do throws(RecoveryRefusal) {
                try draft.merge(copy)
            } catch {
                throw Failure(.data, "\(path): \(text(of: error))")
            }
        }
        let own = try NetworkFile.read(network)
        guard draft.id == own.id else {
            throw Failure(.data, "\(files[0]) is of another network than \(network)")
        }
        // A service's data folder is a link to the folder of its user.
        let folder = Files.resolved(data)
        let key = try RoleFolder.readKey(in: folder, passphrase: passphrase.read())
        let snapshot = draft.snapshot.snapshot
        guard snapshot.isStaked(NodeID(key.publicKey)) else {
            throw Failure(.usage, "\(files[0]) does not name \(NodeID(key.publicKey)) among its nodes")
        }
        let known = try Known(in: folder, own)
        print("fingerprint without signatures: \(draft.unsignedFingerprint)")
        print(Self.differences(of: snapshot, from: known.newest).joined(separator: "\n"))
        let changed = own.changes(by: draft)
        if !changed.isEmpty { print("other values than in \(network): \(changed.joined(separator: ", "))") }
        let refused = changed.filter { !accept.contains($0) }
        guard refused.isEmpty else {
            throw Failure(
                .usage,
                "\(files[0]) is not signed: it changes \(refused.joined(separator: ", ")); if the operators have agreed on that, "
                    + "add \(refused.map { "--accept \($0)" }.joined(separator: " "))")
        }
        try keep(draft, in: known)
        draft.snapshot.sign(with: key)
        try Files.replace(files[0], draft.json(), mode: 0o644)
        let (signed, needed) = draft.progress
        print("\(signed) of \(snapshot.stakedCount) nodes have signed \(files[0]), \(needed) must.")
        if signed >= needed { print("It is complete: start nodes and clients with it.") }
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

    /// The most nodes of a kind that are named.
    private static let namedNodes = 20

    /// What becomes of the nodes of `known`, a line for each kind of difference.
    private static func differences(of draft: Snapshot, from known: Snapshot) -> [String] {
        let kinds: [(String, [Snapshot.Entry])] = [
            ("out", known.entries.filter { $0.isStaked && !draft.isStaked($0.node) }),
            ("in", draft.entries.filter { $0.isStaked && !known.isStaked($0.node) }),
            (
                "with another operator or weight",
                draft.entries.filter { entry in
                    guard entry.isStaked, let before = known.entry(of: entry.node), before.isStaked else {
                        return false
                    }
                    return before.operatorID != entry.operatorID || before.weight != entry.weight
                }
            ),
        ]
        let lines = kinds.filter { !$0.1.isEmpty }.map { kind, entries in
            let more = entries.count > namedNodes ? " and \(entries.count - namedNodes) more" : ""
            return
                "\(entries.count) \(kind): \(entries.prefix(namedNodes).map(\.node.description).joined(separator: " "))\(more)"
        }
        return ["nodes, against the snapshot at height \(known.height) that this node trusts:"]
            + (lines.isEmpty ? ["the same"] : lines).map { "  \($0)" }
    }

    /// Keeps what is signed, so that this node signs no other snapshot of that height; refuses where it has signed one.
    private func keep(_ draft: NetworkFile, in known: Known) throws(Failure) {
        let snapshot = draft.snapshot.snapshot
        do {
            let signed = try known.store.value(SnapshotSigning.keptName).map {
                try SnapshotSigning.signed(kept: $0).signed
            }
            try draft.checkHeight(above: known.newest, signed: signed)
            try known.store.setValue(
                SnapshotSigning.encode(snapshot, digest: snapshot.digest), for: SnapshotSigning.keptName,
                waiting: true)
        } catch let error as RecoveryRefusal {
            let code: Failure.Code = if case .hasSigned = error { .usage } else { .data }
            throw Failure(code, text(of: error))
        } catch let error as StoreError {
            throw Failure.of(error)
        } catch {
            throw Failure.of(StoreError.damaged(path: known.store.path(of: Store.fileName)))
        }
    }
}

extension NetworkFile {
    /// BLAKE2b-256 over the file without signatures, in hexadecimal digits.
    fileprivate var unsignedFingerprint: String { hexadecimal(Blake2b.digest(unsigned.json().rawSpan).array) }
}

/// What is wrong, in one sentence.
private func text(of refusal: RecoveryRefusal) -> String {
    switch refusal {
    case .unknownNode(let node): "\(node) is not in the newest snapshot; 'tunic nodes' shows who is"
    case .heightNotAbove(let height): "use a --height above \(height), that of the newest snapshot"
    case .noNodes: "no node is left"
    case .noBootstrap: "no node of the network file's bootstrap list is left; add one that is, with its address, first"
    case .differs(let keys): "it is no copy of the draft: it has another value of \(keys.joined(separator: ", "))"
    case .badSignature(let node): "the signature of \(node) is wrong"
    case .heightNotNear(let height, let trusted):
        "the draft's height is \(height), and this node trusts a snapshot at \(trusted)"
    case .hasSigned(let height):
        "this node has signed a snapshot at height \(height); make the draft with --height "
            + "\(height.addingReportingOverflow(1).partialValue) or more"
    }
}

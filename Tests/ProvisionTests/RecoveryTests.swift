import Directory
import OnionCrypto
import Process
import Store
import Testing
import Wire

@testable import Provision

@Suite struct RecoveryTests {
    /// A draft that the other nodes can sign; unless a test says so, the last two nodes are left out.
    private func draft(
        _ network: NetworkFolder, _ folder: Folder, _ name: String = "draft.json", height: UInt64? = nil,
        without: Range<Int>? = nil
    ) throws -> (path: String, made: Recovery) {
        let path = "\(folder.path)/\(name)"
        let gone = network.nodes[without ?? network.nodes.count - 2..<network.nodes.count].map(\.id)
        let made = try Recovery(
            of: network.file, data: network.nodes[0].folder, without: Set(gone), height: height, output: path)
        return (path, made)
    }

    private func sign(
        _ network: NetworkFolder, _ node: Int, _ files: [String], accepting: [String] = []
    ) throws -> DraftSigning.Progress {
        var signing = try DraftSigning(files, network: network.file, data: network.nodes[node].folder, passphrase: nil)
        return try signing.sign(accepting: accepting)
    }

    private func copy(_ folder: Folder, _ path: String, _ name: String) throws -> String {
        try folder.write(name, try contents(path))
    }

    @Test func aDraftHasTheNodesThatAreLeft() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 6)
        let (path, made) = try draft(network, folder)
        #expect(made.nodes == 4 && made.height == 2 && made.newest == 1 && made.needed == 3)
        let draft = try NetworkFile(draft: try contents(path))
        let old = try file(network)
        #expect(draft.id == old.id && draft.ledger == old.ledger)
        #expect(draft.bootstrap.map(\.node) == network.nodes.prefix(4).map(\.id))
        #expect(draft.unsignedFingerprint == made.fingerprint)
        // Until enough nodes have signed the draft it is not a network file, and it is not overwritten.
        #expect(throws: (any Error).self) { try NetworkFile(json: try contents(path)) }
        #expect(failure { _ = try self.draft(network, folder) }?.code == .cannotCreate)
    }

    @Test func whatNoDraftCanBeMadeOfIsNamed() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 4)
        let stranger = NodeID(SigningKey().publicKey)
        for (gone, height, words) in [
            ([stranger], nil, "\(stranger) is not in the newest snapshot"),
            ([], 1, "use a --height above 1, that of the newest snapshot"),
            (network.nodes.map(\.id), nil, "no node is left"),
        ] as [([NodeID], UInt64?, String)] {
            let found = failure {
                _ = try Recovery(
                    of: network.file, data: nil, without: Set(gone), height: height, output: "\(folder.path)/d.json")
            }
            #expect(found?.code == .usage)
            #expect(found?.message.hasPrefix(words) == true, "\(found?.message ?? "")")
            #expect(!Files.exists("\(folder.path)/d.json"))
        }
    }

    @Test func copiesAreSignedApartAndMerged() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 6)
        let (path, _) = try draft(network, folder)
        let other = try copy(folder, path, "copy.json")
        #expect(try sign(network, 0, [path]).signed == 1)
        #expect(try sign(network, 1, [other]).signed == 1)
        let last = try sign(network, 2, [path, other])
        #expect(last.signed == 3 && last.needed == 3 && last.nodes == 4 && last.isComplete)
        // Enough nodes have signed the draft, so it is a network file.
        let new = try NetworkFile(json: try contents(path))
        #expect(new.snapshot.snapshot.stakedCount == 4)
        // The same node's signature counts once.
        #expect(try sign(network, 2, [path]).signed == 3)
    }

    @Test func whatASignatureChangesIsShownBefore() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 6)
        let (path, made) = try draft(network, folder)
        let signing = try DraftSigning([path], network: network.file, data: network.nodes[0].folder, passphrase: nil)
        #expect(signing.fingerprint == made.fingerprint)
        #expect(signing.changed.isEmpty)
        #expect(signing.differences.count == 2)
        #expect(signing.differences[0] == "nodes, against the snapshot at height 1 that this node trusts:")
        #expect(signing.differences[1].hasPrefix("  2 out: "))
        for node in network.nodes.suffix(2) { #expect(signing.differences[1].contains(node.id.description)) }
    }

    @Test func onlyANodeOfTheDraftSigns() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 6)
        let (path, _) = try draft(network, folder)
        let before = try contents(path)
        let gone = failure { _ = try sign(network, 5, [path]) }
        #expect(gone?.code == .usage)
        #expect(gone?.message == "\(path) does not name \(network.nodes[5].id) among its nodes")
        let other = try folder.network("other", nodes: 4)
        let foreign = failure {
            _ = try DraftSigning([path], network: other.file, data: other.nodes[0].folder, passphrase: nil)
        }
        #expect(foreign?.message == "\(path) belongs to another network than \(other.file)")
        #expect(try contents(path) == before)
    }

    @Test("S25: values that no signature covers are signed only where they are accepted")
    func otherValuesAreRefused() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 6)
        let (path, _) = try draft(network, folder)
        var value = try NetworkFile(draft: try contents(path))
        value.operatorSharePercent = 100
        let changed = try folder.write("changed.json", value.json())
        let found = failure { _ = try sign(network, 0, [changed]) }
        #expect(found?.code == .usage)
        #expect(
            found?.message
                == "\(changed) is not signed: it changes operatorSharePercent; if the operators have agreed on that, "
                + "add --accept operatorSharePercent")
        #expect(try contents(changed) == value.json())
        // A changed file is not a copy of the draft.
        let copied = failure { _ = try sign(network, 0, [path, changed]) }
        #expect(
            copied?.message
                == "\(changed): it is not a copy of the draft: it has another value of operatorSharePercent")
        #expect(try sign(network, 0, [changed], accepting: ["operatorSharePercent"]).signed == 1)
    }

    @Test("S25: a node signs one snapshot of a height, and none so high that it bars all others")
    func aNodeSignsOneSnapshotOfAHeight() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 6)
        let (path, _) = try draft(network, folder)
        _ = try sign(network, 0, [path])
        let (other, _) = try draft(network, folder, "other.json", height: 2, without: 5..<6)
        let found = failure { _ = try sign(network, 0, [other]) }
        #expect(found?.code == .usage)
        #expect(
            found?.message
                == "this node has signed a snapshot at height 2; make the draft with --height 3 or more")
        // Signing the same draft again is allowed, and the folder's next draft has a greater height by itself.
        #expect(try sign(network, 0, [path]).signed == 1)
        #expect(try draft(network, folder, "next.json").made.height == 3)
        let (far, _) = try draft(network, folder, "far.json", height: 1 << 33)
        let before = try contents(far)
        let barred = failure { _ = try sign(network, 1, [far]) }
        #expect(barred?.code == .data)
        #expect(barred?.message == "the draft's height is \(1 << 33), and this node trusts a snapshot at 1")
        #expect(try contents(far) == before)
    }

    @Test func aNodeThatRunsKeepsItsFolder() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 4)
        let store = try RoleFolder.openStore(in: network.nodes[0].folder)
        let found = failure { _ = try draft(network, folder) }
        #expect(found?.code == .inUse)
        withExtendedLifetime(store) {}
    }
}

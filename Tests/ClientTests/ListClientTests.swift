import Directory
import EventLoop
import Links
import LoopTesting
import Onion
import OnionCrypto
import Testing
import Wire

@testable import Client

/// Attacks by a node that gives one client an onion key of its own, and by the node's friends, against signed lists.
@Suite struct ListClientTests {
    typealias List = (signed: SignedDescriptorList, digest: Bytes32, descriptors: [SignedDescriptor])

    /// A list of the descriptors of all nodes, or of the first `count`, signed by the nodes `signers`.
    func list(
        _ world: DirectoryWorld, round: UInt64, by signers: Range<Int>, naming count: Int = .max
    ) throws -> List {
        let descriptors = Array(try #require(world.nodes.last).descriptors.prefix(count))
        let list = try #require(
            DescriptorList(
                round: round, height: 1, snapshot: world.network.snapshot.snapshot.digest,
                hashes: descriptors.map(\.digest)))
        let message = [UInt8]("tunic descriptor list signature".utf8) + [0] + world.network.id.array + list.digest.array
        let signatures = world.nodes[signers].map {
            SignedSnapshot.Signature(signer: $0.id, bytes: $0.key.sign(message.rawSpan))
        }
        return (
            SignedDescriptorList(list, signatures: signatures.sorted { $0.signer < $1.signer }), list.digest,
            descriptors
        )
    }

    /// A newer version of a node's descriptor, with another onion key.
    static func version(of node: DirectoryNode, _ world: DirectoryWorld) throws -> SignedDescriptor {
        var value = try #require(node.descriptors.first { $0.descriptor.node == node.id }).descriptor
        value.onionKey = try KEM.PrivateKey().publicKey
        value.published.seconds += 30
        value.expires.seconds += 30
        return value.signed(with: node.key, network: world.network.id)
    }

    /// Fetches `node`'s list and its changed descriptors, as the client does.
    func ask(_ node: DirectoryNode, _ world: DirectoryWorld) {
        var isOver = false
        let directory = world.directory
        directory.links.link(to: node.id, at: [node.address]) { result in
            guard case .success(let link) = result else { return }
            directory.fetchList(link, from: node.id) {
                directory.fetchDescriptors(link, from: node.id) { _ in isOver = true }
            }
        }
        #expect(world.loop.run { isOver })
    }

    @Test("s11: a version that a node and two friends hand to one client is not used; one that three operators have is")
    func ownVersions() throws {
        let world = try DirectoryWorld(7, isSimulated: true)
        let list = try list(world, round: 5, by: 0..<5)
        for node in world.nodes { node.list = list }
        #expect(world.start())
        #expect(world.directory.lists.used?.digest == list.digest && world.directory.descriptorCount == 7)
        let marker = world.nodes[6]
        let marked = try Self.version(of: marker, world)
        let usual = try #require(world.directory.descriptor(of: marker.id)).onionKey
        // The node itself and two of its friends serve the version.
        for node in [world.nodes[0], world.nodes[1], marker] {
            node.descriptors = node.descriptors.filter { $0.descriptor.node != marker.id } + [marked]
            ask(node, world)
        }
        #expect(world.directory.descriptors.hasFresh(of: [marker.id]))
        #expect(world.directory.descriptor(of: marker.id)?.onionKey == usual)
        // A version that others serve as well comes from a restart of the node.
        world.nodes[2].descriptors = world.nodes[0].descriptors
        ask(world.nodes[2], world)
        #expect(world.directory.descriptor(of: marker.id)?.onionKey == marked.descriptor.onionKey)
        #expect(!world.directory.descriptors.hasFresh(of: [marker.id]))
    }

    @Test("s11: a node that hides the list, offers a false one, or keeps its descriptors back changes nothing")
    func falseLists() throws {
        let world = try DirectoryWorld(7, isSimulated: true)
        let list = try list(world, round: 5, by: 0..<5)
        // Two of seven nodes have no list; the client asks at least three.
        for node in world.nodes.dropFirst(2) { node.list = list }
        #expect(world.start())
        // If those two are among the first three, others are asked after 20 s, and each stranger for five minutes.
        #expect(world.loop.run(for: .seconds(1_300)) { world.directory.lists.used?.digest == list.digest })
        let few = try self.list(world, round: 6, by: 0..<4)
        world.nodes[0].list = few
        ask(world.nodes[0], world)
        #expect(world.directory.lists.used?.digest == list.digest)
        // The list is signed, but the nodes serve none of its descriptors.
        let other = try Self.version(of: world.nodes[3], world)
        world.nodes[6].descriptors = try world.nodes.map { try Self.version(of: $0, world) }.dropLast() + [other]
        var kept = try self.list(world, round: 7, by: 0..<7)
        kept.descriptors = []
        for node in world.nodes[1...2] {
            node.list = kept
            ask(node, world)
        }
        #expect(world.directory.lists.used?.digest == list.digest && world.directory.descriptorCount == 7)
    }

    @Test("s11: a list that names few nodes leaves a client as it is")
    func smallList() throws {
        let world = try DirectoryWorld(7, isSimulated: true)
        #expect(world.start())
        #expect(world.directory.mayChoose)
        func show(_ list: List) {
            for node in world.nodes[1...2] {
                node.list = list
                ask(node, world)
            }
        }
        show(try list(world, round: 5, by: 0..<7, naming: 1))
        #expect(world.directory.lists.used == nil && world.directory.mayChoose)
        let whole = try list(world, round: 6, by: 0..<7)
        show(whole)
        #expect(world.directory.lists.used?.digest == whole.digest)
    }

    @Test("s11: an old list with the descriptors of its time does not empty a client")
    func expiredList() throws {
        let world = try DirectoryWorld(7, isSimulated: true)
        let list = try list(world, round: 5, by: 0..<5)
        for node in world.nodes { node.list = list }
        #expect(world.start())
        #expect(world.directory.lists.used?.digest == list.digest)
        world.nodes[6].descriptors = Self.expired(world)
        // The list is certified and newer than the one in use; two operators serve it with all its descriptors.
        let old = try self.list(world, round: 7, by: 0..<7)
        for node in world.nodes[5...6] {
            node.list = old
            ask(node, world)
        }
        #expect(world.directory.lists.used?.digest == list.digest && world.directory.descriptorCount == 7)
        #expect(world.directory.canChoose(hops: 3))
    }

    @Test("s11: a client that knows nothing yet does not begin with an old list")
    func expiredFirstList() throws {
        let world = try DirectoryWorld(7, isSimulated: true)
        let expired = Self.expired(world)
        for node in world.nodes { node.descriptors = expired }
        let old = try list(world, round: 7, by: 0..<7)
        for node in world.nodes { node.list = old }
        #expect(!world.start())
        #expect(world.directory.lists.used == nil)
    }

    /// The descriptors that the nodes had more than two days ago.
    private static func expired(_ world: DirectoryWorld) -> [SignedDescriptor] {
        world.nodes[6].descriptors.enumerated().map { number, signed in
            var value = signed.descriptor
            value.published.seconds -= 200_000
            value.expires.seconds -= 200_000
            return value.signed(with: world.nodes[number].key, network: world.network.id)
        }
    }

    @Test("s23: a client that can build no path asks for the new version of a hop over links") func withoutPaths()
        throws
    {
        let world = try DirectoryWorld(7, isSimulated: true)
        let list = try list(world, round: 5, by: 0..<5)
        for node in world.nodes { node.list = list }
        #expect(world.start())
        // No node here answers builds. All nodes have the new version of one of them.
        let restarted = world.nodes[6]
        let version = try Self.version(of: restarted, world)
        for node in world.nodes {
            node.descriptors = node.descriptors.filter { $0.descriptor.node != restarted.id } + [version]
        }
        let directory = world.directory
        directory.fetchChanges(of: restarted.id)
        let key = version.descriptor.onionKey
        #expect(world.loop.run(for: .seconds(60)) { directory.descriptor(of: restarted.id)?.onionKey == key })
        #expect(directory.lists.used?.digest == list.digest)
    }

    @Test("s23: where nobody can be asked by requests, the client waits before it asks over links") func allRestarted()
        throws
    {
        let world = try DirectoryWorld(7, isSimulated: true)
        let list = try list(world, round: 5, by: 0..<5)
        for node in world.nodes { node.list = list }
        let (client, directory) = (world.client, world.directory)
        #expect(world.start() && world.loop.run { directory.guards.primaries.count == 2 })
        let versions = try world.nodes.map { try Self.version(of: $0, world) }
        for node in world.nodes { node.descriptors = versions }
        let guards = directory.guards.primaries.map(\.node)
        let strangers = world.nodes.filter { !guards.contains($0.id) }
        func questions() -> Int {
            strangers.reduce(0) { sum, node in sum + node.questions.count { $0.message == .getDescriptorChanges } }
        }
        let before = questions()
        directory.fetchChanges(of: world.nodes[6].id)
        #expect(world.loop.run(for: .seconds(30)) { client.versionsAskedAt != nil })
        let asked = directory.now
        #expect(world.loop.run(for: .seconds(30)) { questions() > before })
        #expect(directory.now - asked >= .seconds(3))
        #expect(
            world.loop.run(for: .seconds(60)) {
                versions.allSatisfy {
                    directory.descriptor(of: $0.descriptor.node)?.onionKey == $0.descriptor.onionKey
                }
            })
    }

    @Test("s23: nodes in doubt are asked about each other, and no node about itself", arguments: [4, 5, 9])
    func witnesses(count: Int) throws {
        let world = try DirectoryWorld(count)
        #expect(world.start())
        let doubtful = world.nodes.prefix(8).map(\.id)
        let witnesses = world.directory.witnesses(of: doubtful)
        for node in doubtful {
            let asked = witnesses.filter { $0.of.contains(node) }.map(\.node.node)
            #expect(!asked.contains(node))
            #expect(Set(asked).count == asked.count && asked.count == min(count - 1, DescriptorStore.vouchers + 1))
        }
        if count == 9 { #expect(witnesses.first?.node.node == world.nodes[8].id) }
    }

    @Test("s23: of more restarted nodes than are asked about at once, none is kept out by its id") func drawn() throws {
        let world = try DirectoryWorld(12)
        let list = try list(world, round: 5, by: 0..<12)
        for node in world.nodes { node.list = list }
        #expect(world.start())
        let source = world.nodes[0]
        source.descriptors = try world.nodes.map { try Self.version(of: $0, world) }
        ask(source, world)
        var (doubts, random) = (VersionDoubts(), SecureRandom())
        var found: Set<NodeID> = []
        var now = world.directory.now
        for _ in 0..<60 {
            now = now + .seconds(30)
            for node in world.nodes { _ = doubts.suspect(node.id, next: now, at: now) }
            let taken = doubts.takeDoubtful(world.directory.descriptors, at: now, using: &random)
            #expect(taken.count == 8)
            found.formUnion(taken)
        }
        // A node's own word of itself does not count.
        #expect(found == Set(world.nodes.dropFirst().map(\.id)))
    }

    @Test("s11: a newer list takes the place of the one before, and its descriptors that of theirs")
    func newerList() throws {
        let world = try DirectoryWorld(4, isSimulated: true)
        let first = try list(world, round: 5, by: 0..<4)
        for node in world.nodes { node.list = first }
        #expect(world.start())
        let restarted = try Self.version(of: world.nodes[1], world)
        let source = world.nodes[3]
        source.descriptors = source.descriptors.filter { $0.descriptor.node != world.nodes[1].id } + [restarted]
        let second = try list(world, round: 6, by: 0..<4)
        for node in world.nodes[2...3] {
            node.list = second
            ask(node, world)
        }
        #expect(world.directory.lists.used?.list.round == 6)
        #expect(world.directory.descriptor(of: world.nodes[1].id)?.onionKey == restarted.descriptor.onionKey)
        #expect(world.directory.descriptorCount == 4)
    }

    /// A client that uses the list of round 5, and a certified list of round 6 with another version of one descriptor.
    ///
    /// Node 6 and node 0 are the client's guards.
    private func worldWithNews() throws -> (DirectoryWorld, old: Bytes32, news: List) {
        let world = try DirectoryWorld(7, isSimulated: true)
        let old = try list(world, round: 5, by: 0..<7)
        for node in world.nodes { node.list = old }
        #expect(world.start())
        #expect(world.loop.run { world.directory.lists.used?.digest == old.digest })
        world.restoreGuards([6, 0])
        let marked = try Self.version(of: world.nodes[3], world)
        let usual = try #require(world.nodes.last).descriptors
        world.nodes[6].descriptors = usual.filter { $0.descriptor.node != world.nodes[3].id } + [marked]
        return (world, old.digest, try list(world, round: 6, by: 0..<7))
    }

    @Test("s11: a certified list that one operator's node shows and nobody else has is not used")
    func heldBack() throws {
        let (world, old, hidden) = try worldWithNews()
        world.nodes[6].list = hidden
        ask(world.nodes[6], world)
        #expect(world.directory.lists.offers.all.map(\.digest) == [hidden.digest])
        #expect(!world.loop.run(for: .seconds(1_000)) { world.directory.lists.used?.digest != old })
        // The next list that all nodes serve replaces it.
        let next = try list(world, round: 9, by: 0..<7)
        for node in world.nodes { node.list = next }
        #expect(world.loop.run(for: .seconds(120)) { world.directory.lists.used?.digest == next.digest })
        #expect(world.directory.lists.offers.all.isEmpty)
    }

    @Test("s11: an honest list is used within two minutes, also where a guard lies or is mute", arguments: [0, 1, 2])
    func honestNews(guardIs: Int) throws {
        let (world, _, news) = try worldWithNews()
        for node in world.nodes where guardIs == 0 || node !== world.nodes[0] { node.list = news }
        world.nodes[0].isSilent = guardIs == 2
        ask(world.nodes[6], world)
        #expect(world.loop.run(for: .seconds(120)) { world.directory.lists.used?.digest == news.digest })
    }

    @Test("s11: where no other operator's node answers, a list is used on the word of one after ten minutes")
    func loneSource() throws {
        let (world, old, news) = try worldWithNews()
        for node in world.nodes.dropLast() { node.isSilent = true }
        world.nodes[6].list = news
        ask(world.nodes[6], world)
        #expect(!world.loop.run(for: .seconds(590)) { world.directory.lists.used?.digest != old })
        #expect(world.loop.run(for: .seconds(60)) { world.directory.lists.used?.digest == news.digest })
    }

    @Test("s11: a guard's own word about its onion key counts for its own hop alone")
    func guardsWord() throws {
        let world = try DirectoryWorld(4, isSimulated: true)
        let list = try list(world, round: 5, by: 0..<4)
        for node in world.nodes { node.list = list }
        #expect(world.start())
        let node = world.nodes[0]
        let usual = try #require(world.directory.descriptor(of: node.id))
        let word = try Self.version(of: node, world)
        world.directory.doubts.guardWords[node.id] = word.descriptor
        #expect(world.directory.descriptor(of: node.id, isFirst: false)?.onionKey == usual.onionKey)
        #expect(world.directory.descriptor(of: node.id, isFirst: true)?.onionKey == word.descriptor.onionKey)
    }
}

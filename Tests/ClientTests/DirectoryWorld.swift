import Directory
import EventLoop
import Link
import Links
import Logging
import LoopTesting
import Onion
import OnionCrypto
import Store
import Testing
import Wire

@testable import Client

/// A node of a test network that answers questions about the directory, honestly or not.
final class DirectoryNode: ControlHandler {
    let key: SigningKey
    let id: NodeID
    private(set) var links: Links!
    /// The descriptors that it serves.
    var descriptors: [SignedDescriptor] = []
    /// The list that it serves, the list's digest, and the descriptors of the list that it serves.
    var list: (signed: SignedDescriptorList, digest: Bytes32, descriptors: [SignedDescriptor])?
    /// Its answer to every question for listed descriptors, in the place of the list's.
    var answersListed: [SignedDescriptor]?
    var chain: (height: UInt64, digest: Bytes32) = (0, Bytes32())
    /// The snapshots that it serves; nil: none newer than the client's.
    var history: SnapshotHistory?
    /// The descriptor that it sends to a client that asks for it by name; nil: it refuses the question.
    var own: SignedDescriptor?
    /// Whether it leaves questions unanswered.
    var isSilent = false
    /// How many links it had.
    private(set) var linkCount = 0
    /// The questions that it received.
    private(set) var questions: [(message: DirectoryMessage, body: [UInt8])] = []

    init(_ loop: Loop, network: Bytes32, ahead: Int64) throws {
        let seed = SecureRandom.bytes(32)
        key = SigningKey(seed: Secret(copying: seed.rawSpan))
        id = NodeID(key.publicKey)
        var configuration = LinksConfiguration(
            network: LinkNetwork(id: network), listen: [.loopbackIPv4(port: 0)],
            messages: DirectoryMessage.kinds)
        configuration.maximumLinks = 64
        links = try Links(
            on: loop, configuration: configuration,
            identity: LinkIdentity(SigningKey(seed: Secret(copying: seed.rawSpan))),
            wallClock: { UInt64(Int64(loop.wallClock) + ahead * 1_000_000_000) })
        links.control = self
    }

    var address: Endpoint { Endpoint(links.localAddresses[0]) }

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        guard let message = DirectoryMessage(rawValue: message.raw) else { return links.refuse(responder) }
        questions.append((message, body))
        guard !isSilent else { return }
        switch message {
        case .getSnapshot:
            var reader = ByteReader(body.rawSpan)
            guard let height = try? reader.u64(), let digest = try? reader.bytes32() else {
                return links.refuse(responder)
            }
            links.answer(responder, history?.update(from: height, digest: digest)?.encoded() ?? [])
        case .getDescriptors: links.answer(responder, SignedDescriptor.encodeList(descriptors))
        case .getDescriptorChanges:
            guard let (since, shortDigests) = try? DescriptorChange.readQuestion(body.rawSpan) else {
                return links.refuse(responder)
            }
            let news = descriptors.filter { $0.descriptor.published >= since && !shortDigests.contains($0.shortDigest) }
            links.answer(responder, DescriptorChange.encodeList(news.map { .whole($0) }))
        case .getSnapshotID:
            var reader = ByteReader(body.rawSpan)
            guard let height = try? reader.u64() else { return links.refuse(responder) }
            let newest = history.map { ($0.newest.height, $0.digest) } ?? chain
            let same = history.map { $0.digest(at: height) } ?? chain.digest
            let list = list.map { ($0.signed.list.round, $0.digest) }
            let answer = SnapshotIDAnswer(newest: newest.0, digest: newest.1, same: same, list: list)
            links.answer(responder, answer.encoded())
        case .getList:
            var reader = ByteReader(body.rawSpan)
            guard let round = try? reader.u64() else { return links.refuse(responder) }
            let answer = list.flatMap { $0.signed.list.round > round ? $0.signed.encoded() : nil }
            links.answer(responder, answer ?? [])
        case .getListed:
            guard let question = try? ListedQuestion(decoding: body.rawSpan) else { return links.refuse(responder) }
            let hashes = list.map { found in question.places.map { found.signed.list.hashes[$0] } } ?? []
            let asked = list?.descriptors.filter { hashes.contains($0.digest) } ?? []
            links.answer(responder, SignedDescriptor.encodeList(answersListed ?? asked))
        case .getDescriptor where own != nil: links.answer(responder, own?.bytes ?? [])
        default: links.refuse(responder)
        }
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) { linkCount += 1 }
    func linkDown(_ link: LinkID, reason: LinkDownReason) {}
}

/// A client and its nodes on one loop; the first `friends` nodes may collude.
final class DirectoryWorld {
    let loop: Loop
    let nodes: [DirectoryNode]
    let network: NetworkFile
    let client: Client
    let friends: Int

    /// `count` nodes, each of a different operator; the friends' clocks and descriptors are `ahead` seconds ahead.
    ///
    /// `operatorOf` gives a node's operator by number, and so can give one operator several nodes.
    /// The last `strangers` nodes are in the network file but no longer staked. With `isSimulated`, waiting takes no
    /// real time; without it, the nodes use the kernel's sockets.
    init(
        _ count: Int, friends: Int = 0, strangers: Int = 0, ahead: Int64 = 0, down: Set<Int> = [],
        descriptorTimeOf: (Int) -> Int64 = { _ in 0 }, operatorOf: (Int) -> Int = { $0 },
        hides: Bool = false, ageOfSnapshot: UInt64 = 0, isSimulated: Bool = true, store: Store? = nil,
        log: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        change: (inout NetworkFile) -> Void = { _ in }
    ) throws {
        let loop = isSimulated ? Loop.simulated() : try Loop()
        self.loop = loop
        self.friends = friends
        let id = Bytes32(copying: SecureRandom.bytes(32).rawSpan)
        let time = loop.wallClock / 1_000_000_000
        nodes = try (0..<count).map { try DirectoryNode(loop, network: id, ahead: $0 < friends ? ahead : 0) }
        let list = try nodes.enumerated().map { number, node in
            let published = UInt64(Int64(time) + descriptorTimeOf(number) + (number < friends ? ahead : 0) - 60)
            let descriptor = Descriptor(
                node: node.id, published: UnixTime(seconds: published),
                expires: UnixTime(seconds: published + DescriptorStore.lifetime), suites: .known, roles: [.exit],
                exit: [.tcp, .ipv4],
                bandwidth: 0, ipv4: node.address, ipv6: nil, onionKey: try KEM.PrivateKey().publicKey,
                software: "tunic/test")
            return descriptor.signed(with: node.key, network: id)
        }
        let ids = nodes.map(\.id)
        let entries = ids.dropLast(strangers).enumerated().map { number, node in
            Snapshot.Entry(node: node, operatorID: ids[operatorOf(number)].key, weight: 100, placement: 0)
        }
        let snapshot = try #require(
            Snapshot(network: id, height: 1, time: UnixTime(seconds: time - ageOfSnapshot), entries: entries))
        var signed = SignedSnapshot(snapshot)
        for node in nodes.dropLast(strangers) { signed.sign(with: node.key) }
        for (number, node) in nodes.enumerated() {
            node.chain = (1, snapshot.digest)
            node.isSilent = down.contains(number)
            node.descriptors = list.enumerated().filter {
                !down.contains($0.offset) && $0.offset < count - strangers
                    && (!hides || number >= friends || $0.offset < friends)
            }.map(\.element)
        }
        var file = NetworkFile(
            name: "test", id: id, bootstrap: nodes.map { .init(node: $0.id, addresses: [$0.address]) }, snapshot: signed
        )
        file.allowPrivateAddresses = true
        file.requireAddressDiversity = false
        change(&file)
        network = file
        for number in down { nodes[number].links.closeAll() }
        client = try Client(
            loop: loop, network: file, configuration: ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)]),
            store: store, log: log, sentence: \.text)
    }

    deinit {
        client.close {}
        for node in nodes { node.links.closeAll() }
        loop.close()
    }

    var directory: DirectoryClient { client.directory }

    /// `history` and one more snapshot at `height`, which all nodes have signed.
    func history(
        _ history: SnapshotHistory, to height: UInt64, change: (inout [Snapshot.Entry]) -> Void = { _ in }
    ) throws -> SnapshotHistory {
        let last = history.newest
        let time = UnixTime(seconds: last.time.seconds + height)
        var entries = last.entries
        change(&entries)
        let next = try #require(
            Snapshot(network: network.id, height: height, time: time, previous: history.digest, entries: entries))
        var longer = history
        longer.append(next, digest: next.digest)
        var signed = SignedSnapshot(next)
        for node in nodes { signed.sign(with: node.key) }
        for signature in signed.signatures { longer.add(signature.bytes, of: signature.signer, height: height) }
        return longer
    }

    /// Gives the client these nodes as its restored guards, with 50 days left to each, counted `days` ago.
    func restoreGuards(_ numbers: [Int], days: UInt64 = 0) {
        let counted = loop.wallClock / 1_000_000_000 - days * 86_400
        directory.guards = Guards(
            rows: numbers.enumerated().map { place, number in
                var writer = ByteWriter()
                writer.u8(2)
                writer.u8(UInt8(place))
                for value in [counted, 50 * 86_400, counted, 0, 0] as [UInt64] { writer.u64(value) }
                return NodeRow(node: nodes[number].id, bytes: writer.bytes)
            })
    }

    /// Runs until the client may choose paths; false if it may not within `limit`.
    func start(within limit: TimeSpan = .seconds(20)) -> Bool {
        client.start()
        return loop.run(for: limit) { self.directory.canChoose(hops: 3) }
    }

    /// The number of paths, of `count` selected ones, whose hops are all friends.
    func captured(of count: Int) throws -> Int {
        let friendly = Set(nodes.prefix(friends).map(\.id))
        return try (0..<count).count { _ in
            try directory.select(hops: 3, terminal: .exit(.tcp), avoiding: []).allSatisfy(friendly.contains)
        }
    }
}

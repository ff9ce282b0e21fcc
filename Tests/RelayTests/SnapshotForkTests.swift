import Directory
import EventLoop
import Foundation
import Link
import Logging
import LoopTesting
import OnionCrypto
import Store
import Synchronization
import Testing
import Wire

@testable import Links
@testable import Relay

/// A relay that trusts a snapshot without a successor, beside a node with another snapshot.
@Suite struct SnapshotForkTests {
    /// A node that serves the newest snapshot of its history, and answers nothing else.
    private final class Neighbour: ControlHandler {
        unowned let links: Links
        var history: SnapshotHistory
        /// The link to the relay.
        private(set) var peer: LinkID?
        /// How often the relay asked for a snapshot that this node cannot lead on from.
        private(set) var inVain = 0

        init(_ links: Links, _ history: SnapshotHistory) {
            self.links = links
            self.history = history
        }

        func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
            var reader = ByteReader(body.rawSpan)
            guard let height = try? reader.u64() else { return links.refuse(responder) }
            switch DirectoryMessage(rawValue: message.raw) {
            case .getSnapshot:
                guard let digest = try? reader.bytes32() else { return links.refuse(responder) }
                let update = history.update(from: height, digest: digest)
                if update == nil { inVain += 1 }
                links.answer(responder, update?.encoded() ?? [])
            case .getSnapshotID:
                let answer = SnapshotIDAnswer(
                    newest: history.newest.height, digest: history.digest, same: history.digest(at: height), list: nil)
                links.answer(responder, answer.encoded())
            default: links.answer(responder, [])
            }
        }
        func linkUp(_ link: LinkID, peer: LinkPeer) { self.peer = link }
        func linkDown(_ link: LinkID, reason: LinkDownReason) { if peer == link { peer = nil } }
    }

    private let keys = (0..<4).map { _ in SecureRandom.bytes(32) }
    private func key(_ number: Int) -> SigningKey {
        let seed = keys[number]
        return SigningKey(seed: Secret(copying: seed.rawSpan))
    }

    /// `history` and one more snapshot at `height`, which all nodes but the relay have signed.
    private func history(
        _ history: SnapshotHistory, to height: UInt64, without gone: NodeID? = nil
    ) throws -> SnapshotHistory {
        let last = history.newest
        let next = try #require(
            Snapshot(
                network: last.network, height: height, time: last.time, previous: history.digest,
                entries: last.entries.filter { $0.node != gone }))
        var longer = history
        longer.append(next, digest: next.digest)
        var signed = SignedSnapshot(next)
        for number in 1..<4 { signed.sign(with: key(number)) }
        for signature in signed.signatures { longer.add(signature.bytes, of: signature.signer, height: height) }
        return longer
    }

    /// Counts the warnings of a log about signatures that were kept, and keeps all warnings.
    private struct Counting: LogHandler {
        /// The count and the warnings, shared by the copies of the handler.
        final class Count: Sendable {
            let value = Mutex(0)
            let warnings = Mutex<[String]>([])
        }
        let count: Count
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            guard event.level >= .warning else { return }
            let message = "\(event.message)"
            count.warnings.withLock { $0.append(message) }
            guard message.contains("kept signatures") else { return }
            count.value.withLock { $0 += 1 }
        }
    }

    /// Runs `test` with a relay that has the snapshot of height 1, and with its only neighbour.
    private func run(_ test: (Loop, Epochs, Neighbour, SnapshotHistory) throws -> Void) throws {
        try run { loop, neighbours, history, start in
            let relay = try start(nil, Counting.Count())
            defer { relay.close {} }
            try test(loop, relay.directory.epochs, neighbours[0], history)
        }
    }

    /// Runs `test` with `count` neighbours, and with a function that starts the relay with a store.
    ///
    /// `operatorOf` gives the operator of a node by number; the relay has number 0.
    private func run(
        neighbours count: Int = 1, operatorOf: (Int) -> Int = { $0 },
        _ test: (Loop, [Neighbour], SnapshotHistory, (Store?, Counting.Count) throws -> Relay) throws -> Void
    ) throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let id = Bytes32(copying: SecureRandom.bytes(32).rawSpan)
        let ids = (0..<4).map { NodeID(key($0).publicKey) }
        let time = UnixTime(seconds: loop.wallClock / 1_000_000_000)
        let entries = ids.enumerated().map {
            Snapshot.Entry(node: $1, operatorID: ids[operatorOf($0)].key, weight: 1, placement: 0)
        }
        let first = try #require(Snapshot(network: id, height: 1, time: time, entries: entries))
        var signed = SignedSnapshot(first)
        for number in 0..<4 { signed.sign(with: key(number)) }
        let all = try (1...count).map { number in
            try Links(
                on: loop,
                configuration: LinksConfiguration(
                    network: LinkNetwork(id: id), listen: [.loopbackIPv4(port: 0)], messages: RelayMessage.kinds),
                identity: LinkIdentity(key(number)), isStaked: { ids.contains($0) })
        }
        defer { for links in all { links.closeAll() } }
        let history = SnapshotHistory(first: first, digest: first.digest)
        let neighbours = all.map { Neighbour($0, history) }
        for (links, neighbour) in zip(all, neighbours) { links.control = neighbour }
        let bootstrap = all.enumerated().map { place, links in
            NetworkFile.Bootstrap(node: ids[place + 1], addresses: links.localAddresses.map { Endpoint($0) })
        }
        var file = NetworkFile(name: "test", id: id, bootstrap: bootstrap, snapshot: signed)
        file.allowPrivateAddresses = true
        try test(loop, neighbours, history) { store, count in
            let relay = try Relay(
                loop: loop, network: file, configuration: RelayConfiguration(listen: [Endpoint("127.0.0.1:0")!]),
                identity: key(0), store: store, log: Logger(label: "test") { _ in Counting(count: count) },
                sentence: { "problem: \($0.text)" })
            relay.start()
            return relay
        }
    }

    @Test("the log tells a problem by the sentence of the process") func sentence() throws {
        try run { loop, neighbours, first, start in
            let neighbour = neighbours[0]
            let count = Counting.Count()
            let relay = try start(nil, count)
            defer { relay.close {} }
            let told = "problem: This node is not staked in the snapshot of height 2."
            #expect(!count.warnings.withLock { $0.contains(told) })
            neighbour.history = try history(first, to: 2, without: NodeID(key(0).publicKey))
            #expect(loop.run(for: .seconds(300)) { count.warnings.withLock { $0.contains(told) } })
        }
    }

    @Test("s11: it follows the other, whose snapshot does not follow its own") func heldBack() throws {
        try run { loop, epochs, neighbour, first in
            let common = try history(first, to: 2)
            neighbour.history = common
            #expect(loop.run(for: .seconds(300)) { epochs.snapshot.height == 2 })
            neighbour.history = try history(common, to: 3)
            #expect(loop.run(for: .seconds(300)) { epochs.snapshot.height == 3 })
            neighbour.history = try history(common, to: 4)
            #expect(loop.run(for: .seconds(300)) { epochs.snapshot.height == 4 })
            #expect(epochs.digest == neighbour.history.digest)
            // A neighbour with the same snapshot shows that it is the newest; one that is behind shows nothing.
            #expect(loop.run(for: .seconds(300)) { epochs.isCurrentAt != nil })
            neighbour.history = common
            let shown = epochs.isCurrentAt
            #expect(!loop.run(for: .seconds(300)) { epochs.isCurrentAt != shown })
            #expect(epochs.snapshot.height == 4 && epochs.problem == nil)
        }
    }

    @Test("s11: it goes on where the other has its snapshot but does not know the snapshot's voters")
    func unknownVoters() throws {
        try run { loop, epochs, neighbour, first in
            let common = try history(first, to: 2)
            neighbour.history = common
            #expect(loop.run(for: .seconds(300)) { epochs.snapshot.height == 2 })
            // The other slept meanwhile, and the update that led it on named no voters in between.
            let whole = try history(common, to: 3)
            var slept = first
            slept.absorb(try #require(whole.update(from: 1, digest: first.digest)))
            #expect(slept.digest(at: 2) == common.digest && slept.update(from: 2, digest: common.digest) == nil)
            neighbour.history = slept
            #expect(loop.run(for: .seconds(300)) { epochs.snapshot.height == 3 })
            #expect(epochs.digest == whole.digest && epochs.problem == nil)
        }
    }

    @Test("s11: it says so if its snapshot is before the beginning of two operators' histories")
    func tooOld() throws {
        try run(neighbours: 2) { loop, neighbours, first, start in
            let relay = try start(nil, Counting.Count())
            defer { relay.close {} }
            let epochs = relay.directory.epochs
            let whole = try history(history(first, to: 2), to: 3)
            for neighbour in neighbours {
                neighbour.history = SnapshotHistory(first: whole.newest, digest: whole.digest)
            }
            #expect(loop.run(for: .seconds(600)) { epochs.problem?.text.contains("newest network file") == true })
            #expect(epochs.snapshot.height == 1)
            for neighbour in neighbours { neighbour.history = whole }
            #expect(loop.run(for: .seconds(300)) { epochs.snapshot.height == 3 })
            #expect(epochs.problem == nil)
        }
    }

    @Test("s11: two nodes of one operator do not send it to another network file", arguments: [false, true])
    func oneOperator(areAll: Bool) throws {
        // With one other operator in the network there is nobody else to ask.
        let operatorOf = { (number: Int) in areAll ? min(number, 1) : [0, 1, 1, 3][number] }
        try run(neighbours: 2, operatorOf: operatorOf) { loop, neighbours, first, start in
            let relay = try start(nil, Counting.Count())
            defer { relay.close {} }
            let whole = try history(history(first, to: 2), to: 3)
            for neighbour in neighbours {
                neighbour.history = SnapshotHistory(first: whole.newest, digest: whole.digest)
            }
            let (one, other) = (neighbours[0], neighbours[1])
            #expect(loop.run(for: .seconds(1_200)) { one.inVain >= 4 && other.inVain >= 4 })
            let epochs = relay.directory.epochs
            #expect(loop.run(for: .seconds(10)) { epochs.problem != nil } == areAll)
        }
    }

    @Test("s11: it keeps its snapshot without the file of the history, and leads its neighbour there") func lostFile()
        throws
    {
        let folder = NSTemporaryDirectory() + "tunic-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try Store(folder: folder)
        let file = store.path(of: "snapshots.history")
        try run { loop, neighbours, first, start in
            let neighbour = neighbours[0]
            let (count, second) = (Counting.Count(), try history(first, to: 2))
            func started() throws -> Relay {
                try? FileManager.default.removeItem(atPath: file)
                return try start(store, count)
            }
            func end(_ relay: Relay) {
                var isClosed = false
                relay.close { isClosed = true }
                #expect(loop.run(for: .seconds(60)) { isClosed })
            }
            var relay = try started()
            neighbour.history = second
            #expect(loop.run(for: .seconds(300)) { relay.directory.epochs.snapshot.height == 2 })
            #expect(loop.run(for: .seconds(60)) { FileManager.default.fileExists(atPath: file) })
            end(relay)
            // No other node has the snapshot now.
            let link = neighbour.peer
            neighbour.history = first
            relay = try started()
            #expect(relay.directory.epochs.digest == second.digest && count.value.withLock { $0 } == 0)
            #expect(loop.run(for: .seconds(300)) { neighbour.peer != nil && neighbour.peer != link })
            let place = SnapshotPlace(relay.directory.epochs.chain, at: .earlier)
            var answer: [UInt8]?
            neighbour.links.request(
                on: try #require(neighbour.peer), DirectoryMessage.getSnapshot, body: try #require(place).body,
                timeout: .seconds(60)
            ) { answer = try? $0.get() }
            #expect(loop.run(for: .seconds(60)) { answer != nil })
            let bytes = try #require(answer)
            neighbour.history.absorb(try SnapshotUpdate(decoding: bytes.rawSpan))
            #expect(neighbour.history.digest == second.digest)
            end(relay)
            // With wrong signatures it goes back, and says so once.
            let name = SnapshotSigning.updateName
            let kept = try #require(try store.value(name))
            var update = try SnapshotUpdate(decoding: kept.rawSpan)
            let vote = update.votes[0]
            update.votes[0] = .init(number: vote.number, header: 0, signature: [UInt8](repeating: 1, count: 64))
            try store.setValue(update.encoded(), for: name)
            neighbour.history = first
            relay = try started()
            loop.run(for: .seconds(300)) { false }
            #expect(relay.directory.epochs.snapshot.height == 1 && count.value.withLock { $0 } == 1)
            end(relay)
        }
    }
}

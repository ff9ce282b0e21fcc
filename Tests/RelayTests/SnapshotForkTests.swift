import Directory
import EventLoop
import Link
import Logging
import LoopTesting
import OnionCrypto
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
                links.answer(responder, history.update(from: height, digest: digest)?.encoded() ?? [])
            case .getSnapshotID:
                let answer = SnapshotIDAnswer(
                    newest: history.newest.height, digest: history.digest, same: history.digest(at: height), list: nil)
                links.answer(responder, answer.encoded())
            default: links.answer(responder, [])
            }
        }
        func linkUp(_ link: LinkID, peer: LinkPeer) {}
        func linkDown(_ link: LinkID, reason: LinkDownReason) {}
    }

    private let keys = (0..<4).map { _ in SecureRandom.bytes(32) }
    private func key(_ number: Int) -> SigningKey {
        let seed = keys[number]
        return SigningKey(seed: Secret(copying: seed.rawSpan))
    }

    /// `history` and one more snapshot at `height`, which all nodes but the relay have signed.
    private func history(_ history: SnapshotHistory, to height: UInt64) throws -> SnapshotHistory {
        let last = history.newest
        let next = try #require(
            Snapshot(
                network: last.network, height: height, time: last.time, previous: history.digest, entries: last.entries)
        )
        var longer = history
        longer.append(next, digest: next.digest)
        var signed = SignedSnapshot(next)
        for number in 1..<4 { signed.sign(with: key(number)) }
        for signature in signed.signatures { longer.add(signature.bytes, of: signature.signer, height: height) }
        return longer
    }

    /// Runs `test` with a relay that has the snapshot of height 1, and with its only neighbour.
    private func run(_ test: (Loop, Epochs, Neighbour, SnapshotHistory) throws -> Void) throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let id = Bytes32(copying: SecureRandom.bytes(32).rawSpan)
        let ids = (0..<4).map { NodeID(key($0).publicKey) }
        let time = UnixTime(seconds: loop.wallClock / 1_000_000_000)
        let entries = ids.map { Snapshot.Entry(node: $0, operatorID: $0.key, weight: 1, placement: 0) }
        let first = try #require(Snapshot(network: id, height: 1, time: time, entries: entries))
        var signed = SignedSnapshot(first)
        for number in 0..<4 { signed.sign(with: key(number)) }
        let links = try Links(
            on: loop,
            configuration: LinksConfiguration(
                network: LinkNetwork(id: id), listen: [.loopbackIPv4(port: 0)], messages: RelayMessage.kinds),
            identity: LinkIdentity(key(1)), isStaked: { ids.contains($0) })
        defer { links.closeAll() }
        let history = SnapshotHistory(first: first, digest: first.digest)
        let neighbour = Neighbour(links, history)
        links.control = neighbour
        var file = NetworkFile(
            name: "test", id: id,
            bootstrap: [.init(node: ids[1], addresses: links.localAddresses.map { Endpoint($0) })], snapshot: signed)
        file.allowPrivateAddresses = true
        let relay = try Relay(
            loop: loop, network: file, configuration: RelayConfiguration(listen: [Endpoint("127.0.0.1:0")!]),
            identity: key(0), store: nil, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        defer { relay.close {} }
        relay.start()
        try test(loop, relay.directory.epochs, neighbour, history)
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

    @Test("s11: it says so if its snapshot is before the beginning of the other's history") func tooOld() throws {
        try run { loop, epochs, neighbour, first in
            let whole = try history(history(first, to: 2), to: 3)
            neighbour.history = SnapshotHistory(first: whole.newest, digest: whole.digest)
            #expect(loop.run(for: .seconds(300)) { epochs.problem?.text.contains("newest network file") == true })
            #expect(epochs.snapshot.height == 1)
            neighbour.history = whole
            #expect(loop.run(for: .seconds(300)) { epochs.snapshot.height == 3 })
            #expect(epochs.problem == nil)
        }
    }
}

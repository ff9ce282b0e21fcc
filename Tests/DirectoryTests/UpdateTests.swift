import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Directory

/// Updates with real signatures, valid and invalid.
///
/// P5: rollback and forgery.
struct UpdateTests {
    let later = UnixTime(seconds: now.seconds + 7_200)
    let first = signed(snapshot(keys: 0..<6), by: 0..<6)

    /// Two steps of six nodes, each signed by all: keys 0 to 5, then 2 to 7, then 4 to 9.
    func grown() throws -> SnapshotSigning {
        var signing = SnapshotSigning(try SnapshotChain(network: network, first: first))
        for step in 1...2 as ClosedRange<UInt64> {
            let time = UnixTime(seconds: now.seconds + step * 3_600)
            let isNew = signing.propose(snapshot(keys: 2 * step..<2 * step + 6, height: 1 + step, time: time), at: time)
            #expect(isNew)
            let next = try #require(signing.next)
            let items = try (2 * step - 2..<2 * step + 4).map { number in
                var copy = signing
                let node = NodeID(key(number).publicKey)
                let item = copy.sign(as: node) { key(number).sign($0.rawSpan) }
                return try #require(item)
            }
            #expect(next.checked(items) == items)
            let isFinal = signing.add(items, for: next.digest, at: time).isFinal
            #expect(isFinal && signing.snapshot.height == 1 + step)
        }
        return signing
    }

    func chain() throws -> SnapshotChain { try SnapshotChain(network: network, first: first) }

    @Test func p5AnUpdateLeadsToTheNewest() throws {
        let signing = try grown()
        var chain = try chain()
        let update = try #require(signing.history.update(from: 1, digest: chain.digest))
        // Five of the first six nodes are needed, and only four of them signed the newest snapshot: so there is one
        // voter change, and one signature of each node.
        #expect(update.voterChanges.count == 1 && update.headers.count == 2 && update.votes.count == 6)
        #expect(try SnapshotUpdate(decoding: update.encoded().rawSpan) == update)
        #expect(try chain.accept(update, at: later))
        #expect(chain.snapshot == signing.snapshot)
        #expect(try !chain.accept(update, at: later))
        #expect(signing.history.update(from: 3, digest: chain.digest) == nil)
        #expect(signing.history.update(from: 2, digest: chain.digest) == nil)
    }

    @Test func p5ASignatureOfALeaverVouchesForWhatCameBefore() throws {
        let signing = try grown()
        var chain = try chain()
        var update = try #require(signing.history.update(from: 1, digest: chain.digest))
        // The first signature is of a node that left; those of the newest snapshot count for the one in between as
        // well.
        #expect(update.votes.map(\.header) == [0, 1, 1, 1, 1, 1])
        update.votes.removeFirst()
        let before = chain
        #expect(throws: SnapshotRefusal.tooFewSignatures(signatures: 4, needed: 5)) {
            try chain.accept(update, at: later)
        }
        #expect(chain.digest == before.digest)
    }

    @Test func p5WhatIsWrongIsRefusedWhole() throws {
        let signing = try grown()
        let good = try #require(signing.history.update(from: 1, digest: try chain().digest))
        func refusal(_ at: UnixTime? = nil, _ change: (inout SnapshotUpdate) -> Void) throws -> SnapshotRefusal? {
            var update = good
            change(&update)
            var chain = try chain()
            do throws(SnapshotRefusal) {
                _ = try chain.accept(update, at: at ?? later)
                return nil
            } catch {
                #expect(chain.digest == first.snapshot.digest)
                return error
            }
        }
        #expect(try refusal { _ in } == nil)
        #expect(try refusal(UnixTime(seconds: now.seconds)) { _ in } == .fromTheFuture)
        #expect(try refusal { $0.base = 9 } == .unknownBase)
        #expect(try refusal { $0.headers.removeFirst() } != nil)
        #expect(try refusal { $0.entries = .difference(removed: [77], changed: [], added: []) } == .broken)
        #expect(try refusal { $0.entries = .whole([]) } == .broken)
        #expect(
            try refusal {
                let vote = $0.votes[0]
                $0.votes[0] = .init(number: 999, header: vote.header, signature: vote.signature)
            } == .broken)
        // Half of the signatures are too few, although each is valid.
        let halved = try refusal { $0.votes.removeLast($0.votes.count / 2) }
        guard case .tooFewSignatures = halved else {
            Issue.record("half of the signatures were enough: \(String(describing: halved))")
            return
        }
        let spoiled = try refusal {
            let vote = $0.votes[0]
            var bytes = vote.signature
            bytes[5] ^= 1
            $0.votes[0] = .init(number: vote.number, header: vote.header, signature: bytes)
        }
        guard case .badSignature = spoiled else {
            Issue.record("a wrong signature was taken: \(String(describing: spoiled))")
            return
        }
        // Another network's update does not fit, because its signatures name that network.
        let foreign = Snapshot(network: bytes32(5, 5), height: 1, time: now, entries: first.snapshot.entries)!
        var other = SignedSnapshot(foreign)
        for number in 0..<6 as Range<UInt64> { other.sign(with: key(number)) }
        var stranger = try SnapshotChain(network: bytes32(5, 5), first: other)
        #expect(throws: SnapshotRefusal.self) { try stranger.accept(good, at: later) }
    }

    /// An update whose headers name the voters of many changes, without signatures.
    func unsigned(voterChanges count: Int, joining each: Int) throws -> SnapshotUpdate {
        var number: UInt64 = 1_000
        let voterChanges = (0..<count).map { header in
            let nodes = (0..<each).map { _ -> NodeID in
                number += 1
                return NodeID(bytes32(1, number))
            }
            return SnapshotUpdate.VoterChange(header: header, left: [], joined: nodes.sorted())
        }
        let newest = snapshot(keys: 0..<6, height: UInt64(count) + 2)
        let headers = (0..<count).map {
            SnapshotUpdate.Header(height: UInt64($0) + 2, time: now, voters: Bytes32(), contents: Bytes32())
        }
        return SnapshotUpdate(
            base: 1, headers: headers + [newest.header], voterChanges: voterChanges, votes: [], preface: newest.preface,
            entries: .whole(newest.entries))
    }

    /// No voter change is applied before the signatures that lead to it are verified, so a broken one behind them has
    /// no effect.
    @Test func s10ChangesWithoutSignaturesAreNotFollowed() throws {
        var chain = try chain()
        let update = try unsigned(voterChanges: 2_000, joining: 3)
        #expect(throws: SnapshotRefusal.tooFewSignatures(signatures: 0, needed: 5)) {
            try chain.accept(update, at: later)
        }
        // Forged votes of the first voters also end it before the first voter change, and no further vote is verified.
        var forged = update
        forged.votes = (0..<6).map {
            .init(number: $0, header: 2_000, signature: [UInt8](repeating: 3, count: 64))
        }
        #expect(throws: SnapshotRefusal.badSignature(first.snapshot.voters[0])) { try chain.accept(forged, at: later) }
    }

    /// The number of voter changes, of voters after a change and of votes of one signer is bounded.
    @Test func s10AnUpdateHasBounds() throws {
        var chain = try chain()
        #expect(throws: WireError.outOfRange) {
            try SnapshotUpdate(decoding: try unsigned(voterChanges: 2_001, joining: 0).encoded().rawSpan)
        }
        // Six voters sign everything: a change to more than 10,000 voters is refused, and so are two votes of one
        // signer.
        var many = try unsigned(voterChanges: 1, joining: 9_999)
        // Its voters' digest is right: only their number is wrong.
        let voters = (first.snapshot.voters + many.voterChanges[0].joined).sorted()
        many.headers[0] = SnapshotUpdate.Header(
            height: 2, time: now, voters: Snapshot.digest(ofVoters: voters), contents: Bytes32())
        func signed(_ update: SnapshotUpdate, twice: Bool) throws -> SnapshotUpdate {
            var update = update
            let digests = try chain.follow(update).digests
            update.votes = try (twice ? [0, 1] : [1]).flatMap { header in
                try first.snapshot.voters.enumerated().map { number, node in
                    let own = try #require((0..<6).first { NodeID(key($0).publicKey) == node })
                    let message = Snapshot.message(
                        digest: digests[header], network: network, height: update.headers[header].height)
                    return .init(number: number, header: header, signature: key(own).sign(message.rawSpan))
                }
            }
            return update
        }
        #expect(throws: SnapshotRefusal.broken) { try chain.accept(try signed(many, twice: false), at: later) }
        let good = try #require(try grown().history.update(from: 1, digest: chain.digest))
        var doubled = good
        doubled.votes.insert(good.votes[1], at: 1)
        #expect(throws: SnapshotRefusal.broken) { try chain.accept(doubled, at: later) }
        #expect(try chain.accept(good, at: later))
    }

    @Test func p5BytesThatAreNoUpdateAreRefused() throws {
        let bytes = try #require(try grown().history.update(from: 1, digest: try chain().digest)).encoded()
        for length in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: WireError.self) { try SnapshotUpdate(decoding: Array(bytes.prefix(length)).rawSpan) }
        }
        #expect(throws: WireError.trailingBytes) { try SnapshotUpdate(decoding: (bytes + [0]).rawSpan) }
        var generator = SeededGenerator(seed: 9)
        var stillRead = 0
        for _ in 0..<1_000 {
            var changed = bytes
            changed[Int.random(in: 0..<bytes.count, using: &generator)] ^= UInt8.random(in: 1...255, using: &generator)
            guard let read = try? SnapshotUpdate(decoding: changed.rawSpan) else { continue }
            var chain = try chain()
            stillRead += 1
            // Every byte counts: the digests cover the snapshots, and all signatures are verified.
            #expect((try? chain.accept(read, at: later)) == nil && chain.digest == first.snapshot.digest)
        }
        #expect(stillRead > 500)
    }

    /// P6: a client with another snapshot of the same height never changes to it, whoever signed it.
    @Test func p6TwoSnapshotsOfOneHeightAreTold() throws {
        let signing = try grown()
        var chain = try chain()
        _ = try chain.accept(
            try #require(signing.history.update(from: 1, digest: chain.digest)), at: later)
        #expect(signing.history.digest(at: 3) == chain.digest)
        #expect(signing.history.digest(at: 2) != nil && signing.history.digest(at: 9) == nil)
        #expect(throws: SnapshotRefusal.conflicting) {
            try chain.accept(signed(snapshot(keys: 4..<11, height: 3), by: 2..<10), at: later)
        }
    }

    // MARK: Descriptors

    func made(_ number: UInt64, at time: UInt64, _ change: (inout Descriptor) -> Void = { _ in }) -> SignedDescriptor {
        var value = descriptor(of: NodeID(key(number).publicKey), at: UnixTime(seconds: time))
        change(&value)
        return value.signed(with: key(number), network: network)
    }

    @Test func onlyWhatChangedIsSent() throws {
        let start = now.seconds - 40_000
        var server = DescriptorStore(network: network, allowsPrivateAddresses: false, snapshot: first.snapshot)
        var client = server
        for number in 0..<6 as Range<UInt64> {
            _ = try server.insert(made(number, at: start + number), at: now)
        }
        for signed in server.all { _ = try client.insert(signed, at: now) }
        // One node renews its descriptor, one has another onion key, and one is unchanged but within the requested
        // time.
        _ = try server.insert(made(1, at: start + 9_000), at: now)
        _ = try server.insert(
            made(2, at: start + 9_001) { $0.onionKey = [UInt8](repeating: 6, count: Descriptor.onionKeySize) }, at: now)
        let since = UnixTime(seconds: start + 5)
        let question = DescriptorChange.question(since: since, having: client.shortDigests(since: since))
        let (time, shortDigests) = try DescriptorChange.readQuestion(question.rawSpan)
        #expect(time == since && shortDigests.count == 1)
        let answer = DescriptorChange.encodeList(server.changes(since: time, having: shortDigests, at: now))
        #expect(answer.count < 2_000)
        let changes = try DescriptorChange.decodeList(answer.rawSpan)
        #expect(changes.count == 2)
        for change in changes {
            let signed = try #require(client.resolve(change))
            #expect(signed.isAuthentic(network: network))
            let isNew = client.insert(authentic: signed, at: now)
            #expect(isNew)
        }
        #expect(Set(client.all.map(\.bytes)) == Set(server.all.map(\.bytes)))
        // A renewal of a descriptor that is not held stands for nothing; one with other contents is not authentic.
        let empty = DescriptorStore(network: network, allowsPrivateAddresses: false, snapshot: first.snapshot)
        #expect(empty.resolve(.renewed(DescriptorRenewal(made(1, at: start + 9_000)))) == nil)
        let other = try #require(client.resolve(.renewed(DescriptorRenewal(made(2, at: start + 9_500)))))
        #expect(!other.isAuthentic(network: network))
        for length in 1..<answer.count where length % 11 == 0 {
            if let cut = try? DescriptorChange.decodeList(Array(answer.prefix(length)).rawSpan) {
                #expect(cut.count < changes.count)
            }
        }
        #expect(throws: WireError.self) { try DescriptorChange.readQuestion([1, 2, 3].rawSpan) }
    }

    @Test func whatArrivedIsKeptInPieces() throws {
        var store = DescriptorStore(network: network, allowsPrivateAddresses: false, snapshot: first.snapshot)
        for number in 0..<5 as Range<UInt64> { _ = try store.insert(made(number, at: now.seconds), at: now) }
        let (one, upTo) = store.arrivals(after: 0, limit: 3)
        let (two, end) = store.arrivals(after: upTo, limit: 3)
        #expect(one.count == 3 && two.count == 2 && end == store.generation)
        #expect(Set((one + two).map(\.descriptor.node)).count == 5)
    }
}

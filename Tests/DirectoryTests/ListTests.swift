import OnionCrypto
import Testing
import Wire

@testable import Directory

/// Lists of descriptors that all clients use: nobody can give one client an onion key of its own.
struct ListTests {
    static let rounds = UInt64(setting("TUNIC_LIST_ROUNDS", 8))

    /// Two lists of one round are never both certified; a round whose first proposer is honest has a list, with every honest node.
    @Test(arguments: [(0, 0.15), (4, 0.1), (6, 0.0)], [1, 2] as [UInt64])
    func s11NodesAgreeOnOneListOfARound(_ setup: (hostile: Int, loss: Double), _ seed: UInt64) throws {
        var world = ListWorld(nodes: 19, hostile: setup.hostile, loss: setup.loss, seed: seed)
        for _ in 0..<(Self.rounds * ListWorld.epoch) { world.tick() }
        let first = ListSchedule(epoch: ListWorld.epoch).round(at: now)
        let honest = Set(world.peers.filter { !$0.isHostile }.map(\.node))
        for (round, digests) in world.certified { #expect(digests.count == 1, "two lists of round \(round)") }
        for votes in world.votes.values {
            for (node, digests) in votes { #expect(digests.count == 1, "\(node) signed two lists") }
        }
        let whole = world.certified.keys.filter { $0 > first + 2 }
        for round in whole { #expect(world.listed[round]!.isSuperset(of: honest), "round \(round) leaves out") }
        let due = (first + 3..<first + Self.rounds - 1).filter { world.isHonest($0) }
        let made = due.filter { world.certified[$0] != nil }
        print(
            "\(setup): \(world.certified.count) of \(Self.rounds), \(made.count) of \(due.count) with an honest first")
        // With a third hostile every honest node has to sign in time: then a hostile node that comes late costs some of the rounds.
        #expect(made.count * 4 >= due.count * (setup.hostile < 6 ? 3 : 2))
        // All honest nodes hold the same newest list.
        let newest = Set(world.peers.filter { !$0.isHostile }.compactMap { $0.signing.certified?.list.round })
        #expect(newest.count <= 2)
    }

    // MARK: One node

    let schedule = ListSchedule(epoch: 3_600)
    let snap = snapshot(keys: 0..<6)

    func made(_ number: UInt64, at time: UInt64, mark: UInt8 = 5) -> SignedDescriptor {
        var value = descriptor(of: NodeID(key(number).publicKey), at: UnixTime(seconds: time))
        value.onionKey = [UInt8](repeating: mark, count: Descriptor.onionKeySize)
        return value.signed(with: key(number), network: network)
    }

    /// The start of a round.
    var start: UnixTime { schedule.start(at: now) }

    func store(_ numbers: Range<UInt64> = 0..<6) throws -> DescriptorStore {
        var store = DescriptorStore(network: network, allowsPrivateAddresses: false, snapshot: snap)
        for number in numbers { _ = try store.insert(made(number, at: start.seconds - 9_000), at: store.early(start)) }
        return store
    }

    func list(_ descriptors: [SignedDescriptor]) -> DescriptorList {
        DescriptorList(
            round: schedule.round(at: start), height: 1, snapshot: snap.digest, hashes: descriptors.map(\.digest))!
    }

    func refusal(_ descriptors: [SignedDescriptor], lacking: Int = 0, by store: DescriptorStore) -> ListRefusal? {
        let known = descriptors.dropLast(lacking)
        do throws(ListRefusal) {
            try ListSigning.judge(
                list(descriptors), Dictionary(known.map { ($0.digest, $0) }, uniquingKeysWith: { $1 }), by: store,
                schedule, at: start)
            return nil
        } catch {
            return error
        }
    }

    @Test func s11AListIsSignedOnlyWhereItIsGood() throws {
        let store = try store()
        let all = Array(store.all)
        #expect(refusal(all, by: store) == nil)
        // Another version of a node that equivocates is as good: it cannot split the nodes.
        let others = all.dropFirst() + [made(number(of: all[0]), at: all[0].descriptor.published.seconds, mark: 9)]
        #expect(refusal(Array(others), by: store) == nil)
        #expect(refusal(all, lacking: 1, by: store) == .missing)
        #expect(refusal(Array(all.dropFirst()), by: store) == .leavesOut(1))
        // An older version than the one known for long, two of a node, a stranger's, one from the future, and one that has expired.
        let node = all[0].descriptor.node
        let rest = Array(all.dropFirst())
        let number = number(of: all[0])
        #expect(refusal(rest + [made(number, at: start.seconds - 9_001)], by: store) == .leavesOut(1))
        #expect(refusal(all + [made(number, at: start.seconds - 9_001)], by: store) == .twice(node))
        #expect(refusal(all + [made(77, at: start.seconds)], by: store) == .unsound(.notStaked))
        #expect(refusal(rest + [made(number, at: start.seconds + 1_201)], by: store) == .unsound(.fromTheFuture))
        #expect(refusal(rest + [made(number, at: start.seconds - 87_001)], by: store) == .unsound(.expired))
    }

    private func number(of signed: SignedDescriptor) -> UInt64 {
        (0..<6).first { NodeID(key($0).publicKey) == signed.descriptor.node }!
    }

    /// What came, or was dated, after the cut is not demanded: nobody can make two honest nodes differ by it.
    @Test func s11LateDescriptorsAreNotDemanded() throws {
        var store = try store()
        let all = Array(store.all)
        let late = made(number(of: all[0]), at: start.seconds - 300)
        let isNew = store.insert(authentic: late, at: UnixTime(seconds: start.seconds - 60))
        #expect(isNew)
        #expect(refusal(all, by: store) == nil)
        #expect(refusal(Array(all.dropFirst()), by: store) == .leavesOut(1))
        let future = made(number(of: all[0]), at: start.seconds + 500)
        let isNewer = store.insert(authentic: future, at: start)
        #expect(isNewer)
        #expect(refusal(Array(all.dropFirst()), by: store) == nil)
        // What is held is listed, whatever its publisher dated it: one that is held in its place elsewhere may be demanded there.
        #expect(store.listable(at: start)[future.digest] != nil)
        #expect(refusal(all.dropFirst() + [future], by: store) == nil)
    }

    /// One list of a round is signed, also after a restart; a proposal by another than the drawn node is none.
    @Test func s11NobodySignsTwoListsOfARound() throws {
        let store = try store()
        let round = schedule.round(at: start)
        let place = ListSchedule.proposer(rank: 0, round: round, snapshot: snap.digest, count: 6)
        let proposer = snap.voters[place]
        let own = try #require((0..<6).first { NodeID(key($0).publicKey) == proposer })
        let later = UnixTime(seconds: start.seconds + 40)
        func node(_ signed: ListSigning.Signed? = nil) -> ListSigning {
            var node = ListSigning(
                network: network, schedule: schedule, snapshot: snap, digest: snap.digest, signed: signed)
            node.advance(to: later)
            return node
        }
        var first = node()
        #expect(first.rank(of: proposer, at: start) == nil)
        #expect(first.rank(of: proposer, at: later) == 0)
        let digest = try #require(
            first.propose(store, as: proposer, rank: 0, at: later) { key(own).sign($0.rawSpan) })
        #expect(first.rank(of: proposer, at: later) == nil)
        var again = node(first.signed)
        #expect(again.rank(of: proposer, at: later) == nil)
        #expect(again.propose(store, as: proposer, rank: 0, at: later) { key(own).sign($0.rawSpan) } == nil)

        // Another node takes it, signs it once, and nothing else of this round after a restart.
        let bytes = try #require(first.proposal(digest)).encoded()
        let voter = try #require((0..<6).first { $0 != own })
        let voterID = NodeID(key(voter).publicKey)
        var other = node()
        #expect(other.wants(digest, round: round, from: proposer))
        try other.take(bytes, digest: digest, from: proposer)
        #expect(other.proposal(digest) == nil && other.due(voterID, at: later) == nil)
        other.judged(digest, store.byDigest)
        #expect(other.due(voterID, at: later) == digest)
        #expect(other.sign(digest, as: voterID, by: { key(voter).sign($0.rawSpan) }) != nil)
        #expect(other.sign(digest, as: voterID, by: { key(voter).sign($0.rawSpan) }) == nil)
        var restarted = node(other.signed)
        try restarted.take(bytes, digest: digest, from: proposer)
        restarted.judged(digest, store.byDigest)
        #expect(restarted.due(voterID, at: later) == nil)

        // The bytes of another rank, of another signer, and none at all: the neighbour is not asked again.
        for (change, place) in [(UInt8(1), 0), (255, 0), (1, 5), (1, 70)] {
            var spoiled = bytes
            spoiled[place] ^= change
            var fresh = node()
            #expect(throws: ListRefusal.self) { try fresh.take(spoiled, digest: digest, from: voterID) }
            #expect(!fresh.wants(bytes32(1, 1), round: round, from: voterID))
            #expect(fresh.wants(bytes32(1, 1), round: round, from: proposer))
        }
    }

    /// An equivocating proposer's further lists are fetched once each, a wrong one makes a liar, and so do too many.
    @Test func s11ASecondListOfARankIsFetchedOnce() throws {
        let round = schedule.round(at: start)
        let proposer = snap.voters[ListSchedule.proposer(rank: 0, round: round, snapshot: snap.digest, count: 6)]
        let own = try #require((0..<6).first { NodeID(key($0).publicKey) == proposer })
        let later = UnixTime(seconds: start.seconds + 40)
        func node() -> ListSigning {
            var node = ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
            node.advance(to: later)
            return node
        }
        // Each of other descriptors.
        let ranges: [Range<UInt64>] = [0..<6, 0..<5, 0..<4, 0..<3, 0..<2, 1..<6, 2..<6, 3..<6, 1..<5, 1..<4]
        let lists = try ranges.map { range in
            var hostile = node()
            let digest = try #require(
                hostile.propose(try store(range), as: proposer, rank: 0, at: later) { key(own).sign($0.rawSpan) })
            return (digest: digest, bytes: try #require(hostile.proposal(digest)).encoded())
        }
        #expect(Set(lists.map(\.digest)).count == lists.count)
        var reader = node()
        let (friend, other) = (NodeID(bytes32(9, 1)), NodeID(bytes32(9, 2)))
        try reader.take(lists[0].bytes, digest: lists[0].digest, from: friend)
        for (number, list) in lists.dropFirst().enumerated() {
            #expect(reader.wants(list.digest, round: round, from: friend))
            try reader.take(list.bytes, digest: list.digest, from: friend)
            #expect(!reader.wants(list.digest, round: round, from: other))
            #expect(reader.wants(bytes32(1, 1), round: round, from: friend) == (number < 2 * schedule.ranks))
        }
        // Another list than the one that was asked for.
        #expect(throws: ListRefusal.notProposed) {
            try reader.take(lists[1].bytes, digest: bytes32(1, 1), from: other)
        }
        #expect(!reader.wants(bytes32(1, 1), round: round, from: other))
        #expect(reader.collections.map(\.digest) == [lists[0].digest])
    }

    /// Signatures that nobody has verified do not go out to readers under a coming snapshot.
    @Test func s11OnlyVerifiedSignaturesAreKept() throws {
        let store = try store()
        let list = list(Array(store.all))
        let message = DescriptorList.message(digest: list.digest, network: network)
        var signatures = (0..<6 as Range<UInt64>).map {
            SignedSnapshot.Signature(signer: NodeID(key($0).publicKey), bytes: key($0).sign(message.rawSpan))
        }.sorted { $0.signer < $1.signer }
        // Of six voters five are needed, and the last one's is not looked at.
        signatures[5] = .init(signer: signatures[5].signer, bytes: [UInt8](repeating: 9, count: 64))
        let offered = SignedDescriptorList(list, signatures: signatures)
        let digest = try ListSigning.check(offered, network: network, trusted: snap, digest: snap.digest)
        var node = ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
        node.advance(to: start)
        let isNew = node.take(checked: offered, digest: digest, descriptors: store.byDigest)
        #expect(isNew && node.certified?.signatures.count == 5)
        #expect(node.certified?.signatures[signatures[5].signer] == nil)
    }

    /// A reader takes what more than two thirds of the trusted voters signed, under their snapshot or one before.
    @Test func s11AReaderChecksWhoSigned() throws {
        let list = list(Array(try store().all))
        func signed(_ numbers: Range<UInt64>) -> SignedDescriptorList {
            let message = DescriptorList.message(digest: list.digest, network: network)
            let signatures = numbers.map {
                SignedSnapshot.Signature(
                    signer: NodeID(key($0).publicKey), bytes: key($0).sign(message.rawSpan))
            }
            return SignedDescriptorList(list, signatures: signatures.sorted { $0.signer < $1.signer })
        }
        func refusal(
            _ signed: SignedDescriptorList, _ trusted: Snapshot? = nil, network id: Bytes32 = network
        ) -> ListRefusal? {
            let trusted = trusted ?? snap
            do throws(ListRefusal) {
                let digest = try ListSigning.check(signed, network: id, trusted: trusted, digest: trusted.digest)
                #expect(digest == list.digest)
                return nil
            } catch {
                return error
            }
        }
        #expect(refusal(signed(0..<5)) == nil)
        #expect(refusal(signed(0..<4)) == .tooFewSignatures(signatures: 4, needed: 5))
        #expect(refusal(signed(2..<9)) == .tooFewSignatures(signatures: 4, needed: 5))
        let foreign = refusal(signed(0..<6), network: bytes32(1, 1))
        guard case .badSignature = foreign else {
            Issue.record("another network's list: \(String(describing: foreign))")
            return
        }
        // A newer snapshot with one node changed; one of that height or below with another digest.
        #expect(refusal(signed(0..<6), snapshot(keys: 1..<7, height: 2)) == nil)
        #expect(refusal(signed(0..<6), snapshot(keys: 2..<8, height: 2)) == .tooFewSignatures(signatures: 4, needed: 5))
        #expect(refusal(signed(0..<6), snapshot(keys: 0..<7)) == .otherSnapshot)
        let bytes = signed(0..<5).encoded()
        #expect(try SignedDescriptorList(decoding: bytes.rawSpan).encoded() == bytes)
        for length in stride(from: 0, to: bytes.count, by: 13) {
            #expect(throws: WireError.self) { try SignedDescriptorList(decoding: Array(bytes.prefix(length)).rawSpan) }
        }
    }

    @Test func roundsBeginHalfwayBetweenSnapshots() {
        for epoch in [1, 2, 5, 60, 3_600, 604_800] as [UInt64] {
            let schedule = ListSchedule(epoch: epoch)
            #expect(schedule.ranks >= 1 && schedule.period <= 3_600)
            for offset in 0..<10 as Range<UInt64> {
                let time = UnixTime(seconds: now.seconds + offset * 7)
                let start = schedule.start(at: time)
                #expect(start <= time && time.seconds - start.seconds < schedule.period)
                #expect(schedule.round(at: start) == schedule.round(at: time))
                #expect(schedule.isOpen(0, at: time))
                #expect(!schedule.isOpen(schedule.ranks, at: time))
            }
        }
        let hours = ListSchedule(epoch: 3_600)
        #expect(hours.step == 120 && hours.ranks == 4)
        let start = hours.start(at: now)
        #expect(start.seconds % 3_600 == 1_800)
        #expect(!hours.isOpen(1, at: UnixTime(seconds: start.seconds + 119)))
        #expect(hours.isOpen(1, at: UnixTime(seconds: start.seconds + 120)))
        _ = hours.start(at: UnixTime(seconds: .max))
        _ = hours.start(at: UnixTime(seconds: 0))
    }
}

extension DescriptorStore {
    /// A time long before a round.
    fileprivate func early(_ start: UnixTime) -> UnixTime { UnixTime(seconds: start.seconds - 8_000) }
}

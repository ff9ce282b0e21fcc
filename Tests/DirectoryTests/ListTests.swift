import OnionCrypto
import Testing
import Wire

@testable import Directory

/// Lists of descriptors that all clients use: nobody can give a single client a special onion key.
struct ListTests {
    static let cycles = UInt64(setting("TUNIC_LIST_CYCLES", 8))

    /// No round has two certified lists; a cycle in which an honest node may propose has a list, and it has every
    /// honest node.
    @Test(arguments: [(0, 0.15), (4, 0.1), (6, 0.0)], [1, 2] as [UInt64])
    func s11NodesAgreeOnOneListOfARound(_ setup: (hostile: Int, loss: Double), _ seed: UInt64) throws {
        var world = ListWorld(nodes: 19, hostile: setup.hostile, loss: setup.loss, seed: seed)
        for _ in 0..<(Self.cycles * ListWorld.epoch) { world.tick() }
        let first = ListSchedule(epoch: ListWorld.epoch).cycle(at: now)
        let honest = Set(world.peers.filter { !$0.isHostile }.map(\.node))
        for (round, digests) in world.certified { #expect(digests.count == 1, "two lists of round \(round)") }
        for votes in world.votes.values {
            for (node, digests) in votes { #expect(digests.count == 1, "\(node) signed two lists") }
        }
        let whole = world.certified.keys.filter { ListSchedule.cycle(of: $0) > first + 2 }
        for round in whole {
            // A descriptor published so late that others may not have it is not demanded.
            let schedule = ListSchedule(epoch: ListWorld.epoch)
            let cut = ListSchedule.cycle(of: round) * schedule.period - schedule.period / 2 - schedule.step
            for node in honest.subtracting(world.listed[round]!) {
                let isLate = world.published[node]!.contains { $0 > cut && $0 < cut + schedule.period }
                #expect(isLate, "round \(round) leaves \(node) out")
            }
        }
        let due = (first + 3..<first + Self.cycles - 1).filter { world.isHonest($0) }
        let done = Set(world.certified.keys.map(ListSchedule.cycle(of:)))
        let made = due.filter { done.contains($0) }
        print("\(setup): \(done.count) of \(Self.cycles), \(made.count) of \(due.count) with an honest proposer")
        // With a third of the nodes hostile, every honest node has to sign in time, so a late hostile node can cost
        // some cycles.
        #expect(made.count * 4 >= due.count * (setup.hostile < 6 ? 4 : 3))
        // Honest nodes have the newest certified list or the one before it.
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

    /// The start of a cycle.
    var start: UnixTime { schedule.start(at: now) }

    func store(_ numbers: Range<UInt64> = 0..<6) throws -> DescriptorStore {
        var store = DescriptorStore(network: network, allowsPrivateAddresses: false, snapshot: snap)
        for number in numbers { _ = try store.insert(made(number, at: start.seconds - 9_000), at: store.early(start)) }
        return store
    }

    func list(_ descriptors: [SignedDescriptor], place: UInt64 = 0) -> DescriptorList {
        DescriptorList(
            round: schedule.round(at: start) + place, height: 1, snapshot: snap.digest,
            hashes: descriptors.map(\.digest))!
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
        // Another version of an equivocating node is as good, so it cannot split the nodes.
        let others = all.dropFirst() + [made(number(of: all[0]), at: all[0].descriptor.published.seconds, mark: 9)]
        #expect(refusal(Array(others), by: store) == nil)
        #expect(refusal(all, lacking: 1, by: store) == .missing)
        #expect(refusal(Array(all.dropFirst()), by: store) == .leavesOut(1))
        // An older version than the demanded one, two of a node, one of a stranger, one from the future, and an expired
        // one.
        let node = all[0].descriptor.node
        let rest = Array(all.dropFirst())
        let number = number(of: all[0])
        #expect(refusal(rest + [made(number, at: start.seconds - 9_001)], by: store) == .leavesOut(1))
        #expect(refusal(all + [made(number, at: start.seconds - 9_001)], by: store) == .twice(node))
        #expect(refusal(all + [made(77, at: start.seconds)], by: store) == .unsound(.notStaked))
        // P12: voting tolerates twice the difference of clocks that publishing does.
        #expect(refusal(rest + [made(number, at: start.seconds + 1_200)], by: store) == nil)
        #expect(refusal(rest + [made(number, at: start.seconds + 1_201)], by: store) == .unsound(.fromTheFuture))
        #expect(
            refusal(rest + [made(number, at: start.seconds - DescriptorStore.lifetime - 601)], by: store)
                == .unsound(.expired))
    }

    func number(of signed: SignedDescriptor) -> UInt64 {
        (0..<6).first { NodeID(key($0).publicKey) == signed.descriptor.node }!
    }

    /// A descriptor that arrived, or was dated, after the cut is not demanded, so it cannot divide two honest nodes.
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
        // A held descriptor is listed whatever its date, because another node may demand the one that it replaced.
        #expect(store.listable(at: start)[future.digest] != nil)
        #expect(refusal(all.dropFirst() + [future], by: store) == nil)
    }

    /// Of a node that publishes version after version any version is good, because nodes accept its versions at a
    /// limited rate.
    @Test func s22VersionsInARowAreNotDemanded() throws {
        var store = try store()
        let all = Array(store.all)
        let number = number(of: all[0])
        for minutes in [20, 19] as [UInt64] {
            let time = UnixTime(seconds: start.seconds - minutes * 60)
            let isNew = store.insert(authentic: made(number, at: time.seconds), at: time)
            #expect(isNew)
        }
        #expect(refusal(all, by: store) == nil)
        #expect(refusal(Array(all.dropFirst()), by: store) == .leavesOut(1))
        // After half an hour every node has it.
        let demands = store.demands(cut: UnixTime(seconds: start.seconds + 660), at: start)
        #expect(demands[all[0].descriptor.node]?.seconds == start.seconds - 1_140)
        let early = store.demands(cut: UnixTime(seconds: start.seconds + 659), at: start)
        #expect(early[all[0].descriptor.node]?.seconds == 0)
    }

    /// A version that a node and three operators show to one client, and that a later list had to name, is used no more.
    @Test("s11: a version that three operators vouch for ends with the list that would have to name it")
    func s11VouchedVersionsEnd() throws {
        func later(_ seconds: UInt64) -> UnixTime { UnixTime(seconds: start.seconds + seconds) }
        func list(of cycle: UInt64, _ numbers: Range<UInt64> = 0..<6) -> DescriptorList {
            DescriptorList(
                round: schedule.round(at: later(cycle * schedule.period)), height: 1, snapshot: snap.digest,
                hashes: numbers.map { made($0, at: start.seconds - 9_000).digest })!
        }
        let (usual, marked) = (made(0, at: start.seconds - 9_000), made(0, at: start.seconds + 100, mark: 9))
        let node = usual.descriptor.node
        func vouched(at time: UnixTime, _ store: inout DescriptorStore) {
            for number in 1...3 as ClosedRange<UInt64> {
                _ = store.hear(marked, from: bytes32(1, number), operators: 6, at: time)
            }
        }
        var store = try store()
        store.use(list(of: 0), schedule)
        vouched(at: later(100), &store)
        #expect(store.descriptor(of: node, at: later(100)) == marked)
        // The list of the next cycle need not name a version of the last half hour before it.
        #expect(schedule.cut(of: list(of: 1).round) == schedule.cut(at: later(schedule.period)))
        var recent = store
        let shortly = later(schedule.period).seconds - schedule.step - DescriptorStore.settling + 1
        let restarted = made(1, at: shortly, mark: 9)
        for number in 2...4 as ClosedRange<UInt64> {
            _ = recent.hear(restarted, from: bytes32(1, number), operators: 6, at: later(schedule.period))
        }
        recent.use(list(of: 1), schedule)
        #expect(recent.descriptor(of: restarted.descriptor.node, at: later(schedule.period)) == restarted)
        // Two hours later a list names the public version still.
        let end = later(2 * schedule.period)
        store.use(list(of: 2), schedule)
        #expect(store.descriptor(of: node, at: end) == nil)
        #expect(store.lacking(list(of: 2)) == [list(of: 2).place(of: usual.digest)])
        vouched(at: end, &store)
        #expect(store.descriptor(of: node, at: end) == nil && !store.hasFresh(of: [node]))
        let isUsed = store.hear(usual, from: nil, operators: 6, at: end)
        #expect(isUsed && store.descriptor(of: node, at: end) == usual)
        vouched(at: end, &store)
        #expect(store.descriptor(of: node, at: end) == usual)
    }

    /// A voter that has just restarted demands the descriptors that it kept; otherwise a proposer could leave them out.
    @Test("s11: a node that has restarted signs no list without the descriptors that it kept")
    func s11KeptDescriptorsAreDemanded() throws {
        let file = NetworkFile(name: "test", id: network, bootstrap: [], snapshot: signed(snap, by: 0..<6))
        // The last one was published so late that others may not have had it by the cut.
        let kept = (0..<6 as Range<UInt64>).map { made($0, at: start.seconds - ($0 == 5 ? 1_000 : 7_200)) }
        let time = UnixTime(seconds: start.seconds + 60)
        let store = DescriptorStore(file, snapshot: snap, kept: kept.map(\.bytes), at: time)
        #expect(refusal([kept[0]], by: store) == .leavesOut(4))
        #expect(refusal(Array(kept.dropLast()), by: store) == nil)
        #expect(refusal(kept, by: store) == nil)
    }

    /// A node signs one list of a round, also after a restart; a proposal by a node that was not drawn is refused.
    @Test func s11NobodySignsTwoListsOfARound() throws {
        let store = try store()
        let round = schedule.round(at: start)
        let place = ListSchedule.proposer(of: round, snapshot: snap.digest, count: 6)
        let proposer = snap.voters[place]
        let own = try #require((0..<6).first { NodeID(key($0).publicKey) == proposer })
        let later = UnixTime(seconds: start.seconds + 40)
        func node(_ signed: ListSigning.Signed = .init()) -> ListSigning {
            var node = ListSigning(
                network: network, schedule: schedule, snapshot: snap, digest: snap.digest, signed: signed)
            node.advance(to: later)
            return node
        }
        var first = node()
        #expect(!first.isTurn(of: proposer, at: start))
        #expect(first.isTurn(of: proposer, at: later))
        let digest = try #require(first.propose(store, as: proposer, at: later) { key(own).sign($0.rawSpan) })
        #expect(!first.isTurn(of: proposer, at: later))
        let kept = first.signed.encoded()
        for length in kept.indices {
            let cut = Array(kept.prefix(length))
            #expect(throws: WireError.self) { try ListSigning.Signed(decoding: cut.rawSpan) }
        }
        var again = node(try ListSigning.Signed(decoding: kept.rawSpan))
        #expect(!again.isTurn(of: proposer, at: later))
        #expect(again.propose(store, as: proposer, at: later) { key(own).sign($0.rawSpan) } == nil)

        // Another node takes the proposal, signs it once, and signs nothing else of this round after a restart.
        let bytes = try #require(first.proposal(digest))
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

        // A changed signature, version, round or snapshot: the neighbour is not asked again.
        for (change, place) in [(UInt8(1), 0), (255, 5), (1, 64), (1, 65), (255, 70), (1, 90)] {
            var spoiled = bytes
            spoiled[place] ^= change
            var fresh = node()
            #expect(throws: ListRefusal.self) { try fresh.take(spoiled, digest: digest, from: voterID) }
            #expect(!fresh.wants(bytes32(1, 1), round: round, from: voterID))
            #expect(fresh.wants(bytes32(1, 1), round: round, from: proposer))
        }
    }
}

extension DescriptorStore {
    /// A time long before the cycle.
    func early(_ start: UnixTime) -> UnixTime { UnixTime(seconds: start.seconds - 8_000) }
}

import OnionCrypto
import Testing
import Wire

@testable import Directory

/// Lists and signatures of other nodes, and readers of a certified list.
extension ListTests {
    /// Of a proposer's further lists each is fetched once; a wrong list, or too many of them, ends all requests to that
    /// neighbour.
    @Test func s11ASecondListOfARoundIsFetchedOnce() throws {
        let round = schedule.round(at: start)
        let proposer = snap.voters[ListSchedule.proposer(of: round, snapshot: snap.digest, count: 6)]
        let own = try #require((0..<6).first { NodeID(key($0).publicKey) == proposer })
        let later = UnixTime(seconds: start.seconds + 40)
        func node() -> ListSigning {
            var node = ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
            node.advance(to: later)
            return node
        }
        // Each list has different descriptors.
        let ranges: [Range<UInt64>] = [0..<6, 0..<5, 0..<4, 0..<3, 0..<2, 1..<6, 2..<6, 3..<6, 1..<5, 1..<4]
        let lists = try ranges.map { range in
            var hostile = node()
            let digest = try #require(
                hostile.propose(try store(range), as: proposer, at: later) { key(own).sign($0.rawSpan) })
            return (digest: digest, bytes: try #require(hostile.proposal(digest)))
        }
        #expect(Set(lists.map(\.digest)).count == lists.count)
        var reader = node()
        let (friend, other) = (NodeID(bytes32(9, 1)), NodeID(bytes32(9, 2)))
        try reader.take(lists[0].bytes, digest: lists[0].digest, from: friend)
        for (number, list) in lists.dropFirst().enumerated() {
            #expect(reader.wants(list.digest, round: round, from: friend))
            try reader.take(list.bytes, digest: list.digest, from: friend)
            #expect(!reader.wants(list.digest, round: round, from: other))
            #expect(reader.wants(bytes32(1, 1), round: round, from: friend) == (number < 2 * schedule.rounds))
        }
        // A list other than the requested one.
        #expect(throws: ListRefusal.notProposed) {
            try reader.take(lists[1].bytes, digest: bytes32(1, 1), from: other)
        }
        #expect(!reader.wants(bytes32(1, 1), round: round, from: other))
        #expect(reader.collections.map(\.digest) == [lists[0].digest])
    }

    /// Unverified signatures are not sent to readers under the next snapshot.
    @Test func s11OnlyVerifiedSignaturesAreKept() throws {
        let store = try store()
        let list = list(Array(store.all))
        let message = DescriptorList.message(digest: list.digest, network: network)
        var signatures = (0..<6 as Range<UInt64>).map {
            SignedSnapshot.Signature(signer: NodeID(key($0).publicKey), bytes: key($0).sign(message.rawSpan))
        }.sorted { $0.signer < $1.signer }
        // Five of six voters are needed, so the last signature is not verified.
        signatures[5] = .init(signer: signatures[5].signer, bytes: [UInt8](repeating: 9, count: 64))
        let offered = SignedDescriptorList(list, signatures: signatures)
        let digest = try ListSigning.check(offered, network: network, trusted: snap, digest: snap.digest)
        var node = ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
        node.advance(to: start)
        let isNew = node.take(checked: offered, digest: digest, descriptors: store.byDigest)
        #expect(isNew && node.certified?.signatures.count == 5)
        #expect(node.certified?.signatures[signatures[5].signer] == nil)
    }

    /// A signer that leaves, and another voter that joins, would otherwise put the list out of force.
    @Test(
        "s11: signatures of a certified list are collected beyond the quorum, also after its cycle",
        arguments: [true, false])
    func s11MoreThanAQuorumIsCollected(isFetched: Bool) throws {
        let store = try store()
        let round = schedule.round(at: start)
        let proposer = snap.voters[ListSchedule.proposer(of: round, snapshot: snap.digest, count: 6)]
        let owner = { (node: NodeID) in (0..<6 as Range<UInt64>).first { NodeID(key($0).publicKey) == node }! }
        let later = UnixTime(seconds: start.seconds + 40)
        var hostile = ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
        hostile.advance(to: later)
        let proposed = hostile.propose(store, as: proposer, at: later) { key(owner(proposer)).sign($0.rawSpan) }
        let digest = try #require(proposed)
        let list = try #require(hostile.collection(digest)?.subject)
        let message = DescriptorList.message(digest: digest, network: network)
        let items = snap.voters.enumerated().map { place, node in
            SignatureItem(place: place, bytes: key(owner(node)).sign(message.rawSpan))
        }
        // A voter who is not the proposer is late.
        let late = items[items[5].place == snap.voters.firstIndex(of: proposer) ? 4 : 5]
        let early = items.filter { $0 != late }
        // A node that has the other five: from a neighbour with the list, or as they came.
        var node = ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
        node.advance(to: later)
        if isFetched {
            let signatures = early.map { SignedSnapshot.Signature(signer: snap.voters[$0.place], bytes: $0.bytes) }
            let signed = SignedDescriptorList(list, signatures: signatures)
            let checked = try ListSigning.check(signed, network: network, trusted: snap, digest: snap.digest)
            let isNew = node.take(checked: signed, digest: checked, descriptors: store.byDigest)
            #expect(isNew)
        } else {
            let friend = NodeID(bytes32(9, 1))
            try node.take(try #require(hostile.proposal(digest)), digest: digest, from: friend)
            let isNews = node.add(early, for: digest).isNews
            #expect(isNews)
        }
        #expect(node.certifiedCollection?.count == 5 && node.certified?.signatures.count == 5)
        // The next snapshot comes, without the first signer.
        node.advance(to: UnixTime(seconds: later.seconds + schedule.period * UInt64(schedule.rounds)))
        let entries = snapshot(keys: 0..<7).entries.filter { $0.node != snap.voters[0] }
        let next = try #require(
            Snapshot(network: network, height: snap.height + 1, time: later, entries: entries))
        func signatures() -> Int { node.certified?.signed(for: next.voters).signatures.count ?? 0 }
        #expect(signatures() == 4 && SnapshotChain.quorum(of: next) == 5)
        node.follow(next, digest: next.digest)
        let collection = try #require(node.certifiedCollection)
        let new = node.add(collection.checked(collection.unknown(items)), for: digest)
        #expect(new.new == [late] && !new.isNews && node.certifiedCollection?.isWhole == true)
        #expect(signatures() == 5)
        // It is no candidate of a later cycle, and a node that knows its voters only by name collects nothing.
        #expect(node.collections.isEmpty)
        var stranger = ListSigning(network: network, schedule: schedule, snapshot: next, digest: next.digest)
        let signed = try #require(node.certified).signed(for: next.voters)
        let isNew = stranger.take(checked: signed, digest: digest, descriptors: [:])
        #expect(isNew && stranger.certifiedCollection == nil && stranger.add(items, for: digest).new.isEmpty)
    }

    /// Seven nodes, two of them hostile; the first round has a hostile proposer, the second an honest one.
    ///
    /// The first proposer offers two good lists, or one list to a third of the nodes. The second round still has a
    /// certified list.
    @Test(arguments: [2, 1])
    func s11AProposerThatOffersTwoListsCostsItsRoundAlone(_ lists: Int) throws {
        let keys = 0..<7 as Range<UInt64>
        let snap = snapshot(keys: keys)
        let place = { (round: UInt64) in ListSchedule.proposer(of: round, snapshot: snap.digest, count: 7) }
        func owner(_ place: Int) -> UInt64 { keys.first { NodeID(key($0).publicKey) == snap.voters[place] }! }
        // A cycle whose first two rounds have different proposers.
        let start = (0..<20).lazy.map { UnixTime(seconds: self.start.seconds + $0 * schedule.period) }
            .first { place(schedule.round(at: $0)) != place(schedule.round(at: $0) + 1) }!
        let round = schedule.round(at: start)
        let hostile = [owner(place(round)), keys.first { ![place(round), place(round + 1)].map(owner).contains($0) }!]
        let honest = keys.filter { !hostile.contains($0) }
        var store = DescriptorStore(network: network, allowsPrivateAddresses: false, snapshot: snap)
        let early = UnixTime(seconds: start.seconds - 8_000)
        for number in keys { _ = try store.insert(made(number, at: start.seconds - 9_000), at: early) }
        var nodes = honest.map { _ in
            ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
        }
        var votes: [Bytes32: [SignatureItem]] = [:]
        func sign(_ index: Int, at time: UnixTime) {
            let number = honest[index]
            while let digest = nodes[index].due(NodeID(key(number).publicKey), at: time),
                let item = nodes[index].sign(
                    digest, as: NodeID(key(number).publicKey), by: { key(number).sign($0.rawSpan) })
            {
                votes[digest, default: []].append(item)
            }
        }
        func offer(_ proposal: [UInt8], _ digest: Bytes32, _ known: [Bytes32: SignedDescriptor], to index: Int) throws {
            #expect(nodes[index].wants(digest, round: round, from: snap.voters[place(round)]))
            try nodes[index].take(proposal, digest: digest, from: snap.voters[place(round)])
            nodes[index].judged(digest, known)
        }
        // First round: some nodes get one version of a hostile node's descriptor, others get another.
        let first = UnixTime(seconds: start.seconds + 40)
        var known = store.byDigest
        for which in 0..<lists {
            if which == 1 {
                let old = known.first { $0.value.descriptor.node == NodeID(key(hostile[0]).publicKey) }!.key
                known[old] = nil
                let other = made(hostile[0], at: start.seconds - 9_000, mark: 9)
                known[other.digest] = other
            }
            let list = DescriptorList(
                round: round, height: snap.height, snapshot: snap.digest, hashes: Array(known.keys))!
            try ListSigning.judge(list, known, by: store, schedule, at: first)
            let message = DescriptorList.message(digest: list.digest, network: network)
            let proposal = ListProposal(signature: key(hostile[0]).sign(message.rawSpan), list: list).encoded()
            for index in honest.indices where index / 2 == which {
                nodes[index].advance(to: first)
                try offer(proposal, list.digest, known, to: index)
                sign(index, at: first)
            }
            votes[list.digest, default: []] += hostile.map { number in
                SignatureItem(
                    place: snap.voters.firstIndex(of: NodeID(key(number).publicKey))!,
                    bytes: key(number).sign(message.rawSpan))
            }
        }
        for items in votes.values { #expect(items.count < SnapshotChain.quorum(of: 7)) }
        // Second round: every honest node signs, whatever it signed before.
        let second = UnixTime(seconds: start.seconds + schedule.step + 40)
        let proposer = snap.voters[place(round + 1)]
        let own = owner(place(round + 1))
        let leader = honest.firstIndex(of: own)!
        for index in honest.indices { nodes[index].advance(to: second) }
        #expect(nodes[leader].isTurn(of: proposer, at: second))
        let digest = try #require(
            nodes[leader].propose(store, as: proposer, at: second) { key(own).sign($0.rawSpan) })
        let bytes = try #require(nodes[leader].proposal(digest))
        votes[digest] = nodes[leader].collection(digest)!.missing(in: [], byteLimit: .max)
        for index in honest.indices where index != leader {
            #expect(nodes[index].wants(digest, round: round + 1, from: proposer))
            try nodes[index].take(bytes, digest: digest, from: proposer)
            nodes[index].judged(digest, store.byDigest)
            sign(index, at: second)
        }
        #expect(votes[digest]!.count == 5)
        let isNews = nodes[leader].add(votes[digest]!, for: digest).isNews
        #expect(isNews)
        #expect(nodes[leader].certified?.digest == digest && nodes[leader].isDone)
        // In a cycle with a certified list, nothing more is proposed, requested or signed.
        let third = UnixTime(seconds: start.seconds + 2 * schedule.step + 40)
        nodes[leader].advance(to: third)
        let next = snap.voters[place(round + 2)]
        #expect(nodes[leader].isDone && !nodes[leader].isTurn(of: next, at: third))
        #expect(!nodes[leader].wants(bytes32(1, 1), round: round + 2, from: next))
        #expect(nodes[leader].due(proposer, at: third) == nil)
    }

    /// A part of a list's descriptors is kept until the others arrive.
    @Test func s11APartOfTheDescriptorsIsKept() throws {
        let store = try store()
        let round = schedule.round(at: start)
        let proposer = snap.voters[ListSchedule.proposer(of: round, snapshot: snap.digest, count: 6)]
        let own = try #require((0..<6).first { NodeID(key($0).publicKey) == proposer })
        let list = list(Array(store.all))
        let message = DescriptorList.message(digest: list.digest, network: network)
        let proposal = ListProposal(signature: key(own).sign(message.rawSpan), list: list)
        var node = ListSigning(network: network, schedule: schedule, snapshot: snap, digest: snap.digest)
        node.advance(to: start)
        try node.take(proposal.encoded(), digest: list.digest, from: proposer)
        var known = store.byDigest
        let last = try #require(known.first)
        known[last.key] = nil
        node.collect(known, for: list.digest)
        #expect(node.collected(list.digest).count == 5 && node.unjudged(list.digest) == list)
        #expect(node.proposal(list.digest) == nil)
        node.collect([last.key: last.value], for: list.digest)
        node.judged(list.digest, node.collected(list.digest))
        #expect(node.proposal(list.digest) == proposal.encoded())
        #expect(node.due(snap.voters[0], at: start) == list.digest)
    }

    /// Neighbours that announce lists and do not deliver them hold the places for a few seconds, once.
    @Test func s11NeighboursThatDoNotDeliverKeepNobodyOut() {
        func node(_ number: UInt64) -> NodeID { NodeID(bytes32(4, number)) }
        var fetches = ListFetches(patience: 5_000)
        func begins(_ number: UInt64, _ now: UInt64) -> Bool { fetches.begin(node(number), now: now) }
        for number in 0..<4 as Range<UInt64> { #expect(begins(number, 1_000)) }
        #expect(!begins(0, 1_000) && !begins(9, 5_999))
        // A slow neighbour loses its place and is paused; it can have only one open question.
        #expect(begins(9, 6_000))
        fetches.ended(node(9), answered: true, now: 6_100)
        for number in 10..<14 as Range<UInt64> { #expect(begins(number, 6_200)) }
        for number in 0..<4 as Range<UInt64> {
            fetches.ended(node(number), answered: false, now: 31_000)
            #expect(!begins(number, 31_001))
        }
        // A neighbour that has been slow before loses its place at once to one that has not.
        for number in 10..<14 as Range<UInt64> { fetches.ended(node(number), answered: true, now: 32_000) }
        for number in 0..<4 as Range<UInt64> { #expect(begins(number, 100_000)) }
        for number in 20..<24 as Range<UInt64> { #expect(begins(number, 100_001)) }
        #expect(!begins(24, 100_002))
        // Its second pause is twice as long; an answer ends that.
        for number in 0..<4 as Range<UInt64> { fetches.ended(node(number), answered: false, now: 130_000) }
        for number in 20..<24 as Range<UInt64> { fetches.ended(node(number), answered: true, now: 130_000) }
        #expect(!fetches.admits(node(0), now: 100_001 + 119_999) && fetches.admits(node(0), now: 100_001 + 120_000))
        #expect(begins(0, 300_000))
        fetches.ended(node(0), answered: true, now: 300_001)
        #expect(begins(0, 300_002))
    }

    /// A reader accepts a list with signatures of more than two thirds of the trusted voters, under their snapshot or
    /// an earlier one.
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
        // A newer snapshot with one or two nodes changed; then a snapshot of the same height with another digest.
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
            #expect(schedule.rounds >= 1 && schedule.period <= 3_600)
            for offset in 0..<10 as Range<UInt64> {
                let time = UnixTime(seconds: now.seconds + offset * 7)
                let start = schedule.start(at: time)
                #expect(start <= time && time.seconds - start.seconds < schedule.period)
                #expect(schedule.cycle(at: start) == schedule.cycle(at: time))
                #expect(ListSchedule.place(of: schedule.round(at: start)) == 0)
                #expect(schedule.isOpen(0, at: time))
                #expect(!schedule.isOpen(schedule.rounds, at: time))
                #expect(ListSchedule.place(of: schedule.round(at: time)) < schedule.rounds)
                #expect(ListSchedule.cycle(of: schedule.round(at: time)) == schedule.cycle(at: time))
            }
        }
        let hours = ListSchedule(epoch: 3_600)
        #expect(hours.step == 120 && hours.rounds == 4)
        let start = hours.start(at: now)
        #expect(start.seconds % 3_600 == 1_800)
        #expect(!hours.isOpen(1, at: UnixTime(seconds: start.seconds + 119)))
        #expect(hours.isOpen(1, at: UnixTime(seconds: start.seconds + 120)))
        let numbers = [0, 119, 120, 240, 360, 480, 3_599].map {
            ListSchedule.place(of: hours.round(at: UnixTime(seconds: start.seconds + $0)))
        }
        #expect(numbers == [0, 0, 1, 2, 3, 3, 3])
        #expect(ListSchedule(epoch: 1).round(at: UnixTime(seconds: .max)) == .max)
        _ = hours.start(at: UnixTime(seconds: .max))
        _ = hours.start(at: UnixTime(seconds: 0))
    }
}

import Directory
import SeededRandom
import Testing
import Wire

/// The cost of a node's descriptors, and of its neighbours' messages, to the others; in simulated time.
@Suite struct DescriptorInboxTests {
    private static let forged = [UInt8](repeating: 0, count: 64)
    private static let good = [UInt8](repeating: 1, count: 64)

    private static func version(_ node: NodeID, _ seconds: UInt64, _ signature: [UInt8] = good) -> SignedDescriptor {
        SignedDescriptor(
            descriptor(of: node, at: UnixTime(seconds: now.seconds - 100_000 + seconds), lifetime: 80_000),
            signature: signature)
    }

    private static func isAuthentic(_ signed: SignedDescriptor) -> Bool { signed.signature.first == 1 }

    private static func nodes(_ count: UInt64) -> [NodeID] { (0..<count).map { NodeID(bytes32(2, $0)) } }

    /// A node of a simulated network.
    private struct Peer {
        var inbox = DescriptorInbox()
        var held: [NodeID: UInt64] = [:]
        var verified = 0
        var taken: [NodeID: Int] = [:]
        var neighbours: [Int] = []

        /// Checks the due descriptors; returns those to pass on, with the neighbour that sent each.
        mutating func check(_ now: Instant) -> [DescriptorInbox.Entry] {
            let (held, before) = (held, verified)
            var count = before
            let checked = DescriptorInbox.checked(inbox.take()) {
                $0.descriptor.published.seconds > held[$0.descriptor.node] ?? 0
            } isAuthentic: {
                count += 1
                return DescriptorInboxTests.isAuthentic($0)
            }
            verified = count
            inbox.shun(checked.liars)
            for entry in checked.good {
                let node = entry.signed.descriptor.node
                self.held[node] = entry.signed.descriptor.published.seconds
                taken[node, default: 0] += 1
                inbox.accepted(entry.signed, now: now)
            }
            return checked.good
        }
    }

    @Test("s22: a node that signs version after version costs the network one a minute, and others are heard")
    func s22_ownFlood() {
        let ids = Self.nodes(20)
        var random = SeededGenerator(seed: 4)
        var peers = ids.indices.map { place in
            var peer = Peer()
            peer.neighbours = Array(ids.indices.filter { $0 != place }.shuffled(using: &random).prefix(8))
            return peer
        }
        let (flooder, honest) = (ids[0], ids[1])
        var forwards = 0
        var time = Instant(nanoseconds: 1)
        var last: UInt64 = 0
        var slowest = 0
        // Ten steps a second. For 100 s, the node sends 20 versions a step to one neighbour.
        for step in 0..<4_000 {
            time = time + .milliseconds(100)
            if step < 1_000 {
                for _ in 0..<20 {
                    last += 1
                    peers[5].inbox.put([Self.version(flooder, last)], from: flooder, now: time)
                }
            }
            if step == 500 { peers[9].inbox.put([Self.version(honest, 7)], from: honest, now: time) }
            var sent: [(to: Int, from: Int, SignedDescriptor)] = []
            for place in peers.indices {
                if step % 10 == 0 { peers[place].inbox.advance(to: time) }
                for entry in peers[place].check(time) {
                    for to in peers[place].neighbours where ids[to] != entry.source {
                        sent.append((to, place, entry.signed))
                        if entry.signed.descriptor.node == flooder { forwards += 1 }
                    }
                }
            }
            for (to, from, signed) in sent {
                guard signed.descriptor.published.seconds > peers[to].held[signed.descriptor.node] ?? 0 else {
                    continue
                }
                peers[to].inbox.put([signed], from: ids[from], now: time)
            }
            if step >= 500, slowest == 0, peers.allSatisfy({ $0.held[honest] != nil }) { slowest = step - 500 }
        }
        // The honest node's descriptor spreads within a few steps, in the middle of the flood.
        #expect((1...10).contains(slowest))
        // In 400 s: four versions at once, then one a minute.
        let most = DescriptorInbox.burst + 400 / 60
        #expect(peers.allSatisfy { ($0.taken[flooder] ?? 0) <= most })
        #expect(forwards <= most * 8 * peers.count)
        #expect(peers.allSatisfy { $0.verified <= most + 1 })
        // The newest version reaches all nodes, although each accepts only a few.
        let newest = Self.version(flooder, last).descriptor.published.seconds
        #expect(peers.allSatisfy { $0.held[flooder] == newest })
        #expect(peers.allSatisfy { $0.inbox.count == 0 })
    }

    @Test("s22: variants of one version, and what a neighbour brings of one node, have one place")
    func s22_variants() {
        let ids = Self.nodes(3)
        var inbox = DescriptorInbox()
        let time = Instant(nanoseconds: 1)
        for mark in 0..<1_000 {
            var signature = Self.good
            signature[63] = UInt8(mark & 0xff)
            inbox.put([Self.version(ids[0], 9, signature)], from: ids[1], now: time)
        }
        #expect(inbox.count == 1)
        inbox.put([Self.version(ids[0], 10)], from: ids[1], now: time)
        inbox.put([Self.version(ids[0], 8)], from: ids[1], now: time)
        #expect(inbox.take().map(\.signed) == [Self.version(ids[0], 10)] && inbox.count == 0)
    }

    @Test("s22: forged versions of a node keep none of its own away") func s22_forgedBesides() {
        let ids = Self.nodes(30)
        var peer = Peer()
        let time = Instant(nanoseconds: 1)
        // Each of 20 liars repeatedly sends a forged newer version.
        for round in 0..<3 as Range<UInt64> {
            for liar in ids[10...] {
                peer.inbox.put([Self.version(ids[0], 1_000 + round, Self.forged)], from: liar, now: time)
            }
            peer.inbox.put([Self.version(ids[0], 1 + round)], from: ids[1], now: time)
            let taken = peer.check(time)
            #expect(taken.map(\.signed) == [Self.version(ids[0], 1 + round)])
        }
        // One check for each liar, and one for each of the three good versions.
        #expect(peer.verified == 20 + 3 && peer.inbox.liars == Set(ids[10...]))
        peer.inbox.forgive()
        peer.inbox.put([Self.version(ids[0], 5_000, Self.forged)], from: ids[10], now: time)
        #expect(peer.inbox.count == 1)
    }

    @Test("s22: descriptors of one neighbour or many leave a newcomer places", arguments: [1, 20, 1_000])
    func s22_aNewcomerGetsAPlace(neighbours: Int) {
        let ids = Self.nodes(UInt64(DescriptorInbox.maximum) + 1)
        var inbox = DescriptorInbox()
        let time = Instant(nanoseconds: 1)
        for number in 0..<DescriptorInbox.maximum {
            inbox.put([Self.version(ids[number], 5)], from: ids[number % neighbours], now: time)
        }
        #expect(inbox.count == DescriptorInbox.maximum)
        let newcomer = ids[DescriptorInbox.maximum]
        inbox.put(ids.prefix(10).map { Self.version($0, 6) }, from: newcomer, now: time)
        #expect(inbox.count(of: newcomer) == 10 && inbox.count == DescriptorInbox.maximum)
    }

    @Test("s22: the neighbour with the most descriptors that wait gives places up") func s22_shares() {
        let ids = Self.nodes(UInt64(DescriptorInbox.maximum) + 200)
        var inbox = DescriptorInbox()
        let time = Instant(nanoseconds: 1)
        inbox.put(ids.map { Self.version($0, 5) }, from: ids[0], now: time)
        #expect(inbox.count == DescriptorInbox.maximum)
        inbox.put(ids.prefix(100).map { Self.version($0, 6) }, from: ids[1], now: time)
        #expect(inbox.count(of: ids[1]) == 100 && inbox.count == DescriptorInbox.maximum)
        // A neighbour whose news finds no room still replaces what it brought before.
        let unknown = NodeID(bytes32(3, 1))
        inbox.put([Self.version(unknown, 7), Self.version(ids[9_000], 7)], from: ids[0], now: time)
        var copy = inbox
        let found = copy.take().map(\.signed)
        #expect(found.contains(Self.version(ids[9_000], 7)) && !found.contains(Self.version(unknown, 7)))
        // All descriptors that a liar sent are dropped at once.
        inbox.shun([ids[0]])
        #expect(inbox.count == 100 && inbox.take().count == 100 && inbox.count == 0)
    }
}

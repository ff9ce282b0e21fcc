import Directory
import OnionCrypto
import Testing
import Wire

/// Trust in snapshots (P5: registry rollback and forgery) and descriptors (P8: hostile addresses).
struct TrustTests {
    let first = signed(snapshot(keys: 0..<6), by: 0..<6)
    let later = UnixTime(seconds: now.seconds + 3_600)

    func chain() throws -> SnapshotChain { try SnapshotChain(network: network, first: first) }

    @Test func p5MoreThanTwoThirdsMustSign() throws {
        var chain = try chain()
        let next = snapshot(keys: 1..<8, height: 2)
        #expect(throws: SnapshotRefusal.tooFewSignatures(signatures: 4, needed: 5)) {
            try chain.accept(signed(next, by: 0..<4), at: later)
        }
        #expect(throws: SnapshotRefusal.tooFewSignatures(signatures: 3, needed: 5)) {
            try chain.accept(signed(next, by: 3..<8), at: later)
        }
        #expect(try chain.accept(signed(next, by: 0..<5), at: later))
        #expect(chain.snapshot == next)
        #expect(try !chain.accept(signed(next, by: 0..<1), at: later))
    }

    @Test(arguments: [(1, 1), (2, 2), (3, 3), (4, 3), (6, 5), (9, 7), (10, 7)])
    func p5QuorumIsMoreThanTwoThirds(_ nodes: UInt64, _ needed: Int) {
        #expect(SnapshotChain.quorum(of: snapshot(keys: 0..<nodes)) == needed)
    }

    @Test func p5SuspendedNodesDoNotSign() throws {
        var entries = snapshot(keys: 0..<6).entries
        for place in 0..<3 { entries[place].state = .suspended }
        let halved = Snapshot(network: network, height: 1, time: now, entries: entries)!
        let numbers = (0..<6 as Range<UInt64>).filter { !halved.isStaked(NodeID(key($0).publicKey)) }
        var byOthers = SignedSnapshot(halved)
        for number in numbers { byOthers.sign(with: key(number)) }
        #expect(throws: SnapshotRefusal.tooFewSignatures(signatures: 0, needed: 3)) {
            try SnapshotChain(network: network, first: byOthers)
        }
    }

    @Test func p5NeverBackAndNeverTwoAtOneHeight() throws {
        var chain = try chain()
        #expect(try chain.accept(signed(snapshot(keys: 0..<6, height: 5), by: 0..<6), at: later))
        #expect(throws: SnapshotRefusal.rolledBack(held: 5)) {
            try chain.accept(signed(snapshot(keys: 0..<7, height: 4), by: 0..<7), at: later)
        }
        #expect(throws: SnapshotRefusal.conflicting) {
            try chain.accept(signed(snapshot(keys: 0..<7, height: 5), by: 0..<7), at: later)
        }
        #expect(throws: SnapshotRefusal.rolledBack(held: 5)) { try chain.accept(first, at: later) }
    }

    @Test func p5ForgeriesAreRefused() throws {
        var chain = try chain()
        let next = snapshot(keys: 0..<6, height: 2)
        var forged = signed(next, by: 0..<4)
        let victim = NodeID(key(5).publicKey)
        forged.add(.init(signer: victim, bytes: key(9).sign([1].rawSpan)))
        #expect(throws: SnapshotRefusal.badSignature(victim)) { try chain.accept(forged, at: later) }
        let foreign = Snapshot(network: bytes32(5, 5), height: 2, time: now, entries: next.entries)!
        #expect(throws: SnapshotRefusal.otherNetwork) { try chain.accept(signed(foreign, by: 0..<6), at: later) }
        let future = snapshot(keys: 0..<6, height: 2, time: UnixTime(seconds: now.seconds + 601))
        #expect(throws: SnapshotRefusal.fromTheFuture) { try chain.accept(signed(future, by: 0..<6), at: now) }
        #expect(try chain.accept(signed(future, by: 0..<6), at: later))
        #expect(throws: SnapshotRefusal.malformed(.truncated)) { try chain.accept([2].rawSpan, at: later) }
    }

    @Test func p5TheHighWaterMarkOutlivesARestart() throws {
        var before = try chain()
        let newer = signed(snapshot(keys: 0..<6, height: 9), by: 0..<6)
        _ = try before.accept(newer, at: later)
        let mark = before.highWaterMark
        let restored = try SnapshotChain(network: network, first: first, kept: newer, mark: mark)
        #expect(restored.snapshot == newer.snapshot)
        var lost = try SnapshotChain(network: network, first: first, kept: nil, mark: mark)
        #expect(lost.snapshot == first.snapshot)
        #expect(throws: SnapshotRefusal.rolledBack(held: 9)) {
            try lost.accept(signed(snapshot(keys: 0..<6, height: 8), by: 0..<6), at: later)
        }
        #expect(throws: SnapshotRefusal.conflicting) {
            try lost.accept(signed(snapshot(keys: 0..<7, height: 9), by: 0..<6), at: later)
        }
        #expect(try lost.accept(newer, at: later))
        let other = signed(snapshot(keys: 0..<7, height: 9), by: 0..<7)
        #expect(try SnapshotChain(network: network, first: first, kept: other, mark: mark).snapshot == first.snapshot)
    }

    @Test func p5AnOldSnapshotIsStale() throws {
        let chain = try chain()
        #expect(!chain.isStale(at: later, maximumAge: 0))
        #expect(!chain.isStale(at: later, maximumAge: 3_600))
        #expect(chain.isStale(at: later, maximumAge: 3_599))
        #expect(!chain.isStale(at: UnixTime(seconds: 0), maximumAge: 1))
    }

    @Test("s25: nothing follows from a snapshot that is more than 30 days old, by whosever signatures")
    func s25AnOldBaseLeadsNowhere() throws {
        var file = NetworkFile(
            name: "test", id: network, bootstrap: [.init(node: NodeID(key(0).publicKey), addresses: [])],
            snapshot: first)
        #expect(file.snapshotMaximumAge == 30 * 86_400)
        let month = UnixTime(seconds: now.seconds + 30 * 86_400)
        let after = UnixTime(seconds: month.seconds + 1)
        let newer = signed(snapshot(keys: 0..<6, height: 9, time: month), by: 0..<6)
        var chain = try SnapshotChain(file, kept: nil, mark: nil)
        #expect(throws: SnapshotRefusal.baseTooOld) { try chain.accept(newer, at: after) }
        #expect(try chain.accept(newer, at: month))
        // A snapshot accepted in time leads to later ones.
        let last = signed(snapshot(keys: 0..<6, height: 10, time: after), by: 0..<6)
        #expect(try chain.accept(last, at: after))
        // If paths need a snapshot of the last hour, updates are still followed for a month.
        file.snapshotMaximumAge = 3_600
        var short = try SnapshotChain(file, kept: nil, mark: nil)
        #expect(short.longestTrust == 30 * 86_400)
        #expect(try short.accept(newer, at: month))
        // A registry that never changes may have any age.
        file.snapshotMaximumAge = 0
        var still = try SnapshotChain(file, kept: nil, mark: nil)
        #expect(try still.accept(newer, at: after))
    }

    // MARK: Descriptors

    func store(allowsPrivate: Bool = false) -> DescriptorStore {
        DescriptorStore(network: network, allowsPrivateAddresses: allowsPrivate, snapshot: first.snapshot)
    }

    func made(_ number: UInt64, at time: UnixTime = now, _ change: (inout Descriptor) -> Void = { _ in })
        -> SignedDescriptor
    {
        var value = descriptor(of: NodeID(key(number).publicKey), at: time)
        change(&value)
        return value.signed(with: key(number), network: network)
    }

    @Test func theNewestDescriptorOfAStakedNodeIsHeld() throws {
        var store = store()
        let old = made(1)
        let new = made(1, at: UnixTime(seconds: now.seconds + 60))
        #expect(try store.insert(old, at: now))
        #expect(try !store.insert(old, at: now))
        #expect(try store.insert(new, at: now))
        #expect(throws: DescriptorRefusal.notNewer) { try store.insert(old, at: now) }
        #expect(store.descriptor(of: new.descriptor.node, at: now) == new)
        #expect(store.descriptor(of: new.descriptor.node, at: new.descriptor.expires) == nil)
        #expect(throws: DescriptorRefusal.notStaked) { try store.insert(made(6), at: now) }
        store.follow(snapshot(keys: 2..<6, height: 2))
        #expect(store.count == 0)
    }

    @Test("s27: a descriptor that came while the clock was ahead keeps no right one out, and is in no list")
    func s27ADescriptorOfTheFutureGivesWay() throws {
        let ahead = UnixTime(seconds: now.seconds + 7_200)
        var store = store()
        _ = try store.insert(made(1, at: ahead), at: ahead)
        _ = try store.insert(made(2, at: UnixTime(seconds: now.seconds + 600)), at: ahead)
        // The clock is set back. Other nodes would refuse the first descriptor, and hold the second.
        #expect(store.listable(at: now).values.map(\.descriptor.node) == [NodeID(key(2).publicKey)])
        #expect(store.listable(at: ahead).count == 2)
        let right = made(1)
        #expect(try store.insert(right, at: now))
        #expect(store.descriptor(of: right.descriptor.node, at: now) == right)
        #expect(throws: DescriptorRefusal.notNewer) { try store.insert(made(2), at: now) }
        #expect(throws: DescriptorRefusal.fromTheFuture) { try store.insert(made(1, at: ahead), at: now) }
        let older = made(1, at: UnixTime(seconds: now.seconds - 60))
        #expect(throws: DescriptorRefusal.notNewer) { try store.insert(older, at: now) }
    }

    @Test func badDescriptorsAreRefused() {
        var store = store()
        let tooFar = UnixTime(seconds: now.seconds + 601)
        #expect(throws: DescriptorRefusal.fromTheFuture) { try store.insert(made(1, at: tooFar), at: now) }
        #expect(throws: DescriptorRefusal.expired) {
            try store.insert(made(1), at: UnixTime(seconds: now.seconds + DescriptorStore.lifetime))
        }
        let good = made(1)
        let unsigned = SignedDescriptor(good.descriptor, signature: [UInt8](repeating: 0, count: 64))
        #expect(throws: DescriptorRefusal.badSignature) { try store.insert(unsigned, at: now) }
        #expect(throws: DescriptorRefusal.malformed(.truncated)) { _ = try store.insert([1, 1].rawSpan, at: now) }
        #expect(store.count == 0)
    }

    /// Otherwise the nodes that have a version of a minute drop a longer one, which a node that never saw the short one
    /// goes on to demand in each list.
    @Test("s11: no version of a node expires before an older one") func s11AllVersionsLiveEquallyLong() throws {
        var (first, second) = (store(), store())
        let long = made(1)
        for minutes in [1, 60] as [UInt64] {
            let short = made(1, at: UnixTime(seconds: now.seconds + 1)) {
                $0.expires.seconds = now.seconds + minutes * 60
            }
            #expect(throws: DescriptorRefusal.otherLifetime) { try first.insert(short, at: now) }
        }
        #expect(throws: DescriptorRefusal.otherLifetime) {
            try second.insert(made(1) { $0.expires.seconds += 1 }, at: now)
        }
        for time in [now, UnixTime(seconds: now.seconds + DescriptorStore.lifetime - 1)] {
            _ = try? first.insert(long, at: now)
            _ = try? second.insert(long, at: now)
            #expect(first.listable(at: time).keys == second.listable(at: time).keys)
            #expect(first.listable(at: time).count == 1)
        }
    }

    @Test(arguments: [
        "127.0.0.1:1", "10.0.0.1:1", "192.168.1.1:1", "172.16.0.1:1", "100.64.0.1:1", "169.254.1.1:1", "0.0.0.0:1",
        "224.0.0.1:1", "255.255.255.255:1", "9.9.9.9:0", "[::1]:1", "[::]:1", "[fe80::1]:1", "[fc00::1]:1",
        "[ff02::1]:1",
        "[2002:a00:1::]:1", "[64:ff9b::a00:1]:1", "[2a00::1]:0",
    ])
    func p8HostileAddressesAreRefused(_ text: String) {
        let endpoint = Endpoint(text)!
        var store = store()
        let hostile = made(1) {
            $0.ipv4 = endpoint.address.v4 == nil ? nil : endpoint
            $0.ipv6 = endpoint.address.v4 == nil ? endpoint : nil
        }
        #expect(throws: DescriptorRefusal.forbiddenAddress) { try store.insert(hostile, at: now) }
    }

    @Test func p8PrivateAddressesNeedTheNetworksLeave() {
        #expect(DescriptorStore.isAcceptable(Endpoint("198.51.100.7:1")!, allowingPrivate: false))
        #expect(!DescriptorStore.isAcceptable(Endpoint("10.0.0.7:1")!, allowingPrivate: false))
        #expect(DescriptorStore.isAcceptable(Endpoint("127.0.0.1:1")!, allowingPrivate: true))
        #expect(DescriptorStore.isAcceptable(Endpoint("[::1]:1")!, allowingPrivate: true))
        for text in ["127.0.0.1:0", "0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "[::]:1", "[ff02::1]:1"] {
            #expect(!DescriptorStore.isAcceptable(Endpoint(text)!, allowingPrivate: true), "\(text)")
        }
    }

    @Test func theListSinceAMomentIsInOrderAndCut() throws {
        var store = store()
        for number in 0..<5 as Range<UInt64> {
            _ = try store.insert(made(number, at: UnixTime(seconds: now.seconds + number)), at: now)
        }
        let list = store.since(UnixTime(seconds: now.seconds + 2), at: now)
        #expect(list.map(\.descriptor.published.seconds) == [2, 3, 4].map { now.seconds + $0 })
        let size = list[0].bytes.count + 2
        #expect(store.since(UnixTime(seconds: 0), at: now, byteLimit: 2 * size + 1).count == 2)
    }

    @Test("P9: encoded descriptors are made anew when the clock has gone back to where more of them are valid")
    func encodedDescriptorsAfterTheClockGoesBack() throws {
        var store = store()
        let early = made(1, at: UnixTime(seconds: now.seconds - DescriptorStore.lifetime + 1_000))
        _ = try store.insert(early, at: now)
        _ = try store.insert(made(2), at: now)
        func at(_ seconds: UInt64) -> UnixTime { UnixTime(seconds: now.seconds + seconds) }
        let both = EncodedDescriptors(store, at: at(10))
        #expect(both.isCurrent(for: store, at: now) && both.isCurrent(for: store, at: at(999)))
        #expect(!both.isCurrent(for: store, at: at(1_000)))
        // The clock was ahead.
        let one = EncodedDescriptors(store, at: at(5_000))
        #expect(one.bytes.count < both.bytes.count)
        #expect(one.isCurrent(for: store, at: at(5_000)) && one.isCurrent(for: store, at: at(1_000)))
        #expect(!one.isCurrent(for: store, at: at(999)))
        #expect(EncodedDescriptors(store, at: at(999)).bytes == both.bytes)
    }
}

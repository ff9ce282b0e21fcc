import OnionCrypto
import Testing
import Wire

@testable import Onion

/// The table without packets: bounds, path ids and the ends of paths.
@Suite struct ForwardingTableTests {
    private func keys(_ slot: Int) -> HopKeys {
        HopKeys(secret: Secret.random(), slot: slot, suite: .chacha20poly1305)
    }

    @discardableResult
    private func add(
        _ table: inout ForwardingTable, slot: Int = 1, from: UInt32 = 1, to: UInt32? = 2, limit: Int = 1_000_000,
        now: Instant = at(0)
    ) throws -> PathHandle {
        try table.insert(
            keys(slot), previous: PathNeighbour(link: from, pathID: 77), nextLink: to, linkLimit: limit, now: now)
    }

    @Test func r3_theTableIsBounded() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 10)
        for _ in 0..<10 { try add(&table) }
        do {
            try add(&table)
            Issue.record("an eleventh path")
        } catch { #expect(error as? ForwardingTableError == .full) }
        #expect(table.count == 10)
    }

    @Test func r3_aLinkIsBounded() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 100)
        for _ in 0..<3 { try add(&table, from: 5, limit: 3) }
        do {
            try add(&table, from: 5, limit: 3)
            Issue.record("a fourth path")
        } catch { #expect(error as? ForwardingTableError == .linkFull) }
        // Paths that go out over a link do not count for it, and each link has its own count.
        for _ in 0..<5 { try add(&table, from: 6, to: 5, limit: 5) }
        #expect(table.pathsAsked(by: 5) == 3)
        #expect(table.pathsAsked(by: 6) == 5)
    }

    @Test func s17_aFullTableTakesFromTheLinkThatAskedForMost() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 100)
        for _ in 0..<98 { try add(&table, from: 1) }
        let own = try add(&table, from: 2)
        try add(&table, from: 3)
        // A path that was used in the last 10 s stays.
        let early = table.pathToReplace(for: 2, now: at(9))
        #expect(early == nil)
        let candidate = table.pathToReplace(for: 2, now: at(10))
        let loser = try #require(candidate)
        let removed = table.remove(loser)
        #expect(removed?.previous.link == 1)
        #expect(own != loser)
        try add(&table, from: 2, now: at(10))
        // The link with the most paths loses one of its own.
        let other = table.pathToReplace(for: 1, now: at(11))
        let next = try #require(other)
        let last = table.remove(next)
        #expect(last?.previous.link == 1)
    }

    @Test func s17_idlePathsAreFoundBehindBusyOnes() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 2_000)
        var paths: [PathHandle] = []
        for _ in 0..<2_000 { paths.append(try add(&table, from: 1)) }
        // Some are removed, so that others take their indices.
        for index in stride(from: 0, to: 2_000, by: 7) { #expect(table.remove(paths[index]) != nil) }
        for index in stride(from: 0, to: 2_000, by: 7) { paths[index] = try add(&table, from: 1) }
        for round in 0..<20 {
            let idle = paths[(round * 619 + 5) % 2_000]
            for path in paths {
                unsafe table.register.records.pointer(path.index).pointee.quietSince = at(path == idle ? 0 : 100)
            }
            var found: PathHandle?
            for _ in 0..<(2_000 + 63) / 64 where found == nil { found = table.pathToReplace(for: 2, now: at(100)) }
            #expect(found == idle)
        }
    }

    @Test("s17: paths of one source or many in a full table leave a newcomer one", arguments: [1, 20, 1_000])
    func s17_aNewcomerGetsAPath(sources: Int) throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 2_000)
        func insert(_ table: inout ForwardingTable, by number: Int, now: Instant) throws {
            _ = try table.insert(
                keys(1), previous: PathNeighbour(link: UInt32(1 + number), pathID: 77), nextLink: 5_000,
                linkLimit: 1_000_000, source: UInt64(1 + number) << 40, now: now)
        }
        for number in 0..<2_000 { try insert(&table, by: number % sources, now: at(0)) }
        let newcomer = 3_000
        #expect(throws: ForwardingTableError.full) { try insert(&table, by: newcomer, now: at(10)) }
        // Each call looks at 64 paths.
        var loser: PathHandle?
        for _ in 0..<(2_000 + 63) / 64 where loser == nil {
            loser = table.pathToReplace(for: UInt64(1 + newcomer) << 40, now: at(10))
        }
        let removed = table.remove(try #require(loser))
        #expect(removed != nil)
        try insert(&table, by: newcomer, now: at(10))
        #expect(table.count == 2_000 && table.pathsAsked(by: UInt32(1 + newcomer)) == 1)
    }

    @Test func s17_manyLinksOfOneSourceHaveOneShare() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 100)
        for _ in 0..<40 { try add(&table, from: 1) }
        for link in 2..<62 as Range<UInt32> {
            _ = try table.insert(
                keys(1), previous: PathNeighbour(link: link, pathID: 77), nextLink: 100, linkLimit: 2, source: 1 << 40,
                now: at(0))
        }
        let candidate = table.pathToReplace(for: 1 << 40, now: at(10))
        let loser = try #require(candidate)
        let removed = table.remove(loser)
        #expect(removed?.previous.link != 1)
    }

    @Test func s17_pathsOverWhichNothingPassesGoWhenTheTableIsHalfFull() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 100)
        for _ in 0..<50 {
            let path = try add(&table)
            let isConnected = table.connect(path, nextPathID: 9)
            #expect(isConnected)
        }
        let early = table.sweep(now: at(100), limit: 1_000)
        #expect(early == [])
        let needed = try add(&table, slot: 4, to: nil, now: at(100))
        let gone = table.sweep(now: at(160), limit: 1_000) { $0 == needed }
        #expect(gone.count == 50)
        #expect(table.count == 1)
    }

    @Test func r3_unansweredPathsGoAfter30SecondsAndAllAfter1200() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 100)
        let open = try add(&table)
        let ready = try add(&table)
        let terminal = try add(&table, slot: 4, to: nil)
        #expect(table.connect(ready, nextPathID: 9) == true)
        #expect(table.sweep(now: at(29.9), limit: 1_000) == [])
        let first = table.sweep(now: at(30), limit: 1_000)
        #expect(first.map(\.path) == [open])
        #expect(first[0].next == PathNeighbour(link: 2, pathID: 0))
        #expect(table.sweep(now: at(1_199), limit: 1_000) == [])
        let last = table.sweep(now: at(1_200), limit: 1_000)
        #expect(Set(last.map(\.path)) == [ready, terminal])
        #expect(last.first { $0.path == ready }?.next == PathNeighbour(link: 2, pathID: 9))
        #expect(last.first { $0.path == terminal }?.next == nil)
        #expect(table.count == 0)
    }

    @Test func aSweepInPiecesGoesRound() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 1_000)
        for _ in 0..<200 { try add(&table) }
        var gone = 0
        for _ in 0..<(table.capacity + 6) / 7 { gone += table.sweep(now: at(31), limit: 7).count }
        #expect(gone == 200)
    }

    @Test func aReplyCompletesAPathOnce() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 10)
        let path = try add(&table)
        #expect(table.connect(path, nextPathID: 0) == false)
        #expect(table.connect(path, nextPathID: 5) == true)
        #expect(table.connect(path, nextPathID: 6) == false)
        let terminal = try add(&table, slot: 4, to: nil)
        #expect(table.connect(terminal, nextPathID: 5) == false)
    }

    @Test func k8_packetsOfAnUnansweredPathAreDropped() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 10)
        let path = try add(&table)
        var packet = [UInt8](repeating: 0, count: 1_232)
        var span = packet.mutableRawSpan
        for (link, id) in [(UInt32(1), table.forwardID(of: path)!), (2, table.backwardID(of: path)!)] {
            switch table.find(link: link, pathID: id) {
            case .forward(let place): #expect(table.forward(place, &span, now: at(0)) == .drop(.notReady))
            case .backward(let place): #expect(table.backward(place, &span, now: at(0)) == .drop(.notReady))
            case .unknown: Issue.record("not found")
            }
        }
    }

    @Test func aPathIsQuietWhenNothingHasPassedEitherWaySinceTheLastLook() throws {
        let chain = try Chain(2)
        #expect(try chain.build() == .path)
        for node in chain.nodes {
            let path = try #require(node.handle)
            // A path over which nothing ever passes, and a path whose next hop has not answered.
            let silent = try add(&node.table, slot: 4, to: nil)
            try add(&node.table)
            var passedBefore: [PathHandle: UInt64] = [:]
            func quiet() -> Set<PathHandle> { Set(node.table.quietPaths(since: &passedBefore)) }
            func exchange(_ count: Int) {
                for _ in 0..<count {
                    var packet = chain.clientPacket()
                    _ = chain.forward(&packet)
                    var answer = chain.terminalPacket()
                    _ = chain.backward(&answer)
                }
            }
            #expect(quiet() == [])
            exchange(1)
            #expect(quiet() == [silent])
            var packet = chain.clientPacket()
            _ = chain.forward(&packet)
            #expect(quiet() == [silent])
            var answer = chain.terminalPacket()
            _ = chain.backward(&answer)
            #expect(quiet() == [silent])
            #expect(quiet() == [silent, path])
            #expect(node.table.remove(silent) != nil)
            #expect(quiet() == [path])
        }
    }

    @Test func aRemovedPathIsFoundByNothing() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 10)
        let path = try add(&table)
        let ids = (table.forwardID(of: path)!, table.backwardID(of: path)!)
        #expect(table.handle(link: 1, pathID: ids.0) == path)
        #expect(table.handle(link: 2, pathID: ids.1) == path)
        #expect(table.remove(path) != nil)
        #expect(table.remove(path) == nil)
        #expect(table.find(link: 1, pathID: ids.0) == .unknown)
        #expect(table.find(link: 2, pathID: ids.1) == .unknown)
        #expect(table.forwardID(of: path) == nil)
        let again = try add(&table)
        #expect(again != path && table.forwardID(of: path) == nil)
        var packet = [UInt8](repeating: 0, count: 1_232)
        var span = packet.mutableRawSpan
        #expect(table.sealAtTerminal(again, &span, now: at(0)).verdict == .drop(.unknownPath))
    }

    @Test func aLinkThatClosesTakesItsPathsWithIt() throws {
        var table = ForwardingTable(worker: 0, maximumPaths: 100)
        let a = try add(&table, from: 1, to: 2)
        let b = try add(&table, from: 2, to: 3)
        let c = try add(&table, from: 3, to: 3)  // in and out by the same link
        let d = try add(&table, slot: 4, from: 2, to: nil)
        let removed = table.removeAll(link: 2)
        #expect(Set(removed.map(\.path)) == [a, b, d])
        #expect(table.pathsAsked(by: 1) == 0)
        #expect(table.pathsAsked(by: 3) == 1)
        #expect(table.removeAll(link: 3).map(\.path) == [c])
        #expect(table.removeAll(link: 3) == [])
        #expect(table.count == 0)
    }

    @Test func o2_idsTellNothingOfEachOtherAndNeverComeTwice() throws {
        var table = ForwardingTable(worker: 3, maximumPaths: 100_000)
        var seen: Set<UInt64> = []
        var distances: Set<Int64> = []
        for round in 0..<4_000 {
            let path = try add(&table)
            let forward = table.forwardID(of: path)!
            let backward = table.backwardID(of: path)!
            #expect(seen.insert(forward).inserted && seen.insert(backward).inserted)
            #expect(PathID.worker(of: forward) == 3 && PathID.index(of: forward) & PathID.clientBit == 0)
            distances.insert(Int64(PathID.index(of: forward)) - Int64(PathID.index(of: backward)))
            if round % 2 == 0 { _ = table.remove(path) }
        }
        #expect(distances.count > 2_000)
    }

    @Test func pathIDPartsComeBack() {
        let id = PathID.make(worker: 0xab, index: 0x81_2345, random: 0xdead_beef)
        #expect(id == 0xab81_2345_dead_beef)
        #expect(PathID.worker(of: id) == 0xab && PathID.index(of: id) == 0x81_2345)
        #expect(PathID.random(of: id) == 0xdead_beef)
    }

    /// Of so many numbers drawn at random, two would be the same, but for one time in 10^8.
    @Test func theSequenceIsAPermutation() {
        var sequence = PathIDSequence()
        var seen: Set<UInt32> = []
        for _ in 0..<400_000 { seen.insert(sequence.next()) }
        #expect(seen.count == 400_000)
    }
}

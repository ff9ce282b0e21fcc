import OnionCrypto
import Testing
import Wire

@testable import Directory

/// A snapshot's preface and its entries' placements: signed, kept, and read strictly.
struct SnapshotPrefaceTests {
    /// The encoding of these parts of an extension, valid or not.
    private func parts(_ list: [(UInt8, Int)]) -> [UInt8] {
        list.flatMap { kind, count in
            [kind, UInt8(count & 0xff), UInt8(count >> 8)] + [UInt8](repeating: kind, count: count)
        }
    }

    private func preface(_ parts: [UInt8], names: UInt32 = 0) throws -> SnapshotPreface {
        try #require(SnapshotPreface(namesRoot: bytes32(4, 4), namesCount: names, extensionBytes: parts))
    }

    private func snapshot(
        _ preface: SnapshotPreface, height: UInt64 = 1, previous: Bytes32 = Bytes32(),
        _ change: (inout [Snapshot.Entry]) -> Void = { _ in }
    ) -> Snapshot {
        var entries = (0..<6 as Range<UInt64>).map {
            Snapshot.Entry(node: NodeID(key($0).publicKey), operatorID: bytes32(1, $0), weight: 100, placement: $0 + 9)
        }
        change(&entries)
        return Snapshot(
            network: network, height: height, time: now, previous: previous, preface: preface, entries: entries)!
    }

    private func decode(_ bytes: [UInt8]) throws(WireError) -> SignedSnapshot {
        try SignedSnapshot(decoding: bytes.rawSpan)
    }

    /// A snapshot with these bytes as its extension, valid or not.
    private func raw(_ bytes: [UInt8], length: Int? = nil) throws -> [UInt8] {
        var plain = SignedSnapshot(snapshot(SnapshotPreface())).encoded()
        let place = 1 + 32 + 8 + 8 + 32 + 32 + 4
        let length = length ?? bytes.count
        plain.replaceSubrange(place..<place + 2, with: [UInt8(length & 0xff), UInt8(length >> 8)] + bytes)
        return plain
    }

    @Test func unknownKindsAndNamesAreCarriedAndSigned() throws {
        let preface = try preface(parts([(0, 3), (9, 0), (255, 40)]), names: 12)
        let (plain, full) = (snapshot(SnapshotPreface()), snapshot(preface))
        #expect(try decode(SignedSnapshot(full).encoded()).snapshot == full)
        var digests: Set<Bytes32> = [plain.digest, full.digest]
        digests.insert(snapshot(try self.preface(preface.extensionBytes, names: 13)).digest)
        digests.insert(snapshot(try self.preface(parts([(0, 3), (9, 0), (254, 40)]), names: 12)).digest)
        digests.insert(snapshot(try self.preface([], names: 12)).digest)
        digests.insert(snapshot(preface) { $0[0].placement ^= 1 }.digest)
        #expect(digests.count == 6)
        #expect(full.following(bytes32(3, 3)).preface == preface)
    }

    @Test func anExtensionHasOneForm() throws {
        for list in [[], [(7, 0)], [(0, 0), (1, 0), (255, 0)], [(1, 1_021)], [(1, 500), (2, 518)]] as [[(UInt8, Int)]] {
            let bytes = parts(list)
            #expect(try decode(raw(bytes)).snapshot.preface.extensionBytes == bytes)
        }
        for list in [[(1, 0), (1, 0)], [(2, 1), (1, 1)], [(0, 0), (255, 0), (254, 0)]] as [[(UInt8, Int)]] {
            let bytes = parts(list)
            #expect(throws: WireError.outOfRange) { try decode(try raw(bytes)) }
            #expect(SnapshotPreface(namesRoot: Bytes32(), namesCount: 0, extensionBytes: bytes) == nil)
        }
        // One byte above the maximum, and a length above that of the data.
        #expect(throws: WireError.outOfRange) { try decode(try raw(parts([(1, 1_022)]))) }
        #expect(throws: WireError.outOfRange) { try decode(try raw([], length: 65_535)) }
        #expect(SnapshotPreface(namesRoot: Bytes32(), namesCount: 0, extensionBytes: parts([(1, 1_022)])) == nil)
        // Parts that do not end where the extension ends.
        for bytes in [[1], [1, 0], [1, 1, 0], parts([(1, 4)]) + [9, 200], [1, 255, 255, 0]] as [[UInt8]] {
            #expect(throws: WireError.truncated) { try decode(try raw(bytes)) }
        }
    }

    @Test func theFirstVersionIsRefused() throws {
        var bytes = SignedSnapshot(snapshot(SnapshotPreface())).encoded()
        bytes[0] = 1
        #expect(throws: WireError.unknownKind(1)) { try decode(bytes) }
        bytes = update(.whole([]), try preface([])).encoded()
        bytes[0] = 1
        #expect(throws: WireError.unknownKind(1)) { try SnapshotUpdate(decoding: bytes.rawSpan) }
    }

    private func update(_ entries: SnapshotUpdate.Entries, _ preface: SnapshotPreface) -> SnapshotUpdate {
        let header = SnapshotUpdate.Header(height: 2, time: now, voters: Bytes32(), contents: Bytes32())
        return SnapshotUpdate(
            base: 1, headers: [header], voterChanges: [], votes: [], preface: preface, entries: entries)
    }

    @Test func cutAndFlippedBytesAreRefusedOrOfOneForm() throws {
        let full = snapshot(try preface(parts([(1, 5), (4, 0), (200, 9)]), names: 3))
        let bytes = signed(full, by: 0..<2).encoded()
        for length in 0..<bytes.count { #expect(throws: WireError.self) { try decode(Array(bytes[..<length])) } }
        let more = update(.whole(full.entries), full.preface).encoded()
        for length in 0..<more.count {
            #expect(throws: WireError.self) { try SnapshotUpdate(decoding: Array(more[..<length]).rawSpan) }
        }
        // Most flips are in keys, digests, times and signatures; the result is then readable and different.
        var count = 0
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= 1 << UInt8(place & 7)
            guard let read = try? decode(changed) else { continue }
            count += 1
            #expect(read.encoded() == changed && (read.snapshot.digest != full.digest || read.snapshot == full))
        }
        #expect(count > bytes.count / 2)
        count = 0
        for place in more.indices {
            var changed = more
            changed[place] ^= 1 << UInt8(place & 7)
            guard let read = try? SnapshotUpdate(decoding: changed.rawSpan) else { continue }
            count += 1
            #expect(read.encoded() == changed)
        }
        #expect(count > more.count / 2)
    }

    /// A history of two snapshots; `change` alters the second one's entries, and all nodes have signed it.
    private func history(
        _ front: SnapshotPreface, _ change: (inout [Snapshot.Entry]) -> Void
    ) -> (first: SignedSnapshot, second: Snapshot, history: SnapshotHistory) {
        let first = signed(snapshot(SnapshotPreface()), by: 0..<6)
        let second = snapshot(front, height: 2, previous: first.snapshot.digest, change)
        var history = SnapshotHistory(first: first.snapshot, digest: first.snapshot.digest)
        history.append(second, digest: second.digest)
        let message = Snapshot.message(digest: second.digest, network: network, height: 2)
        for number in 0..<6 as Range<UInt64> {
            history.add(key(number).sign(message.rawSpan), of: NodeID(key(number).publicKey), height: 2)
        }
        return (first, second, history)
    }

    @Test func aChangedPlacementIsARemovalAndAnAddition() throws {
        let front = try preface(parts([(5, 5)]), names: 1)
        let (first, second, history) = history(front) {
            $0[2].placement ^= 1 << 63
            $0[4].weight = 7
        }
        let update = try #require(history.update(from: 1, digest: first.snapshot.digest))
        guard case .difference(let removed, let changed, let added) = update.entries else {
            Issue.record("all entries were sent")
            return
        }
        let moved = NodeID(key(2).publicKey)
        #expect(removed.count == 1 && changed.count == 1 && added.map(\.node) == [moved])
        #expect(first.snapshot.entries[Int(removed[0])].node == moved)
        let read = try SnapshotUpdate(decoding: update.encoded().rawSpan)
        var chain = try SnapshotChain(network: network, first: first)
        #expect(try chain.accept(read, at: now))
        #expect(chain.snapshot == second && chain.snapshot.preface == front)
        // A node that keeps the history on disk reads it back, and a node that follows it can lead others.
        let kept = try #require(
            SnapshotHistory(kept: history.encoded(), first: first.snapshot, digest: first.snapshot.digest))
        #expect(kept.newest == second && kept.update(from: 1, digest: first.snapshot.digest)?.preface == front)
        var other = SnapshotHistory(first: first.snapshot, digest: first.snapshot.digest)
        other.absorb(read)
        #expect(other.newest == second)
    }

    /// SW1: a node that passes an update on can neither move nodes nor add names.
    @Test func sw1AnUpdateIsNotChangedOnItsWay() throws {
        let (first, _, history) = history(try preface([], names: 1)) { $0[2].placement ^= 1 }
        let good = try #require(history.update(from: 1, digest: first.snapshot.digest))
        var lies: [SnapshotUpdate] = []
        guard case .difference(let removed, let changed, var added) = good.entries else {
            Issue.record("all entries were sent")
            return
        }
        added[0].placement ^= 2
        for (names, bytes) in [(UInt32(2), []), (1, parts([(1, 0)]))] {
            var lie = good
            lie.preface = try preface(bytes, names: names)
            lies.append(lie)
        }
        var lie = good
        lie.entries = .difference(removed: removed, changed: changed, added: added)
        lies.append(lie)
        lie.entries = .difference(removed: [], changed: [], added: [])
        lies.append(lie)
        for lie in lies {
            var chain = try SnapshotChain(network: network, first: first)
            #expect(throws: SnapshotRefusal.broken) { try chain.accept(lie, at: now) }
        }
        var chain = try SnapshotChain(network: network, first: first)
        #expect(try chain.accept(good, at: now))
    }

    @Test func newNetworksDrawPlacementsAndRecoveredOnesKeepThem() throws {
        func network(_ count: Int) -> NetworkFile {
            let plans = (0..<count).map {
                NetworkCreation.Plan(addresses: [Endpoint("9.9.9.9:\($0 + 1)")!])
            }
            return NetworkCreation(name: "test", nodes: plans, at: now).file
        }
        let file = network(40)
        let first = file.snapshot.snapshot
        #expect(Set(first.entries.map(\.placement)).count == 40)
        #expect(first.preface == SnapshotPreface())
        let newest = Snapshot(
            network: first.network, height: 5, time: now, previous: first.digest,
            preface: try preface(parts([(1, 1)])), entries: first.entries)!
        let gone = first.entries[3].node
        let recovered = try file.recovered(from: newest, without: [gone], height: nil, at: now).snapshot.snapshot
        #expect(recovered.entries.map(\.placement) == first.entries.map(\.placement))
        #expect(recovered.preface == newest.preface && recovered.entry(of: gone)?.state == .suspended)
    }

    @Test func aRegistryFileCarriesAllThatItsAuthoritiesSigned() throws {
        let start = UnixTime(seconds: 1_800_000_000)
        var file = NetworkFile(
            name: "test", id: network, bootstrap: [], snapshot: signed(snapshot(SnapshotPreface()), by: 0..<6))
        file.authorities = [.init(key: key(50).publicKey, node: NodeID(key(50).publicKey))]
        file.authorityThreshold = 1
        var registry = StaticRegistry(file)
        let front = try preface(parts([(3, 3)]))
        let next = snapshot(front, height: 2) { $0[1].placement = 77 }
        #expect(try registry.read(signed(next, by: 50..<51).encoded(), at: start))
        let made = try #require(registry.snapshot(above: 1, at: UnixTime(seconds: start.seconds + 7_200))?.snapshot)
        #expect(made.entries == next.entries && made.preface == front)
        let other = snapshot(try preface(parts([(3, 4)])), height: 2) { $0[1].placement = 77 }
        #expect(throws: StaticRegistryError.conflicting(height: 2)) {
            try registry.read(signed(other, by: 50..<51).encoded(), at: start)
        }
    }
}

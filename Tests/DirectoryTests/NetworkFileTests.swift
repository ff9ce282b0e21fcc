import Directory
import OnionCrypto
import Testing
import Wire

struct NetworkFileTests {
    func made() -> NetworkCreation {
        NetworkCreation(
            name: "test",
            nodes: (0..<5).map { .init(addresses: [Endpoint("9.9.\($0).1:1090")!]) }, at: now)
    }

    func text(_ change: (String) -> String = { $0 }) -> [UInt8] {
        Array(change(String(decoding: made().file.json(), as: UTF8.self)).utf8)
    }

    @Test func aNewNetworkSurvivesItsFile() throws {
        var creation = made()
        creation.file.packetSize = 1_300
        creation.file.limits.streamBurst = 7
        let read = try NetworkFile(json: creation.file.json())
        #expect(read == creation.file)
        #expect(try SnapshotChain(network: read.id, first: read.snapshot).snapshot.entries.count == 5)
        #expect(creation.nodes.allSatisfy { read.snapshot.snapshot.isStaked($0.id) })
        #expect(NetworkFileRegistry(read).snapshot(above: 0, at: now) == read.snapshot)
        #expect(NetworkFileRegistry(read).snapshot(above: 1, at: now) == nil)
    }

    @Test(
        "L1, L12: a network file with a public node does not let exits be asked for the client's own network",
        arguments: [
            (["10.0.0.1:1", "127.0.0.1:1", "198.51.100.7:1"], true), (["9.9.9.9:1", "9.8.9.9:1"], false),
            (["10.0.0.1:1", "9.9.9.9:1"], false), (["10.0.0.1:1", "[2a0b::1]:1"], false),
        ])
    func publicNodes(addresses: [String], isPrivate: Bool) throws {
        var file = NetworkCreation(
            name: "test", nodes: addresses.map { .init(addresses: [Endpoint($0)!]) }, at: now
        ).file
        #expect(!file.isPrivate)
        file.allowPrivateAddresses = true
        #expect(file.isPrivate == isPrivate)
        try file.validate()
    }

    @Test("s25: each field of a network file but the signatures counts as a difference") func differences() throws {
        let creation = made()
        let file = creation.file
        let key = bytes32(9, 9)
        let changes: [(String, (inout NetworkFile) -> Void)] = [
            ("name", { $0.name = "other" }), ("id", { $0.id = key }), ("packetSize", { $0.packetSize -= 1 }),
            ("epochSeconds", { $0.epochSeconds += 1 }), ("snapshotMaximumAge", { $0.snapshotMaximumAge += 1 }),
            ("allowPrivateAddresses", { $0.allowPrivateAddresses = true }),
            ("requireOperatorDiversity", { $0.requireOperatorDiversity = false }),
            ("requireAddressDiversity", { $0.requireAddressDiversity = false }),
            ("operatorSharePercent", { $0.operatorSharePercent = 100 }),
            ("limits.streamBurst", { $0.limits.streamBurst += 1 }), ("shards", { $0.swarms.shards = 64 }),
            ("authorities", { $0.authorities = [.init(key: key, node: file.bootstrap[0].node)] }),
            ("authorityThreshold", { $0.authorityThreshold = 1 }),
            ("ledger", { $0.ledger = .init(genesis: [1], blocks: []) }), ("bootstrap", { $0.bootstrap.removeLast() }),
            ("snapshot", { $0.snapshot = signed(snapshot(keys: 0..<3), by: 0..<3) }),
        ]
        // No field is forgotten: each stored property has a change here.
        #expect(Mirror(reflecting: file).children.count == changes.count)
        for (name, change) in changes {
            var other = file
            change(&other)
            #expect(file.differences(from: other) == [name])
            #expect(file.unsigned != other.unsigned)
        }
        var other = file
        other.swarms.size = 5
        #expect(file.differences(from: other) == ["swarmSize"])
        other.swarms.storageVerdicts = false
        #expect(file.differences(from: other) == ["swarmSize", "storageVerdicts"])
        var unsigned = file
        unsigned.snapshot = SignedSnapshot(file.snapshot.snapshot)
        #expect(file.differences(from: unsigned).isEmpty && file.unsigned == unsigned)
    }

    /// A network file with a snapshot of these nodes, signed by `voters`.
    private func networkFile(_ nodes: Range<UInt64>, height: UInt64, by voters: Range<UInt64>) -> NetworkFile {
        let whole = snapshot(keys: nodes, height: height)
        var file = made().file
        file.id = whole.network
        file.snapshot = signed(whole, by: voters)
        file.bootstrap = nodes.prefix(2).map { number in
            .init(node: NodeID(key(number).publicKey), addresses: [Endpoint("9.9.9.\(number):1")!])
        }
        return file
    }

    @Test("s25: the copies of a draft are the same but for signatures") func copiesOfADraft() throws {
        let draft = networkFile(0..<4, height: 5, by: 0..<1)
        var copy = networkFile(0..<4, height: 5, by: 1..<3)
        var merged = draft
        try merged.merge(copy)
        #expect(merged.progress.signed == 3)
        copy.operatorSharePercent = 100
        copy.authorities = [.init(key: bytes32(9, 9), node: copy.bootstrap[0].node)]
        copy.authorityThreshold = 1
        merged = draft
        #expect(throws: RecoveryRefusal.differs(["operatorSharePercent", "authorities", "authorityThreshold"])) {
            try merged.merge(copy)
        }
        #expect(merged == draft)
    }

    @Test("s25: a draft changes the snapshot and drops nodes that are gone, and all else is told")
    func changesByADraft() throws {
        let own = networkFile(0..<6, height: 1, by: 0..<6)
        let gone = Set([own.bootstrap[0].node])
        var draft = try own.recovered(from: own.snapshot.snapshot, without: gone, height: nil, at: now)
        #expect(own.changes(by: draft).isEmpty)
        draft.bootstrap[0].addresses = [Endpoint("8.8.8.8:1")!]
        draft.ledger = .init(genesis: [1], blocks: [])
        #expect(own.changes(by: draft) == ["ledger", "bootstrap"])
    }

    @Test("s25: a node signs a draft above what it trusts and has signed, not far above, and the same draft again")
    func heightOfADraft() throws {
        let trusted = snapshot(keys: 0..<6, height: 7)
        func refusal(_ height: UInt64, signed: SnapshotSigning.Signed? = nil) -> RecoveryRefusal? {
            let draft = networkFile(0..<4, height: height, by: 0..<1)
            do throws(RecoveryRefusal) {
                try draft.checkHeight(above: trusted, signed: signed)
                return nil
            } catch {
                return error
            }
        }
        let furthest = 7 + NetworkFile.furthestHeight
        for height in [8, 9, furthest] as [UInt64] { #expect(refusal(height) == nil) }
        // Other nodes would never follow one below; one far above would rule out all others for ever.
        for height in [0, 6, 7, furthest + 1, .max] as [UInt64] {
            #expect(refusal(height) == .heightNotNear(height, trusted: 7))
        }
        let other = SnapshotSigning.Signed(height: 9, digest: bytes32(9, 9))
        #expect(refusal(8, signed: other) == .hasSigned(9) && refusal(9, signed: other) == .hasSigned(9))
        #expect(refusal(10, signed: other) == nil)
        // The snapshot that it has signed, and the one that it trusts, may be signed again.
        let same = snapshot(keys: 0..<4, height: 9)
        #expect(refusal(9, signed: .init(height: 9, digest: same.digest)) == nil)
        try networkFile(0..<4, height: 9, by: 0..<1).checkHeight(above: same, signed: nil)
    }

    @Test("s25: another file takes the place of a kept one when that one's nodes have signed its snapshot")
    func aNewerFile() throws {
        let kept = networkFile(0..<6, height: 3, by: 0..<6)
        // A stranger's nodes with the network's id, at the same height and above it.
        for height in [UInt64(3), 4, 1 << 40] {
            #expect(kept.obstacles(to: networkFile(50..<54, height: height, by: 50..<54), at: now) == ["snapshot"])
        }
        var newer = networkFile(2..<9, height: 4, by: 0..<9)
        #expect(kept.obstacles(to: newer, at: now).isEmpty)
        newer.ledger = .init(genesis: [1], blocks: [])
        newer.authorityThreshold = 1
        #expect(kept.obstacles(to: newer, at: now) == ["authorityThreshold", "ledger"])
        // Signatures of too few nodes; then the same file again.
        #expect(kept.obstacles(to: networkFile(2..<9, height: 4, by: 2..<9), at: now) == ["snapshot"])
        #expect(kept.obstacles(to: kept, at: now).isEmpty)
    }

    @Test func aLedgerAndItsAuthoritiesSurviveTheFile() throws {
        var creation = made()
        creation.file.authorities = creation.nodes.prefix(4).map { .init(key: SigningKey().publicKey, node: $0.id) }
        creation.file.authorityThreshold = 3
        var ledger = NetworkFile.Ledger(genesis: [1, 2, 3], blocks: [[4], [5, 6]])
        ledger.blockSeconds = 7
        ledger.slotSeconds = 2
        creation.file.ledger = ledger
        let read = try NetworkFile(json: creation.file.json())
        #expect(read == creation.file)

        func key(_ change: (inout NetworkFile) -> Void) -> String? {
            var file = creation.file
            change(&file)
            do throws(NetworkFileError) {
                try file.validate()
                return nil
            } catch {
                if case .invalid(let key, _) = error { return key }
                return "\(error)"
            }
        }
        #expect(key { $0.authorityThreshold = 2 } == "authorityThreshold")
        #expect(key { $0.authorityThreshold = 5 } == "authorityThreshold")
        #expect(key { $0.authorities[1] = $0.authorities[0] } == "authorities")
        #expect(key { $0.ledger?.slotSeconds = 8 } == "ledger.slotSeconds")
        #expect(key { $0.ledger?.blockSeconds = 0 } == "ledger.blockSeconds")
        #expect(
            key {
                $0.authorities = []
                $0.authorityThreshold = 0
            } == "ledger")
    }

    @Test("The store's numbers survive the file, and only those by which everyone finds the same swarms are taken")
    func swarms() throws {
        var file = made().file
        #expect(!file.swarms.hasStore && file.swarms.size == 7)
        #expect(!String(decoding: file.json(), as: UTF8.self).contains("shards"))
        file.swarms.shards = 8_192
        file.swarms.size = 5
        #expect(try NetworkFile(json: file.json()).swarms == file.swarms && file.swarms.hasStore)
        func refused(_ shards: Int, _ size: Int) -> String? {
            var changed = file
            (changed.swarms.shards, changed.swarms.size) = (shards, size)
            do throws(NetworkFileError) {
                try changed.validate()
                return nil
            } catch {
                if case .invalid(let key, _) = error { return key }
                return "\(error)"
            }
        }
        for shards in [0, 64, 65_536] { #expect(refused(shards, 3) == nil && refused(shards, 15) == nil) }
        for shards in [-64, 1, 32, 65, 96, 131_072, .max, .min] { #expect(refused(shards, 7) == "shards") }
        for size in [-3, 0, 1, 2, 4, 8, 17, .max] { #expect(refused(64, size) == "swarmSize") }
    }

    @Test("Whether storage tests count is written where they do not, and is a truth of a network with shards")
    func storageVerdicts() throws {
        var file = made().file
        file.swarms.shards = 64
        #expect(!String(decoding: file.json(), as: UTF8.self).contains("storageVerdicts"))
        #expect(try NetworkFile(json: file.json()).swarms.storageVerdicts)
        file.swarms.storageVerdicts = false
        #expect(try NetworkFile(json: file.json()).swarms == file.swarms)
        let text = String(decoding: file.json(), as: UTF8.self)
        for wrong in ["0", "\"false\"", "[]"] {
            let changed = text.replacing("\"storageVerdicts\" : false", with: "\"storageVerdicts\" : \(wrong)")
            #expect(changed != text)
            #expect(throws: NetworkFileError.self) { try NetworkFile(json: Array(changed.utf8)) }
        }
        file.swarms.shards = 0
        var refused = false
        do throws(NetworkFileError) { try file.validate() } catch { refused = true }
        #expect(refused)
    }

    @Test func unknownKeysAreRefusedWithTheNearest() {
        #expect(throws: NetworkFileError.unknownKey("packetsize", nearest: "packetSize")) {
            try NetworkFile(json: text { $0.replacing("\"packetSize\"", with: "\"packetsize\"") })
        }
        #expect(throws: NetworkFileError.unknownKey("limits.streamBurts", nearest: "streamBurst")) {
            try NetworkFile(json: text { $0.replacing("\"streamBurst\"", with: "\"streamBurts\"") })
        }
        #expect(throws: NetworkFileError.unknownKey("zzzzzzzzzzzz", nearest: nil)) {
            try NetworkFile(json: text { $0.replacing("\"name\"", with: "\"zzzzzzzzzzzz\" : 1, \"name\"") })
        }
    }

    @Test func errorsNameTheKey() {
        func error(_ change: (String) -> String) -> NetworkFileError? {
            do {
                _ = try NetworkFile(json: text(change))
                return nil
            } catch {
                return error
            }
        }
        #expect(
            error { $0.replacing(": 1392", with: ": 1000") }
                == .invalid(key: "packetSize", remedy: "use 1232 to 1452 bytes"))
        #expect(
            error { $0.replacing(": 1392", with: ": \"x\"") }
                == .invalid(key: "packetSize", remedy: "give a whole number"))
        #expect(error { $0.replacing("\"name\" : \"test\",", with: "") } == .missingKey("name"))
        #expect(
            error { $0.replacing("9.9.0.1:1090", with: "10.0.0.1:1090") }.map {
                "\($0)".contains("bootstrap[0].addresses")
            } == true)
        #expect(
            error { $0.replacing("9.9.0.1:1090", with: "nowhere") }.map { "\($0)".contains("bootstrap[0].addresses") }
                == true)
        if case .notJSON = error({ String($0.dropLast(10)) }) {} else { Issue.record("a cut text is no JSON") }
        if case .notJSON = error({ _ in "[]" }) {} else { Issue.record("a list is no network file") }
    }
}

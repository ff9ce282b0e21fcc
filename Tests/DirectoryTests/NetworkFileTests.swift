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

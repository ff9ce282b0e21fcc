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
            error { $0.replacing("1392", with: "1000") }
                == .invalid(key: "packetSize", remedy: "use 1232 to 1452 bytes"))
        #expect(
            error { $0.replacing("1392", with: "\"x\"") } == .invalid(key: "packetSize", remedy: "give a whole number"))
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

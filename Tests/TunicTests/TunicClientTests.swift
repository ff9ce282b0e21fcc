import Glibc
import Testing

@testable import Tunic

/// A program that uses the library wrongly, or with bad paths, gets an error and never a trap.
@Suite struct TunicClientTests {
    /// A temporary folder, removed at the end.
    private final class Folder {
        let path: String

        init() {
            path = "/tmp/tunic-library-\(UInt64.random(in: 0...UInt64.max))"
            _ = unsafe mkdir(path, 0o700)
        }

        deinit {
            for name in ["lock", "tunic.sqlite", "tunic.sqlite-wal", "tunic.sqlite-shm"] {
                _ = unsafe unlink("\(path)/data/\(name)")
            }
            _ = unsafe (rmdir("\(path)/data"), rmdir(path))
        }

        /// The configuration of a client of a network whose only node never answers.
        var configuration: TunicConfiguration {
            TunicConfiguration(networkFile: Self.network, dataFolder: "\(path)/data")
        }

        private static let network = NetworkBytes.make()
    }

    @Test("what is no network file, and a folder that cannot be made, are errors that name the place")
    func badPlaces() async throws {
        let folder = Folder()
        let nonsense = TunicConfiguration(networkFile: Array("{}".utf8), dataFolder: "\(folder.path)/data")
        await #expect { try await TunicClient.start(nonsense) } throws: {
            if case .networkFile? = $0 as? TunicError { true } else { false }
        }
        #expect {
            try TunicConfiguration(networkFileAt: "\(folder.path)/none", dataFolder: folder.path)
        } throws: {
            if case .networkFile(let text)? = $0 as? TunicError { text.contains("none") } else { false }
        }
        var unmade = folder.configuration
        unmade.dataFolder = "\(folder.path)/not/there"
        await #expect { try await TunicClient.start(unmade) } throws: {
            if case .dataFolder(let text)? = $0 as? TunicError { text.contains("not/there") } else { false }
        }
        var long = folder.configuration
        long.hops = 5
        await #expect(throws: TunicError.self) { try await TunicClient.start(long) }
    }

    @Test("a data folder serves one client at a time, of one process too")
    func oneFolder() async throws {
        let folder = Folder()
        let client = try await TunicClient.start(folder.configuration)
        await #expect { try await TunicClient.start(folder.configuration) } throws: {
            if case .inUse? = $0 as? TunicError { true } else { false }
        }
        await client.shutDown()
        let next = try await TunicClient.start(folder.configuration)
        await next.shutDown()
    }

    @Test("after the end every call says so, and a second end does nothing")
    func afterTheEnd() async throws {
        let folder = Folder()
        let client = try await TunicClient.start(folder.configuration)
        let waiting = Task { try await client.untilReady() }
        let opening = Task { try await client.open("there.example", port: 80) }
        try await Task.sleep(for: .milliseconds(50))
        await client.shutDown()
        await client.shutDown()
        await #expect(throws: TunicError.closed) { try await waiting.value }
        // On a slow machine the call may already have failed because there is no path.
        await #expect(throws: TunicError.self) { _ = try await opening.value }
        await #expect(throws: TunicError.closed) { try await client.open("there.example", port: 80) }
        await #expect(throws: TunicError.closed) { try await client.openSocket("there.example", port: 80) }
        await #expect(throws: TunicError.closed) { try await client.openDatagrams() }
        await #expect(throws: TunicError.closed) { try await client.untilReady() }
    }

    @Test("a client that is let go ends its thread and frees its folder")
    func letGo() async throws {
        let folder = Folder()
        do { _ = try await TunicClient.start(folder.configuration) }
        var next: TunicClient?
        for _ in 0..<1_200 where next == nil {
            do {
                next = try await TunicClient.start(folder.configuration)
            } catch {
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        try await #require(next).shutDown()
    }

    @Test(
        "destinations that are none are refused",
        arguments: [("", 80), ("a b", 80), ("there.example", 0)] as [(String, UInt16)])
    func badDestinations(_ host: String, _ port: UInt16) async throws {
        let folder = Folder()
        let client = try await TunicClient.start(folder.configuration)
        await #expect(throws: TunicError.badDestination) { try await client.open(host, port: port) }
        await client.shutDown()
    }

    @Test("names that no exit is asked for are not found")
    func nowhere() async throws {
        let folder = Folder()
        let client = try await TunicClient.start(folder.configuration)
        await #expect(throws: TunicError.refused(.hostNotFound)) { try await client.open("hidden.onion", port: 80) }
        await #expect(throws: TunicError.refused(.hostNotFound)) {
            try await client.openSocket("hidden.onion", port: 80)
        }
        await client.shutDown()
    }

    @Test("streams that could not be opened take no place")
    func failedOpens() async throws {
        let folder = Folder()
        var configuration = folder.configuration
        configuration.streamLimit = 4
        let client = try await TunicClient.start(configuration)
        for _ in 0..<20 {
            await #expect(throws: TunicError.refused(.hostNotFound)) { try await client.open("hidden.onion", port: 80) }
        }
        await client.shutDown()
    }

    @Test("a cancelled task hears so, and the client goes on")
    func cancelled() async throws {
        let folder = Folder()
        let client = try await TunicClient.start(folder.configuration)
        let ready = Task { try await client.untilReady() }
        ready.cancel()
        await #expect(throws: TunicError.cancelled) { try await ready.value }
        await #expect(throws: TunicError.refused(.hostNotFound)) { try await client.open("hidden.onion", port: 80) }
        await client.shutDown()
    }
}

import Glibc
import SwarmModel
import Testing

@testable import Store
@testable import Swarm

/// The storage in which a test's replicas keep their entries.
enum Backend: CaseIterable {
    case memory
    case disk

    /// The storage of the present test.
    @TaskLocal static var current = memory

    struct NoFolder: Error {}

    /// An empty storage.
    static func storage() throws -> AnyStorage {
        switch current {
        case .memory: AnyStorage(MemoryStorage(logSalt: 7))
        case .disk: AnyStorage(try disk())
        }
    }

    private static func disk() throws -> SwarmStore {
        // In memory, where the system has such a file system: these tests need not wait for a disk.
        let root = unsafe access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(root)/tunic-swarm-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else { throw NoFolder() }
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // The open files go on without their names, and vanish with the store.
        defer {
            for ending in ["", "-wal", "-shm"] { unsafe unlink("\(folder)/\(SwarmStore.fileName)\(ending)") }
            unsafe rmdir(folder)
        }
        return try SwarmStore(folder: folder, network: network)
    }
}

extension AnyStorage {
    /// Makes commits fail from now on, or succeed again.
    mutating func setFailing(_ isFailing: Bool) throws {
        if var memory = base as? MemoryStorage {
            memory.setFailing(isFailing)
            base = memory
        }
        // As on a disk that has become read-only.
        try (base as? SwarmStore)?.database.execute("PRAGMA query_only = \(isFailing ? 1 : 0)")
    }

    /// Spoils the bytes of an entry.
    mutating func damage(_ id: ItemID) throws {
        if var memory = base as? MemoryStorage {
            memory.damage(id)
            base = memory
        }
        guard let store = base as? SwarmStore, let body = store.row(id)?.body else { return }
        try store.database.run("UPDATE bodies SET bytes = zeroblob(2048) WHERE number = ?", [.integer(body)])
    }

    /// How many entries there are.
    var count: Int { totals().values.reduce(0) { $0 + $1.entries } }
}

/// Runs each test twice: with replicas whose entries are in memory, and on the disk.
struct BothStorages: TestTrait, SuiteTrait, TestScoping {
    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        for backend in Backend.allCases { try await Backend.$current.withValue(backend) { try await function() } }
    }
}

extension Trait where Self == BothStorages {
    static var onBothStorages: BothStorages { BothStorages() }
}

import Glibc
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Store

/// Ends and starts of the swarm store's file that go wrong.
@Suite struct SwarmFaultTests {
    let folder = Folder(isQuick: true)
    private var path: String { "\(folder.path)/\(SwarmStore.fileName)" }
    private var damagedPath: String { "\(folder.path)/\(SwarmStore.damagedName)" }

    private func open(checks: Bool = true) throws -> SwarmStore {
        try SwarmStore(folder: folder.path, network: SwarmModel.network, checks: checks)
    }

    /// A file as a killed process leaves it.
    private func kill() throws {
        let store = try open()
        for number in 0..<8 as Range<UInt64> { keep(Box(Key(1)).message(number, created: firstMinute), in: store) }
        #expect(store.commit())
        store.database.keepLog(true)
        store.close()
        #expect(hasLog)
    }

    private var hasLog: Bool { unsafe access("\(path)-wal", F_OK) == 0 }

    private func keep(_ item: StoredItem, in store: SwarmStore) {
        let header = item.header
        var record = store.box(header.box) ?? BoxRecord(firstSeen: firstMinute, log: 5, next: 1)
        let entry = StoredEntry(
            id: item.id, box: header.box,
            range: RangeKey(shard: 3, kind: header.kind, number: header.created / SwarmLimits.rangeMinutes),
            isDeleted: false, isFinal: false, offset: record.next, size: item.bytes.count, name: item.version?.name,
            effort: 0)
        record.next += 1
        store.setBox(header.box, record)
        store.keep(entry, bytes: item.bytes)
    }

    @Test("SW11: a file that was not checked after a kill gets no mark of a clean end, and stays marked as unchecked")
    func sw11UncheckedEnd() throws {
        try kill()
        for _ in 0..<2 {
            let store = try open(checks: false)
            #expect(!store.hasEndedCleanly)
            store.end()
            #expect(hasLog)
        }
        // A start that fails does not take the mark either.
        let other = Bytes32(copying: [UInt8](repeating: 1, count: 32).rawSpan)
        #expect(throws: StoreError.self) { try SwarmStore(folder: folder.path, network: other, checks: false) }
        #expect(hasLog)
        do {
            let store = try open(checks: false)
            #expect(!store.hasEndedCleanly)
            try store.check()
            #expect(store.bytesUsed == 8 * 2_048)
            store.end()
        }
        #expect(!hasLog)
        #expect(try open(checks: false).hasEndedCleanly)
    }

    @Test("A check ends when the process does; the file is no damaged one, and the next start checks it")
    func interruptedCheck() throws {
        try kill()
        let interruption = Interruption()
        interruption.set()
        do {
            let store = try open(checks: false)
            #expect(throws: StoreError.self) { try store.check(interruption) }
            #expect(!store.isDamaged)
            store.end()
            #expect(hasLog)
        }
        let next = try open(checks: false)
        try next.check()
        #expect(!next.hasEndedCleanly && next.bytesUsed == 8 * 2_048)
    }

    @Test("SW11: an interruption ends a read at its next step, wherever it is") func interruptedRead() throws {
        let database = try Database(path: "\(folder.path)/read.sqlite")
        let interruption = Interruption()
        var rows = 0
        #expect(throws: StoreError.self) {
            try database.interruptible(by: interruption) { () throws(StoreError) in
                try database.run(
                    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000) SELECT x FROM n"
                ) { _ in
                    rows += 1
                    if rows == 5 { interruption.set() }
                }
            }
        }
        #expect(rows == 5)
        // Other reads are possible afterwards.
        try database.run("SELECT 1") { _ in rows += 1 }
        #expect(rows == 6)
    }

    @Test("SW11: a restored file has its numberings made anew, also if the first process with it ends at once")
    func sw11RestoredEnd() throws {
        try open().end()
        // The mark is another one than the file's.
        try AtomicFile.write([UInt8](repeating: 1, count: 32), to: "\(folder.path)/swarm.ended", .replaced, .secret)
        try open(checks: false).end()
        #expect(try !open(checks: false).hasEndedCleanly)
    }

    @Test("SW11: after a commit that failed, an end leaves no mark: a new numbering may not be on the disk")
    func sw11FailedEnd() throws {
        let store = try open()
        try store.database.execute("PRAGMA query_only = 1")
        store.logSalt = 5
        #expect(!store.commit())
        try store.database.execute("PRAGMA query_only = 0")
        store.end()
        #expect(try !open().hasEndedCleanly)
    }

    @Test("SW11: an attempt to set a file aside that fails does not cost the next one the damaged file")
    func sw11SetAsideAgain() throws {
        try kill()
        let store = try open()
        store.isDamaged = true
        store.database.keepLog(true)
        // The log cannot be moved onto a folder.
        #expect(unsafe mkdir("\(damagedPath)-wal", 0o700) == 0)
        #expect(throws: StoreError.self) { try store.replace() }
        let size = folder.size(SwarmStore.damagedName)
        #expect(size > 16_384 && folder.size(SwarmStore.fileName) == 0)
        unsafe rmdir("\(damagedPath)-wal")
        // As if the new file could not be opened at once.
        for _ in 0..<2 {
            let new = try store.replace()
            #expect(new.setAside == damagedPath && new.store.bytesUsed == 0)
            new.store.close()
            #expect(folder.size(SwarmStore.damagedName) == size)
            #expect(unsafe access("\(damagedPath)-wal", F_OK) == 0)
        }
    }

    @Test("SW11: a changed byte in the network's id is damage, and no other network", arguments: [0, 31, 39])
    func sw11NetworkByte(place: Int) throws {
        do {
            let store = try open()
            var value: [UInt8] = []
            try store.database.run("SELECT value FROM meta WHERE name = 'network'") { value = $0.blob(0) }
            value[place] ^= 4
            try store.database.run("UPDATE meta SET value = ? WHERE name = 'network'", [.blob(value)])
        }
        let opened = try SwarmStore.open(folder: folder.path, network: SwarmModel.network)
        #expect(opened.setAside == damagedPath && opened.store.bytesUsed == 0)
    }
}

import Glibc
import SeededRandom
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Store

/// The entries of a replica on disk.
@Suite struct SwarmStoreTests {
    let folder = Folder(isQuick: true)
    private var path: String { "\(folder.path)/\(SwarmStore.fileName)" }

    private func open() throws -> SwarmStore { try SwarmStore(folder: folder.path, network: SwarmModel.network) }

    // MARK: The same as in memory

    @Test("SW11: the disk has at each moment what a storage in memory has", arguments: 1...6 as ClosedRange<UInt64>)
    func sw11LikeMemory(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var history = StorageHistory(seed: seed)
        var memory = MemoryStorage(logSalt: 1)
        var store = try open()
        store.logSalt = 1
        #expect(store.commit())
        for round in 0..<60 {
            let isFailing = random.happens(10)
            let before = memory
            if isFailing { try store.database.execute("PRAGMA query_only = 1") }
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                var disk: any ItemStorage = store
                history.change(&memory, &disk)
            }
            if isFailing {
                let isOnDisk = store.commit()
                try store.database.execute("PRAGMA query_only = 0")
                // What reads alone have touched commits in any case.
                if !isOnDisk {
                    #expect(store.failure == .readOnly(path: path))
                    memory = before
                }
            } else {
                #expect(store.commit())
            }
            var fresh = memory
            var disk: any ItemStorage = store
            #expect(history.differences(&fresh, &disk) == [], "round \(round)")
            memory = fresh
            if random.happens(15) {
                store = try SwarmStore(folder: folder.path, network: SwarmModel.network)
                disk = store
                #expect(history.differences(&memory, &disk) == [], "round \(round), opened again")
            }
        }
    }

    // MARK: Kills and power failures

    @Test("SW11: what a commit has written is there after a kill, byte for byte, and nothing is half there")
    func sw11Kills() throws {
        let store = try open()
        #expect(try pragma(store, "synchronous") == 2)
        #expect(try pragma(store, "page_size") == 16_384 && pragma(store, "auto_vacuum") == 2)
        var random = SeededGenerator(seed: 3)
        let box = Box(Key(1))
        /// The items of each commit; one commit has four items or their tombstones.
        var written: [[StoredItem]] = []
        for round in 0..<40 as Range<UInt64> {
            let items = (0..<4 as Range<UInt64>).map { number in
                box.message(round * 4 + number, created: firstMinute, sizeClass: Int(number))
            }
            for item in items { keep(item, in: store) }
            // A kill in the middle of a transaction leaves nothing of it.
            if round % 4 == 0 { try check(copyOfFiles(), has: written, atLeast: written.count) }
            #expect(store.commit())
            written.append(items)
            if round % 4 == 1 { try check(copyOfFiles(), has: written, atLeast: written.count) }
            // A log that is cut has a prefix of the commits: the part that was not yet on disk.
            if round % 4 == 2 {
                let copy = copyOfFiles()
                let size = copy.size("\(SwarmStore.fileName)-wal")
                let cut = Int.random(in: 0...size, using: &random)
                _ = unsafe truncate("\(copy.path)/\(SwarmStore.fileName)-wal", off_t(cut))
                try check(copy, has: written, atLeast: 0)
            }
        }
    }

    private func copyOfFiles() -> Folder {
        let copy = Folder(isQuick: true)
        for name in [SwarmStore.fileName, "\(SwarmStore.fileName)-wal"] {
            copyFile("\(folder.path)/\(name)", "\(copy.path)/\(name)")
        }
        return copy
    }

    /// Checks that a copy has the first of the commits, each whole, and at least so many.
    private func check(_ copy: Folder, has written: [[StoredItem]], atLeast count: Int) throws {
        let store = try SwarmStore(folder: copy.path, network: SwarmModel.network)
        #expect(!store.hasEndedCleanly)
        let found = written.map { items in items.map { store.bytes(of: $0.id) == $0.bytes } }
        let whole = found.prefix { $0.allSatisfy(\.self) }.count
        #expect(whole >= count)
        #expect(found[whole...].allSatisfy { $0.allSatisfy { !$0 } }, "all of a commit, or nothing")
        #expect(store.bytesUsed == written[..<whole].joined().reduce(0) { $0 + $1.bytes.count })
    }

    private func pragma(_ store: SwarmStore, _ name: String) throws -> Int64 {
        var value: Int64 = -1
        switch name {
        case "synchronous": try store.database.run("PRAGMA synchronous") { value = $0.integer(0) }
        case "page_size": try store.database.run("PRAGMA page_size") { value = $0.integer(0) }
        default: try store.database.run("PRAGMA auto_vacuum") { value = $0.integer(0) }
        }
        return value
    }

    @Test("SW11: a full disk acknowledges nothing, loses nothing, and takes items again when there is room")
    func sw11FullDisk() throws {
        let store = try open()
        let box = Box(Key(1))
        var pages: Int64 = 0
        try store.database.run("PRAGMA page_count") { pages = $0.integer(0) }
        try store.database.execute("PRAGMA max_page_count = \(pages + 20)")
        var taken: [StoredItem] = []
        for number in 0..<20 as Range<UInt64> {
            let item = box.message(number, created: firstMinute, sizeClass: 5)
            keep(item, in: store)
            guard store.commit() else {
                #expect(store.failure == .diskFull(path: path))
                #expect(store.entry(item.id) == nil && !store.isDamaged)
                break
            }
            taken.append(item)
        }
        #expect(1..<20 ~= taken.count)
        #expect(taken.allSatisfy { store.bytes(of: $0.id) == $0.bytes })
        #expect(store.bytesUsed == taken.count * 65_536)
        try store.database.execute("PRAGMA max_page_count = 100000")
        keep(box.message(100, created: firstMinute, sizeClass: 5), in: store)
        #expect(store.commit() && store.failure == nil)
    }

    // MARK: Damage

    @Test("SW11: no flipped byte brings a wrong item: it is found, and all can be stored again", arguments: 0..<8)
    func sw11FlippedBytes(part: Int) throws {
        let items = (0..<24 as Range<UInt64>).map {
            Box(Key(UInt32($0 % 5) + 1)).message($0, created: firstMinute, sizeClass: Int($0 % 3))
        }
        do {
            let store = try open()
            for item in items { keep(item, in: store) }
            #expect(store.commit())
            store.end()
        }
        let original = try #require(contents(path))
        var random = SeededGenerator(seed: UInt64(part) + 100)
        var found = (setAside: 0, removed: 0, unused: 0)
        for _ in 0..<25 {
            let copy = Folder(isQuick: true)
            var bytes = original
            let place = Int.random(in: bytes.indices, using: &random)
            bytes[place] ^= UInt8.random(in: 1...255, using: &random)
            try AtomicFile.write(bytes, to: "\(copy.path)/\(SwarmStore.fileName)", .free, .secret)
            let opened: (store: SwarmStore, setAside: String?)
            do {
                opened = try SwarmStore.open(folder: copy.path, network: SwarmModel.network)
            } catch {
                // The version or the network's id is what was flipped: one line says so.
                let known = "\(error)".contains("move it away") || "\(error)".contains("newer tunic")
                #expect(known, "byte \(place): \(error)")
                continue
            }
            var store = opened.store
            if opened.setAside != nil { found.setAside += 1 }
            for item in items {
                let bytes = store.bytes(of: item.id)
                #expect(bytes == nil || bytes == item.bytes, "byte \(place)")
            }
            store.verify(limit: 1_000)
            let removed = store.removeDamaged().values.reduce(0, +)
            found.removed += removed
            // Whatever is missing comes again from others.
            if store.commit(), !store.isDamaged {
                for item in items where store.bytes(of: item.id) == nil { keep(item, in: store) }
                _ = store.commit()
            }
            if store.isDamaged {
                found.setAside += 1
                store.close()
                try SwarmStore.setAside(folder: copy.path)
                store = try SwarmStore(folder: copy.path, network: SwarmModel.network)
                for item in items { keep(item, in: store) }
                #expect(store.commit(), "byte \(place)")
            }
            #expect(items.allSatisfy { store.bytes(of: $0.id) == $0.bytes }, "byte \(place)")
            if removed == 0, opened.setAside == nil { found.unused += 1 }
        }
        #expect(found.removed > 0)
    }

    @Test("SW11: a damaged entry is removed from its box, range and shard, and the others stay as they are")
    func sw11Removal() throws {
        let store = try open()
        let box = Box(Key(1))
        let items = (0..<6 as Range<UInt64>).map { box.message($0, created: firstMinute) }
        for item in items { keep(item, in: store) }
        #expect(store.commit())
        let record = store.box(box.id)
        try store.database.execute("UPDATE bodies SET bytes = zeroblob(2048) WHERE number = 2")
        try store.database.execute("UPDATE entries SET effort = effort + 1 WHERE body = 4")
        let changes = store.changes(of: 3)
        #expect(store.removeDamaged() == [:])
        store.verify(limit: 100)
        #expect(store.removeDamaged() == [3: 2])
        #expect(store.commit() && store.changes(of: 3) != changes)
        #expect(store.totals()[3]?.entries == 4 && store.bytesUsed == 4 * 2_048)
        #expect(store.usage(of: box.id, .message).items == 4 && store.box(box.id) == record)
        #expect(store.entries(in: RangeKey(shard: 3, kind: .message, number: firstMinute / 10)).count == 4)
        #expect(items.map { store.bytes(of: $0.id) != nil } == [true, false, true, false, true, true])
        // A row of a box is made anew from the entries.
        try store.database.execute("UPDATE boxes SET row = zeroblob(40)")
        #expect(store.commit() && store.usage(of: box.id, .message).items == 4)
        let fresh = store.box(box.id)
        #expect(fresh?.next == 7 && fresh?.log != record?.log)
        #expect(store.commit() && store.box(box.id) == fresh)
    }

    @Test("SW11: an entry that is kept again over its damaged row counts once") func sw11KeptOverDamage() throws {
        let store = try open()
        let box = Box(Key(1))
        let items = (0..<3 as Range<UInt64>).map { box.message($0, created: firstMinute) }
        for item in items { keep(item, in: store) }
        #expect(store.commit())
        try store.database.execute("UPDATE entries SET effort = effort + 1 WHERE body = 2")
        #expect(store.entry(items[1].id) == nil)
        keep(items[1], in: store)
        #expect(store.commit())
        #expect(store.totals()[3]?.entries == 3 && store.bytesUsed == 3 * 2_048)
        #expect(store.usage(of: box.id, .message).items == 3)
        #expect(store.removeDamaged() == [:] && store.bytes(of: items[1].id) == items[1].bytes)
        for item in items { store.remove(item.id) }
        #expect(store.commit() && store.bytesUsed == 0 && store.box(box.id) == nil)
    }

    // MARK: Starts

    @Test("The numberings go on after an end in order, and begin anew after any other end, or with an older file")
    func ends() throws {
        do {
            let store = try open()
            #expect(!store.hasEndedCleanly)
            store.end()
        }
        copyFile(path, "\(folder.path)/old")
        do {
            let store = try open()
            #expect(store.hasEndedCleanly)
            store.end()
        }
        // The file of the day before.
        copyFile("\(folder.path)/old", path)
        do {
            let store = try open()
            #expect(!store.hasEndedCleanly)
        }
        do {
            // Closed without end().
            let store = try open()
            #expect(!store.hasEndedCleanly)
        }
    }

    @Test("Another network's file, a later format, an open mode: one line each, and nothing is changed")
    func refusals() throws {
        do { _ = try open() }
        let other = Bytes32(copying: [UInt8](repeating: 1, count: 32).rawSpan)
        let foreign = #expect(throws: StoreError.self) {
            _ = try SwarmStore.open(folder: folder.path, network: other)
        }
        #expect(foreign?.description == "\(path) is not the swarm store of this network; move it away")
        let file = unsafe Glibc.open(path, O_RDWR)
        #expect(unsafe pwrite(file, [0, 0, 0, 9] as [UInt8], 4, 60) == 4)
        close(file)
        let newer = #expect(throws: StoreError.self) {
            _ = try SwarmStore.open(folder: folder.path, network: SwarmModel.network)
        }
        #expect(newer == .tooNew(path: path, version: 9, known: 2))
        unsafe chmod(path, 0o640)
        let wide = #expect(throws: StoreError.self) {
            _ = try SwarmStore.open(folder: folder.path, network: SwarmModel.network)
        }
        #expect(wide?.description.contains("chmod 600 \(path)") == true)
    }

    @Test("A damaged file is set aside, in place of one that was before, and the store begins anew")
    func setAside() throws {
        for _ in 0..<2 {
            let noise = [UInt8](repeating: 88, count: 40_000)
            _ = unsafe unlink(path)
            try AtomicFile.write(noise, to: path, .free, .secret)
            let opened = try SwarmStore.open(folder: folder.path, network: SwarmModel.network)
            #expect(opened.setAside == "\(folder.path)/\(SwarmStore.damagedName)")
            #expect(opened.store.bytesUsed == 0 && folder.size(SwarmStore.damagedName) == 40_000)
        }
    }

    // MARK: Files

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

    private func contents(_ path: String) -> [UInt8]? {
        let file = unsafe Glibc.open(path, O_RDONLY)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var facts = stat()
        unsafe fstat(file, &facts)
        var bytes = [UInt8](repeating: 0, count: Int(facts.st_size))
        let count = unsafe read(file, &bytes, bytes.count)
        return count == bytes.count ? bytes : nil
    }

    private func copyFile(_ from: String, _ to: String) {
        guard let bytes = contents(from) else { return }
        try? AtomicFile.write(bytes, to: to, .replaced, .secret)
    }
}

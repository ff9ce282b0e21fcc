import Glibc
import OnionCrypto
import Testing
import Wire

@testable import Store

/// A temporary folder, removed with this object.
final class Folder {
    let path: String

    /// `isQuick`: in memory, where the system has such a file system, so that no write waits for a disk.
    init(isQuick: Bool = false) {
        let root = unsafe isQuick && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(root)/tunic-store-XXXXXX".utf8CString)
        path = unsafe String(cString: mkdtemp(&template))
    }
    deinit { system("rm -rf '\(path)'") }
    func mode(_ name: String) -> UInt32 { UInt32(facts(name).st_mode & 0o777) }
    /// The length of a file in bytes; 0 if there is none.
    func size(_ name: String) -> Int { Int(facts(name).st_size) }
    private func facts(_ name: String) -> stat {
        var facts = stat()
        _ = unsafe stat("\(path)/\(name)", &facts)
        return facts
    }
}

private func system(_ command: String) {
    var child: pid_t = 0
    let words = ["/bin/sh", "-c", command]
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { (word: String) in unsafe strdup(word) }
    unsafe arguments.append(nil)
    defer { unsafe arguments.forEach { unsafe free($0) } }
    if unsafe posix_spawn(&child, "/bin/sh", nil, nil, arguments, environ) == 0 { waitpid(child, nil, 0) }
}

private func node(_ number: UInt8) -> NodeID { NodeID(Bytes32([UInt8](repeating: number, count: 32))!) }
private let network = Bytes32([UInt8](repeating: 200, count: 32))!

struct StoreTests {
    let folder = Folder()

    @Test func everythingIsThereAfterARestart() throws {
        let rows = [NodeRow(node: node(1), bytes: [1, 2]), NodeRow(node: node(2), bytes: [])]
        let trusted = Store.TrustedSnapshot(network: network, height: .max, digest: network, bytes: [9])
        do {
            let store = try Store(folder: folder.path)
            try store.setGuards([NodeRow(node: node(9), bytes: [1])])
            try store.setGuards(rows)
            try store.setInnerSet([NodeRow(node: node(9), bytes: [1])])
            try store.setInnerSet(rows)
            try store.setHealth(rows)
            for row in rows + [NodeRow(node: node(9), bytes: [1])] { try store.setTestBox(row) }
            try store.setTestBox(NodeRow(node: node(9), bytes: [2]))
            try store.removeTestBox(of: node(9))
            try store.setTrustedSnapshot(trusted)
            try store.setValue([4], for: "x")
        }
        let store = try Store(folder: folder.path)
        #expect(try store.guards() == rows)
        #expect(try store.innerSet() == rows)
        #expect(try store.health() == rows)
        #expect(try store.testBoxes() == rows)
        #expect(try store.trustedSnapshot(of: network) == trusted)
        #expect(try store.trustedSnapshot(of: Bytes32()) == nil)
        #expect(try store.value("x") == [4])
        #expect(try store.value("y") == nil)
    }

    @Test func theLogMovesIntoTheDatabaseOnAnotherThread() async throws {
        let store = try Store(folder: folder.path)
        let checkpoint = try store.checkpointElsewhere()
        // Without this checkpoint the writer would move a log of so many pages itself.
        for round in 0..<40 as Range<UInt8> {
            try store.setValue([UInt8](repeating: round, count: 200_000), for: "x")
        }
        let before = folder.size("tunic.sqlite")
        #expect(before < 200_000)
        #expect(folder.size("tunic.sqlite-wal") > 40 * 200_000)
        try await Task.detached { try checkpoint.run() }.value
        #expect(folder.size("tunic.sqlite") > 200_000)
        // The store goes on from the beginning of the log.
        let log = folder.size("tunic.sqlite-wal")
        try store.setValue([1], for: "y")
        #expect(folder.size("tunic.sqlite-wal") == log)
        #expect(try store.value("x") == [UInt8](repeating: 39, count: 200_000))
        #expect(try store.value("y") == [1])
    }

    @Test func p5TheHeightNeverFalls() throws {
        let store = try Store(folder: folder.path)
        try store.setTrustedSnapshot(.init(network: network, height: 5, digest: network, bytes: [5]))
        try store.setTrustedSnapshot(.init(network: network, height: 4, digest: network, bytes: [4]))
        #expect(try store.trustedSnapshot(of: network)?.height == 5)
    }

    @Test("s11: a snapshot and what belongs to it are stored together or not at all") func s11Together() throws {
        let store = try Store(folder: folder.path)
        func snapshot(_ height: UInt64) -> Store.TrustedSnapshot {
            .init(network: network, height: height, digest: network, bytes: [UInt8(height)])
        }
        try store.setTrustedSnapshot(snapshot(5), with: ["x": [5], "y": [50]])
        try store.setTrustedSnapshot(snapshot(4), with: ["x": [4]])
        #expect(try store.value("x") == [5] && store.value("y") == [50])
        // A write that fails after that of the snapshot.
        let other = try Database(path: store.path(of: Store.fileName))
        try other.execute("CREATE TRIGGER t BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'no'); END")
        #expect(throws: StoreError.self) { try store.setTrustedSnapshot(snapshot(6), with: ["x": [6]]) }
        #expect(try store.trustedSnapshot(of: network) == snapshot(5) && store.value("x") == [5])
        try other.execute("DROP TRIGGER t")
        try store.setTrustedSnapshot(snapshot(6), with: ["x": [6]], waiting: false)
        #expect(try store.trustedSnapshot(of: network) == snapshot(6) && store.value("x") == [6])
    }

    @Test func descriptorsAreReplacedAndExpire() throws {
        let store = try Store(folder: folder.path)
        func made(_ number: UInt8, expires: UInt64) -> SignedDescriptor {
            SignedDescriptor(
                Descriptor(
                    node: node(number), published: UnixTime(seconds: 1), expires: UnixTime(seconds: expires),
                    suites: .known,
                    ipv4: Endpoint("9.9.9.9:1")!, ipv6: nil, onionKey: [UInt8](repeating: 1, count: 1216)),
                signature: [UInt8](repeating: 0, count: 64))
        }
        try store.addDescriptors([made(1, expires: 10), made(2, expires: 20), made(1, expires: 30)])
        #expect(try store.descriptors().count == 2)
        try store.removeExpiredDescriptors(at: UnixTime(seconds: 20))
        #expect(try store.descriptors() == [made(1, expires: 30).bytes])
    }

    @Test func k2FilesAreForTheirOwnerAlone() throws {
        let store = try Store(folder: folder.path)
        try store.setValue([1], for: "x")
        for name in ["tunic.sqlite", "tunic.sqlite-wal", "tunic.sqlite-shm", "lock"] {
            #expect(folder.mode(name) == 0o600, "\(name)")
        }
    }

    @Test func k2WiderFoldersAndFilesAreRefused() throws {
        do { _ = try Store(folder: folder.path) }
        unsafe chmod("\(folder.path)/tunic.sqlite", 0o640)
        let file = "\(folder.path)/tunic.sqlite"
        let error = #expect(throws: StoreError.self) { _ = try Store(folder: folder.path) }
        #expect(error?.description == "\(file) is open to other users (mode 640); run: chmod 600 \(file)")
        unsafe chmod(folder.path, 0o750)
        let other = #expect(throws: StoreError.self) { _ = try Store(folder: folder.path) }
        #expect(other?.description.hasSuffix("run: chmod 700 \(folder.path)") == true)
    }

    @Test func twoProcessesDoNotShareAFolder() throws {
        let store = try Store(folder: folder.path)
        #expect(throws: StoreError.inUse(folder: folder.path, process: Int(getpid()))) {
            _ = try Store(folder: folder.path)
        }
        _ = consume store
        #expect(throws: Never.self) { _ = try Store(folder: folder.path) }
    }

    @Test func aLaterFormatIsRefused() throws {
        do { _ = try Store(folder: folder.path) }
        // The version is at byte 60 of the file, big-endian (SQLite file format, section 1.3).
        let file = unsafe open("\(folder.path)/tunic.sqlite", O_RDWR)
        let version: [UInt8] = [0, 0, 0, 77]
        #expect(unsafe pwrite(file, version, 4, 60) == 4)
        close(file)
        #expect(throws: StoreError.tooNew(path: "\(folder.path)/tunic.sqlite", version: 77, known: 4)) {
            _ = try Store(folder: folder.path)
        }
    }

    @Test func aDamagedFileIsSaidToBe() throws {
        let file = unsafe open("\(folder.path)/tunic.sqlite", O_RDWR | O_CREAT, 0o600)
        let text = [UInt8](repeating: 88, count: 8_192)
        #expect(unsafe write(file, text, text.count) == text.count)
        close(file)
        #expect(throws: StoreError.damaged(path: "\(folder.path)/tunic.sqlite")) { _ = try Store(folder: folder.path) }
    }

    @Test func whatAKilledProcessLeavesIsReadableAndWhole() throws {
        let store = try Store(folder: folder.path)
        for round in 1...60 as ClosedRange<UInt8> {
            try store.setGuards((0..<10).map { NodeRow(node: node($0), bytes: [UInt8](repeating: round, count: 500)) })
            guard round % 10 == 0 else { continue }
            // The files as a process killed now leaves them. In every second copy the log is cut at an arbitrary place.
            let copy = Folder()
            for name in ["tunic.sqlite", "tunic.sqlite-wal"] {
                system("cp '\(folder.path)/\(name)' '\(copy.path)/\(name)'")
            }
            if round % 20 == 0 { system("truncate -s -\(Int(round) * 37) '\(copy.path)/tunic.sqlite-wal'") }
            let rows = try Store(folder: copy.path).guards()
            #expect(rows.count == 10)
            #expect(Set(rows.map(\.bytes)).count == 1, "all of one write, or none of it")
            if round % 20 != 0 { #expect(rows[0].bytes[0] == round) }
        }
    }
}

/// K2: keys on disk.
struct KeyFileTests {
    let folder = Folder()
    var path: String { "\(folder.path)/identity.key" }

    @Test func k2AKeySurvivesItsFile() throws {
        let key = try KeyFile.create(at: path)
        #expect(folder.mode("identity.key") == 0o600)
        #expect(try KeyFile.load(path).publicKey == key.publicKey)
        #expect(throws: StoreError.alreadyExists(path: path)) { _ = try KeyFile.create(at: path) }
        #expect(try KeyFile.load(path).publicKey == key.publicKey)
    }

    @Test func k2WiderPermissionsAreRefused() throws {
        _ = try KeyFile.create(at: path)
        for mode in [0o640, 0o604, 0o620, 0o777] as [mode_t] {
            unsafe chmod(path, mode)
            let error = #expect(throws: StoreError.self) { _ = try KeyFile.load(path) }
            #expect(error?.description.contains("chmod 600 \(path)") == true)
        }
    }

    @Test func k2ADamagedOrMissingFileIsSaidToBe() throws {
        #expect(throws: StoreError.missing(path: path)) { _ = try KeyFile.load(path) }
        _ = try KeyFile.create(at: path)
        for place in [0, 8, 39, 40, 55] as [off_t] {
            let file = unsafe open(path, O_RDWR)
            var byte: [UInt8] = [0]
            _ = unsafe pread(file, &byte, 1, place)
            byte[0] ^= 1
            _ = unsafe pwrite(file, byte, 1, place)
            #expect(throws: StoreError.damaged(path: path)) { _ = try KeyFile.load(path) }
            byte[0] ^= 1
            _ = unsafe pwrite(file, byte, 1, place)
            close(file)
        }
        #expect(throws: Never.self) { _ = try KeyFile.load(path) }
        _ = unsafe truncate(path, 55)
        #expect(throws: StoreError.damaged(path: path)) { _ = try KeyFile.load(path) }
        _ = unsafe unlink(path)
        _ = unsafe symlink("/etc/passwd", path)
        #expect(throws: StoreError.wrongKind(path: path, expected: "a plain file")) { _ = try KeyFile.load(path) }
    }

    // MARK: Sealed by a passphrase

    /// The least cost that Argon2id takes, so that the tests are quick.
    private let cheap = Passphrase.Cost(operations: 1, memory: 8)

    private func passphrase(_ text: String) -> Passphrase {
        var bytes = Array(text.utf8)
        defer { #expect(bytes.allSatisfy { $0 == 0 }) }
        return Passphrase(wiping: &bytes)
    }

    private var contents: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 200)
        let file = unsafe open(path, O_RDONLY)
        defer { close(file) }
        let count = unsafe read(file, &bytes, bytes.count)
        return Array(bytes.prefix(count))
    }

    @Test func k2ASealedKeyOpensByItsPassphraseAlone() throws {
        let key = SigningKey()
        try KeyFile.save(key, to: path, passphrase: passphrase("correct horse"), cost: cheap)
        #expect(folder.mode("identity.key") == 0o600)
        #expect(try KeyFile.load(path, passphrase: passphrase("correct horse")).publicKey == key.publicKey)
        #expect(throws: StoreError.sealed(path: path)) { _ = try KeyFile.load(path) }
        for wrong in ["", "correct hors", "Correct horse", "correct horse\n"] {
            #expect(throws: StoreError.wrongPassphrase(path: path)) {
                _ = try KeyFile.load(path, passphrase: passphrase(wrong))
            }
        }
        // The file contains neither the key nor bytes that reveal it.
        let seed = (0..<32).map { unsafe key.seedBytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
        let text = contents
        #expect(text.count == 104)
        for piece in [Array(seed.prefix(8)), Array(seed.suffix(8)), Array(key.publicKey.array.prefix(8))] {
            #expect(!text.indices.contains { text[$0...].starts(with: piece) })
        }
    }

    @Test func k2TwoFilesOfOneKeyAndPassphraseHaveNothingInCommon() throws {
        let key = SigningKey()
        try KeyFile.save(key, to: path, passphrase: passphrase("one"), cost: cheap)
        let first = contents
        try KeyFile.replace(key, at: path, passphrase: passphrase("one"), cost: cheap)
        #expect(first.prefix(16) == contents.prefix(16))
        #expect(zip(first, contents).dropFirst(16).count { $0 == $1 } < 12)
        // Sealed with another passphrase, and then without one.
        try KeyFile.replace(key, at: path, passphrase: passphrase("two"), cost: cheap)
        #expect(throws: StoreError.wrongPassphrase(path: path)) {
            _ = try KeyFile.load(path, passphrase: passphrase("one"))
        }
        try KeyFile.replace(key, at: path, passphrase: nil)
        #expect(folder.mode("identity.key") == 0o600)
        #expect(try KeyFile.load(path).publicKey == key.publicKey)
    }

    @Test func k2AnySpoiledBitOfASealedFileIsRefused() throws {
        try KeyFile.save(SigningKey(), to: path, passphrase: passphrase("p"), cost: cheap)
        for place in 0..<104 as Range<off_t> {
            let file = unsafe open(path, O_RDWR)
            var byte: [UInt8] = [0]
            _ = unsafe pread(file, &byte, 1, place)
            byte[0] ^= 0x80
            _ = unsafe pwrite(file, byte, 1, place)
            #expect(throws: StoreError.self) { _ = try KeyFile.load(path, passphrase: passphrase("p")) }
            byte[0] ^= 0x80
            _ = unsafe pwrite(file, byte, 1, place)
            close(file)
        }
        #expect(throws: Never.self) { _ = try KeyFile.load(path, passphrase: passphrase("p")) }
    }

    @Test func k2TheUsualCostIsThatOfRFC9106() throws {
        try KeyFile.save(SigningKey(), to: path, passphrase: passphrase("p"))
        #expect(Array(contents[8..<16]) == [3, 0, 0, 0, 0, 0, 1, 0])
        #expect(throws: Never.self) { _ = try KeyFile.load(path, passphrase: passphrase("p")) }
    }
}

import Directory
import Glibc
import OnionCrypto
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Relay
@testable import Store

/// A node's replica with its file.
@Suite final class SwarmWorkerTests {
    private let folder: String
    private let creation: NetworkCreation
    private let start: UInt64 = 1_800_000_000
    private var now: UInt64
    private var nextAsk: UInt64 = 0
    /// Where a file that could not even be opened was moved.
    private var setAside: String?

    init() throws {
        let root = unsafe access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(root)/tunic-worker-XXXXXX".utf8CString)
        folder = unsafe String(cString: mkdtemp(&template))
        let addresses = (1...3).compactMap { Endpoint("192.0.2.\($0):7100") }
        creation = NetworkCreation(
            name: "test", nodes: addresses.map { .init(addresses: [$0]) }, at: UnixTime(seconds: start))
        now = start * 1_000
    }

    deinit {
        for name in ["swarm.sqlite", "swarm.sqlite.damaged"] {
            for ending in ["", "-wal", "-shm"] { unsafe unlink("\(folder)/\(name)\(ending)") }
        }
        unsafe unlink("\(folder)/swarm.ended")
        unsafe rmdir(folder)
    }

    private var network: Bytes32 { creation.file.id }
    private var path: String { "\(folder)/\(SwarmStore.fileName)" }

    private static func copy(_ key: borrowing SigningKey) -> SigningKey {
        SigningKey(seed: Secret(copying: key.seedBytes))
    }

    /// The replica of the first node, with its file as it is.
    private func worker() throws -> (worker: SwarmWorker, disk: SwarmStore) {
        let disk: SwarmStore
        (disk, setAside) = try SwarmStore.open(folder: folder, network: network, checks: false)
        let worker = SwarmWorker(
            network: network, shards: 64, swarmSize: 3,
            key: Self.copy(creation.nodes[0].key),
            settings: .init(quota: 1 << 30, recoveryRate: 1 << 20), disk: disk)
        return (worker, disk)
    }

    private func handle(_ worker: SwarmWorker, _ events: [SwarmWorker.Event]) -> SwarmWorker.Outcome {
        worker.handle(events, now: now)
    }

    private var box: SwarmModel.Box { SwarmModel.Box(SwarmModel.Key(1), network: network) }
    private func message(_ number: UInt64) -> StoredItem {
        let minute = UInt32(now / 60_000)
        return box.message(number, created: minute - minute % 10)
    }

    private func begin(_ worker: SwarmWorker) -> SwarmWorker.Outcome {
        handle(worker, [.follow(creation.file.snapshot.snapshot), .tick])
    }

    /// The answer to STORE after the time that a client waits.
    private func store(_ item: StoredItem, with worker: SwarmWorker) -> StoreAnswer? {
        nextAsk += 1
        let request = StoreRequest.store(height: creation.file.snapshot.snapshot.height, item)
        var actions = handle(
            worker,
            [
                .asked(
                    nextAsk, via: creation.nodes[1].id, method: request.method, arguments: request.arguments(),
                    binding: Bytes32())
            ]
        ).actions
        now += 2_000
        actions += handle(worker, [.tick]).actions
        for case .answer(nextAsk, let answer) in actions { return answer }
        return nil
    }

    private func isSigned(_ answer: StoreAnswer?) -> Bool {
        if case .stored(_, let receipts)? = answer { !receipts.isEmpty } else { false }
    }

    @Test("SW11: what a node has signed is in its file, private to its user, when the process is killed at any time")
    func sw11Kill() throws {
        var items: [StoredItem] = []
        for round in 0..<3 as Range<UInt64> {
            let (worker, disk) = try worker()
            let state = begin(worker).state
            #expect(state.isOpen && state.entries == items.count && state.failure == nil)
            #expect(items.allSatisfy { worker.entry($0.id) != nil })
            #expect(disk.hasEndedCleanly == (round == 2))
            let item = message(round)
            #expect(isSigned(store(item, with: worker)))
            items.append(item)
            if round == 1 { worker.end() }
        }
        var facts = stat()
        #expect(unsafe lstat(path, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
    }

    @Test("SW11: a disk that takes no more: nothing is signed, it is said why, and the node goes on when it can")
    func sw11FullDisk() throws {
        let (worker, disk) = try worker()
        _ = begin(worker)
        let first = message(1)
        #expect(isSigned(store(first, with: worker)))
        try disk.database.execute("PRAGMA query_only = 1")
        let lost = message(2)
        #expect(store(lost, with: worker) == .refused(.full))
        let state = handle(worker, [.tick]).state
        #expect(state.failure == .readOnly(path: path) && state.entries == 1 && worker.entry(lost.id) == nil)
        try disk.database.execute("PRAGMA query_only = 0")
        #expect(isSigned(store(lost, with: worker)))
        #expect(handle(worker, [.tick]).state.failure == nil)
        // A descriptor needs no disk.
        let descriptor = box.named(
            .descriptor, SwarmModel.name("web"), created: UInt32(now / 600_000) * 10, content: [],
            certified: SwarmModel.Key(3))
        try disk.database.execute("PRAGMA query_only = 1")
        #expect(handle(worker, [.tick]).state.descriptors == 0)
        #expect(isSigned(store(descriptor, with: worker)))
    }

    @Test("SW11: a file that turns out to be damaged is set aside, waiting clients are told, and the node begins anew")
    func sw11Damage() throws {
        let (worker, disk) = try worker()
        _ = begin(worker)
        let item = message(1)
        #expect(isSigned(store(item, with: worker)))
        // One client waits for receipts of others.
        let request = StoreRequest.store(height: creation.file.snapshot.snapshot.height, message(2))
        let waiting = handle(
            worker,
            [
                .asked(
                    99, via: creation.nodes[1].id, method: request.method, arguments: request.arguments(),
                    binding: Bytes32())
            ])
        let questions = waiting.actions.compactMap { if case .ask(_, _, _, let number) = $0 { number } else { nil } }
        #expect(waiting.state.isAwaited && questions.count == 2)
        disk.isDamaged = true
        let outcome = handle(worker, [.tick])
        #expect(outcome.setAside == "\(folder)/\(SwarmStore.damagedName)")
        #expect(outcome.actions.contains(.answer(ask: 99, .refused(.busy(seconds: 5)))))
        #expect(outcome.state.entries == 0 && outcome.state.shards == 64 && !outcome.state.isAwaited)
        // A late answer to a question from before is an answer to nothing.
        let late = handle(worker, questions.map { .answered(question: $0, [1, 0]) })
        #expect(late.actions.isEmpty && late.setAside == nil)
        // A peer brings the item again.
        let body = Replicate(height: creation.file.snapshot.snapshot.height, copies: [.item(item)]).encoded()
        let brought = handle(worker, [.message(100, from: creation.nodes[1].id, .replicate, body)])
        #expect(brought.actions.contains { if case .reply(100, .some) = $0 { true } else { false } })
        #expect(worker.entry(item.id) != nil && brought.state.entries == 1)
        // Also after a kill.
        let (next, _) = try self.worker()
        #expect(begin(next).state.entries == 1)
    }

    @Test("SW11: a file that is damaged after a kill is found at the start, before anyone is answered")
    func sw11DamagedAtStart() throws {
        do {
            let (worker, _) = try worker()
            _ = begin(worker)
            for number in 0..<60 as Range<UInt64> { #expect(isSigned(store(message(number), with: worker))) }
        }
        // A page in the middle, as a disk loses it; the file was not closed in order.
        let file = unsafe open(path, O_RDWR)
        let size = Int(lseek(file, 0, SEEK_END))
        let bytes = [UInt8](repeating: 0xff, count: 64)
        for page in 2..<size / 16_384 { unsafe pwrite(file, bytes, 64, page * 16_384) }
        close(file)
        close(unsafe open("\(path)-wal", O_CREAT | O_WRONLY, 0o600))
        let (worker, _) = try worker()
        let outcome = begin(worker)
        let path = setAside ?? outcome.setAside
        #expect(path == "\(folder)/\(SwarmStore.damagedName)" && outcome.state.entries == 0)
        #expect(isSigned(store(message(100), with: worker)))
    }

    @Test("SW11: a damaged file that cannot be set aside at the start is set aside later, and it is said where it is")
    func sw11SetAsideLater() throws {
        do {
            let (worker, disk) = try worker()
            _ = begin(worker)
            for number in 0..<60 as Range<UInt64> { #expect(isSigned(store(message(number), with: worker))) }
            disk.close()
        }
        // As after a kill.
        close(unsafe open("\(path)-wal", O_CREAT | O_WRONLY, 0o600))
        let file = unsafe open(path, O_RDWR)
        let size = Int(lseek(file, 0, SEEK_END))
        let bytes = [UInt8](repeating: 0xff, count: 64)
        for page in 4..<size / 16_384 { unsafe pwrite(file, bytes, 64, page * 16_384) }
        close(file)
        let (worker, _) = try worker()
        #expect(setAside == nil)
        // The log cannot be moved onto a folder.
        let obstacle = "\(folder)/\(SwarmStore.damagedName)-wal"
        unsafe mkdir(obstacle, 0o700)
        var outcome = begin(worker)
        #expect(outcome.setAside == nil && !outcome.state.isOpen && outcome.state.failure != nil)
        unsafe rmdir(obstacle)
        now += 60_000
        outcome = begin(worker)
        #expect(outcome.setAside == "\(folder)/\(SwarmStore.damagedName)" && outcome.state.isOpen)
        var facts = stat()
        #expect(unsafe lstat("\(folder)/\(SwarmStore.damagedName)", &facts) == 0 && facts.st_size == size)
        #expect(isSigned(store(message(100), with: worker)))
    }

    @Test("A check that failed is tried again after a minute, also if the clock was set back by a day")
    func checkedAgain() throws {
        let (worker, disk) = try worker()
        try disk.database.execute("ALTER TABLE sweeps RENAME TO hidden")
        #expect(!begin(worker).state.isOpen)
        try disk.database.execute("ALTER TABLE hidden RENAME TO sweeps")
        now += 59_000
        #expect(!begin(worker).state.isOpen)
        now -= 86_400_000
        #expect(begin(worker).state.isOpen)
    }

    @Test("A full store is told as full, and its fill in sixteenths counts the quota")
    func fill() throws {
        let (worker, _) = try worker()
        #expect(begin(worker).state.fill == 0)
        for number in 0..<40 as Range<UInt64> { #expect(isSigned(store(message(number), with: worker))) }
        for (quota, fill, isFull) in [(1 << 30, 0, false), (320_000, 4, false), (140_000, 9, true), (1, 81_920, true)] {
            let settings = SwarmWorker.NodeReplica.Settings(quota: UInt64(quota), recoveryRate: 1 << 20)
            let state = handle(worker, [.apply(settings)]).state
            #expect(state.bytes == 40 * 2_048 && state.quota == UInt64(quota))
            #expect(state.fill == UInt8(clamping: fill) && state.isFull == isFull)
        }
    }

    @Test("The file of another network is refused in one line that names it and the remedy; it is not changed")
    func otherNetwork() throws {
        _ = try worker()
        #expect(
            throws: StoreError.wrongKind(path: path, expected: "the swarm store of this network")
        ) { try SwarmStore.open(folder: folder, network: Bytes32(), checks: false) }
    }

    @Test("While the file is not checked yet, a client is told to come back, and the newest snapshot is not lost")
    func unchecked() throws {
        let (worker, disk) = try worker()
        disk.close()
        var outcome = begin(worker)
        #expect(!outcome.state.isOpen && outcome.state.failure != nil)
        let request = StoreRequest.lookup(box: box.id, kind: .descriptor, most: 1, name: .zeros)
        outcome = handle(
            worker,
            [
                .asked(
                    1, via: creation.nodes[1].id, method: request.method, arguments: request.arguments(),
                    binding: Bytes32()), .message(2, from: creation.nodes[1].id, .compare, [1]),
            ])
        #expect(outcome.actions == [.answer(ask: 1, .refused(.busy(seconds: 10))), .reply(ask: 2, nil)])
    }
}

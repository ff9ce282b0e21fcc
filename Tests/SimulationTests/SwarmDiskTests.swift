import Directory
import Glibc
import SeededRandom
import Store
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Client
@testable import Relay

/// A data folder of a test, in memory where the system has such a file system.
private final class Folder {
    let path: String

    init() {
        let root = unsafe access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(root)/tunic-disk-XXXXXX".utf8CString)
        path = unsafe String(cString: mkdtemp(&template))
    }

    func remove(_ names: [String]) { for name in names { unsafe unlink("\(path)/\(name)") } }

    deinit {
        let endings = ["", "-wal", "-shm"]
        remove(
            endings.flatMap { ["swarm.sqlite\($0)", "swarm.sqlite.damaged\($0)", "tunic.sqlite\($0)"] }
                + [
                    "swarm.ended", "lock", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm",
                    "descriptors.list", "snapshots.history",
                ])
        unsafe rmdir(path)
    }
}

/// Replicas with files on a disk that die, lose or spoil their files, and come back.
@Suite struct SwarmDiskTests {
    /// What happens to the file of a node that has died.
    enum Loss: CaseIterable {
        case nothing, deleted, overwritten, truncated
    }

    @Test(
        "SW11: what is acknowledged is read after kills; files that are deleted or spoiled are filled by the others",
        arguments: [1, 2] as [UInt64])
    func sw11Files(seed: UInt64) throws {
        let folders = (0..<9).map { _ in Folder() }
        let stores = try folders.map { try Store(folder: $0.path) }
        let network = try Network(seed: seed, relays: 9, exits: 3, stores: stores) {
            $0.swarms.shards = 64
            $0.swarms.size = 5
        }
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        let minute = UInt32(client.directory.time.seconds / 60)
        // Of a time that is compared soon.
        let created = minute - 20 - minute % 10
        let boxes = (0..<4 as Range<UInt32>).map { SwarmModel.Box(SwarmModel.Key($0 + 10), network: network.file.id) }
        let items = (0..<24 as Range<UInt64>).map {
            boxes[Int($0 % 4)].message($0, created: created, sizeClass: Int($0 % 3))
        }
        var stored = 0
        var faults: [String] = []
        for item in items {
            client.store(item) { result in
                stored += 1
                if case .failure(let failure) = result { faults.append("not stored: \(failure)") }
            }
            network.run(5) { stored > 0 && client.swarm.count < 8 }
        }
        #expect(network.run(30) { stored == items.count })
        #expect(faults.isEmpty, "\(faults)")
        network.run(65)
        let swarms = try items.map { try #require(client.swarm.swarm(of: $0.header.box)).members }
        /// The items that a node must hold and does not.
        func missing(_ node: Node) -> Int {
            zip(items, swarms).count { item, swarm in
                swarm.contains(node.id) && node.relay?.swarm?.worker.entry(item.id) == nil
            }
        }
        #expect(network.nodes.allSatisfy { missing($0) == 0 })
        var random = SeededGenerator(seed: seed)
        for (loss, node) in zip(Loss.allCases, network.nodes.shuffled(using: &random)) {
            node.die()
            let folder = folders[network.nodes.firstIndex { $0 === node } ?? 0]
            let path = "\(folder.path)/swarm.sqlite"
            switch loss {
            case .nothing: break
            case .deleted: folder.remove(["", "-wal", "-shm"].map { "swarm.sqlite\($0)" })
            case .overwritten: overwrite(path, from: 0, count: 100)
            case .truncated: _ = unsafe truncate(path, 20_000)
            }
            try node.start()
            // A node that was killed has what it had.
            network.run(3)
            if loss == .nothing { #expect(missing(node) == 0) }
        }
        // Everything comes again, from the others.
        #expect(network.run(2_400) { network.nodes.allSatisfy { missing($0) == 0 } })
        let states = network.nodes.compactMap { $0.relay?.swarm?.state }
        #expect(states.count == 9 && states.allSatisfy { $0.failure == nil && $0.isOpen })
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    @Test("SW9: with a ledger, whose snapshots are blocks apart, all replicas have at once what any coordinator takes")
    func sw9Ledger() throws {
        // Blocks are served from the disk.
        let folders = (0..<7).map { _ in Folder() }
        let network = try Network(
            seed: 3, relays: 7, exits: 2, stores: try folders.map { try Store(folder: $0.path) },
            {
                $0.swarms.shards = 64
                $0.swarms.size = 5
            }, ledger: (authorities: 3, block: 2, epoch: 10))
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        func height() -> UInt64 { client.directory.trust.chain.snapshot.height }
        #expect(network.run(400) { height() >= 12 })
        let box = SwarmModel.Box(SwarmModel.Key(1), network: network.file.id)
        var proofs: [ItemID: StoreProof] = [:]
        let first = height()
        for number in 0..<40 as Range<UInt64> {
            let minute = UInt32(client.directory.time.seconds / 60)
            let item = box.message(number, created: minute - minute % 10)
            client.store(item) { if case .success(let proof) = $0 { proofs[item.id] = proof } }
            network.run(4) { proofs.count > number }
            network.run(1.5)
            // Long before any comparison: the coordinator has brought it.
            let holders = network.nodes.count { $0.relay?.swarm?.worker.entry(item.id) != nil }
            #expect(holders == 5, "item \(number)")
        }
        #expect(proofs.count == 40 && height() >= first + 6)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }

    private func overwrite(_ path: String, from: Int, count: Int) {
        let file = unsafe open(path, O_WRONLY)
        let bytes = [UInt8](repeating: 0x5a, count: count)
        #expect(unsafe pwrite(file, bytes, count, from) == count)
        close(file)
    }
}

import Directory
import EventLoop
import Glibc
import Registry
import Store
import Testing
import Wire

@testable import Client
@testable import Relay

/// A temporary folder, removed with this object.
private final class Folder {
    let path: String

    init() throws {
        var template = Array("/tmp/tunic-simulation-XXXXXX".utf8CString)
        try #require(unsafe mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for number in 0..<5 {
            for name in ["tunic.sqlite", "ledger.sqlite"] {
                for end in ["", "-wal", "-shm"] { unsafe unlink("\(path)/\(number)/\(name)\(end)") }
            }
            unsafe rmdir("\(path)/\(number)")
        }
        unsafe rmdir(path)
    }
}

/// A network whose registry is its ledger, on simulated time.
@Suite struct LedgerTests {
    @Test("Blocks are made while an authority is away, snapshots of them are signed, and a client follows")
    func followsTheLedger() throws {
        let folder = try Folder()
        let stores = try (0..<5).map { try Store(folder: folder.path + "/\($0)") }
        let network = try Network(
            seed: 5, relays: 5, exits: 2, stores: stores, ledger: (authorities: 3, block: 10, epoch: 120))
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        func heights() -> [UInt64] { network.nodes.compactMap { $0.relay?.ledger?.state.height } }
        #expect(network.run(60) { heights().min() ?? 0 >= 3 }, "\(heights())")
        network.nodes[1].die()
        let before = heights().max() ?? 0
        #expect(network.run(120) { heights().min() ?? 0 >= before + 3 }, "\(heights())")
        try network.nodes[1].start()
        #expect(network.run(120) { heights().count == 5 && (heights().min() ?? 0) + 1 >= heights().max() ?? 0 })
        #expect((heights().min() ?? 0) >= before + 3, "\(heights())")
        func snapshots() -> [UInt64] { network.nodes.compactMap { $0.relay?.trustedSnapshot.height } }
        let first = network.file.snapshot.snapshot.height
        #expect(network.run(180) { snapshots().min() ?? 0 > first }, "\(snapshots())")
        let app = try user.begin(Transfer(kind: .download, seed: 1, length: 20_000))
        #expect(network.run(30) { app.isOver } && app.state == .done)
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

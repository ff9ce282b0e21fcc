import Glibc
import Store
import Testing
import Wire

/// The ledger's blocks, states and acceptor state on disk.
@Suite struct LedgerStoreTests {
    private let genesis = Bytes32(copying: [UInt8](repeating: 3, count: 32).rawSpan)

    private func withFolder(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/tunic-ledger-XXXXXX".utf8CString)
        #expect(unsafe mkdtemp(&template) != nil)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer {
            for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] { unsafe unlink("\(path)/\(name)") }
            unsafe rmdir(path)
        }
        try body(path)
    }

    @Test func whatWasKeptIsThereAgain() throws {
        try withFolder { folder in
            do {
                let store = try LedgerStore(folder: folder, genesis: genesis)
                for height in 1...9 as ClosedRange<UInt64> {
                    let state: [UInt8]? = height % 4 == 0 ? [UInt8(height), 7] : nil
                    try store.add([UInt8](repeating: UInt8(height), count: 100), at: height, state: state)
                }
                try store.setAcceptor([1, 2])
                try store.setAcceptor([3])
                #expect(throws: StoreError.self) { try store.add([1], at: 9, state: nil) }
            }
            let store = try LedgerStore(folder: folder, genesis: genesis)
            let blocks = try store.blocks(above: 3, limit: 4, byteLimit: 1_000)
            #expect(blocks.map { $0[0] } == [4, 5, 6, 7])
            let fitting = try store.blocks(above: 0, limit: 100, byteLimit: 320)
            #expect(fitting.count == 3)
            let none = try store.blocks(above: .max, limit: 4, byteLimit: 1_000)
            #expect(none.isEmpty)
            let state = try store.state()
            #expect(state?.height == 8 && state?.bytes == [8, 7])
            let acceptor = try store.acceptor()
            #expect(acceptor == [3])
        }
    }

    @Test func aReaderSeesWhatTheWriterHasKept() throws {
        try withFolder { folder in
            let store = try LedgerStore(folder: folder, genesis: genesis)
            let reader = try LedgerReader(beside: store)
            for height in 1...3 as ClosedRange<UInt64> {
                try store.add([UInt8](repeating: UInt8(height), count: 100), at: height, state: nil)
                let blocks = try reader.blocks(above: 0, limit: 10, byteLimit: 1_000)
                #expect(blocks.map { $0[0] } == (1...height).map { UInt8($0) })
            }
        }
    }

    @Test func anotherNetworksLedgerIsRefused() throws {
        try withFolder { folder in
            _ = try LedgerStore(folder: folder, genesis: genesis)
            let other = Bytes32(copying: [UInt8](repeating: 4, count: 32).rawSpan)
            #expect(
                throws: StoreError.wrongKind(
                    path: "\(folder)/ledger.sqlite", expected: "the ledger of this network")
            ) {
                _ = try LedgerStore(folder: folder, genesis: other)
            }
        }
    }

    @Test func aDamagedFileIsRefusedAndNamed() throws {
        try withFolder { folder in
            let path = "\(folder)/ledger.sqlite"
            _ = try LedgerStore(folder: folder, genesis: genesis)
            let file = unsafe open(path, O_WRONLY)
            let noise = [UInt8](repeating: 0xa5, count: 4_096)
            #expect(unsafe pwrite(file, noise, noise.count, 0) == noise.count)
            close(file)
            #expect(throws: StoreError.damaged(path: path)) {
                _ = try LedgerStore(folder: folder, genesis: genesis)
            }
        }
    }
}

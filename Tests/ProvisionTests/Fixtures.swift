import Directory
import Glibc
import OnionCrypto
import Process
import Testing
import Wire

@testable import Provision

/// A temporary folder, removed with this object.
final class Folder {
    let path: String

    init() throws { path = try Files.makeTemporaryFolder("tunic-test") }
    deinit { Files.remove(path) }

    /// Writes or replaces a file, and returns its path.
    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = "\(path)/\(name)"
        Files.remove(file)
        try Files.writeNew(file, bytes, mode: 0o600)
        return file
    }

    /// Makes a network of `nodes` nodes on this machine.
    func network(_ name: String = "net", nodes: Int = 3, _ change: (inout NetworkFolder.Plan) -> Void = { _ in }) throws
        -> NetworkFolder
    {
        var plan = NetworkFolder.Plan(
            name: "test",
            addresses: (0..<nodes).map { [Endpoint(address: IPAddress(v4: 0x7f00_0001), port: UInt16(7_100 + $0))] },
            exits: 1, packetSize: 1_392, isLocal: true)
        change(&plan)
        return try NetworkFolder(in: "\(path)/\(name)", plan)
    }
}

/// The bytes of a file.
func contents(_ path: String) throws -> [UInt8] { try Files.read(path, limit: 4 << 20) }

/// The network file of a network.
func file(_ network: NetworkFolder) throws -> NetworkFile { try NetworkFile(json: try contents(network.file)) }

/// The permissions of a file or folder, in octal digits.
func mode(_ path: String) -> String {
    var found = stat()
    guard unsafe lstat(path, &found) == 0 else { return "-" }
    return String(found.st_mode & 0o7777, radix: 8)
}

/// The failure that `attempt` throws; the test fails if it throws none.
func failure(_ attempt: () throws -> Void, _ place: SourceLocation = #_sourceLocation) -> Failure? {
    #expect(throws: Failure.self, sourceLocation: place) { try attempt() }
}

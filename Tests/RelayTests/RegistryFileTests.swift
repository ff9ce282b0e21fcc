import Directory
import EventLoop
import Glibc
import LoopTesting
import OnionCrypto
import Store
import Testing
import Wire

@testable import Relay

@Suite struct RegistryFileTests {
    @Test("the problem of a registry file is its fault, and names the error") func problems() throws {
        var template = Array("/tmp/tunic-registry-XXXXXX".utf8CString)
        #expect(unsafe mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let path = "\(folder)/registry"
        defer {
            unsafe unlink(path)
            unsafe rmdir(folder)
        }
        let node = NodeID(SigningKey().publicKey)
        let snapshot = try #require(
            Snapshot(
                network: Bytes32(), height: 1, time: UnixTime(seconds: 1_800_000_000),
                entries: [.init(node: node, operatorID: node.key, weight: 1, placement: 0)]))
        var network = NetworkFile(name: "test", id: Bytes32(), bootstrap: [], snapshot: SignedSnapshot(snapshot))
        network.authorities = [.init(key: node.key, node: node)]
        network.authorityThreshold = 1
        let loop = Loop.simulated()
        defer { loop.close() }
        func problem() -> RegistryFileProblem? {
            let file = RegistryFile(network, path: path, loop: loop) { snapshot.time }
            defer { file.close() }
            return file.problem as? RegistryFileProblem
        }
        #expect(problem() == .unreadable(.missing(path: path)))
        try StateFile.write([2, 2], to: path)
        #expect(problem() == .refused(.unreadable(.truncated)))
        try StateFile.write(SignedSnapshot(snapshot).encoded(), to: path)
        #expect(problem() == nil)
    }
}

import Glibc
import Testing
import Wire

@testable import Swarm

/// The prefixes of the store, and those of directory, registry and ledger.
private let prefixes = Prefix.allCases.map(\.rawValue) + MessagePrefix.allCases.map(\.rawValue)

@Suite struct PrefixTests {
    @Test func noPrefixBeginsAnother() {
        let all = prefixes.map { Array($0.utf8) + [0] }
        for (place, prefix) in all.enumerated() {
            for (other, longer) in all.enumerated() where other != place { #expect(!longer.starts(with: prefix)) }
        }
    }

    @Test func theProtocolNamesEachInOneTable() {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        guard let file = unsafe fopen("/\(root)/docs/protocol.md", "r") else { Issue.record("no protocol.md"); return }
        defer { unsafe fclose(file) }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = unsafe fread(&chunk, 1, chunk.count, file), count > 0 { text += chunk[..<count] }
        let rows = String(decoding: text, as: UTF8.self).split(separator: "\n").filter { $0.hasPrefix("| `tunic ") }
        let named = rows.flatMap { row in row.matches(of: /`(tunic [a-z ]+)`/).map { String($0.1) } }
        #expect(named.sorted() == prefixes.sorted())
    }
}

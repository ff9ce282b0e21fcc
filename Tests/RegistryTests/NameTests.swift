import Glibc
import Registry
import Testing
import Wire

@Suite struct NameTests {
    private struct Unreadable: Error {
        let path: String
    }

    /// The lines of a file of this package.
    private static func lines(_ path: String) throws -> [String] {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        guard let file = unsafe fopen("/\(root)/\(path)", "r") else { throw Unreadable(path: path) }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var byte = unsafe getc(file)
        while byte != EOF {
            bytes.append(UInt8(byte))
            byte = unsafe getc(file)
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// The words in backticks of a part of docs/registry.md, from a heading to the next one.
    private static func names(from heading: String, to next: String) throws -> Set<String> {
        let lines = try lines("docs/registry.md")
        let begin = try #require(lines.firstIndex(of: heading))
        let end = try #require(lines[begin...].firstIndex(of: next))
        let parts = lines[begin..<end].joined(separator: "\n").split(separator: "`", omittingEmptySubsequences: false)
        return Set(parts.enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) })
    }

    /// The cases of the enum in a source file, in order.
    private static func cases(_ path: String) throws -> [String] {
        try lines(path).filter { $0.hasPrefix("    case ") }.map { String($0.dropFirst(9).prefix { $0.isLetter }) }
    }

    private static let refusals: [RegistryRefusal] = [
        .heightNotAbove(1), .timeWentBack, .timeOutOfRange, .otherNetwork, .blockFull, .unknownAccount,
        .replayed(expected: 1), .outOfTurn(expected: 1), .expired(until: 1), .operationFeeUnpaid(fee: 1), .wrongSigner,
        .zeroAmount, .overspent(available: 1), .wrongReceiver, .transferUnder(minimum: 1), .tooManyAccounts,
        .wrongNodeSignature, .alreadyRegistered, .tooManyNodes, .feeOutOfRange, .feeRaised,
        .feeAbove(fee: 1), .stakeUnder(minimum: 1),
        .stakeOver(maximum: 1), .tooManyContributors, .unknownNode, .notOpen, .notFull, .notOperator, .notContributor,
        .leaveAskedTwice, .leaveTooEarly(from: 1), .unknownQuorum, .staleVotes, .notInQuorum(place: 1),
        .wrongVote(place: 1), .tooFewVotes(votes: 1, needed: 2), .notActive, .notDecommissioned,
        .tooFewActive(least: 3), .inMaintenance(until: 1), .staleRequest, .maintenanceTooLong(limit: 1),
        .maintenanceTooEarly(from: 1), .judgedByOthers, .wrongReport, .notReporter, .sameOperator, .staleReport,
        .distributedTooEarly(next: 1), .nothingToClaim,
    ]

    private static let ledgerRefusals: [LedgerRefusal] = [
        .unreadable, .otherNetwork, .alreadyThere, .rollback(to: 1), .gap(expected: 1), .fork(height: 1),
        .unknownAuthority(1), .wrongSignature(authority: 1), .tooFewSignatures(found: 1, needed: 2), .wrongMaker(1),
        .timeWentBack, .fromTheFuture, .operation(0, .blockFull), .begin(.timeWentBack), .wrongState,
    ]

    @Test("V3: the rules' names, which travel in answers, are those of docs/registry.md")
    func v3NamesOfRules() throws {
        let names = Self.refusals.map(\.name)
        #expect(try Self.cases("Sources/Registry/RegistryRefusal.swift") == names)
        let words = try Self.names(from: "## Refusals", to: "## Encoding of the state")
        // The table also names a value of an operation.
        #expect(words == Set(names).union(["until"]))
        // SUBMIT's answer carries a name.
        for name in names {
            let answer = SubmitAnswer(refusal: name, height: 7)
            #expect(try SubmitAnswer(decoding: answer.encoded().rawSpan) == answer)
        }
        for name in [
            "over_spent", "over-spent", "overspent9", "[", "over`spent", "", String(repeating: "a", count: 65),
        ] {
            let bytes = [0] + [UInt8](repeating: 0, count: 8) + Array(name.utf8)
            #expect(throws: WireError.outOfRange, "\(name)") { try SubmitAnswer(decoding: bytes.rawSpan) }
        }
    }

    @Test("V3: the ledger's refusals are in docs/registry.md too") func v3NamesOfTheLedger() throws {
        let names = Self.ledgerRefusals.map(\.name)
        let cases = try Self.cases("Sources/Registry/Ledger/LedgerRefusal.swift")
        #expect(cases == names)
        let words = try Self.names(from: "# Ledger", to: "# Signed file")
        #expect(Set(names).subtracting(words) == [])
        let standings: [RegisteredNode.Standing] = [.open, .active, .decommissioned]
        #expect(standings.map(\.name) == ["open", "active", "decommissioned"])
    }
}

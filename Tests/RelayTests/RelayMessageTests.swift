import Directory
import Registry
import Testing
import Watch
import Wire

@testable import Relay

/// The control messages of a node, as known to its links and its handlers.
@Suite struct RelayMessageTests {
    /// The table of protocol.md, section 8, without the messages that a link answers itself.
    private static let table: [(raw: UInt8, body: Int, answer: Int)] = [
        (1, 4_968, 456), (2, 8, 0), (5, 40, 16 << 20), (6, 8, 16 << 20), (7, 32, 65_535), (8, 262_144, 0),
        (16, 8, 256 << 10), (17, 8, 0), (18, 2_268, 73), (19, 16, 202_400), (20, 202_400, 65), (21, 2_200, 65),
        (22, 202_400, 0), (24, 262_144, 0), (25, 1_290, 660_000), (26, 8, 112), (27, 32_778, 16 << 20),
        (28, 262_144, 0), (29, 1_290, 660_000), (30, 8, 1_280_053), (31, 1_282, 16 << 20), (32, 41, 0),
        (33, 2_122, 2_122), (34, 0, 2), (35, 32, 320_115), (40, 66_982, 65_825), (41, 65_833, 0),
        (44, 139_264, 4_161), (45, 65_536, 65_536), (46, 32_800, 262_144),
    ]

    @Test("every message that a module declares has the type and the lengths of the protocol") func lengths() {
        let kinds = RelayMessage.kinds.sorted { $0.raw < $1.raw }
        #expect(
            kinds
                == Self.table.map { row in
                    MessageKind(
                        raw: row.raw, longestBody: row.body, longestAnswer: row.answer, lane: Self.lane(row.raw))
                })
    }

    private static func lane(_ raw: UInt8) -> MessageLane {
        switch raw {
        case 1: .builds
        case 40...43: .requests
        case 44...: .store
        default: .usual
        }
    }

    @Test("every message that a node's links take has a handler, and no other byte has one") func handlers() {
        for raw in UInt8.min...UInt8.max {
            let known = RelayMessage.kinds.filter { $0.raw == raw }
            #expect(known.count <= 1)
            #expect(RelayMessage(raw: raw)?.kind == known.first)
        }
    }

    @Test("the room of the ledger's messages holds the longest block, certificate and operation") func ledgerRoom() {
        let bodies = [AuthorityRequest.maximumSize, FinalBlock.maximumSize]
        #expect(bodies.allSatisfy { $0 <= LedgerMessage.propose.longestBody })
        #expect(LedgerMessage.final.longestBody == LedgerMessage.propose.longestBody)
        #expect(AuthorityAnswer.maximumSize <= LedgerMessage.prepare.longestAnswer)
        let certificate = AuthorityRequest.maximumSize - 8 - Block.maximumSize
        #expect(8 + 32 + certificate <= LedgerMessage.commit.longestBody)
    }
}

import Testing
import Wire

@testable import Client

/// The lists that wait for confirmation by a second operator.
@Suite struct ListOffersTests {
    private func at(_ seconds: UInt64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }
    private func bytes(_ value: UInt8) -> Bytes32 { Bytes32(copying: [UInt8](repeating: value, count: 32).rawSpan) }

    private func offer(_ round: UInt64, by owner: UInt8) throws -> ListOffers.Offer {
        let list = try #require(DescriptorList(round: round, height: 1, snapshot: bytes(0), hashes: []))
        return ListOffers.Offer(
            list: list, digest: bytes(UInt8(round)), node: NodeID(bytes(100 + owner)), owner: bytes(owner))
    }

    @Test("s11: another operator's word confirms a list, and a second node of the same operator does not")
    func confirms() throws {
        var offers = ListOffers()
        func round(named digest: UInt8, by owner: UInt8) -> UInt64? {
            offers.named(bytes(digest), by: bytes(owner))?.list.round
        }
        offers.add(try offer(6, by: 1), at: at(0))
        #expect(round(named: 6, by: 1) == nil)
        #expect(round(named: 7, by: 2) == nil)
        #expect(round(named: 6, by: 2) == 6)
        // It does not confirm its own list either when another operator's list waits too.
        offers.add(try offer(7, by: 3), at: at(0))
        #expect(round(named: 6, by: 1) == nil)
        #expect(round(named: 6, by: 3) == 6)
        #expect(round(named: 7, by: 1) == 7)
        offers.use(7)
        #expect(offers.all.isEmpty && !offers.concern(bytes(2)))
    }

    @Test("s11: of each operator the last list waits, and four in all")
    func bounded() throws {
        var offers = ListOffers()
        for owner in 1...6 as ClosedRange<UInt8> {
            offers.add(try offer(6, by: owner), at: at(0))
            offers.add(try offer(7, by: owner), at: at(0))
        }
        #expect(offers.all.map(\.owner) == [3, 4, 5, 6].map(bytes))
        #expect(offers.all.allSatisfy { $0.list.round == 7 })
    }

    @Test("s11: others are asked every 20 s, and after a minute a stranger too, the same one for five minutes")
    func times() throws {
        var offers = ListOffers()
        let asksWithoutOffer = offers.asksNow(at(100))
        #expect(!asksWithoutOffer)
        offers.add(try offer(6, by: 1), at: at(100))
        let asked = (100...160 as ClosedRange<UInt64>).filter { offers.asksNow(at($0)) }
        #expect(asked == [120, 140, 160])
        #expect(!offers.wantsStranger(at(159)) && offers.wantsStranger(at(160)))
        offers.ask(NodeID(bytes(1)), at: at(160))
        #expect(!offers.wantsStranger(at(459)) && offers.wantsStranger(at(460)))
        #expect(offers.askedStranger == NodeID(bytes(1)))
    }

    @Test("s11: one operator is believed when no other has answered 30 questions in a row, never while others answer")
    func alone() throws {
        var offers = ListOffers()
        offers.add(try offer(6, by: 1), at: at(100))
        // Another list of the same operator does not restart the count; an answer of another operator does.
        for question in 1...29 {
            offers.asked()
            if question == 20 { offers.add(try offer(7, by: 1), at: at(600)) }
            #expect(offers.ofLoneSource == nil)
        }
        _ = offers.named(bytes(5), by: bytes(2))
        for _ in 1...29 { offers.asked() }
        #expect(offers.ofLoneSource == nil)
        offers.asked()
        #expect(offers.ofLoneSource?.list.round == 7)
        offers.drop(bytes(7))
        #expect(offers.ofLoneSource == nil && offers.all.isEmpty)
    }
}

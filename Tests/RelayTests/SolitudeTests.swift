import Directory
import Links
import LoopTesting
import Testing
import Wire

@testable import Relay

/// A node that other nodes may no longer answer.
@Suite struct SolitudeTests {
    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: 1_000_000_000) + .seconds(seconds) }

    @Test("S2: a node that reaches nobody hides its identity after 15 s for 30 s, and again after as long")
    func hidesAndShows() {
        var solitude = Solitude()
        var hidden: [Int64] = []
        for second in 0..<120 as Range<Int64> {
            solitude.note(isLinked: false, mayBeRefused: true, isCurrentAt: nil, now: at(second))
            if solitude.isHiding { hidden.append(second) }
            #expect(solitude.lasts(at(second)) == (second < 15 ? nil : .seconds(second)))
        }
        #expect(hidden == Array(15..<45) + Array(60..<90) + Array(105..<120))
    }

    @Test("S2: the identity is shown again as soon as a neighbour has no newer snapshot, or none is listed")
    func showsWhenCurrent() {
        var solitude = Solitude()
        for second in [0, 15] as [Int64] {
            solitude.note(isLinked: false, mayBeRefused: true, isCurrentAt: nil, now: at(second))
        }
        #expect(solitude.isHiding)
        // A link without the identity is up. An answer from before the link does not count.
        solitude.note(isLinked: true, mayBeRefused: true, isCurrentAt: at(14), now: at(16))
        #expect(solitude.isHiding && solitude.lasts(at(16)) == nil)
        solitude.note(isLinked: true, mayBeRefused: true, isCurrentAt: at(17), now: at(17))
        #expect(!solitude.isHiding)
        solitude.note(isLinked: false, mayBeRefused: true, isCurrentAt: at(17), now: at(18))
        solitude.note(isLinked: false, mayBeRefused: true, isCurrentAt: at(17), now: at(32))
        #expect(!solitude.isHiding)
        solitude.note(isLinked: false, mayBeRefused: true, isCurrentAt: at(17), now: at(33))
        #expect(solitude.isHiding)
        solitude.note(isLinked: true, mayBeRefused: false, isCurrentAt: at(17), now: at(34))
        #expect(!solitude.isHiding)
    }

    @Test("S2: who is linked, or is answered whatever the registry says, hides nothing") func othersDoNotHide() {
        for (isLinked, mayBeRefused) in [(true, true), (false, false)] {
            var solitude = Solitude()
            for second in 0..<100 as Range<Int64> {
                solitude.note(isLinked: isLinked, mayBeRefused: mayBeRefused, isCurrentAt: nil, now: at(second))
                #expect(!solitude.isHiding)
            }
        }
    }

    @Test("S2: a relay that nobody answers any more is heard as a client, and shows itself again when nothing is newer")
    func linksAsAClient() throws {
        let harness = try RelayHarness(isListed: false)
        harness.relay.solitude.limit = .milliseconds(300)
        let neighbour = Neighbour(harness.silent)
        harness.silent.control = neighbour
        #expect(harness.run { neighbour.clients > 0 && harness.relay.linkedNodes == 1 })
        #expect(neighbour.nodes == 0)
        // The relay asks for newer snapshots. There are none, so it shows its identity again.
        #expect(harness.run { neighbour.questions > 0 })
        #expect(harness.run { !harness.relay.solitude.isHiding && harness.relay.linkedNodes == 0 })
    }

    /// The node behind the relay, which has no newer snapshot.
    private final class Neighbour: ControlHandler {
        private let links: Links
        var clients = 0, nodes = 0, questions = 0

        init(_ links: Links) { self.links = links }

        func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
            if message == DirectoryMessage.getSnapshot.kind { questions += 1 }
            links.answer(responder, [])
        }
        func linkUp(_ link: LinkID, peer: LinkPeer) { if peer.node == nil { clients += 1 } else { nodes += 1 } }
        func linkDown(_ link: LinkID, reason: LinkDownReason) {}
    }
}

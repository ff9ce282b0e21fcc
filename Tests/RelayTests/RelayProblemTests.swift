import Directory
import Store
import Testing
import Wire

@testable import Relay

/// The problems of a relay, as its operator reads them.
@Suite struct RelayProblemTests {
    @Test("problems of the clock, of the other nodes and of the registry are told with their remedies")
    func problems() {
        #expect(RelayProblem.unheard.text == "No other node has answered yet.")
        #expect(
            RelayProblem.alone(.milliseconds(61_900)).text
                == "No other node answers any more, for 61 s; see whether this machine is online.")
        #expect(
            RelayProblem.wrongClock(minutes: 12, isAhead: false).text
                == "The clock of this machine is 12 minutes behind the other nodes'; set it, and keep it right with an "
                + "NTP daemon.")
        let refused = RegistryFileProblem.refused(.noAuthorities)
        #expect(
            RelayProblem.registry(.source(.init(refused))).text
                == "The registry: the network file names no authorities, so no registry file can be trusted.")
        // The ledger's own sentence is told as it is.
        #expect(
            RelayProblem.registry(.unwritable(.file(.diskFull(path: "/d/ledger.sqlite")))).text
                == "The ledger stands here until its file can be written: the disk of /d/ledger.sqlite is full; free "
                + "some space.")
        #expect(
            RelayProblem.registry(.unreachable(height: 7)).text.hasPrefix(
                "The registry: The other nodes have newer snapshots, and their histories do not reach back to this "
                    + "node's, of height 7; "))
    }

    @Test("a source's problem equals the same problem of the same source only")
    func equality() {
        func source(_ problem: some RegistrySourceProblem) -> RegistryProblem { .source(.init(problem)) }
        let file = RegistryFileProblem.unreadable(.missing(path: "/r"))
        #expect(source(file) == source(file) && source(file) != source(RegistryFileProblem.refused(.empty)))
        #expect(source(file) != source(LedgerProblem.unwritable(.file(.missing(path: "/r")))))
    }

    @Test("the operator reads why clients may not choose the node")
    func standings() {
        let time = UnixTime(seconds: 1_800_000_000)
        let standings: [(RelayProblem.Standing, String)] = [
            (.unstaked(height: 5), "This node is not staked in the snapshot of height 5."),
            (.suspended(nil), "This node is decommissioned."),
            (.suspended(.suspected), "Other nodes report that this one does not serve."),
            (
                .deregistered(grace: 3_600, lockedUntil: time),
                "This node was deregistered: it did not serve for longer than its credit and the 60 min of grace after "
                    + "it. Its stake is locked until \(time.dateText); to serve again, register it with another stake."
            ),
            (.maintenance(until: time), "This node is in maintenance until \(time.dateText), as it asked."),
            (.activeSoon, "This node is active, and is used from the next epoch on."),
        ]
        for (standing, text) in standings { #expect(RelayProblem.standing(standing).text == text) }
        let grace = RelayProblem.Standing.deregistered(grace: 90, lockedUntil: time).text
        #expect(grace.contains("the 90 s of grace"))
    }
}

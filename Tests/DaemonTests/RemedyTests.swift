import Client
import Control
import Relay
import Testing
import Wire

@testable import Daemon

/// Problems as this program tells them: with its settings and commands.
@Suite struct RemedyTests {
    @Test("a relay's problem is told with the setting or command that helps") func relay() {
        let time = UnixTime(seconds: 1_800_000_000)
        let check = "run 'tunic relay --check'."
        let told: [(RelayProblem, String)] = [
            (.unheard, "No other node has answered yet."),
            (.noNameServer, "cannot be looked up; see /etc/resolv.conf, or 'exit_resolver'."),
            (.storeFull(bytes: 20_000_000_000), "takes no items; raise 'store_quota' if the disk has room."),
            (.warning(.suspected), "Other nodes report that this one does not serve; \(check)"),
            (
                .warning(.suspectedOfLoss),
                "items which it has signed for; see that the disk is sound and that 'swarm.sqlite' was not replaced by "
                    + "an older copy, and \(check)"
            ),
            (.standing(.unregistered), "until it is; see 'tunic stake register'."),
            (.standing(.deregistered(grace: 60, lockedUntil: time)), "another stake; see 'tunic stake register'."),
            (.standing(.open), "until it is; see 'tunic nodes'."),
            (
                .standing(.maintenance(until: time)),
                "until \(time.dateText), as it asked; 'tunic maintenance end' has it used again before."
            ),
            (.standing(.suspended(nil)), "This node is decommissioned."),
            (.standing(.suspended(.decommissioned)), "see that its UDP port can be reached; \(check)"),
            (.standing(.decommissioned(deregistersAt: time)), "see that its UDP port can be reached; \(check)"),
        ]
        for (problem, end) in told { #expect(problem.sentence.hasSuffix(end), "\(problem.sentence)") }
    }

    @Test("a check's finding has the remedy of the standing") func findings() {
        #expect(CheckFinding.standing(.open).sentence.hasSuffix("; see 'tunic nodes'."))
        #expect(CheckFinding.links(3).sentence == "linked with 3 other nodes")
    }

    @Test("a node that is decommissioned is shown with the command that helps, if it stands alone") func nodes() {
        func lines(_ state: String, _ count: Int) -> [Substring] {
            var node = NodesReport.Node(
                id: "a", state: state, operator: "b", stake: 1, fee: 0, uptime: 0, credit: 0)
            node.deregistersAt = 60
            let nodes = [NodesReport.Node](repeating: node, count: count)
            return NodesReport(height: 7, time: 0, fullStake: 1, pool: 0, nodes: nodes).text.split(separator: "\n")
        }
        #expect(lines("decommissioned", 1)[2].hasSuffix("its stake locked; run 'tunic relay --check' there"))
        #expect(!lines("maintenance", 1)[2].contains("run"))
        #expect(lines("decommissioned", 2).count == 4)
    }

    @Test("a client's problem is told with the settings that cause it") func client() {
        #expect(
            ClientProblem.noUsableExit(exits: 3).sentence
                == "None of the exits known (3) may be used; look at client.exits and client.avoid.")
        #expect(
            ClientProblem.tooFewUsable(2, of: 9, hops: 3).sentence
                == "2 of the 9 nodes that are known may be used, too few for a path of 3 hops; look at client.avoid.")
        #expect(ClientProblem.noExit(nodes: 4).sentence == "None of the 4 nodes that are known is an exit.")
    }
}

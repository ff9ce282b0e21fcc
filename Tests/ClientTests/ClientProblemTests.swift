import Testing
import Wire

@testable import Client

/// The problems of a client, as its user reads them.
@Suite struct ClientProblemTests {
    @Test(
        "a wrong clock is told with its error and whose time is used",
        arguments: [
            (90.0, "1 minutes ahead of the nodes of 1 operator, and the clock is used, for too few agree"),
            (7_200.0, "2 hours ahead of the nodes of 1 operator, and the clock is used, for too few agree"),
            (-172_800.0, "2 days behind the nodes of 3 operators, and their time is used"),
        ])
    func clock(seconds: Double, text: String) {
        let error = TimeSpan.milliseconds(Int64(seconds * 1_000))
        let isCorrected = seconds < 0
        let problem = ClientProblem.wrongClock(
            error: error, operators: isCorrected ? 3 : 1, isCorrected: isCorrected)
        #expect(problem.text == "This machine's clock is \(text); set it, and keep it right by NTP.")
    }

    @Test("a lack of descriptors is told with its numbers, and with those of the inquiry if there is one") func lack() {
        let asked = ClientProblem.Asked(answers: 2, asked: 5)
        #expect(
            ClientProblem.asksBeforeGuard(isFirst: true, operators: 3, nil).text
                == "Before the first guard is drawn, nodes of 3 operators are asked for all descriptors.")
        #expect(
            ClientProblem.asksBeforeGuard(isFirst: false, operators: 3, asked).text
                == "Before another guard is drawn, nodes of 3 operators are asked for all descriptors, and 2 of 5 nodes "
                + "asked have answered.")
        #expect(
            ClientProblem.lacksDescriptors(count: 20, of: 24, known: .init(nodes: 17, exits: 16), asked).text
                == "The descriptors of 20 of 24 nodes are lacking (known: 17 % of the weight of the nodes, needed: 80 %; "
                + "of the exits: 16 %, needed: 60 %), and 2 of 5 nodes asked have answered; look whether nodes of the "
                + "network file can be reached.")
    }

    @Test("a snapshot that leads nowhere is told with its age or its height") func snapshots() {
        #expect(
            ClientProblem.stale(age: 744, limit: 720).text
                == "The newest snapshot of the network is 744 hours old, and it is trusted for 720 hours; look whether "
                + "this machine's clock is right and its network works, or get the network's newest network file and "
                + "start again.")
        #expect(
            ClientProblem.unreachable(operators: 2, height: 9).text
                == "The nodes of 2 operators have newer snapshots, and their histories do not reach back to this "
                + "client's, of height 9; get the network's newest network file and start again.")
    }

    @Test("a lack of nodes to choose from is told with the numbers") func choices() {
        #expect(
            ClientProblem.noSource(nodes: 4).text
                == "None of the 4 nodes of the network file may be used, so nobody can be asked about the network.")
        #expect(ClientProblem.noExit(nodes: 4).text == "None of the 4 nodes that are known is an exit.")
        #expect(
            ClientProblem.noUsableExit(exits: 3).text
                == "None of the exits known (3) may be used.")
        #expect(
            ClientProblem.tooFewUsable(2, of: 9, hops: 3).text
                == "2 of the 9 nodes that are known may be used, too few for a path of 3 hops.")
        #expect(
            ClientProblem.tooFewKnown(1, of: 9, hops: 3).text
                == "1 of 9 nodes are known, too few for a path of 3 hops; no node of the network file may be reachable."
        )
        #expect(ClientProblem.build(.timedOut).text == "Builds of paths are not answered in time.")
    }
}

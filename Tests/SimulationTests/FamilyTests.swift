import Directory
import Testing
import Wire

@testable import Relay

/// Nodes with one address family or both, which test each other on simulated time.
@Suite struct FamilyTests {
    /// Four exits have both families, so the score as a middle decides.
    @Test("w3: nodes with IPv4 alone find a node with IPv6 alone that does not serve")
    func w3Unreached() throws {
        let both = 4
        let (serving, stub) = (4, 5)
        let network = try Network(
            seed: 11, relays: 8 + both, exits: 2 + both, { $0.epochSeconds = 120 },
            at: { number in
                let four = Network.address(number), six = Network.address(number, isIPv4: false)
                return number == 3 || number >= 8 ? [four, six] : number == serving || number == stub ? [six] : [four]
            })
        defer { network.close() }
        let testers = [0, 1, 2, 6, 7].map { network.nodes[$0] }
        func test(_ tester: Node, of number: Int) -> NodeTest? {
            tester.relay?.nodeTests.first { $0.node == network.nodes[number].id }
        }
        let count = network.nodes.count
        #expect(network.run(120) { testers.allSatisfy { $0.relay?.status.descriptors == count } })
        network.nodes[stub].die()
        #expect(network.run(3_000) { testers.allSatisfy { test($0, of: stub)?.marks ?? 0 >= 3 } })
        for tester in testers {
            let found = test(tester, of: serving)
            #expect(found?.marks == 0 && found?.sincePass != nil)
        }
        try network.nodes[stub].start()
        #expect(network.run(900) { testers.allSatisfy { test($0, of: stub)?.marks == 0 } })
    }
}

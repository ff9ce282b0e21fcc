import Links
import LoopTesting
import OnionCrypto
import Testing
import Wire

@testable import Relay

/// What a hop says of a next hop to which it has no link.
@Suite struct BuildLinkTests {
    @Test("s12: a hop that may begin no handshake is overloaded, and does not blame the next hop")
    func s12_ownLimit() throws {
        let harness = try RelayHarness()
        let client = try harness.client()
        let links = harness.relay.links
        let nowhere = Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 9)
        for _ in 0..<256 { links.link(to: NodeID(SigningKey().publicKey), at: [nowhere]) { _ in } }
        harness.run(for: .milliseconds(50)) { false }
        if let link = links.existingLink(to: harness.silentID) { links.close(link) }
        harness.run(for: .milliseconds(100)) { false }
        #expect(links.existingLink(to: harness.silentID) == nil)
        var result: Built?
        client.beginBuild(to: harness.silentID) { result = $0 }
        #expect(harness.run(for: .seconds(2)) { result != nil })
        #expect(result == .refused(0, .overloaded))
    }
}

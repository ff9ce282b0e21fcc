import OnionCrypto
import SwarmModel
import Testing
import Wire

@testable import Relay

/// The links that a replica makes to others at once.
@Suite struct PeerHandshakesTests {
    private static let peers = (0..<120 as Range<UInt32>).map { Key(7_000 + $0).node }
    private var peers: [NodeID] { Self.peers }

    @Test("SW12: silent replicas that hold all places turn nobody away, and those that have failed hold few")
    func sw12Silent() {
        var places = PeerHandshakes()
        let all = PeerHandshakes.places.all
        // At first nobody has failed.
        for peer in peers[..<all] { #expect(places.begin(peer, hasFailed: false) == true) }
        #expect(places.begin(peers[all], hasFailed: false) == false)
        #expect(places.ended(peers[0]) == peers[all])
        #expect(places.count == all && places.waiting == 0)
        for peer in peers[1...all] { #expect(places.ended(peer) == nil) }
        #expect(places.count == 0)
        // Later they leave places for all others.
        let begun = peers[..<100].count { places.begin($0, hasFailed: true) }
        #expect(begun == PeerHandshakes.places.failed && places.waiting == 100 - begun)
        for peer in peers[100...] { #expect(places.begin(peer, hasFailed: false) == true) }
        // Those that have failed have a turn, too, in their order.
        #expect(places.ended(peers[100]) == nil && places.ended(peers[0]) == peers[begun])
        #expect(places.ended(peers[begun]) == peers[begun + 1])
    }

    @Test("Of those that wait, one that has not failed is next")
    func order() {
        var places = PeerHandshakes()
        let all = PeerHandshakes.places.all
        for peer in peers[..<all] { #expect(places.begin(peer, hasFailed: false) == true) }
        #expect(places.begin(peers[60], hasFailed: true) == false)
        #expect(places.begin(peers[61], hasFailed: false) == false)
        #expect(places.ended(peers[0]) == peers[61])
        #expect(places.ended(peers[1]) == peers[60])
    }
}

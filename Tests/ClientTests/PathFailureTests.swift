import Directory
import Onion
import OnionCrypto
import Testing
import Wire

@testable import Client

/// The hop that a failed build is blamed on.
@Suite struct PathFailureTests {
    private let hops = (0..<3).map { seed in
        NodeID(SigningKey(seed: Secret(copying: [UInt8](repeating: UInt8(seed), count: 32).rawSpan)).publicKey)
    }

    @Test("V4: a hop for which no record can be made is blamed itself, not the exit") func unbuildable() {
        let ofGuard = PathFailure(PathBuildError.badOnionKey(0), hops: hops)
        #expect(!ofGuard.isFault(of: hops[2], hops: 3))
        let ofExit = PathFailure(PathBuildError.suiteUnavailable(2), hops: hops)
        #expect(ofExit.isFault(of: hops[2], hops: 3))
    }

    @Test("users read words, not names of the code") func texts() {
        #expect(
            PathFailure.noChoice(.tooFewNodes).text
                == "No hops can be chosen: too few nodes of different operators and address ranges.")
        #expect(PathFailure.refused(hop: 2, .draining).text == "Hop 3 did not build a path (draining).")
        #expect(PathFailure.refused(hop: 0, nil).text == "Hop 1 did not build a path (no reason given).")
    }
}

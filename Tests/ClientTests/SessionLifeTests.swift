import Glibc
import Testing

/// The number of seeds to try; the variable `SESSION_SEEDS` sets it.
private let count = unsafe getenv("SESSION_SEEDS").flatMap { unsafe UInt64(String(cString: $0)) } ?? 40
private let first = unsafe getenv("SESSION_FIRST").flatMap { unsafe UInt64(String(cString: $0)) } ?? 1

/// Sessions whose parties pause, die or are slow at any moment.
@Suite struct SessionLifeTests {
    @Test("R7: a session is never alive and mute for more than 10 s", arguments: [0, 1] as [UInt64])
    func neverMute(half: UInt64) {
        for seed in first..<first + count where seed % 2 == half {
            let life = SessionLife(seed: seed)
            do throws(SessionLife.Broken) { try life.run() } catch {
                Issue.record("seed \(seed): \(error.description)")
            }
        }
    }

    /// With these seeds, a client or a guard pauses while builds wait on links that the other side has given up.
    @Test("R7: builds over links that are lost keep no session mute", arguments: [981, 1_173] as [UInt64])
    func lostBuilds(seed: UInt64) throws { try SessionLife(seed: seed).run() }
}

import Testing

/// Sessions whose parties stand still, die or are slow, at any moment.
@Suite struct SessionLifeTests {
    @Test(
        "R7: a session is never alive and mute for more than 10 s",
        arguments: [1...20, 21...40] as [ClosedRange<UInt64>])
    func neverMute(seeds: ClosedRange<UInt64>) {
        for seed in seeds {
            let life = SessionLife(seed: seed)
            do throws(SessionLife.Broken) { try life.run() } catch {
                Issue.record("seed \(seed): \(error.description)")
            }
        }
    }
}

import ConnectionModel
import Testing

/// `ConnectionModel` by seeds: both ends honest, or one hostile, in every configuration.
@Suite struct ConnectionModelTests {
    /// The first byte selects the configuration, the controllers, the hostile end and how openly it lies.
    @Test(arguments: 0..<64) func everyPromiseHolds(kind: Int) throws {
        var closed = 0
        for seed in 0..<1 {
            let input = [UInt8(kind * 4 + seed), UInt8(seed), UInt8(kind)]
            let report = try ConnectionModel.run(input, steps: 200)
            if report.isClosed { closed += 1 }
        }
        #expect(closed <= 2)
    }
}

import ConnectionModel
import Testing

/// `ConnectionModel` by seeds: both ends honest, or one hostile, in every configuration.
@Suite struct ConnectionModelTests {
    /// The first byte selects the configuration, the controllers, the hostile end and how openly it lies.
    @Test(arguments: 0..<64) func everyPromiseHolds(kind: Int) throws {
        // An odd factor: the 64 values differ in each of the lower bits.
        let input = [UInt8(truncatingIfNeeded: kind * 37), 0, UInt8(kind)]
        let report = try ConnectionModel.run(input, steps: 200)
        #expect(report.packets > 0)
    }
}

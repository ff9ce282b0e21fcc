import ExchangeModel
import SeededRandom
import Testing

/// Control messages of a node with an honest client and a hostile client, on a bad network.
@Suite struct ExchangeModelTests {
    private func run(seed: UInt64, steps: Int) -> ExchangeModel.Reached {
        var random = SeededGenerator(seed: seed)
        var model = ExchangeModel()
        for _ in 0..<steps { model.step { bound in Int(random.next() % UInt64(max(1, bound))) } }
        model.finish()
        return model.reached
    }

    @Test("two honest ends and a hostile one keep every promise", arguments: 1...4 as ClosedRange<UInt64>)
    func promises(seed: UInt64) {
        let reached = run(seed: seed, steps: 200)
        // How often the rest happens depends on the order of dictionaries, which differs between processes.
        #expect(reached.answered > 0 && reached.hostile > 0 && reached.destroyed > 0, "seed \(seed): \(reached)")
    }

    /// Runs the model with the choices of a fuzzer's input.
    private func run(input: [UInt8]) {
        var model = ExchangeModel()
        var place = 0
        while place < input.count {
            model.step { bound in
                guard bound > 0, place < input.count else { return 0 }
                defer { place += 1 }
                return bound <= 256 ? Int(input[place]) % bound : Int(input[place]) * (bound / 256)
            }
        }
        model.finish()
    }

    @Test("a message that waited for a large one before it ends, though nobody answers either")
    func behindALargeOne() {
        run(input: [0x0e, 0x2b, 0x22, 0x7e, 0x5e, 0x5e, 0x5e, 0x60, 0x5e, 0x5e, 0x5e, 0x5e, 0x5e, 0x7e])
    }

    @Test("a message that a probe begins, minutes after the client wrote it, ends too")
    func begunByAProbe() {
        // The client hears no acknowledgement and sends two packets every ten seconds; the last of four long messages
        // begins after 153 s.
        let bytes: [(byte: UInt8, count: Int)] = [
            (0x26, 1), (0xbf, 1), (0x84, 11), (0xfc, 21), (0x84, 2), (0xc1, 1), (0x84, 9),
        ]
        run(input: bytes.flatMap { [UInt8](repeating: $0.byte, count: $0.count) })
    }

    @Test("the model gets to time-outs and refusals") func reaches() {
        var sum = ExchangeModel.Reached()
        for seed in UInt64(100)..<103 {
            let reached = run(seed: seed, steps: 300)
            sum.refused += reached.refused
            sum.timedOut += reached.timedOut
            sum.violations += reached.violations
            sum.gaveWay += reached.gaveWay
        }
        #expect(sum.refused > 0 && sum.timedOut > 0, "\(sum)")
    }
}

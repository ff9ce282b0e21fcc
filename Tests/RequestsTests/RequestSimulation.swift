import Requests
import RequestsModel
import Testing
import Wire

/// Whole networks in which one party lies, stalls, repeats, reorders and goes away.
@Suite struct RequestSimulation {
    @Test(
        "RQ2, RQ4, RQ6: each call is answered once or fails in time, and nothing stays",
        arguments: RequestNetwork.Hostile.allCases)
    func rq2Hostile(_ hostile: RequestNetwork.Hostile) {
        for seed in 1...2 as ClosedRange<UInt64> {
            let network = RequestNetwork(hostile, seed: seed)
            let calls = 20
            for number in 0..<calls {
                // One of three targets may be hostile.
                let targets = [number % 5, (number + 1) % 5, 5]
                if number % 5 == 4 {
                    let envelope = [UInt8](repeating: 1, count: RequestClass.bytes1024.envelopeSize)
                    let relay = RelayRequest(target: RequestNetwork.id((number + 2) % 5), envelope: envelope)
                    network.ask(.relay, targets: targets, box: UInt8(number), arguments: relay.encoded())
                } else {
                    network.ask(targets: targets, box: UInt8(number % 4), arguments: [UInt8(number)])
                }
                network.disturb()
                network.run(.milliseconds(300))
            }
            for _ in 0..<20 {
                network.disturb()
                network.run(.seconds(1))
            }
            network.run(.seconds(20))
            network.checkQuiet()
            #expect(network.outcomes.count == calls)
            let answered = network.outcomes.count { if case .answered = $0 { true } else { false } }
            switch hostile {
            case .nobody, .client, .proxy: #expect(answered == calls, "seed \(seed)")
            case .target, .links: #expect(answered * 10 >= calls * 9, "seed \(seed)")
            }
            #expect(network.deferred > 0)
        }
    }
}

import Directory
import Requests
import Testing
import Wire

@testable import Relay

/// The storage tests of whole relays on simulated time.
@Suite struct StorageDutyTests {
    private func bench() throws -> RequestBench {
        try RequestBench(relays: 7) {
            ($0.swarms.shards, $0.swarms.size) = (64, 5)
            $0.epochSeconds = 30
        }
    }

    @Test("SW13: the tested node and the tester are in no path to a proxy, and the proxy does not see the tester")
    func sw13Paths() throws {
        let bench = try bench()
        defer { bench.close() }
        let (own, others) = (bench.relays[0], bench.relays.dropFirst())
        for proxy in others {
            for target in others where target !== proxy {
                for _ in 0..<20 {
                    let drawn = own.watching.choice.requestPath(to: proxy.node, avoiding: target.node)
                    let path = try #require(drawn)
                    #expect(path.count >= 2 && path.last == proxy.node && path.first != proxy.node)
                    #expect(!path.contains(target.node) && !path.contains(own.node))
                }
            }
        }
        #expect(!own.watching.choice.proxies.isEmpty)
        #expect(own.watching.choice.proxies.allSatisfy { $0.id != own.node })
    }

    @Test("SW13: relays store test items at each other by onion requests, and find them again")
    func sw13Tests() throws {
        let bench = try bench()
        defer { bench.close() }
        let isTested = bench.run(for: .seconds(600)) {
            bench.relays.allSatisfy { relay in
                relay.watching.status.storage.map { $0.boxes == 6 && $0.retention.passed > 2 } ?? false
            }
        }
        #expect(isTested)
        for relay in bench.relays {
            let found = try #require(relay.watching.status.storage)
            #expect(found.dead == 0 && found.retention.failed == 0 && found.acceptance.failed == 0)
            #expect(relay.nodeTests.contains { $0.storage != nil })
        }
    }
}

import Directory
import Link
import OnionCrypto
import Testing
import Wire

@testable import Links
@testable import Relay

/// Builds of strangers that flood a relay, beside those of a newcomer: the rates and the queue together, on simulated
/// time.
@Suite struct BuildFloodTests {
    /// A relay that opens a build each millisecond, as many as it admits, beside sources that send four times as many.
    private struct Bench {
        private var rates: BuildRates
        private var waiting = BuildService.queue((source: LinkSource, number: Int).self)
        private let flood: Flood
        private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
        private var next = 0
        private var lastBuild = 0

        init(_ flood: Flood) {
            let configuration = LinksConfiguration(
                network: LinkNetwork(id: Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan)), listen: [],
                messages: [])
            rates = BuildRates(NetworkLimits(), configuration, now: now)
            self.flood = flood
            run(for: .seconds(3))
        }

        /// Adds a build; returns its number, or nil if it is refused.
        private mutating func add(_ source: LinkSource, over link: Int) -> Int? {
            let isNode = if case .node = source { true } else { false }
            guard rates.admit(LinkID(rawValue: UInt32(link)), of: source, isNode: isNode, now: now) else { return nil }
            lastBuild += 1
            let dropped = waiting.add((source, lastBuild), from: Asker(source))
            return dropped?.number == lastBuild ? nil : lastBuild
        }

        /// A millisecond of the flood, after which `ask` adds the newcomer's build if it is to have one; says whether that
        /// build has gone on to the next hop in it.
        private mutating func step(ask: (inout Bench) -> Int? = { _ in nil }) -> Bool {
            for _ in 0..<4 {
                let source = next % flood.sources
                // Each source has 16 links.
                _ = add(flood.source(source), over: source * 16 + next / flood.sources % 16)
                next += 1
            }
            let honest = ask(&self)
            now = now + .milliseconds(1)
            guard let (_, build) = waiting.take() else { return false }
            guard build.number == honest || flood.hasNextHop else { return false }
            // Without a part of the way to the next hop it has had its turn in vain.
            return rates.admitOnward(over: LinkID(rawValue: 1 << 30), of: build.source, now: now)
                && build.number == honest
        }

        mutating func run(for time: TimeSpan) {
            let end = now + time
            while now < end { _ = step() }
        }

        /// The time until a build of `source` has gone on to the next hop, which it tries every 250 ms; nil if that
        /// takes more than five seconds.
        mutating func wait(of source: LinkSource, over link: Int) -> TimeSpan? {
            let begun = now
            var (honest, nextTry) = (Int?.none, now)
            while now - begun < .seconds(5) {
                let isThere = step { bench in
                    if bench.now >= nextTry {
                        honest = bench.add(source, over: link)
                        nextTry = bench.now + .milliseconds(250)
                    }
                    return honest
                }
                if isThere { return now - begun }
            }
            return nil
        }
    }

    /// The sources of a flood.
    struct Flood {
        var sources: Int
        /// Whether each is a network, or a /56 of which 256 are a /48.
        var areNetworks: Bool
        /// Whether all builds go on over the link that the newcomer's go over.
        var hasNextHop = true

        func source(_ number: Int) -> LinkSource {
            .client(
                AddressShare(
                    areNetworks
                        ? IPAddress(v4: 0x0a00_0000 + UInt32(number) << 8)
                        : IPAddress(high: 0x2001_0db8_0000_0000 + UInt64(number) << 8, low: 1)))
        }
    }

    private static let node = LinkSource.node(Bytes32(copying: [UInt8](repeating: 1, count: 32).rawSpan))

    @Test(
        "s17: builds of 1, 20 and 1,000 sources, of one network or of many, let a newcomer's through within 5 s",
        arguments: [
            Flood(sources: 1, areNetworks: false), Flood(sources: 20, areNetworks: false),
            Flood(sources: 256, areNetworks: false), Flood(sources: 1_000, areNetworks: false),
            Flood(sources: 20, areNetworks: true), Flood(sources: 1_000, areNetworks: true, hasNextHop: false),
        ])
    func newcomer(flood: Flood) throws {
        var bench = Bench(flood)
        for number in 0..<5 {
            let client = LinkSource.client(AddressShare(IPAddress(v4: 0x0b00_0000 + UInt32(number) << 8)))
            let time = bench.wait(of: number == 0 ? Self.node : client, over: 20_000 + number)
            let waited = try #require(time)
            // A try may find the bucket empty while many sources take their parts at the beginning of a second.
            #expect(flood.areNetworks || waited <= .milliseconds(600))
        }
    }

    @Test("s17: a network with many sources has one part of the rate of builds", arguments: [20, 256, 1_000])
    func partOfANetwork(sources: Int) {
        var bench = Bench(Flood(sources: sources, areNetworks: false))
        // A node brings the builds of all clients behind it: here 20 in a second.
        let begun = bench.now
        for _ in 0..<60 {
            guard let waited = bench.wait(of: Self.node, over: 30_000) else { break }
            bench.run(for: .milliseconds(50) - waited)
        }
        #expect(bench.now - begun <= .milliseconds(3_500))
    }
}

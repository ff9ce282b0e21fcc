import Directory
import Links
import Testing
import Wire

@testable import Client
@testable import Relay

/// The death of the guard in use while the other guard is passed over.
@Suite struct GuardDeathTests {
    @Test(
        "R7: when a guard dies while the other one is passed over, streams go on and new ones open within 4 s",
        arguments: 1...4 as ClosedRange<UInt64>)
    func otherIsPassedOver(seed: UInt64) throws {
        let network = try Network(seed: seed, relays: 9, exits: 3)
        defer { network.close() }
        network.adjustClient = { $0.sparePaths = 6 }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let client = try #require(user.client)
        let app = try user.begin(Transfer(kind: .echo, seed: seed, length: 100_000, piece: 100, pause: .seconds(0.1)))
        #expect(network.run(30) { client.sessions.all.first?.paths.count == 2 && app.state == .moving })
        let session = try #require(client.sessions.all.first)
        let guards = client.directory.guards.primaries.map(\.node)
        let used = try #require(network.nodes.first { $0.id == guards[0] })
        let other = try #require(network.nodes.first { $0.id == guards[1] })
        // The other guard ends paths too soon.
        let pool = client.pool
        for path in pool.all where path.entry == other.id && path.state == .ready {
            if let link = path.link { pool.destroy(path.pathID, from: link) }
        }
        let isMoved = network.run(10) {
            session.paths.count == 2 && pool.all.allSatisfy { $0.entry == used.id && $0.state == .ready }
        }
        // It restarts, and there is no new link to it.
        other.die()
        network.run(15)
        try other.start()
        network.run(2)
        #expect(isMoved && pool.passedOver == other.id && pool.links.existingLink(to: other.id) == nil)

        used.die()
        let died = network.time
        var last = (count: app.received, at: died)
        var (longest, new) = (0.0, nil as App?)
        network.run(30) {
            if app.received > last.count { last = (app.received, network.time) }
            longest = max(longest, network.time - last.at)
            if new == nil, network.time > died + 0.3 {
                // Early bytes may have reached the dead path's exit, so that no other exit would be asked.
                let plan = Transfer(kind: .echo, seed: seed + 1, length: 1_000, isEarly: false)
                new = try? user.begin(plan, isolation: 1)
            }
            return new?.isOver == true && network.time > died + 15
        }
        let opened = try #require(new)
        let time = opened.lastProgress - died
        #expect(longest < 4 && app.state == .moving, "\(longest) s, \(app.state)")
        #expect(opened.state == .done && time < 4, "\(time) s, \(opened.state)")
        #expect(Set(client.directory.guards.sample.map(\.node)) == Set(guards), "no third guard comes into use")
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

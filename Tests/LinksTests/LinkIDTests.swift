import EventLoop
import Testing
import Wire

@testable import Link
@testable import Links
@testable import OnionCrypto

/// The ids of links, by which late answers find their link.
@Suite struct LinkIDTests {
    private let now = Instant(nanoseconds: 0)

    private func table(_ capacity: Int) -> LinkTable {
        LinkTable(capacity: capacity, packetSize: Packet.defaultSize, worker: 0, now: now)
    }

    private func insert(into table: inout LinkTable) -> LinkID? {
        table.insert(
            nil, sendKey: LinkSendKey(.chacha20poly1305, .random(), remoteIndex: 4_321), liveness: Liveness(now: now),
            address: SocketAddress(ipv4: 0x0a00_0001, port: 7), mayMove: false)
    }

    private func linked(_ table: inout LinkTable) throws -> LinkID {
        let link = insert(into: &table)
        return try #require(link)
    }

    @Test("While few places are free a link gets an unused one, so that an id comes back only after many others")
    func unusedPlaces() throws {
        var table = table(1_000)
        var link = try linked(&table)
        var places = [link.place]
        for _ in 0..<256 + 2 * 257 {
            table.remove(link)
            link = try linked(&table)
            places.append(link.place)
        }
        // Then the table grows no more: the place that was free for longest is used next.
        #expect(places == (0..<3 * 257).map { $0 % 257 })
        let used = table.placesUsed
        #expect(used == 257)
    }

    @Test("When all places were used, the one that was free for longest is used next") func places() throws {
        var table = table(6)
        var links: [LinkID] = []
        for _ in 0..<6 { links.append(try linked(&table)) }
        var more = insert(into: &table)
        #expect(more == nil)
        for number in [4, 1, 2] { table.remove(links[number]) }
        for number in [4, 1, 2] {
            let link = try linked(&table)
            #expect(link.place == links[number].place && link != links[number])
        }
        more = insert(into: &table)
        #expect(more == nil)
    }

    @Test("A node gives the next clients other places than those of links that are gone") func clients() throws {
        let harness = try Harness()
        let node = try harness.node()
        func link() throws -> (client: Side, far: LinkID) {
            let client = try harness.client()
            return (client, try harness.connect(client, node).far)
        }
        let before = try (0..<3).map { _ in try link() }
        for (client, far) in before {
            for id in client.links.list.all.map(\.id) { client.links.close(id) }
            #expect(harness.run { node.links.peer(of: far) == nil })
        }
        let places = Set(before.map(\.far.place))
        for _ in before { #expect(!places.contains(try link().far.place)) }
    }
}

import Testing

@testable import Links

/// The ids of links, by which late answers find their link.
@Suite struct LinkIDTests {
    @Test("The place that was free for longest is used next, so that an id comes back only after many others")
    func places() throws {
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
        for (_, far) in before { #expect(try link().far.place == far.place) }
    }
}

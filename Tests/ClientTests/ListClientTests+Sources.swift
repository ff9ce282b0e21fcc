import Directory
import LoopTesting
import Testing
import Wire

@testable import Client

/// Nodes whose word does not count, and nodes that keep descriptors of a list back.
extension ListClientTests {
    @Test("s11: nodes of the network file that are staked no more do not vouch for a version")
    func unstakedVouchers() throws {
        let world = try DirectoryWorld(9, strangers: 3, isSimulated: true)
        let list = try list(world, round: 5, by: 0..<6)
        for node in world.nodes { node.list = list }
        #expect(world.start())
        #expect(world.directory.lists.used?.digest == list.digest)
        let marker = world.nodes[3]
        let usual = try #require(world.directory.descriptor(of: marker.id)).onionKey
        let marked = try Self.version(of: marker, world)
        for node in world.nodes.suffix(3) {
            node.descriptors = node.descriptors.filter { $0.descriptor.node != marker.id } + [marked]
            ask(node, world)
            world.directory.heard(marked.bytes, of: marker.id, from: node.id)
        }
        #expect(world.directory.descriptor(of: marker.id)?.onionKey == usual)
        #expect(!world.directory.descriptors.hasFresh(of: [marker.id]))
        // Three staked nodes' word counts.
        for node in world.nodes.prefix(3) { world.directory.heard(marked.bytes, of: marker.id, from: node.id) }
        #expect(world.directory.descriptor(of: marker.id)?.onionKey == marked.descriptor.onionKey)
    }

    @Test(
        "s11: a list of which a node keeps descriptors back is used as soon as another node sends them",
        arguments: [false, true])
    func keptBack(isRepeating: Bool) throws {
        let world = try DirectoryWorld(9, isSimulated: true)
        let old = try list(world, round: 5, by: 0..<9)
        for node in world.nodes { node.list = old }
        #expect(world.start())
        #expect(world.loop.run { world.directory.lists.used?.digest == old.digest })
        let renewed = Set(world.nodes[2...4].map(\.id))
        let last = world.nodes[8]
        let usual = last.descriptors
        last.descriptors =
            try last.descriptors.filter { !renewed.contains($0.descriptor.node) }
            + world.nodes[2...4].map { try Self.version(of: $0, world) }
        let news = try list(world, round: 6, by: 0..<9)
        // No node tells of the new versions but with the list.
        last.descriptors = usual
        last.list = news
        ask(last, world)
        #expect(world.directory.lists.offers.all.map(\.digest) == [news.digest])
        // Without two of the three, less than four fifths of the weight would be known.
        let hostile = world.nodes[0]
        let shown = try #require(news.descriptors.first { renewed.contains($0.descriptor.node) })
        hostile.list = news
        hostile.answersListed = Array(repeating: shown, count: isRepeating ? 3 : 1)
        ask(hostile, world)
        #expect(world.directory.lists.used?.digest == old.digest)
        world.nodes[1].list = news
        ask(world.nodes[1], world)
        #expect(world.directory.lists.used?.digest == news.digest)
    }
}

import Directory
import Foundation
import LoopTesting
import Store
import Testing
import Wire

@testable import EventLoop
@testable import Relay

/// Others take each descriptor that a node makes: it has a later time than the one before, also after a restart.
@Suite struct PublicationTests {
    private func published(_ harness: RelayHarness) -> UInt64? {
        harness.relay.directory.nodes.descriptors.descriptor(of: harness.node, at: UnixTime(seconds: 0))?
            .descriptor.published.seconds
    }

    @Test("s27: a relay that is restarted within a second publishes a later descriptor, with its new onion key")
    func s27_restartedAtOnce() throws {
        let folder = NSTemporaryDirectory() + "tunic-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try Store(folder: folder)
        let harness = try RelayHarness(store: store)
        for _ in 0..<3 {
            let before = try #require(published(harness))
            try harness.restart(store: store)
            #expect(published(harness).map { $0 > before } == true)
            let held = harness.relay.directory.nodes.descriptor(of: harness.node)
            #expect(held?.descriptor.onionKey == harness.relay.builds.onionKey)
        }
    }

    @Test("s27: a relay that hears of a descriptor of its own that it has not kept publishes a later one")
    func s27_unknownDescriptor() throws {
        let harness = try RelayHarness()
        let before = try #require(published(harness))
        harness.relay.publication.follow(UnixTime(seconds: before + 300))
        #expect(harness.run(for: .seconds(3)) { published(harness) == before + 301 })
        // It is no reason for another one.
        harness.loop.run(for: .seconds(30)) { false }
        #expect(published(harness) == before + 301)
    }

    @Test("s27: a relay waits until others take its descriptor, if the one before is as far ahead as they allow")
    func s27_atTheTolerance() throws {
        let harness = try RelayHarness()
        func time() -> UInt64 { harness.loop.wallClock / 1_000_000_000 }
        let latest = time() + DescriptorStore.clockTolerance
        let publication = harness.relay.publication
        publication.follow(UnixTime(seconds: latest))
        let early = publication.renew(onionKey: harness.relay.builds.onionKey).descriptor.published
        #expect(early.seconds == latest + 1 && publication.isDue)
        // The relay tries again each second.
        #expect(harness.run(for: .seconds(3)) { published(harness) == latest + 1 })
        #expect(!publication.isDue)
    }
}

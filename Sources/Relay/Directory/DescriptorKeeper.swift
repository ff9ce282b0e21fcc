internal import Directory
internal import EventLoop
internal import Links
internal import Store
internal import Wire

/// Writes descriptors that are news to the store, some at a time, and what could not be written again.
final class DescriptorKeeper {
    private static let checkpointPause = TimeSpan.seconds(600)

    private let links: Links
    private let nodes: KnownNodes
    private let store: Store?
    /// Why the last write to the store failed; nil when it did not.
    private(set) var error: StoreError?
    private var savedGeneration: UInt64
    private var nextSave = Instant(nanoseconds: 0)
    /// Moves the store's log into its database, away from the loop.
    private let checkpoint: StoreCheckpoint?
    private var nextCheckpoint: Instant

    /// Keeps the descriptors of `nodes` in `store`, which has those that there are now.
    init(links: Links, nodes: KnownNodes, store: Store?) throws {
        self.links = links
        self.nodes = nodes
        self.store = store
        checkpoint = try store?.checkpointElsewhere()
        nextCheckpoint = links.now + Self.checkpointPause
        savedGeneration = nodes.descriptors.generation
    }

    /// Writes what is due; to be called every second.
    func tick() { if links.now >= nextSave { save(limit: 64) } }

    /// Writes all that has changed, at the end.
    func saveAll() { save(limit: .max) }

    private func save(limit: Int) {
        let now = links.now
        nextSave = now + .seconds(10)
        if now >= nextCheckpoint, let checkpoint {
            nextCheckpoint = now + Self.checkpointPause
            links.loop.work {
                (try? checkpoint.run()) != nil
            } completion: { _ in
            }
        }
        let descriptors = nodes.descriptors
        guard let store, descriptors.generation != savedGeneration else { return }
        let (list, upTo) = descriptors.arrivals(after: savedGeneration, limit: limit)
        do throws(StoreError) {
            try store.addDescriptors(list)
            if upTo == descriptors.generation {
                try store.removeExpiredDescriptors(at: links.time)
            } else {
                nextSave = now + .seconds(1)
            }
            savedGeneration = upTo
            error = nil
        } catch {
            self.error = error
            nextSave = now + .seconds(3)
        }
    }
}

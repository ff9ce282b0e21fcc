internal import Directory
internal import EventLoop
internal import Links
internal import Store
internal import Wire

/// Writes new descriptors to the store, some at a time, and repeats writes that failed.
final class DescriptorKeeper {
    private static let checkpointPause = TimeSpan.seconds(600)

    private let links: Links
    private let nodes: KnownNodes
    private let store: Store?
    /// The error of the last write to the store; nil if it succeeded.
    private(set) var error: StoreError?
    private var savedGeneration: UInt64
    private var nextSave = Instant(nanoseconds: 0)
    /// Moves the store's log into its database, on another thread.
    private let checkpoint: StoreCheckpoint?
    private var nextCheckpoint: Instant

    /// Keeps the descriptors of `nodes` in `store`, which must already hold the present ones.
    init(links: Links, nodes: KnownNodes, store: Store?) throws {
        self.links = links
        self.nodes = nodes
        self.store = store
        checkpoint = try store?.checkpointElsewhere()
        nextCheckpoint = links.now + Self.checkpointPause
        savedGeneration = nodes.descriptors.generation
    }

    /// Writes descriptors that are due.
    ///
    /// To be called every second.
    func tick() { if links.now >= nextSave { save(limit: 64) } }

    /// Writes all changes.
    ///
    /// To be called at the end.
    func saveAll() { save(limit: .max) }

    private func save(limit: Int) {
        let now = links.now
        nextSave = now + .seconds(10)
        if now >= nextCheckpoint, let checkpoint {
            nextCheckpoint = now + Self.checkpointPause
            links.loop.work {
                // After a failure the log grows until the next try; a disk that is full fails the next write too.
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

internal import Directory
internal import Logging
internal import OnionCrypto
internal import Store
internal import Wire

/// Saves the client's knowledge of the network in its store.
///
/// A failed write is logged once and tried again after ten seconds; the state in memory stays in use.
struct DirectoryKeeper {
    private static let listFile = "descriptors.list"
    /// How many descriptors are written at a time, so that a write does not delay the loop.
    private static let batch = 200
    /// How many seconds of the wait for the next question to a node that is not a guard may be lost.
    private static let checkStep: UInt64 = 600

    /// The store; with nil nothing is saved.
    let store: Store?
    private let network: Bytes32
    private let log: Logger
    /// The saved state: generations, and the rows of the health.
    private var guardsKept: UInt64, innerKept: UInt64, descriptorsKept: UInt64
    private var healthKept: [NodeRow]
    /// The seconds until the next question to a node that is not a guard, as they were saved.
    private var checkKept: UInt64?
    /// When to check for changes next.
    private var next = Instant(nanoseconds: 0)
    /// Why the last write failed; nil when it did not.
    private(set) var error: StoreError?

    /// Begins with `guards`, `descriptors` and `health` as they were read from `store`.
    init(
        _ store: Store?, network: Bytes32, log: Logger, guards: Guards, descriptors: DescriptorStore, health: NodeHealth
    ) {
        self.store = store
        self.network = network
        self.log = log
        guardsKept = guards.generation
        innerKept = guards.inner.generation
        descriptorsKept = descriptors.generation
        healthKept = health.rows
    }

    /// Whether it is time to check for changes.
    func isDue(at now: Instant) -> Bool { now >= next }

    /// Saves changes: some at a time, or all with `all`.
    mutating func save(
        _ guards: Guards, _ descriptors: DescriptorStore, _ health: NodeHealth, _ trust: SnapshotTrust, all: Bool,
        at now: Instant, time: UnixTime
    ) {
        next = now + .seconds(1)
        guard let store else { return }
        do throws(StoreError) {
            if guards.generation != guardsKept {
                try store.setGuards(guards.rows)
                guardsKept = guards.generation
            }
            if guards.inner.generation != innerKept {
                try store.setInnerSet(guards.innerRows)
                innerKept = guards.inner.generation
            }
            if descriptors.generation != descriptorsKept {
                let (list, upTo) = descriptors.arrivals(after: descriptorsKept, limit: all ? .max : Self.batch)
                try store.addDescriptors(list)
                if upTo == descriptors.generation { try store.removeExpiredDescriptors(at: time) }
                descriptorsKept = upTo
            }
            try saveCheck(trust, all: all, at: now, in: store)
            let rows = health.rows
            if rows != healthKept {
                try store.setHealth(rows)
                healthKept = rows
                next = now + .seconds(10)
            }
            if error != nil { log.notice("the data folder can be written to again") }
            error = nil
        } catch {
            if self.error == nil { warn(error) }
            self.error = error
            next = now + .seconds(10)
        }
    }

    /// Saves the seconds until the next question to a node that is not a guard: now and then, or at once with `all`.
    private mutating func saveCheck(
        _ trust: SnapshotTrust, all: Bool, at now: Instant, in store: Store
    ) throws(StoreError) {
        let left = UInt64(clamping: (trust.nextIndependentCheck - now).nanoseconds / 1_000_000_000)
        if let kept = checkKept, left <= kept, !all, kept - left < Self.checkStep { return }
        guard left != checkKept else { return }
        var writer = ByteWriter(capacity: 8)
        writer.u64(left)
        try store.setValue(writer.bytes, for: SnapshotTrust.keptName)
        checkKept = left
    }

    /// Saves the trusted snapshot of `chain`, and the one that led to it.
    func keep(_ chain: SnapshotChain) {
        let kept = Store.TrustedSnapshot(
            network: network, height: chain.highWaterMark.height, digest: chain.highWaterMark.digest,
            bytes: chain.trusted.encoded())
        do throws(StoreError) {
            let earlier = chain.earlier.map { [SnapshotChain.Earlier.keptName: $0.encoded()] }
            try store?.setTrustedSnapshot(kept, with: earlier ?? [:])
        } catch {
            warn(error)
        }
    }

    /// Saves the list of descriptors in use.
    func keep(_ list: DescriptorList) {
        guard let path = store?.path(of: Self.listFile) else { return }
        let bytes = network.array + list.encoded()
        do throws(StoreError) { try StateFile.write(bytes, to: path) } catch { warn(error) }
    }

    /// The list of descriptors that was in use before a restart; nil if there is none.
    ///
    /// Without it, one hostile guard could say that there is no list.
    func keptList() -> DescriptorList? {
        guard let path = store?.path(of: Self.listFile) else { return nil }
        let bytes: [UInt8]
        do throws(StoreError) {
            bytes = try StateFile.read(path)
        } catch .missing {
            return nil
        } catch {
            log.warning("the list of descriptors that was kept cannot be read", metadata: ["error": "\(error)"])
            return nil
        }
        var reader = ByteReader(bytes.rawSpan)
        guard let id = try? reader.bytes32(), id == network, let list = try? DescriptorList(from: &reader),
            reader.remaining == 0
        else {
            log.warning("the list of descriptors that was kept is damaged")
            return nil
        }
        return list
    }

    private func warn(_ error: StoreError) {
        log.warning("the data folder cannot be written to", metadata: ["error": "\(error)"])
    }
}

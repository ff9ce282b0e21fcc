import Synchronization

/// What each worker of a node has sent, what has passed it, and what it may send, since limits are on the sum of all
/// workers.
///
/// Each worker writes its counts once a batch, and reads its ceiling. Worker 0, whose own numbers are not here, reads
/// the counts and writes the ceilings a few times in a second. All accesses are relaxed: each word stands for itself,
/// and one that is read late moves a pause by a batch.
@safe
public final class SendShares: Sendable {
    /// How many workers there are.
    public let workers: Int
    /// For each worker two cache lines of its own, of which three words are used.
    ///
    /// The memory is this object's own, and used by atomic operations alone.
    nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// Two cache lines: processors fetch them in pairs.
    private static let space = 128
    private static let stride = space / MemoryLayout<Atomic<UInt64>>.stride
    private static let count = 0
    private static let ceiling = 1
    private static let passed = 2

    /// Nothing was sent, and there is no limit.
    public init(workers: Int) {
        precondition((1...DatagramGroup.mostWorkers).contains(workers), "1 to 16 workers")
        self.workers = workers
        let memory = UnsafeMutableRawPointer.allocate(byteCount: workers * Self.space, alignment: Self.space)
        unsafe words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: workers * Self.stride)
        for place in 0..<workers * Self.stride {
            unsafe (words + place).initialize(to: Atomic(place % Self.stride == Self.ceiling ? .max : 0))
        }
    }

    deinit {
        unsafe words.deinitialize(count: workers * Self.stride)
        unsafe UnsafeMutableRawPointer(words).deallocate()
    }

    private func place(_ worker: Int, _ word: Int) -> Int {
        precondition(worker >= 0 && worker < workers, "no such worker")
        return worker * Self.stride + word
    }

    private func load(_ worker: Int, _ word: Int) -> UInt64 {
        unsafe words[place(worker, word)].load(ordering: .relaxed)
    }

    private func store(_ value: UInt64, _ worker: Int, _ word: Int) {
        unsafe words[place(worker, word)].store(value, ordering: .relaxed)
    }

    /// Tells how many packets a worker has sent so far, and how many have passed it in and out; true if it has sent what
    /// it may.
    public func note(_ sent: UInt64, passed: UInt64, of worker: UInt8) -> Bool {
        let worker = Int(truncatingIfNeeded: worker)
        store(sent, worker, Self.count)
        store(passed, worker, Self.passed)
        return sent >= load(worker, Self.ceiling)
    }

    /// What all workers but worker 0 have sent so far.
    public var othersTotal: UInt64 { (1..<workers).reduce(0) { $0 &+ load($1, Self.count) } }

    /// What has passed all workers but worker 0 so far.
    public var othersPassed: UInt64 { (1..<workers).reduce(0) { $0 &+ load($1, Self.passed) } }

    /// Lets each worker but worker 0 send so many more packets; nil: any number.
    public func allowOthers(_ packets: UInt64?) {
        for worker in 1..<workers {
            store(packets.map { load(worker, Self.count) &+ $0 } ?? .max, worker, Self.ceiling)
        }
    }
}

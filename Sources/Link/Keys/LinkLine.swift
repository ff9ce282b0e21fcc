internal import OnionCrypto
internal import Synchronization

/// The sending side of one generation of a link's keys, as far as several threads share it: where packets go, the secret of the
/// header's key, and the counter of the packets sealed.
///
/// A thread that sends makes a ``LinkSender`` of it. The secret is wiped when the last of them, and the link, let go of the line. It
/// stays until then although a sole sender has expanded it: it opens no more than the expanded key beside it, and a secret that can
/// go earlier would be state that changes under several threads.
@safe public final class LinkLine: Sendable {
    /// The receiver index that the peer chose, written to outgoing packets.
    public let remoteIndex: UInt32
    let suite: Suite
    let secret: Secret
    /// The next link counter, alone in its cache lines: nothing that is only read waits for those who count.
    ///
    /// Its top bit says that the line is over. The memory is the line's own, and used by atomic operations alone.
    nonisolated(unsafe) let counter: UnsafeMutablePointer<Atomic<UInt64>>
    /// How many senders share the counter, or ``LinkLine/isSole``.
    private let senders = Atomic<Int>(0)

    private static let isSole = -1
    /// Two cache lines: processors fetch them in pairs.
    static let counterSpace = 128
    /// A word from which no counter can be taken, and which nobody writes.
    nonisolated(unsafe) static let alwaysOver: UnsafeMutablePointer<Atomic<UInt64>> = {
        // In cache lines of its own as well: beside memory that is written it would be as slow as a word that is.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: counterSpace, alignment: counterSpace)
        let word = unsafe memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        unsafe word.initialize(to: Atomic(over))
        return unsafe word
    }()
    /// A counter with this bit belongs to no packet.
    @usableFromInline static let over: UInt64 = 1 << 63

    /// A line whose packets are sealed under `secret`, from counter 0 on.
    init(_ suite: Suite, _ secret: consuming Secret, remoteIndex: UInt32) {
        self.suite = suite
        self.secret = secret
        self.remoteIndex = remoteIndex
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.counterSpace, alignment: Self.counterSpace)
        unsafe counter = memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        unsafe counter.initialize(to: Atomic(0))
    }

    /// The line of one side of new keys: its header key for the packets that it sends.
    convenience init(_ split: borrowing SplitKeys, isInitiator: Bool, suite: Suite, remoteIndex: UInt32) {
        let secret = isInitiator ? split.initiator.derive("header") : split.responder.derive("header")
        self.init(suite, secret, remoteIndex: remoteIndex)
    }

    deinit {
        unsafe counter.deinitialize(count: 1)
        unsafe UnsafeMutableRawPointer(counter).deallocate()
    }

    /// How many counters were taken; 2^63 or more of a line that is over.
    public var taken: UInt64 { unsafe counter.pointee.load(ordering: .relaxed) }

    /// Whether no more packets are sealed.
    public var isOver: Bool { unsafe counter.pointee.load(ordering: .relaxed) >= Self.over }

    /// Ends the line: a sender that takes counters afterwards gets none, on any thread.
    ///
    /// Packets whose counters were taken before may still be on their way to the peer. A line with a sole sender must be ended by the
    /// sender's thread: from another one, the sender's store could undo it. The line does not check that.
    public func retire() { _ = unsafe counter.pointee.exchange(Self.over, ordering: .relaxed) }

    /// Takes counters for one of several senders by one atomic addition; nil for a sole sender, which has found too few left.
    ///
    /// A line with too few counters left for a run is over. It stays out of the sender, which a call would have the compiler copy.
    @usableFromInline @inline(never)
    func takeShared(_ count: Int) -> UInt64? {
        guard senders.load(ordering: .relaxed) != Self.isSole else {
            retire()
            return nil
        }
        let result = unsafe counter.pointee.add(UInt64(truncatingIfNeeded: count), ordering: .relaxed)
        return result.newValue < Self.over ? result.oldValue : nil
    }

    /// Counts a sender in: any number that share the counter, or one alone.
    func admit(sole: Bool) {
        if sole {
            let isFirst = senders.compareExchange(expected: 0, desired: Self.isSole, ordering: .relaxed).exchanged
            precondition(isFirst, "a sole sender is the line's only one")
        } else {
            let before = senders.add(1, ordering: .relaxed).oldValue
            precondition(before >= 0, "the line has a sole sender")
        }
    }
}

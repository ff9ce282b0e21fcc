internal import OnionCrypto
internal import Synchronization

/// The header key for the packets that this end sends under one generation of a link's keys, and the link counter under
/// it.
///
/// Several threads may share it: each makes a ``LinkSender`` of it, which expands the key. The secret is wiped when the
/// last sender and the link's keyring have released this object. It stays after a sole sender has expanded it, because
/// it gives an attacker no more than the expanded key does, and to wipe it earlier would take a lock.
@safe public final class LinkSendKey: Sendable {
    /// The receiver index that the peer chose, written to outgoing packets.
    public let remoteIndex: UInt32
    let suite: Suite
    let secret: Secret
    /// The next link counter; its top bit (``over``) says that the key is over.
    ///
    /// It has two cache lines of its own, so that threads that only read the other members do not wait for those that
    /// count. This object owns the memory, which only atomic operations touch.
    nonisolated(unsafe) let counter: UnsafeMutablePointer<Atomic<UInt64>>
    /// The number of senders that share the counter, or ``isSole``.
    private let senders = Atomic<Int>(0)

    private static let isSole = -1
    /// Two cache lines in bytes: processors fetch them in pairs.
    static let counterSpace = 128
    /// A counter that is always over.
    ///
    /// Nobody writes it: a sender that is not sole reads it in place of a counter of its own.
    nonisolated(unsafe) static let alwaysOver: UnsafeMutablePointer<Atomic<UInt64>> = {
        // In cache lines of its own: beside memory that is written, each read would fetch the line again.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: counterSpace, alignment: counterSpace)
        let word = unsafe memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        unsafe word.initialize(to: Atomic(over))
        return unsafe word
    }()
    /// The bit of ``counter`` that ends the key; no packet's counter has it.
    @usableFromInline static let over: UInt64 = 1 << 63

    /// A key whose packets are sealed under `secret`, from counter 0 on.
    init(_ suite: Suite, _ secret: consuming Secret, remoteIndex: UInt32) {
        self.suite = suite
        self.secret = secret
        self.remoteIndex = remoteIndex
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.counterSpace, alignment: Self.counterSpace)
        unsafe counter = memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        unsafe counter.initialize(to: Atomic(0))
    }

    /// The send key of the initiator or the responder of a handshake.
    convenience init(_ split: borrowing SplitKeys, isInitiator: Bool, suite: Suite, remoteIndex: UInt32) {
        let secret = isInitiator ? split.initiator.derive("header") : split.responder.derive("header")
        self.init(suite, secret, remoteIndex: remoteIndex)
    }

    deinit {
        unsafe counter.deinitialize(count: 1)
        unsafe UnsafeMutableRawPointer(counter).deallocate()
    }

    /// The number of counters taken; 2^63 or more if the key is over.
    public var taken: UInt64 { unsafe counter.pointee.load(ordering: .relaxed) }

    /// Whether no more packets may be sealed under this key.
    public var isOver: Bool { unsafe counter.pointee.load(ordering: .relaxed) >= Self.over }

    /// Ends the key: a sender that takes counters afterwards gets none, on any thread.
    ///
    /// Packets whose counters were taken before may still leave. If the key has a sole sender, only that sender's
    /// thread may call this: the sender's plain store could undo the end that another thread wrote. This is not
    /// checked.
    public func retire() { _ = unsafe counter.pointee.exchange(Self.over, ordering: .relaxed) }

    /// Takes `count` counters for one of several senders by one atomic addition; returns the first, or nil if the key
    /// is over.
    ///
    /// A key with fewer than `count` counters left is over from then on. A sole sender comes here only then, and gets
    /// nil. This is a method of the key, not of ``LinkSender``: for a call of its own method the compiler would copy
    /// the sender.
    @usableFromInline @inline(never)
    func takeShared(_ count: Int) -> UInt64? {
        guard senders.load(ordering: .relaxed) != Self.isSole else {
            retire()
            return nil
        }
        let result = unsafe counter.pointee.add(UInt64(truncatingIfNeeded: count), ordering: .relaxed)
        return result.newValue < Self.over ? result.oldValue : nil
    }

    /// Registers a sender; traps if a sole sender would not be the only one.
    func admit(sole: Bool) {
        if sole {
            let isFirst = senders.compareExchange(expected: 0, desired: Self.isSole, ordering: .relaxed).exchanged
            precondition(isFirst, "a sole sender is the send key's only one")
        } else {
            let before = senders.add(1, ordering: .relaxed).oldValue
            precondition(before >= 0, "the send key has a sole sender")
        }
    }
}

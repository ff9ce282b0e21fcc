import CLibUV
internal import DequeModule
import Synchronization

/// Messages from other threads, received on a loop.
///
/// A mailbox has a lane for each source. The messages of one source arrive in the order in which they were sent; those
/// of different sources arrive in any order. Each lane has its own bound and its own lock, so a source that sends too
/// much loses its own messages, and sources do not wait for each other. No lock is held while a message is received. In
/// one turn of the loop each lane delivers a bounded number of messages, so that timers and sockets do not wait for
/// all.
///
/// On a loop on simulated time, messages are received after a delay that the world's seed decides.
public final class Mailbox<Message: Sendable> {
    /// The sending end of one source, for any thread.
    public struct Sender: Sendable {
        fileprivate let lane: MailboxLane<Message>

        /// Queues a message and wakes the loop; false if the source's lane is full, or the mailbox closed.
        ///
        /// The lane counts as full when it has room for `reserve` more messages, which others of the source may need.
        @discardableResult
        public func send(_ message: Message, reserve: Int = 0) -> Bool { lane.send(message, reserve) }

        /// How many of the source's messages wait; the loop may still be receiving the ones before.
        public var waitingCount: Int { lane.waitingCount }

        /// Whether the mailbox is closed, so that no message will be received.
        public var isClosed: Bool { lane.isClosed }
    }

    private let lanes: [MailboxLane<Message>]
    private let receiver: MailboxReceiver<Message>
    private let handle: any MailboxHandle

    /// A mailbox for at most `capacity` waiting messages of each of `sources` sources.
    ///
    /// `receive` is called on the loop, once for each message, at most `inTurn` times for each source in a turn.
    public init(
        on loop: Loop, sources: Int = 1, capacity: Int = 65_536, inTurn: Int = 1_024,
        receive: @escaping (Message) -> Void
    ) throws(UVError) {
        precondition(sources > 0 && inTurn > 0, "a mailbox has a source, and delivers")
        let lanes = (0..<sources).map { _ in MailboxLane<Message>(capacity: capacity) }
        let receiver = MailboxReceiver(lanes, inTurn: inTurn, receive)
        self.lanes = lanes
        self.receiver = receiver
        if let host = loop.host {
            let handle = SimulatedMailbox(on: host, drain: { receiver.drain($0) }, whenClosing: { receiver.close() })
            for (number, lane) in lanes.enumerated() { lane.open(handle.waker(of: number)) }
            self.handle = handle
        } else {
            let handle = try AsyncMailbox(
                on: loop, drain: { for number in lanes.indices { receiver.drain(number) } },
                whenClosing: { receiver.close() })
            for lane in lanes { lane.open(handle.waker) }
            self.handle = handle
        }
    }

    /// The end to pass to the first source, or the only one.
    public var sender: Sender { sender(of: 0) }

    /// The end to pass to a source.
    public func sender(of source: Int) -> Sender { Sender(lane: lanes[source]) }

    /// Closes the mailbox: releases the callback and refuses later messages; has no effect the second time.
    ///
    /// Returns the messages that were sent and will not be received.
    @discardableResult
    public func close() -> [Message] {
        handle.close()
        return receiver.takeLeft()
    }
}

/// The messages of one source, shared by its thread and the loop's.
private final class MailboxLane<Message: Sendable>: Sendable {
    private struct Contents {
        var messages = Deque<Message>()
        /// Whether `messages` has had more than a batch keeps memory for.
        var wasLong = false
        /// Set while the loop may be woken; called with the lock held, so never after the close.
        var waker: MailboxWaker?
    }

    private let contents = Mutex(Contents())
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    var waitingCount: Int { contents.withLock { $0.messages.count } }
    var isClosed: Bool { contents.withLock { $0.waker == nil } }

    func open(_ waker: MailboxWaker) { contents.withLock { $0.waker = waker } }

    func send(_ message: Message, _ reserve: Int) -> Bool {
        contents.withLock { contents in
            guard let waker = contents.waker, contents.messages.count < capacity - reserve else { return false }
            contents.messages.append(message)
            if contents.messages.count == 1 { waker.wake() }
            return true
        }
    }

    /// Moves the first `most` waiting messages to `batch`, which is empty, and wakes the loop again for the others.
    func take(_ most: Int, to batch: inout Deque<Message>) {
        contents.withLock { contents in
            contents.wasLong = contents.wasLong || contents.messages.count > MailboxReceiver<Message>.keptCapacity
            guard contents.messages.count > most else {
                guard contents.wasLong else { return swap(&contents.messages, &batch) }
                // The memory of a long lane goes.
                batch.append(contentsOf: contents.messages)
                contents.messages = []
                return contents.wasLong = false
            }
            batch.append(contentsOf: contents.messages.prefix(most))
            contents.messages.removeFirst(most)
            contents.waker?.wake()
        }
    }

    /// Refuses later messages, and returns those that wait.
    func close() -> [Message] {
        contents.withLock { contents in
            contents.waker = nil
            let left = Array(contents.messages)
            contents.messages = []
            return left
        }
    }
}

/// The loop's end of the lanes.
private final class MailboxReceiver<Message: Sendable> {
    private let lanes: [MailboxLane<Message>]
    private let inTurn: Int
    private var receive: ((Message) -> Void)?
    /// The messages of the lane that is being received, and how many of them have been.
    private var batch = Deque<Message>()
    private var received = 0
    private var left: [Message] = []

    /// The most messages for which a batch or lane keeps its memory.
    static var keptCapacity: Int { 4_096 }

    init(_ lanes: [MailboxLane<Message>], inTurn: Int, _ receive: @escaping (Message) -> Void) {
        self.lanes = lanes
        self.inTurn = inTurn
        self.receive = receive
    }

    func drain(_ lane: Int) {
        guard receive != nil else { return }
        lanes[lane].take(inTurn, to: &batch)
        received = 0
        while received < batch.count, let receive {
            let message = batch[received]
            received += 1
            receive(message)
        }
        batch.removeAll(keepingCapacity: batch.count <= Self.keptCapacity)
    }

    /// Closes all lanes, also in the middle of a batch.
    func close() {
        receive = nil
        left = Array(batch.dropFirst(received))
        batch = []
        for lane in lanes { left += lane.close() }
    }

    /// The messages that were not received before the close; each is returned once.
    func takeLeft() -> [Message] {
        defer { left = [] }
        return left
    }
}

/// Wakes a mailbox's loop, from any thread.
@safe
private enum MailboxWaker: @unchecked Sendable {
    /// `uv_async_send` may be called by any thread; the lane's lock keeps the calls before the handle's close.
    case async(UnsafeMutablePointer<uv_async_t>)
    /// A simulated world and all that uses it run on one thread.
    case simulated(SimulatedMailbox, lane: Int)

    func wake() {
        switch self {
        case .async(let handle): unsafe uv_async_send(handle)
        case .simulated(let mailbox, let lane): mailbox.wake(lane)
        }
    }
}

/// The loop's handle of a mailbox.
private protocol MailboxHandle: AnyObject {
    /// Closes the mailbox; has no effect the second time.
    func close()
}

/// The libuv handle of a mailbox.
@safe
private final class AsyncMailbox: MailboxHandle, HandleOwner {
    private let async: UnsafeMutablePointer<uv_async_t>
    private var drain: (() -> Void)?
    private var whenClosing: (() -> Void)?
    private let loop: Loop

    init(on loop: Loop, drain: @escaping () -> Void, whenClosing: @escaping () -> Void) throws(UVError) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        self.loop = loop
        self.drain = drain
        self.whenClosing = whenClosing
        unsafe async = .allocate(capacity: 1)
        try UVError.check(unsafe uv_async_init(loop.uv, async, mailboxWoken), "uv_async_init")
        unsafe async.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    deinit { unsafe async.deallocate() }

    var waker: MailboxWaker { unsafe .async(async) }

    func woken() { drain?() }

    func close() {
        loop.assertOnThread()
        guard let whenClosing else { return }
        whenClosing()
        self.whenClosing = nil
        drain = nil
        unsafe uv_close(UnsafeMutableRawPointer(async).assumingMemoryBound(to: uv_handle_t.self), mailboxClosed)
    }
}

/// A mailbox of a simulated host's loop.
private final class SimulatedMailbox: MailboxHandle, SimulatedHandle {
    private let host: SimulatedHost
    private var number = 0
    private var drain: ((Int) -> Void)?
    private var whenClosing: (() -> Void)?

    /// The shortest time from the first message to its receipt, and the most that is added to it, in nanoseconds.
    private static let shortestDelay: UInt64 = 1_000
    private static let jitter: UInt64 = 50_000

    init(on host: SimulatedHost, drain: @escaping (Int) -> Void, whenClosing: @escaping () -> Void) {
        self.host = host
        self.drain = drain
        self.whenClosing = whenClosing
        number = host.open(self)
    }

    func waker(of lane: Int) -> MailboxWaker { .simulated(self, lane: lane) }

    func wake(_ lane: Int) {
        let delay = Self.shortestDelay + host.world.random.below(Self.jitter)
        host.call(at: host.world.now + delay, "mail") { [weak self] in self?.drain?(lane) }
    }

    func close() {
        guard let whenClosing else { return }
        whenClosing()
        self.whenClosing = nil
        drain = nil
        host.closed(number)
    }

    func closeOwner() { close() }
}

private func mailboxWoken(_ handle: UnsafeMutablePointer<uv_async_t>?) {
    unsafe Unmanaged<AsyncMailbox>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef { $0.woken() }
}

private func mailboxClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<AsyncMailbox>.fromOpaque(handle!.pointee.data).release()
}

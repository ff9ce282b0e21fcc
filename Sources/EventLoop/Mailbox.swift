import CLibUV
import Synchronization

/// Messages from other threads, received on a loop in the order in which they were sent.
public final class Mailbox<Message: Sendable> {
    /// The sending end, for any thread.
    public struct Sender: Sendable {
        fileprivate let state: MailboxState<Message>

        /// Queues a message and wakes the loop; false if the mailbox is full or closed.
        @discardableResult
        public func send(_ message: Message) -> Bool { state.send(message) }
    }

    /// The end to pass to other threads.
    public let sender: Sender
    private let handle: MailboxHandle

    /// A mailbox for at most `capacity` waiting messages; `receive` is called on the loop, once for each message.
    public init(on loop: Loop, capacity: Int = 65_536, receive: @escaping (Message) -> Void) throws(UVError) {
        let state = MailboxState<Message>(capacity: capacity)
        var batch: [Message] = []
        let handle = try MailboxHandle(
            on: loop,
            drain: {
                state.take(&batch)
                for message in batch { receive(message) }
                batch.removeAll(keepingCapacity: batch.capacity <= 4096)
            }, whenClosing: { state.close() })
        unsafe state.open(handle.async)
        self.handle = handle
        sender = Sender(state: state)
    }

    /// Closes the mailbox: releases the callback and refuses later messages; has no effect the second time.
    ///
    /// Returns the messages that were sent and not received; they will not be.
    @discardableResult
    public func close() -> [Message] {
        let left = sender.state.close()
        handle.close()
        return left
    }
}

/// The state shared by the threads.
private final class MailboxState<Message: Sendable>: Sendable {
    @safe
    private struct Contents {
        var messages: [Message] = []
        /// Set while the loop may be woken; `uv_async_send` is called with the lock held, so never after the close.
        var async: UnsafeMutablePointer<uv_async_t>?
    }

    private let contents = Mutex(Contents())
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    func open(_ async: UnsafeMutablePointer<uv_async_t>) {
        let address = UInt(bitPattern: async)
        contents.withLock { unsafe $0.async = UnsafeMutablePointer(bitPattern: address) }
    }

    func send(_ message: Message) -> Bool {
        contents.withLock { contents in
            guard let async = unsafe contents.async, contents.messages.count < capacity else { return false }
            contents.messages.append(message)
            if contents.messages.count == 1 { unsafe uv_async_send(async) }
            return true
        }
    }

    /// Swaps the waiting messages with an empty array.
    func take(_ batch: inout [Message]) {
        var taken: [Message] = []
        swap(&taken, &batch)
        batch = contents.withLock { contents in
            let messages = contents.messages
            contents.messages = []
            return messages
        }
    }

    @discardableResult
    func close() -> [Message] {
        contents.withLock { contents in
            unsafe contents.async = nil
            let left = contents.messages
            contents.messages = []
            return left
        }
    }
}

/// The libuv handle of a mailbox.
@safe
private final class MailboxHandle: HandleOwner {
    let async: UnsafeMutablePointer<uv_async_t>
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

private func mailboxWoken(_ handle: UnsafeMutablePointer<uv_async_t>?) {
    unsafe Unmanaged<MailboxHandle>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef { $0.woken() }
}

private func mailboxClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<MailboxHandle>.fromOpaque(handle!.pointee.data).release()
}

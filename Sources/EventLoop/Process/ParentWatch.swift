import CLibUV
import Glibc

/// Calls back in a child started with `watchesParent` when the process that holds the other end of a pipe ends.
@safe
public final class ParentWatch: HandleOwner {
    /// The descriptor of the pipe in a child of ``ChildProcess``.
    public static let inheritedDescriptor: Int32 = 3

    private let loop: Loop
    private let descriptor: Int32
    private let poll: UnsafeMutablePointer<uv_poll_t>
    private var onEnd: (() -> Void)?

    /// Watches `descriptor`, which this object owns from then on; `onEnd` is called once, after the other end has been
    /// closed.
    ///
    /// Throws if the descriptor is not a pipe or socket; it is then not closed.
    public init(
        on loop: Loop, descriptor: Int32 = ParentWatch.inheritedDescriptor, onEnd: @escaping () -> Void
    ) throws(UVError) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        self.loop = loop
        self.descriptor = descriptor
        self.onEnd = onEnd
        unsafe poll = .allocate(capacity: 1)
        try UVError.check(fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 ? 0 : -errno, "fcntl")
        try UVError.check(unsafe uv_poll_init(loop.uv, poll, descriptor), "uv_poll_init")
        unsafe poll.pointee.data = Unmanaged.passRetained(self).toOpaque()
        unsafe uv_poll_start(poll, Int32(UV_READABLE.rawValue | UV_DISCONNECT.rawValue), parentPipeReady)
    }

    deinit { unsafe poll.deallocate() }

    /// Stops watching and closes the descriptor; has no effect the second time.
    public func close() {
        loop.assertOnThread()
        guard onEnd != nil else { return }
        onEnd = nil
        unsafe uv_close(UnsafeMutableRawPointer(poll).assumingMemoryBound(to: uv_handle_t.self), parentWatchClosed)
        Glibc.close(descriptor)
    }

    fileprivate func ready() {
        // No process writes to this pipe; received bytes are ignored.
        let count = unsafe withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) {
            unsafe read(descriptor, $0.baseAddress, $0.count)
        }
        if count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)) { return }
        let onEnd = onEnd
        close()
        onEnd?()
    }
}

private func parentPipeReady(_ handle: UnsafeMutablePointer<uv_poll_t>?, _ status: Int32, _ events: Int32) {
    unsafe Unmanaged<ParentWatch>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef { $0.ready() }
}

private func parentWatchClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<ParentWatch>.fromOpaque(handle!.pointee.data).release()
}

import CLibUV

/// Calls back whenever another library's descriptor, such as its epoll instance, is readable.
@safe
public final class DescriptorWatch: HandleOwner {
    private let loop: Loop
    private let poll: UnsafeMutablePointer<uv_poll_t>
    private var onReadable: (() -> Void)?

    /// Watches `descriptor`, which the caller owns and must keep open until after ``close()``.
    public init(on loop: Loop, descriptor: Int32, onReadable: @escaping () -> Void) throws(UVError) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        self.loop = loop
        self.onReadable = onReadable
        unsafe poll = .allocate(capacity: 1)
        try UVError.check(unsafe uv_poll_init(loop.uv, poll, descriptor), "uv_poll_init")
        unsafe poll.pointee.data = Unmanaged.passRetained(self).toOpaque()
        unsafe uv_poll_start(poll, Int32(UV_READABLE.rawValue), watchedDescriptorReady)
    }

    deinit { unsafe poll.deallocate() }

    /// Stops watching; has no effect the second time.
    public func close() {
        loop.assertOnThread()
        guard onReadable != nil else { return }
        onReadable = nil
        unsafe uv_poll_stop(poll)
        unsafe uv_close(UnsafeMutableRawPointer(poll).assumingMemoryBound(to: uv_handle_t.self), descriptorWatchClosed)
    }

    fileprivate func ready() { onReadable?() }
}

private func watchedDescriptorReady(_ handle: UnsafeMutablePointer<uv_poll_t>?, _ status: Int32, _ events: Int32) {
    unsafe Unmanaged<DescriptorWatch>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef { $0.ready() }
}

private func descriptorWatchClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<DescriptorWatch>.fromOpaque(handle!.pointee.data).release()
}

import CLibUV
import Glibc

/// The signals that ask the process to stop or to reload its configuration, as calls on a loop.
@safe
public final class Signals: HandleOwner {
    /// A signal that is handled.
    public enum Signal: Sendable, CaseIterable {
        /// SIGINT.
        case interrupt
        /// SIGTERM.
        case terminate
        /// SIGHUP.
        case hangUp

        var number: Int32 {
            switch self {
            case .interrupt: SIGINT
            case .terminate: SIGTERM
            case .hangUp: SIGHUP
            }
        }
    }

    private let loop: Loop
    private let handles: UnsafeMutablePointer<uv_signal_t>
    private var isClosed = false
    private var handler: ((Signal) -> Void)?

    /// Handles all three signals from now on, until ``close()``; a signal that arrives while the loop does not run
    /// waits.
    ///
    /// Without a `handler`, ``handle(by:)`` must be called before the loop runs.
    public init(on loop: Loop, handler: ((Signal) -> Void)? = nil) throws(UVError) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        self.loop = loop
        self.handler = handler
        let signals = Signal.allCases
        unsafe handles = .allocate(capacity: signals.count)
        var failure: UVError?
        for (index, signal) in signals.enumerated() {
            let handle = unsafe handles + index
            // Only the loop's signal pipe, made for its first handle, can fail here; then no handle is initialized.
            try UVError.check(unsafe uv_signal_init(loop.uv, handle), "uv_signal_init")
            unsafe handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
            let started = unsafe uv_signal_start(handle, signalArrived, signal.number)
            if started != 0 { failure = failure ?? UVError(code: started, call: "uv_signal_start") }
        }
        if let failure {
            close()
            throw failure
        }
    }

    deinit { unsafe handles.deallocate() }

    /// Sets the handler, which is called for each signal.
    public func handle(by handler: @escaping (Signal) -> Void) { self.handler = handler }

    /// Restores the default action of the signals; has no effect the second time.
    public func close() {
        loop.assertOnThread()
        guard !isClosed else { return }
        isClosed = true
        handler = nil
        for index in Signal.allCases.indices {
            unsafe uv_close(
                UnsafeMutableRawPointer(handles + index).assumingMemoryBound(to: uv_handle_t.self), signalClosed)
        }
    }

    fileprivate func arrived(_ number: Int32) {
        guard !isClosed, let signal = Signal.allCases.first(where: { $0.number == number }) else { return }
        guard let handler else { preconditionFailure("a signal arrived, and the loop runs without its handler") }
        handler(signal)
    }
}

private func signalArrived(_ handle: UnsafeMutablePointer<uv_signal_t>?, _ number: Int32) {
    unsafe Unmanaged<Signals>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef { $0.arrived(number) }
}

private func signalClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<Signals>.fromOpaque(handle!.pointee.data).release()
}

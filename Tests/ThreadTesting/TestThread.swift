internal import Glibc

/// A thread of the system that runs a closure: none waits for another's end, however few cores there are.
public struct TestThread {
    private var thread = pthread_t()

    /// Starts `work` on a new thread.
    public init(_ work: @escaping @Sendable () -> Void) {
        let made = unsafe pthread_create(&thread, nil, runWork, Unmanaged.passRetained(Work(work)).toOpaque())
        precondition(made == 0, "the system gives no thread")
    }

    /// Waits for the thread's end.
    public func join() { pthread_join(thread, nil) }
}

private final class Work {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private func runWork(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    unsafe Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue().run()
    return nil
}

internal import CLibUV
internal import Synchronization

extension Loop {
    /// Runs `job` on one of libuv's threads, and later `completion` with its result on this loop.
    ///
    /// Jobs run concurrently and in no order. If the order matters, begin the next job in the completion of the last
    /// one. Closing the loop waits for jobs that have begun and calls no completion. A job keeps its loop until then,
    /// as open objects do.
    public func work<Result: Sendable>(
        _ job: @escaping @Sendable () -> Result, completion: @escaping (Result) -> Void
    ) {
        assertOnThread()
        guard !isClosed else { return }
        if let host { return host.work { completion(job()) } }
        let result = WorkResult<Result>()
        let request = WorkRequest(run: { result.set(job()) }) { [self] in
            if !isClosed, let value = result.take() { completion(value) }
        }
        unsafe request.start(on: uv)
    }
}

/// A value that one thread leaves for another.
private final class WorkResult<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)

    func set(_ new: Value) { value.withLock { $0 = new } }

    func take() -> Value? {
        value.withLock {
            let taken = $0
            $0 = nil
            return taken
        }
    }
}

/// A job and its libuv request, which retains it until the job is done.
@safe
private final class WorkRequest {
    private let record: UnsafeMutablePointer<uv_work_t>
    /// Called once, on another thread.
    let run: @Sendable () -> Void
    /// Called once, on the loop's thread.
    let finish: () -> Void

    init(run: @escaping @Sendable () -> Void, finish: @escaping () -> Void) {
        unsafe record = .allocate(capacity: 1)
        self.run = run
        self.finish = finish
    }

    deinit { unsafe record.deallocate() }

    func start(on loop: UnsafeMutablePointer<uv_loop_t>) {
        unsafe record.pointee.data = Unmanaged.passRetained(self).toOpaque()
        let code = unsafe uv_queue_work(loop, record, workRuns, workDone)
        precondition(code == 0, "libuv takes any work that has a function")
    }
}

private func workRuns(_ record: UnsafeMutablePointer<uv_work_t>?) {
    unsafe Unmanaged<WorkRequest>.fromOpaque(record!.pointee.data)._withUnsafeGuaranteedRef { $0.run() }
}

private func workDone(_ record: UnsafeMutablePointer<uv_work_t>?, _ status: Int32) {
    let request = unsafe Unmanaged<WorkRequest>.fromOpaque(record!.pointee.data).takeRetainedValue()
    request.finish()
}

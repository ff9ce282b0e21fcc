import CLibUV
import CShims
import Glibc
import Synchronization

/// A thread with a libuv loop of its own, which runs until ``stop()``.
///
/// Its end is orderly or the process's: if the loop runs out of work, or code on the thread traps, the process ends.
/// The thread blocks all signals but those of its own faults, so that signals of the process reach another thread.
public final class LoopThread: Sendable {
    /// What the beginning of a thread leaves.
    public struct Begun<Value> {
        /// Goes to the caller of ``LoopThread/start(name:_:)``.
        let value: Value
        /// Stays on the thread.
        let end: () -> Void

        /// A beginning with a value for the thread that starts this one.
        ///
        /// `end` is called on this thread after its loop has run, before the loop is closed; what it holds lives until
        /// then.
        public init(_ value: Value, end: @escaping () -> Void) {
            self.value = value
            self.end = end
        }
    }

    private let stopper: Mailbox<Stop>.Sender
    private let thread: Mutex<pthread_t?>

    private struct Stop: Sendable {}

    private init(stopper: Mailbox<Stop>.Sender, thread: pthread_t) {
        self.stopper = stopper
        self.thread = Mutex(thread)
    }

    /// Starts a thread and returns once `begin` has returned on it; throws its error, or if there is no thread or loop
    /// to be had.
    ///
    /// `begin` may open objects on the loop. `name` has at most 15 bytes, and names the thread for tools such as top.
    public static func start<Value: Sendable>(
        name: String, _ begin: @escaping @Sendable (Loop) throws(UVError) -> Begun<Value>
    ) throws(UVError) -> (thread: LoopThread, value: Value) {
        let answer = Answer<(Mailbox<Stop>.Sender, Value)>()
        let body = ThreadBody {
            unsafe shim_name_thread(name)
            run(name, begin, answer)
        }
        let context = unsafe Unmanaged.passRetained(body)
        var thread = pthread_t()
        let result = unsafe pthread_create(&thread, nil, threadMain, context.toOpaque())
        guard result == 0 else {
            unsafe context.release()
            throw UVError(code: result, call: "pthread_create")
        }
        switch answer.wait() {
        case .success(let (stopper, value)):
            return (LoopThread(stopper: stopper, thread: thread), value)
        case .failure(let error):
            pthread_join(thread, nil)
            throw error
        }
    }

    deinit { stop() }

    /// Ends the loop and the thread, and returns after that; has no effect the second time.
    ///
    /// Must not be called on the thread itself.
    public func stop() {
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        guard let running else { return }
        stopper.send(Stop())
        pthread_join(running, nil)
    }

    private static func run<Value: Sendable>(
        _ name: String, _ begin: (Loop) throws(UVError) -> Begun<Value>, _ answer: Answer<(Mailbox<Stop>.Sender, Value)>
    ) {
        let end: () -> Void
        let loop: Loop
        var isStopping = false
        do throws(UVError) {
            loop = try Loop(blocksBrokenPipes: true)
        } catch {
            return answer.give(.failure(error))
        }
        defer { loop.close() }
        do throws(UVError) {
            let stops = try Mailbox<Stop>(on: loop) { [unowned loop] _ in
                isStopping = true
                loop.stop()
            }
            let begun = try begin(loop)
            end = begun.end
            answer.give(.success((stops.sender, begun.value)))
        } catch {
            return answer.give(.failure(error))
        }
        loop.run()
        // Others count on the thread.
        precondition(isStopping, "the thread \(name) has no more work")
        end()
    }
}

/// A result that one thread gives another, which waits for it.
///
/// `@unchecked Sendable`: any thread may use a semaphore of libuv. Giving precedes the return of `wait` (sem_post and
/// sem_wait order memory).
@safe
private final class Answer<Value: Sendable>: @unchecked Sendable {
    private let isThere: UnsafeMutablePointer<uv_sem_t>
    private let result = Mutex<Result<Value, UVError>?>(nil)

    init() {
        unsafe isThere = .allocate(capacity: 1)
        let made = unsafe uv_sem_init(isThere, 0)
        precondition(made == 0, "a semaphore of 0 can be made")
    }

    deinit {
        unsafe uv_sem_destroy(isThere)
        unsafe isThere.deallocate()
    }

    /// To be called once.
    func give(_ value: Result<Value, UVError>) {
        result.withLock { $0 = value }
        unsafe uv_sem_post(isThere)
    }

    /// To be called once.
    func wait() -> Result<Value, UVError> {
        unsafe uv_sem_wait(isThere)
        guard let value = result.withLock({ $0 }) else { preconditionFailure("the result was given") }
        return value
    }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private func threadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    // A write to a broken connection is an error of the write here, as SIGPIPE is blocked.
    var signals = sigset_t()
    unsafe sigfillset(&signals)
    for fault in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP] { unsafe sigdelset(&signals, fault) }
    unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    unsafe Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
    return nil
}

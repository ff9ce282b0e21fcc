internal import Dispatch
internal import Glibc
internal import Synchronization
internal import Tunic

/// The result of a failed function of the C interface, with the number from tunic.h.
enum Code: Int32 {
    case networkFile = -1, dataFolder = -2, inUse = -3, system = -4, closed = -5, badArgument = -6, noPath = -7
    case timedOut = -8, refused = -9, broken = -10, tooMany = -11, notSent = -12, tooSmall = -13, busy = -14

    init(_ error: TunicError) {
        self =
            switch error {
            case .networkFile: .networkFile
            case .dataFolder: .dataFolder
            case .inUse: .inUse
            case .system: .system
            case .closed, .cancelled: .closed
            case .busy: .busy
            case .badDestination: .badArgument
            case .tooManyStreams: .tooMany
            case .notSent: .notSent
            case .noPath: .noPath
            case .tooManyIdentities: .tooMany
            case .timedOut: .timedOut
            case .refused: .refused
            case .broken: .broken
            }
    }

    /// The failure in one sentence, without a full stop.
    var text: String {
        switch self {
        case .networkFile: "the network file cannot be read, or is not one"
        case .dataFolder: "the data folder cannot be used"
        case .inUse: "another client works with the data folder"
        case .system: "the operating system refused something"
        case .closed: "the client was shut down, or the sockets closed"
        case .badArgument: "expected a host, a port that is not 0, 0 to 4 hops, UTF-8, and no null pointer"
        case .noPath: "there is no path through the network"
        case .timedOut: "no answer came in time"
        case .refused: "the exit or the destination refused"
        case .broken: "the stream broke"
        case .tooMany: "too many streams or identities are open"
        case .notSent: "the datagram is too long, or there is no room for it now"
        case .tooSmall: "the datagram is longer than the memory for it"
        case .busy: "another thread waits for a datagram already"
        }
    }
}

/// Waits on the calling thread of the host for the result of a task.
///
/// `limit` is in milliseconds; a negative one waits without limit. After it, the task is cancelled.
func waiting<Value: Sendable>(
    _ limit: Int32, _ body: @escaping @Sendable () async throws(TunicError) -> Value
) -> Result<Value, TunicError> {
    let done = DispatchSemaphore(value: 0)
    let box = Box<Result<Value, TunicError>>()
    let task = Task {
        do throws(TunicError) { box.set(.success(try await body())) } catch { box.set(.failure(error)) }
        done.signal()
    }
    if limit < 0 {
        done.wait()
    } else if done.wait(timeout: .now() + .milliseconds(Int(limit))) == .timedOut {
        // A cancelled task ends at once, with its result if that has come meanwhile.
        task.cancel()
        done.wait()
        if case .failure(.cancelled)? = box.value { return .failure(.timedOut) }
    }
    return box.value ?? .failure(.closed)
}

/// A value that one thread sets and another takes.
private final class Box<Value: Sendable>: Sendable {
    private let contents = Mutex<Value?>(nil)
    func set(_ value: Value) { contents.withLock { $0 = value } }
    var value: Value? { contents.withLock { $0 } }
}

/// The sentence about a thread's last failure.
enum LastError {
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        _ = unsafe pthread_key_create(&key) { unsafe free($0) }
        return key
    }()

    static func set(_ text: String) {
        unsafe free(pthread_getspecific(key))
        _ = unsafe pthread_setspecific(key, strdup(text))
    }

    /// Nil before the first failure.
    static var text: UnsafePointer<CChar>? {
        unsafe UnsafePointer(pthread_getspecific(key)?.assumingMemoryBound(to: CChar.self))
    }
}

/// Keeps a failure for `tunic_last_error` on this thread, and returns its number.
func failed(_ code: Code, _ text: String? = nil) -> Int32 {
    LastError.set(text ?? code.text)
    return code.rawValue
}

/// Keeps a failure of the client, and returns its number.
func failed(_ error: TunicError) -> Int32 {
    switch error {
    case .networkFile(let text), .dataFolder(let text), .inUse(let text), .system(let text): failed(Code(error), text)
    case .refused(let why): failed(.refused, "the exit makes no connection: \(why.rawValue)")
    case .closed, .badDestination, .busy, .cancelled, .tooManyStreams, .notSent, .noPath, .tooManyIdentities, .timedOut,
        .broken:
        failed(Code(error))
    }
}

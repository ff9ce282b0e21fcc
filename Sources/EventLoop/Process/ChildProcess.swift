import CLibUV
import CShims
import Glibc

/// A program that runs as a child of this process.
///
/// On Linux a child can be made to die with its parent by a call between fork and exec, which libuv does not offer.
/// Instead a child can inherit one end of a pipe whose other end only this process holds. When this process ends for
/// any reason, the child reads end of file, and ``ParentWatch`` in the child calls back.
@safe
public final class ChildProcess: HandleOwner {
    /// The target of a standard stream of the child.
    public enum Stream: Sendable {
        /// To `/dev/null`.
        case ignored
        /// The same target as this process's.
        case inherited
        /// The end of a file, created with mode 0600 if it does not exist; for output only.
        case file(String)
    }

    /// How a child ended.
    public enum ExitStatus: Sendable, Equatable {
        /// It returned this status.
        case status(Int64)
        /// This signal ended it.
        case signal(Int32)
    }

    /// The program to run and how to run it.
    public struct Command: Sendable {
        /// The program's path, or a name to look up in PATH.
        public var program: String
        /// The arguments, without the program's name.
        public var arguments: [String]
        /// The whole environment as `NAME=value`; nil for this process's.
        public var environment: [String]?
        /// The directory to start in; nil for this process's.
        public var directory: String?
        /// Standard input.
        public var input = Stream.ignored
        /// Standard output.
        public var output = Stream.inherited
        /// Standard error.
        public var error = Stream.inherited
        /// Whether the child gets its own session and process group, so that the terminal's signals do not reach it.
        public var isDetached = false
        /// Whether the child gets the pipe for ``ParentWatch``, as descriptor ``ParentWatch/inheritedDescriptor``.
        public var watchesParent = false

        /// A command that runs `program` with `arguments`, no input, and this process's output and environment.
        public init(_ program: String, _ arguments: [String] = []) {
            self.program = program
            self.arguments = arguments
        }
    }

    /// The child's process id.
    public var processIdentifier: Int32 { unsafe handle.pointee.pid }
    /// How it ended; nil while it runs.
    public private(set) var exit: ExitStatus?

    private let loop: Loop
    private let handle: UnsafeMutablePointer<uv_process_t>
    private var onExit: ((ExitStatus) -> Void)?
    private var isClosed = false
    /// This process's end of the pipe whose closing tells the child that this process has ended, or -1.
    private var lifeline = Int32(-1)

    /// Starts `command`; `onExit` is called once, after the child has ended.
    public init(on loop: Loop, _ command: Command, onExit: @escaping (ExitStatus) -> Void) throws(UVError) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        self.loop = loop
        self.onExit = onExit
        unsafe handle = .allocate(capacity: 1)

        var opened: [Int32] = []
        defer { for descriptor in opened { Glibc.close(descriptor) } }
        var containers: [uv_stdio_container_t] = unsafe []
        for (stream, number) in [(command.input, Int32(0)), (command.output, 1), (command.error, 2)] {
            unsafe containers.append(try Self.container(stream, number, &opened))
        }
        var ends: [Int32] = [-1, -1]
        if command.watchesParent {
            try UVError.check(unsafe shim_pipe(&ends), "pipe")
            opened.append(ends[0])
            unsafe containers.append(Self.inheriting(ends[0]))
        }

        let result = unsafe Self.withStrings([command.program] + command.arguments) { arguments in
            unsafe Self.withStrings(command.environment ?? []) { environment in
                unsafe containers.withUnsafeMutableBufferPointer { stdio in
                    var options = unsafe uv_process_options_t()
                    unsafe options.exit_cb = childExited
                    unsafe options.file = UnsafePointer(arguments[0])
                    unsafe options.args = arguments
                    unsafe options.env = command.environment == nil ? nil : environment
                    unsafe options.flags = command.isDetached ? UV_PROCESS_DETACHED.rawValue : 0
                    unsafe options.stdio_count = Int32(stdio.count)
                    unsafe options.stdio = stdio.baseAddress
                    guard let directory = command.directory else { return unsafe uv_spawn(loop.uv, handle, &options) }
                    return unsafe directory.withCString { path in
                        unsafe options.cwd = path
                        return unsafe uv_spawn(loop.uv, handle, &options)
                    }
                }
            }
        }
        lifeline = ends[1]
        unsafe handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
        guard result == 0 else {
            close()
            throw UVError(code: result, call: "spawn")
        }
    }

    deinit {
        if lifeline >= 0 { Glibc.close(lifeline) }
        unsafe handle.deallocate()
    }

    /// Asks the child to end (SIGTERM), or forces it (SIGKILL); has no effect after it has ended.
    public func kill(forcibly: Bool = false) { send(signal: forcibly ? SIGKILL : SIGTERM) }

    /// Sends a signal to the child; has no effect after it has ended.
    public func send(signal: Int32) {
        loop.assertOnThread()
        guard !isClosed, exit == nil else { return }
        unsafe uv_process_kill(handle, signal)
    }

    /// Stops tracking the child without ending it; has no effect the second time.
    ///
    /// The child's ``ParentWatch`` reports that as the end of this process.
    public func close() {
        loop.assertOnThread()
        guard !isClosed else { return }
        isClosed = true
        onExit = nil
        if lifeline >= 0 { Glibc.close(lifeline) }
        lifeline = -1
        unsafe uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self), childClosed)
    }

    fileprivate func exited(status: Int64, signal: Int32) {
        guard !isClosed else { return }
        let exit = signal != 0 ? ExitStatus.signal(signal) : ExitStatus.status(status)
        self.exit = exit
        onExit?(exit)
        close()
    }

    private static func container(
        _ stream: Stream, _ number: Int32, _ opened: inout [Int32]
    ) throws(UVError) -> uv_stdio_container_t {
        switch stream {
        case .ignored:
            var container = unsafe uv_stdio_container_t()
            unsafe container.flags = UV_IGNORE
            return unsafe container
        case .inherited: return unsafe inheriting(number)
        case .file(let path):
            let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
            try UVError.check(descriptor >= 0 ? 0 : -errno, "open")
            opened.append(descriptor)
            return unsafe inheriting(descriptor)
        }
    }

    private static func inheriting(_ descriptor: Int32) -> uv_stdio_container_t {
        var container = unsafe uv_stdio_container_t()
        unsafe container.flags = UV_INHERIT_FD
        unsafe container.data.fd = descriptor
        return unsafe container
    }

    /// Calls `body` with a null-terminated array of C strings.
    private static func withStrings(
        _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32
    ) -> Int32 {
        let array = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { unsafe array[index] = strdup(string) }
        unsafe array[strings.count] = nil
        defer {
            for index in strings.indices { unsafe free(array[index]) }
            unsafe array.deallocate()
        }
        return unsafe body(array)
    }
}

private func childExited(_ handle: UnsafeMutablePointer<uv_process_t>?, _ status: Int64, _ signal: Int32) {
    unsafe Unmanaged<ChildProcess>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef {
        $0.exited(status: status, signal: signal)
    }
}

private func childClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<ChildProcess>.fromOpaque(handle!.pointee.data).release()
}

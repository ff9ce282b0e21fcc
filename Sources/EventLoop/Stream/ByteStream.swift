import CLibUV
import Glibc

/// A TCP connection or a connection of a unix socket.
///
/// The directions end separately: ``ByteStreamDelegate/streamReachedEnd(_:)`` reports the end of reading,
/// ``shutdown()`` ends writing, and ``close()`` or ``reset()`` ends both. An open stream retains its delegate until it
/// is closed. Reading begins with ``startReading()``. While it is stopped, the kernel's buffer fills and the peer must
/// wait, and a broken connection is not noticed.
@safe
public final class ByteStream: HandleOwner {
    /// The transport of a stream.
    public enum Kind: Sendable {
        /// A TCP connection.
        case tcp
        /// A connection of a unix socket.
        case unix

        /// Makes a handle of this kind without a socket in `memory`, which has room for either.
        func initialize(_ memory: UnsafeMutableRawPointer, on loop: Loop) {
            let result =
                switch self {
                case .tcp: unsafe uv_tcp_init(loop.uv, memory.assumingMemoryBound(to: uv_tcp_t.self))
                case .unix: unsafe uv_pipe_init(loop.uv, memory.assumingMemoryBound(to: uv_pipe_t.self), 0)
                }
            precondition(result == 0, "libuv's initialisation of an empty handle cannot fail")
        }
    }

    enum State { case connecting, open, closed }

    /// The loop that the stream belongs to.
    public let loop: Loop
    /// The transport.
    public let kind: Kind
    /// The receiver of events; retained while the stream is open.
    public var delegate: (any ByteStreamDelegate)?

    let memory: UnsafeMutableRawPointer
    /// This end of a connection of a simulated network, in place of libuv's handle.
    let end: SimulatedEnd?
    private(set) var state: State
    /// Whether the stream is being read; otherwise a broken connection is not reported.
    public private(set) var isReading = false
    private var hasEnded = false
    private var isShutDown = false
    /// What the kernel has told of the two ends; they do not change while the connection is there.
    var addresses: (local: SocketAddress?, remote: SocketAddress?) = (nil, nil)
    private var connectRequest: UnsafeMutablePointer<uv_connect_t>?
    private let shutdownRequest: UnsafeMutablePointer<uv_shutdown_t>

    /// The size of a handle of either kind in bytes.
    private static let handleSize = unsafe max(MemoryLayout<uv_tcp_t>.size, MemoryLayout<uv_pipe_t>.size)

    var handle: UnsafeMutablePointer<uv_stream_t> { unsafe memory.assumingMemoryBound(to: uv_stream_t.self) }
    var tcp: UnsafeMutablePointer<uv_tcp_t> { unsafe memory.assumingMemoryBound(to: uv_tcp_t.self) }
    private var pipe: UnsafeMutablePointer<uv_pipe_t> { unsafe memory.assumingMemoryBound(to: uv_pipe_t.self) }

    /// A stream without a connection, which a listener or ``connect(on:to:from:delegate:)`` establishes.
    private init(on loop: Loop, kind: Kind, state: State, end: SimulatedEnd? = nil) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        self.loop = loop
        self.kind = kind
        self.state = state
        unsafe memory = .allocate(byteCount: Self.handleSize, alignment: 16)
        unsafe shutdownRequest = .allocate(capacity: 1)
        self.end = end
        if let end {
            end.stream = self
            _ = unsafe Unmanaged.passRetained(self)
            return
        }
        unsafe kind.initialize(memory, on: loop)
        unsafe handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    deinit {
        unsafe memory.deallocate()
        unsafe shutdownRequest.deallocate()
    }

    // MARK: - Opening

    /// Begins a TCP connection to `address`, from `source` if given.
    ///
    /// The delegate gets ``ByteStreamDelegate/streamConnected(_:)`` or ``ByteStreamDelegate/stream(_:failed:)``, never
    /// inside this call. There is no time limit: ``close()`` ends the attempt.
    public static func connect(
        on loop: Loop, to address: SocketAddress, from source: SocketAddress? = nil,
        delegate: (any ByteStreamDelegate)?
    ) throws(UVError) -> ByteStream {
        guard loop.hasDescriptorsToSpare else { throw UVError(code: UV_EMFILE.rawValue, call: "connect") }
        if let host = loop.host {
            let end = try host.connect(to: address, from: source)
            let stream = ByteStream(on: loop, kind: .tcp, state: .connecting, end: end)
            stream.delegate = delegate
            return stream
        }
        let stream = ByteStream(on: loop, kind: .tcp, state: .connecting)
        let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
        var result = Int32(0)
        if let source {
            result = unsafe source.withSockaddr { name, _ in unsafe uv_tcp_bind(stream.tcp, name, 0) }
        }
        if result == 0 {
            result = unsafe address.withSockaddr { name, _ in
                unsafe uv_tcp_connect(request, stream.tcp, name, streamConnected)
            }
        }
        guard result == 0 else {
            unsafe request.deallocate()
            stream.close()
            throw UVError(code: result, call: "connect")
        }
        unsafe uv_tcp_nodelay(stream.tcp, 1)
        unsafe stream.connectRequest = request
        stream.delegate = delegate
        return stream
    }

    /// Begins a connection to the unix socket at `path`; see ``connect(on:to:from:delegate:)``.
    public static func connect(
        on loop: Loop, toUnixPath path: String, delegate: (any ByteStreamDelegate)?
    ) throws(UVError) -> ByteStream {
        try UnixSocketPath.check(path)
        let stream = ByteStream(on: loop, kind: .unix, state: .connecting)
        let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
        unsafe uv_pipe_connect(request, stream.pipe, path, streamConnected)
        unsafe stream.connectRequest = request
        stream.delegate = delegate
        return stream
    }

    /// One end of a pair of connected unix sockets, which this process has made.
    ///
    /// The stream owns the descriptor when this returns; the caller still does if it throws.
    public static func adopt(_ descriptor: Int32, on loop: Loop) throws(UVError) -> ByteStream {
        let stream = ByteStream(on: loop, kind: .unix, state: .open)
        let result = unsafe uv_pipe_open(stream.pipe, descriptor)
        guard result == 0 else {
            stream.close()
            throw UVError(code: result, call: "uv_pipe_open")
        }
        return stream
    }

    /// How long a TCP connection may be idle before the kernel probes the other end, in seconds.
    ///
    /// With the system's ten probes 75 s apart, an end that vanished is detected within a quarter of an hour.
    private static let keepAlive: UInt32 = 120

    /// Sets the options of a listening socket, which are those of each connection that it accepts.
    static func setOptions(ofListener tcp: UnsafeMutablePointer<uv_tcp_t>) {
        unsafe uv_tcp_nodelay(tcp, 1)
        unsafe uv_tcp_keepalive(tcp, 1, keepAlive)
    }

    /// Has the kernel probe the other end of a connection that is idle.
    ///
    /// Accepted connections have it from the listener. For others it takes four system calls, so who connects asks for
    /// it once the connection has lasted.
    public func keepAlive() {
        guard kind == .tcp, state == .open else { return }
        if let end { return end.isProbing = true }
        unsafe uv_tcp_keepalive(tcp, 1, Self.keepAlive)
    }

    /// Accepts the next connection of a listening handle.
    static func accept(
        on loop: Loop, kind: Kind, from listener: UnsafeMutablePointer<uv_stream_t>
    ) throws(UVError) -> ByteStream {
        let stream = ByteStream(on: loop, kind: kind, state: .open)
        let result = unsafe uv_accept(listener, stream.handle)
        guard result == 0 else {
            stream.close()
            throw UVError(code: result, call: "accept")
        }
        guard kind == .unix || loop.leavesReserve(stream.descriptor ?? -1) else {
            stream.close()
            throw UVError(code: UV_EMFILE.rawValue, call: "accept")
        }
        return stream
    }

    /// A stream for the accepted end of a simulated connection.
    static func accept(on loop: Loop, _ end: SimulatedEnd) -> ByteStream {
        ByteStream(on: loop, kind: .tcp, state: .open, end: end)
    }

    // MARK: - Reading

    /// Whether the stream was closed, by this process or after a failure.
    public var isClosed: Bool { state == .closed }

    /// Whether the connection is established and not closed.
    public var isOpen: Bool { state == .open }

    /// Begins or resumes reading; has no effect on a stream that has ended or is not open.
    public func startReading() {
        loop.assertOnThread()
        guard state == .open, !hasEnded, !isReading else { return }
        if let end {
            isReading = true
            return end.wake()
        }
        let result = unsafe uv_read_start(handle, provideReadBuffer, streamRead)
        isReading = result == 0
    }

    /// Stops reading; no bytes arrive until ``startReading()``.
    public func stopReading() {
        loop.assertOnThread()
        guard state == .open, isReading else { return }
        isReading = false
        guard end == nil else { return }
        unsafe uv_read_stop(handle)
    }

    // MARK: - Writing

    /// The number of bytes that wait for the kernel.
    public var queuedBytes: Int {
        if let end { return end.queued.count }
        return state == .closed ? 0 : unsafe Int(handle.pointee.write_queue_size)
    }

    /// Passes bytes to the kernel at once, as many as it accepts, and returns how many.
    ///
    /// Accepts none while bytes are queued or the connection is not established. An error means that the stream is
    /// broken; the caller must close it.
    public func tryWrite(_ bytes: borrowing RawSpan) throws(UVError) -> Int {
        loop.assertOnThread()
        guard state == .open, !isShutDown, bytes.byteCount > 0, queuedBytes == 0 else { return 0 }
        if let end { return try end.send(bytes) }
        let result = unsafe bytes.withUnsafeBytes { source in
            var buffer = unsafe Self.buffer(UnsafeMutableRawPointer(mutating: source.baseAddress), source.count)
            return unsafe uv_try_write(handle, &buffer, 1)
        }
        guard result != UV_EAGAIN.rawValue else { return 0 }
        return Int(try UVError.check(result, "write"))
    }

    /// Writes all of `bytes`: at once as many as the kernel accepts, and later a copy of the rest.
    ///
    /// The caller must bound the memory: while ``queuedBytes`` is above 0, it waits for
    /// ``ByteStreamDelegate/streamDrained(_:)``. Bytes written before the connection is established are queued. Errors
    /// are as in ``tryWrite(_:)``.
    public func write(_ bytes: borrowing RawSpan) throws(UVError) {
        loop.assertOnThread()
        guard state != .closed, !isShutDown else { throw UVError(code: UV_EPIPE.rawValue, call: "write") }
        let taken = try tryWrite(bytes)
        let rest = bytes.byteCount - taken
        guard rest > 0 else { return }
        if let end { return end.queue(bytes, from: taken) }
        let header = unsafe MemoryLayout<uv_write_t>.stride
        let block = UnsafeMutableRawPointer.allocate(byteCount: header + rest, alignment: 16)
        unsafe bytes.withUnsafeBytes { source in
            unsafe (block + header).copyMemory(from: source.baseAddress! + taken, byteCount: rest)
        }
        let request = unsafe block.bindMemory(to: uv_write_t.self, capacity: 1)
        var buffer = unsafe Self.buffer(block + header, rest)
        let result = unsafe uv_write(request, handle, &buffer, 1, streamWritten)
        guard result == 0 else {
            unsafe block.deallocate()
            throw UVError(code: result, call: "write")
        }
    }

    /// Writes all of `bytes`; see ``write(_:)-(RawSpan)``.
    public func write(_ bytes: [UInt8]) throws(UVError) {
        unsafe try write(bytes.span.bytes)
    }

    /// Ends this end's direction after the queued bytes; the peer's direction stays open.
    public func shutdown() {
        loop.assertOnThread()
        guard state != .closed, !isShutDown else { return }
        isShutDown = true
        if state == .open { beginShutdown() }
    }

    private func beginShutdown() {
        if let end { return end.shutdown() }
        let result = unsafe uv_shutdown(shutdownRequest, handle, streamShutDown)
        // On a stream that is no longer connected there is nothing to end, and reading will report it.
        assert(result == 0 || result == UV_ENOTCONN.rawValue, "a stream is shut down once")
    }

    private static func buffer(_ base: UnsafeMutableRawPointer?, _ count: Int) -> uv_buf_t {
        unsafe uv_buf_init(base?.assumingMemoryBound(to: CChar.self), UInt32(clamping: count))
    }

    // MARK: - Closing

    /// Closes both directions, discards queued bytes, and releases the delegate; has no effect the second time.
    public func close() {
        loop.assertOnThread()
        guard state != .closed else { return }
        state = .closed
        delegate = nil
        if let end { return letGo(of: end, resets: false) }
        unsafe uv_close(memory.assumingMemoryBound(to: uv_handle_t.self), streamClosed)
    }

    /// Closes at once and sends the peer an RST; a unix socket is only closed.
    public func reset() {
        loop.assertOnThread()
        guard kind == .tcp, state == .open else { return close() }
        state = .closed
        delegate = nil
        if let end { return letGo(of: end, resets: true) }
        if unsafe uv_tcp_close_reset(tcp, streamClosed) != 0 {
            // libuv refuses this during a shutdown, so the same steps are done here.
            var descriptor = Int32(-1)
            if unsafe uv_fileno(memory.assumingMemoryBound(to: uv_handle_t.self), &descriptor) == 0 {
                var option = linger(l_onoff: 1, l_linger: 0)
                unsafe setsockopt(
                    descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
            }
            unsafe uv_close(memory.assumingMemoryBound(to: uv_handle_t.self), streamClosed)
        }
    }

    private func letGo(of end: SimulatedEnd, resets: Bool) {
        end.close(resets: resets)
        unsafe Unmanaged.passUnretained(self).release()
    }

    // MARK: - Events

    private func fail(_ code: Int32, _ call: String) {
        guard state != .closed else { return }
        delegate?.stream(self, failed: UVError(code: code, call: call))
        close()
    }

    func connected(_ status: Int32) {
        unsafe connectRequest = nil
        guard state == .connecting else { return }
        guard status == 0 else { return fail(status, "connect") }
        state = .open
        if isShutDown { beginShutdown() }
        delegate?.streamConnected(self)
    }

    func read(_ count: Int, _ base: UnsafeMutablePointer<CChar>?) {
        guard state == .open else { return }
        if count > 0 {
            let bytes = unsafe UnsafeRawBufferPointer(start: base, count: count)
            unsafe delegate?.stream(self, received: bytes.bytes)
        } else if count == Int(UV_EOF.rawValue) {
            isReading = false
            hasEnded = true
            delegate?.streamReachedEnd(self)
        } else if count == Int(UV_ENOBUFS.rawValue) {
            // No buffer was offered; this is not an error.
            stopReading()
        } else if count < 0 {
            isReading = false
            fail(Int32(truncatingIfNeeded: count), "read")
        }
    }

    func wrote(_ status: Int32) {
        guard state != .closed else { return }
        guard status == 0 else {
            // A failed connection is reported elsewhere.
            if status != UV_ECANCELED.rawValue && state == .open { fail(status, "write") }
            return
        }
        if queuedBytes == 0 { delegate?.streamDrained(self) }
    }

    func finishedShutdown(_ status: Int32) {
        guard state == .open else { return }
        if status == 0 { delegate?.streamFinishedWriting(self) }
    }
}

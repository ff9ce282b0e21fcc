import CLibUV
import Glibc

/// A listening TCP port or unix socket.
@safe
public final class StreamListener: HandleOwner {
    /// The loop that the listener belongs to.
    public let loop: Loop
    /// The transport of the accepted streams.
    public let kind: ByteStream.Kind
    /// Connections that could not be accepted, for lack of descriptors or because the peer was gone.
    public private(set) var acceptErrors: UInt64 = 0

    private let memory: UnsafeMutableRawPointer
    /// The port of a simulated network; nil if the listener has a libuv handle.
    private let port: SimulatedPort?
    private var onAccept: ((ByteStream) -> Void)?
    private var isClosed = false
    private var isPaused = false
    private var isConnectionWaiting = false
    /// The socket file, removed on closing.
    private var boundPath: UnixSocketPath?

    private static let handleSize = unsafe max(MemoryLayout<uv_tcp_t>.size, MemoryLayout<uv_pipe_t>.size)

    private var handle: UnsafeMutablePointer<uv_stream_t> { unsafe memory.assumingMemoryBound(to: uv_stream_t.self) }
    private var tcp: UnsafeMutablePointer<uv_tcp_t> { unsafe memory.assumingMemoryBound(to: uv_tcp_t.self) }
    private var pipe: UnsafeMutablePointer<uv_pipe_t> { unsafe memory.assumingMemoryBound(to: uv_pipe_t.self) }

    private init(
        on loop: Loop, kind: ByteStream.Kind, port: SimulatedPort? = nil, onAccept: @escaping (ByteStream) -> Void
    ) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        self.loop = loop
        self.kind = kind
        self.onAccept = onAccept
        unsafe memory = .allocate(byteCount: Self.handleSize, alignment: 16)
        self.port = port
        if let port {
            port.listener = self
            _ = unsafe Unmanaged.passRetained(self)
            return
        }
        unsafe kind.initialize(memory, on: loop)
        unsafe handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    deinit { unsafe memory.deallocate() }

    /// Listens for TCP connections on `address`; port 0 lets the kernel choose, and an IPv6 address accepts no IPv4.
    ///
    /// `onAccept` gets each stream open, without a delegate, and not reading.
    public static func tcp(
        on loop: Loop, address: SocketAddress, backlog: Int32 = 511, onAccept: @escaping (ByteStream) -> Void
    ) throws(UVError) -> StreamListener {
        if let host = loop.host {
            return StreamListener(on: loop, kind: .tcp, port: try host.listen(address), onAccept: onAccept)
        }
        let listener = StreamListener(on: loop, kind: .tcp, onAccept: onAccept)
        let flags = address.isIPv4 ? 0 : UV_TCP_IPV6ONLY.rawValue
        let bound = unsafe address.withSockaddr { name, _ in unsafe uv_tcp_bind(listener.tcp, name, flags) }
        do throws(UVError) {
            try UVError.check(bound, "bind")
            unsafe ByteStream.setOptions(ofListener: listener.tcp)
            try UVError.check(unsafe uv_listen(listener.handle, backlog, listenerReady), "listen")
        } catch {
            listener.close()
            throw error
        }
        return listener
    }

    /// Listens on a unix socket at `path` with mode 0600, or with a `group` of this process with mode 0660 and that
    /// group.
    ///
    /// A socket file without a listener is replaced; one that is in use, or any other file, is not (`EADDRINUSE`). The
    /// file is removed when the listener closes. Two processes that start at the same moment on the same stale file may
    /// both succeed, so only the owner may have access to the directory.
    public static func unix(
        on loop: Loop, path: String, group: UInt32? = nil, backlog: Int32 = 64,
        onAccept: @escaping (ByteStream) -> Void
    ) throws(UVError) -> StreamListener {
        let (descriptor, boundPath) = try UnixSocketPath.bind(path, group: group)
        let listener = StreamListener(on: loop, kind: .unix, onAccept: onAccept)
        listener.boundPath = boundPath
        do throws(UVError) {
            let opened = unsafe uv_pipe_open(listener.pipe, descriptor)
            if opened != 0 { Glibc.close(descriptor) }
            try UVError.check(opened, "uv_pipe_open")
            try UVError.check(unsafe uv_listen(listener.handle, backlog, listenerReady), "listen")
        } catch {
            listener.close()
            throw error
        }
        return listener
    }

    /// Whether ``unix(on:path:group:backlog:onAccept:)`` can listen at `path`: nothing is there, or a socket of this user
    /// without a listener.
    public static func isFree(unixPath path: String) -> Bool { UnixSocketPath.isFree(path) }

    /// Accepts connections at a socket that already listens, TCP or unix, through a copy of its descriptor.
    ///
    /// The caller keeps the descriptor open; the file of a unix socket is not removed. Any other descriptor is refused
    /// (`ENOTSOCK`, `EINVAL`, `EAFNOSUPPORT`).
    public static func adopted(
        on loop: Loop, descriptor: Int32, backlog: Int32 = 511, onAccept: @escaping (ByteStream) -> Void
    ) throws(UVError) -> StreamListener {
        var isListening: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        let asked = unsafe getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &length)
        try UVError.check(asked == 0 ? 0 : -errno, "getsockopt")
        guard isListening != 0 else { throw UVError(code: UV_EINVAL.rawValue, call: "getsockopt") }
        let kind: ByteStream.Kind
        switch try family(of: descriptor) {
        case AF_UNIX: kind = .unix
        case AF_INET, AF_INET6: kind = .tcp
        default: throw UVError(code: UV_EAFNOSUPPORT.rawValue, call: "getsockname")
        }
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        try UVError.check(copy < 0 ? -errno : 0, "fcntl")
        let listener = StreamListener(on: loop, kind: kind, onAccept: onAccept)
        do throws(UVError) {
            let opened =
                switch kind {
                case .tcp: unsafe uv_tcp_open(listener.tcp, copy)
                case .unix: unsafe uv_pipe_open(listener.pipe, copy)
                }
            if opened != 0 { Glibc.close(copy) }
            try UVError.check(opened, "uv_open")
            if kind == .tcp { unsafe ByteStream.setOptions(ofListener: listener.tcp) }
            try UVError.check(unsafe uv_listen(listener.handle, backlog, listenerReady), "listen")
        } catch {
            listener.close()
            throw error
        }
        return listener
    }

    /// The family of the address to which the socket `descriptor` is bound.
    private static func family(of descriptor: Int32) throws(UVError) -> Int32 {
        var name = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let named = unsafe withUnsafeMutablePointer(to: &name) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(descriptor, $0, &length) }
        }
        try UVError.check(named == 0 ? 0 : -errno, "getsockname")
        return Int32(name.ss_family)
    }

    /// The TCP address to which the socket `descriptor` is bound; nil for a unix socket, and for a descriptor that is
    /// not a socket.
    public static func address(of descriptor: Int32) -> SocketAddress? {
        unsafe SocketAddress.filled { name, length in
            var room = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let result = unsafe getsockname(descriptor, name, &room)
            unsafe length.pointee = Int32(room)
            return result
        }
    }

    /// The TCP address, with the port that the kernel chose.
    public var localAddress: SocketAddress? {
        guard kind == .tcp, !isClosed else { return nil }
        if let port { return port.address }
        return unsafe SocketAddress.filled { name, length in unsafe uv_tcp_getsockname(tcp, name, length) }
    }

    /// Leaves new connections waiting in the kernel; one that libuv has already accepted waits here.
    public func pause() { isPaused = true }

    /// Accepts connections again.
    public func resume() {
        loop.assertOnThread()
        isPaused = false
        port?.wake()
        if isConnectionWaiting {
            isConnectionWaiting = false
            accept()
        }
    }

    /// Stops listening, and removes the socket file; accepted streams stay open.
    ///
    /// Has no effect the second time.
    public func close() {
        loop.assertOnThread()
        guard !isClosed else { return }
        isClosed = true
        onAccept = nil
        boundPath?.remove()
        if let port {
            port.close()
            return unsafe Unmanaged.passUnretained(self).release()
        }
        unsafe uv_close(memory.assumingMemoryBound(to: uv_handle_t.self), listenerClosed)
    }

    fileprivate func connectionArrived(_ status: Int32) {
        guard !isClosed else { return }
        guard status == 0 else {
            acceptErrors += 1
            return
        }
        if isPaused { isConnectionWaiting = true } else { accept() }
    }

    /// Accepts a connection of a simulated network; false while the listener is paused.
    func take(_ end: SimulatedEnd) -> Bool {
        guard !isPaused, let onAccept else { return false }
        onAccept(ByteStream.accept(on: loop, end))
        return true
    }

    private func accept() {
        do throws(UVError) {
            let stream = try unsafe ByteStream.accept(on: loop, kind: kind, from: handle)
            if let onAccept { onAccept(stream) } else { stream.close() }
        } catch {
            acceptErrors += 1
        }
    }
}

private func listenerReady(_ handle: UnsafeMutablePointer<uv_stream_t>?, _ status: Int32) {
    unsafe Unmanaged<StreamListener>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef {
        $0.connectionArrived(status)
    }
}

private func listenerClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<StreamListener>.fromOpaque(handle!.pointee.data).release()
}

import CLibUV
import Glibc

/// One end of a TCP connection of a simulated network, used by a ``ByteStream``.
///
/// Bytes arrive in order and complete. While one of the hosts is disconnected they wait, as with retransmission; after
/// a minute the connection breaks.
///
/// It has more members than most types: all that a kernel holds for one end.
final class SimulatedEnd: SimulatedHandle {
    /// A piece under way to the other end.
    private enum Piece {
        case bytes([UInt8])
        case end
        case reset
    }

    private unowned let host: SimulatedHost
    private var number = 0
    let local: SocketAddress
    let remote: SocketAddress
    /// The stream that uses it; it retains itself while it is open.
    weak var stream: ByteStream?
    private(set) var peer: SimulatedEnd?
    /// Whether the kernel probes the other end while the connection is idle.
    var isProbing = false
    private var isClosed = false

    // Sending.
    /// Bytes that wait for room at the other end.
    private(set) var queued: [UInt8] = []
    /// Bytes under way or unread at the other end.
    private var unread = 0
    private var travelling: [Piece] = []
    private var lastArrival: UInt64 = 0
    private var stalledSince: UInt64?
    private var wantsEnd = false
    private var hasSentEnd = false

    // Receiving.
    private var arrived: [[UInt8]] = []
    /// How many bytes of the first piece were read.
    private var offset = 0
    private(set) var arrivedBytes = 0
    private var hasPeerEnded = false
    private var hasToldEnd = false
    private var isReset = false
    private var isListed = false

    /// The most bytes of one direction that both kernels hold.
    private static let window = 256 << 10
    /// How long pieces wait between two attempts while a host is disconnected, and how long in all, in nanoseconds.
    private static let retry: UInt64 = 400_000_000
    private static let patience: UInt64 = 60_000_000_000

    init(on host: SimulatedHost, local: SocketAddress, remote: SocketAddress) {
        self.host = host
        self.local = local
        self.remote = remote
        number = host.open(self)
    }

    private var world: SimulatedWorld { host.world }

    /// Whether both directions have ended.
    var isGone: Bool { isReset || hasPeerEnded && hasSentEnd }

    func closeOwner() { stream?.close() }

    // MARK: - Connecting

    /// Sends the first packet of a connection.
    func begin() {
        let began = world.now
        let target = host.owns(remote) ? host : world.host(at: remote)
        guard let target else {
            return host.call(at: began + Self.patience, "connect") { [self] in stream?.connected(UV_ETIMEDOUT.rawValue)
            }
        }
        knock(at: target, began)
    }

    private func knock(at target: SimulatedHost, _ began: UInt64) {
        target.callAny(at: world.arrival(world.now, host, target), "knock") { [self] in
            guard !isClosed else { return }
            guard world.canPass(host, target) else {
                if world.now - began < Self.patience {
                    return world.post(.action { [self] in knock(at: target, began) }, at: world.now + 1_000_000_000)
                }
                return host.call(at: world.now, "connect") { [self] in stream?.connected(UV_ETIMEDOUT.rawValue) }
            }
            let back = world.arrival(world.now, target, host)
            guard let port = target.port(at: remote) else {
                return host.call(at: back, "connect") { [self] in stream?.connected(UV_ECONNREFUSED.rawValue) }
            }
            let other = SimulatedEnd(on: target, local: remote, remote: local)
            (other.peer, peer, other.lastArrival) = (self, other, back)
            host.call(at: back, "connect") { [self] in
                stream?.connected(0)
                flush()
            }
            port.arrive(other)
        }
    }

    // MARK: - Sending

    /// Sends as much as the other end has room for.
    func send(_ bytes: borrowing RawSpan) throws(UVError) -> Int {
        guard !isReset else { throw UVError(code: UV_ECONNRESET.rawValue, call: "write") }
        let count = min(bytes.byteCount, Self.window - unread)
        guard count > 0 else { return 0 }
        let piece = unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0.prefix(count)) }
        fly(.bytes(piece))
        return count
    }

    /// Keeps the bytes from `start` on until there is room.
    func queue(_ bytes: borrowing RawSpan, from start: Int) {
        unsafe bytes.withUnsafeBytes { unsafe queued.append(contentsOf: $0.dropFirst(start)) }
    }

    func shutdown() {
        wantsEnd = true
        endIfSent()
    }

    private func endIfSent() {
        guard wantsEnd, queued.isEmpty, !hasSentEnd else { return }
        hasSentEnd = true
        fly(.end)
        host.later { [weak self] in self?.stream?.finishedShutdown(0) }
    }

    /// Handles that the other end has read bytes.
    private func credit(_ count: Int) {
        unread -= count
        flush()
    }

    /// Sends waiting bytes as far as there is room.
    private func flush() {
        guard !isClosed, !isReset, !queued.isEmpty else { return }
        let room = min(queued.count, Self.window - unread)
        guard room > 0 else { return }
        fly(.bytes([UInt8](queued.prefix(room))))
        queued.removeFirst(room)
        guard queued.isEmpty else { return }
        stream?.wrote(0)
        endIfSent()
    }

    private func fly(_ piece: Piece) {
        guard let peer else { return }
        if case .bytes(let bytes) = piece { unread += bytes.count }
        lastArrival = max(lastArrival, world.arrival(world.now, host, peer.host))
        travelling.append(piece)
        postLanding(at: lastArrival, peer)
    }

    private func postLanding(at time: UInt64, _ peer: SimulatedEnd) {
        peer.host.callAny(at: time, "stream") { [self] in land() }
    }

    /// Delivers the first piece under way, in a turn of the other host.
    private func land() {
        guard let peer else { return }
        guard world.canPass(host, peer.host) else {
            let since = stalledSince ?? world.now
            stalledSince = since
            guard world.now - since < Self.patience else {
                travelling = []
                return host.call(at: world.now, "stream") { [self] in broken(UV_ETIMEDOUT.rawValue) }
            }
            return postLanding(at: world.now + Self.retry, peer)
        }
        stalledSince = nil
        guard !travelling.isEmpty else { return }
        let piece = travelling.removeFirst()
        guard !peer.isClosed else {
            // The other end is closed: arriving data is answered with a reset.
            if case .bytes = piece {
                host.callAny(at: world.arrival(world.now, peer.host, host), "stream") { [self] in
                    broken(UV_ECONNRESET.rawValue)
                }
            }
            return
        }
        switch piece {
        case .bytes(let bytes):
            peer.arrived.append(bytes)
            peer.arrivedBytes += bytes.count
            peer.deliver()
        case .end:
            peer.hasPeerEnded = true
            peer.deliver()
        case .reset:
            peer.broken(UV_ECONNRESET.rawValue)
        }
    }

    private func broken(_ code: Int32) {
        guard !isClosed else { return }
        isReset = true
        (arrived, arrivedBytes, offset) = ([], 0, 0)
        guard let stream else { return }
        // A connection that is neither read nor written does not notice the reset.
        if stream.isReading { unsafe stream.read(Int(code), nil) } else if !queued.isEmpty { stream.wrote(code) }
    }

    // MARK: - Receiving

    /// Makes the stream read in the next turn.
    func wake() {
        guard !isListed, arrivedBytes > 0 || hasPeerEnded || isReset else { return }
        isListed = true
        host.later { [weak self] in
            self?.isListed = false
            self?.deliver()
        }
    }

    /// Reads up to 32 times, like libuv.
    private func deliver() {
        for _ in 0..<32 {
            guard let stream, !isClosed, stream.isReading else { return }
            if arrivedBytes > 0 {
                read(stream)
            } else if isReset {
                return unsafe stream.read(Int(UV_ECONNRESET.rawValue), nil)
            } else if hasPeerEnded, !hasToldEnd {
                hasToldEnd = true
                return unsafe stream.read(Int(UV_EOF.rawValue), nil)
            } else {
                return
            }
        }
        wake()
    }

    private func read(_ stream: ByteStream) {
        let buffer = unsafe stream.loop.readBuffer
        let limit = max(stream.delegate?.streamReadLimit(stream) ?? .max, 0)
        let count = min(limit, buffer.count, arrivedBytes)
        guard count > 0 else { return unsafe stream.read(Int(UV_ENOBUFS.rawValue), nil) }
        var copied = 0
        while copied < count {
            let piece = min(arrived[0].count - offset, count - copied)
            unsafe arrived[0].withUnsafeBytes { bytes in
                unsafe (buffer.baseAddress! + copied).copyMemory(from: bytes.baseAddress! + offset, byteCount: piece)
            }
            copied += piece
            offset += piece
            if offset == arrived[0].count {
                arrived.removeFirst()
                offset = 0
            }
        }
        arrivedBytes -= count
        if let peer {
            peer.host.callAny(at: world.arrival(world.now, host, peer.host), "credit") { peer.credit(count) }
        }
        unsafe stream.read(count, buffer.baseAddress!.assumingMemoryBound(to: CChar.self))
    }

    // MARK: - Closing

    /// Ends the connection: at once with a reset if requested, or if bytes were left unread.
    func close(resets: Bool) {
        guard !isClosed else { return }
        isClosed = true
        host.closed(number)
        if resets || arrivedBytes > 0 { fly(.reset) } else if !hasSentEnd, !isReset { fly(.end) }
        (queued, arrived, arrivedBytes) = ([], [], 0)
        guard let peer, peer.isClosed else { return }
        peer.peer = nil
        self.peer = nil
    }
}

/// A listening TCP port of a simulated host, used by a ``StreamListener``.
final class SimulatedPort: SimulatedHandle {
    private unowned let host: SimulatedHost
    private var number = 0
    /// The address that it is bound to.
    let address: SocketAddress
    /// The listener that uses it; it retains itself while it is open.
    weak var listener: StreamListener?
    private var waiting: [SimulatedEnd] = []
    private var isClosed = false

    init(on host: SimulatedHost, address: SocketAddress) {
        self.host = host
        self.address = address
        number = host.open(self)
    }

    func closeOwner() { listener?.close() }

    func arrive(_ end: SimulatedEnd) {
        waiting.append(end)
        accept()
    }

    /// Offers waiting connections to the listener in the next turn.
    func wake() {
        guard !waiting.isEmpty else { return }
        host.later { [weak self] in self?.accept() }
    }

    private func accept() {
        while let first = waiting.first, listener?.take(first) == true { waiting.removeFirst() }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        host.closed(number)
        host.release(self)
        for end in waiting { end.close(resets: true) }
        waiting = []
    }
}

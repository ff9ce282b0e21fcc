import CLibUV
import CShims
import Glibc

/// A UDP socket of a simulated host, used by a ``DatagramSocket``.
final class SimulatedSocket: SimulatedHandle {
    private unowned let host: SimulatedHost
    private var number = 0
    /// The address that it is bound to.
    let address: SocketAddress
    /// The most bytes of received packets that wait.
    var limit: Int
    /// The socket that uses it; it retains itself while it is open.
    weak var socket: DatagramSocket?
    /// Whether it waits to be read in the host's turn.
    var isListed = false
    private var inbox: [(bytes: [UInt8], source: SocketAddress)] = []
    private var first = 0
    private var inboxBytes = 0
    private var isClosed = false

    /// The kernel's accounting overhead of a packet in bytes.
    private static let overhead = 512

    init(on host: SimulatedHost, address: SocketAddress, limit: Int) {
        self.host = host
        self.address = address
        self.limit = limit
        number = host.open(self)
    }

    /// Whether received packets wait.
    var isPaused = false {
        didSet {
            guard !isPaused, first < inbox.count else { return }
            host.makeReadable(self)
            host.wake()
        }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        host.closed(number)
        host.release(self)
        inbox = []
        first = 0
    }

    func closeOwner() { socket?.close() }

    /// Queues a packet if there is room.
    func append(_ bytes: [UInt8], from source: SocketAddress) -> Bool {
        guard inboxBytes + bytes.count + Self.overhead <= limit else { return false }
        inboxBytes += bytes.count + Self.overhead
        inbox.append((bytes, source))
        return true
    }

    /// Calls the socket that uses it, and requests another turn if packets are left.
    func deliver() {
        isListed = false
        guard !isPaused else { return }
        socket?.ready(status: 0, events: Int32(UV_READABLE.rawValue))
        if first < inbox.count, !isPaused, !isClosed { host.makeReadable(self) }
    }

    /// Tells the socket that uses it that the kernel takes packets again.
    func becameWritable() { socket?.ready(status: 0, events: Int32(UV_WRITABLE.rawValue)) }

    /// Like `recvmmsg`: the number of messages, or a negative errno.
    func receive(into area: ReceiveArea) -> Int {
        let count = min(inbox.count - first, ReceiveArea.slotCount)
        guard count > 0 else { return -Int(EAGAIN) }
        for index in 0..<count {
            let (bytes, source) = inbox[first + index]
            let message = unsafe area.messages + index
            unsafe bytes.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                let room = unsafe message.pointee.header.msg_iov.pointee
                precondition(unsafe bytes.count <= room.iov_len, "a datagram fits a receive slot")
                unsafe room.iov_base.copyMemory(from: base, byteCount: bytes.count)
            }
            unsafe message.pointee.length = UInt32(bytes.count)
            unsafe message.pointee.header.msg_namelen = socklen_t(source.store(to: message.pointee.header.msg_name))
            unsafe message.pointee.header.msg_controllen = 0
            unsafe message.pointee.header.msg_flags = 0
            inboxBytes -= bytes.count + Self.overhead
        }
        first += count
        if first == inbox.count {
            inbox.removeAll(keepingCapacity: true)
            first = 0
        }
        return count
    }

    /// Like `sendmmsg`, but splits a message with several vectors into packets: the number of messages, or a negative
    /// errno.
    func send(_ messages: UnsafeMutablePointer<shim_message>, _ count: Int) -> Int {
        guard !host.isSendBlocked else { return -Int(EAGAIN) }
        for index in 0..<count {
            let header = unsafe messages[index].header
            guard
                let target = unsafe SocketAddress(
                    sockaddr: UnsafeRawPointer(header.msg_name), length: Int(header.msg_namelen))
            else { return index > 0 ? index : -Int(EINVAL) }
            for vector in unsafe 0..<header.msg_iovlen {
                let packet = unsafe header.msg_iov[vector]
                let bytes = unsafe UnsafeRawBufferPointer(start: packet.iov_base, count: packet.iov_len)
                let result = unsafe host.send(bytes, boundTo: address, to: target)
                guard result == 0 else { return index > 0 ? index : result }
            }
        }
        return count
    }
}

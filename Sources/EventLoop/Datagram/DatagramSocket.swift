import CLibUV
import CShims
import Glibc

/// Receives the packets of a datagram socket.
public protocol DatagramReceiver: AnyObject {
    /// Packets arrived; called once for each receive call. See ``ReceivedBatch`` for the permitted uses.
    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket)
}

/// A UDP socket for many packets: received and sent in batches, with segmentation offload if the kernel has it.
///
/// Packets are queued and sent at the next flush: right after the callback with a received batch, at the end of each
/// turn, or when ``flush()`` is called. The socket does not connect and never blocks. Packets that the kernel refuses
/// are dropped and counted.
@safe
public final class DatagramSocket: HandleOwner {
    /// The options with which a socket is opened.
    public struct Configuration: Sendable {
        /// SO_RCVBUF and SO_SNDBUF in bytes; the kernel may grant less.
        public var kernelBufferSize = 8 << 20
        /// The groups of up to 64 packets to one destination that one flush can hold; more groups cause an early flush.
        public var groupCapacity = 256
        /// Send slots for packets made by this process.
        public var sendSlotCount = 512
        /// The smallest size of a send slot in bytes.
        public var sendSlotSize = 1536
        /// Use UDP_GRO and UDP_SEGMENT if the kernel has them.
        public var usesOffload = true
        /// Datagrams larger than the MTU are fragmented, not dropped: IPv4 packets are sent without DF, and IPv6
        /// packets are fragmented here to the MTU that is known for the route.
        public var fragments = true
        /// Whether a socket bound to all addresses answers each packet from the address that it was sent to.
        ///
        /// It distinguishes 255 own addresses; for others the kernel chooses the source address.
        public var answersWhereAsked = false
        /// The receive calls in a row before other handles get their turn.
        public var receiveRounds = 4

        var usesSegmentation: Bool { usesOffload }

        /// The values for the one socket of a node or client: large buffers.
        public init() {}

        /// The values for one of many sockets, such as an exit's: small buffers, no slots.
        public static var small: Configuration {
            var configuration = Configuration()
            configuration.kernelBufferSize = 256 << 10
            configuration.groupCapacity = 16
            configuration.sendSlotCount = 0
            configuration.receiveRounds = 1
            configuration.usesOffload = false
            return configuration
        }
    }

    /// The loop that the socket belongs to.
    public let loop: Loop
    /// The address that the socket is bound to, with the port that the kernel chose.
    public let localAddress: SocketAddress
    /// Whether the kernel coalesces received packets (UDP_GRO).
    public let isCoalescing: Bool

    private let descriptor: Int32
    /// The socket of a simulated network; nil if the socket has a descriptor.
    private let wire: SimulatedSocket?
    private let poll: UnsafeMutablePointer<uv_poll_t>
    @usableFromInline let transmit: UnsafeMutablePointer<TransmitQueue>
    private let receiveRounds: Int
    private let kernelBufferSize: Int
    /// Retained while the socket is open.
    private var receiver: (any DatagramReceiver)?

    /// Opens a socket on `address` and passes its packets to `receiver`, which the socket retains until it is closed.
    ///
    /// Port 0 lets the kernel choose. An IPv6 socket receives no IPv4.
    public convenience init(
        on loop: Loop, bindTo address: SocketAddress, configuration: Configuration = Configuration(),
        receiver: (any DatagramReceiver)?
    ) throws(UVError) {
        loop.assertOnThread()
        precondition(!loop.isClosed, "the loop is closed")
        let binding: Binding =
            if let host = loop.host { .wire(try host.bind(address, configuration)) } else {
                .kernel(try KernelSocket(bindTo: address, configuration))
            }
        try self.init(on: loop, binding, configuration: configuration, receiver: receiver)
    }

    /// Takes over the socket of `worker` in `group`, which must not have been taken before, and passes its packets to
    /// `receiver`.
    ///
    /// The loop must be one of libuv.
    public convenience init(
        on loop: Loop, worker: Int, of group: DatagramGroup, receiver: (any DatagramReceiver)?
    ) throws(UVError) {
        loop.assertOnThread()
        precondition(!loop.isClosed && loop.host == nil, "a group's socket needs an open loop of libuv")
        try self.init(
            on: loop, .kernel(group.take(worker)), configuration: group.configuration, owns: group.owns,
            receiver: receiver)
    }

    /// A socket's end in the kernel or in a simulated network.
    private enum Binding {
        case kernel(KernelSocket)
        case wire(SimulatedSocket)
    }

    /// Takes over a bound socket; when it throws, the socket is closed.
    private init(
        on loop: Loop, _ binding: Binding, configuration: Configuration, owns: OwnAddresses? = nil,
        receiver: (any DatagramReceiver)?
    ) throws(UVError) {
        unsafe poll = .allocate(capacity: 1)
        switch binding {
        case .wire(let simulated):
            wire = simulated
            (descriptor, isCoalescing, localAddress) = (-1, false, simulated.address)
        case .kernel(let socket):
            wire = nil
            (descriptor, isCoalescing, localAddress) = (socket.descriptor, socket.isCoalescing, socket.address)
            do throws(UVError) {
                try UVError.check(unsafe uv_poll_init(loop.uv, poll, socket.descriptor), "uv_poll_init")
            } catch {
                socket.close()
                unsafe poll.deallocate()
                throw error
            }
        }
        self.loop = loop
        self.receiver = receiver
        receiveRounds = max(configuration.receiveRounds, 1)
        kernelBufferSize = configuration.kernelBufferSize
        unsafe transmit = .allocate(capacity: 1)
        unsafe transmit.initialize(
            to: TransmitQueue(
                descriptor: descriptor, wire: wire, poll: poll, pollCallback: datagramSocketReady,
                list: loop.transmits,
                tellsOwnAddresses: configuration.answersWhereAsked && localAddress.isAny && wire == nil,
                sharedOwns: owns, configuration: configuration))
        unsafe transmit.pointee.selfPointer = transmit
        unsafe poll.pointee.data = Unmanaged.passRetained(self).toOpaque()
        wire?.socket = self
        unsafe transmit.pointee.startPolling()
    }

    deinit {
        unsafe transmit.deinitialize(count: 1)
        unsafe transmit.deallocate()
        unsafe poll.deallocate()
    }

    // MARK: - Sending

    /// Takes a send slot for a packet of `size` bytes; nil if the size is larger than a slot, or none is free.
    ///
    /// If all slots wait for the flush, they are flushed first.
    public func sendSlot(size: Int) -> SendSlot? {
        loop.assertOnThread()
        guard unsafe size >= 0 && size <= transmit.pointee.sendSlotSize,
            let slot = unsafe transmit.pointee.takeSlot()
        else { return nil }
        return unsafe SendSlot(queue: transmit, slot: slot, size: size)
    }

    /// Queues the `length` bytes at `packet`, which must stay valid and unchanged until the next flush.
    ///
    /// At the flush the packet is sent, or dropped and counted.
    @unsafe @inlinable @inline(__always)
    public func queue(_ packet: UnsafeRawPointer, length: Int, to address: SocketAddress) {
        loop.assertOnThread()
        unsafe transmit.pointee.append(packet, length: length, slot: -1, to: address)
    }

    /// Room for up to `count` packets of `length` bytes and for at least one; no room if the first is dropped, which is
    /// counted.
    ///
    /// The caller must fill all of the room at once with the packets' addresses, as if it called
    /// ``queue(_:length:to:)`` for each.
    @unsafe public func reserve(_ count: Int, length: Int, to address: SocketAddress) -> SendRoom {
        loop.assertOnThread()
        return unsafe transmit.pointee.reserve(count, length: length, to: address)
    }

    /// Sends one packet at once, after those already queued; for occasional packets in the caller's memory.
    public func send(_ packet: borrowing RawSpan, to address: SocketAddress) {
        unsafe packet.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { unsafe queue(base, length: bytes.count, to: address) }
            flush()
        }
    }

    /// Sends the queued packets now.
    public func flush() {
        loop.assertOnThread()
        unsafe transmit.pointee.flush()
    }

    /// The socket's counters.
    public var counters: DatagramCounters { unsafe transmit.pointee.counters }

    /// Whether packets are sent as segmented messages; false after the kernel has refused one.
    public var isSegmenting: Bool { unsafe transmit.pointee.isSegmenting }

    /// Whether packets wait for the socket to become writable.
    public var isBlocked: Bool { unsafe transmit.pointee.isBlocked }

    /// Whether ``close()`` was called.
    public var isClosed: Bool { unsafe transmit.pointee.isClosed }

    /// Sends the queued packets, closes the socket and releases the receiver; has no effect the second time.
    public func close() {
        loop.assertOnThread()
        guard !isClosed else { return }
        // Flush all of the loop's queues, so that this queue is not in the flush list when its memory is freed.
        loop.flushTransmits()
        unsafe transmit.pointee.isClosed = true
        receiver = nil
        if let wire {
            wire.close()
            return unsafe Unmanaged.passUnretained(self).release()
        }
        unsafe uv_close(UnsafeMutableRawPointer(poll).assumingMemoryBound(to: uv_handle_t.self), datagramSocketClosed)
        Glibc.close(descriptor)
    }

    /// Whether arriving packets wait in the kernel, which drops them when its buffer is full.
    public var isReceivePaused: Bool {
        get { unsafe transmit.pointee.isReceivePaused }
        set {
            guard !isClosed, newValue != isReceivePaused else { return }
            unsafe transmit.pointee.isReceivePaused = newValue
            unsafe transmit.pointee.startPolling()
        }
    }

    /// Limits the kernel's buffer of received packets to about `size` bytes; 0: the size set when the socket was
    /// opened.
    ///
    /// Packets already in the buffer stay. The kernel may exceed the limit by the last run that it accepts. If a
    /// coalesced run would be a large part of it, coalescing is switched off.
    public func limitReceiveBuffer(to size: Int) {
        guard !isClosed else { return }
        if let wire { return wire.limit = size > 0 ? size : kernelBufferSize }
        KernelSocket.setReceiveBuffer(descriptor, Int32(clamping: size > 0 ? size : kernelBufferSize))
        guard isCoalescing else { return }
        let coalesces = size == 0 || size >= 4 * ReceiveArea.slotSize
        shim_set_option(descriptor, Int32(SHIM_SOL_UDP), Int32(SHIM_UDP_GRO), coalesces ? 1 : 0)
    }

    // MARK: - Events

    func ready(status: Int32, events: Int32) {
        loop.assertOnThread()
        if status < 0 {
            // libuv stops polling on EPOLLERR: clear the socket's error and continue.
            shim_take_socket_error(descriptor)
            unsafe transmit.pointee.counters.receiveErrors += 1
            unsafe transmit.pointee.startPolling()
        }
        if events & Int32(UV_WRITABLE.rawValue) != 0 { unsafe transmit.pointee.flush() }
        if events & Int32(UV_READABLE.rawValue) != 0 { receive() }
    }

    /// Receives up to the allowed number of rounds, and after each sends the packets that the receiver queued.
    private func receive() {
        let area = loop.receiveArea
        for _ in 0..<receiveRounds {
            guard let receiver else { return }
            unsafe transmit.pointee.counters.receiveCalls += 1
            let received = if let wire { wire.receive(into: area) } else { area.receive(descriptor) }
            guard received > 0 else {
                if received != -Int(EAGAIN) && received != -Int(EINTR) {
                    unsafe transmit.pointee.counters.receiveErrors += 1
                }
                return
            }
            let count = unsafe area.split(received, for: transmit)
            if count > 0 {
                var batch = ReceivedBatch(count: count, area: area)
                receiver.received(&batch, on: self)
                loop.flushTransmits()
            }
            if received < ReceiveArea.slotCount || isClosed || isReceivePaused { return }
        }
    }
}

private func datagramSocketReady(_ handle: UnsafeMutablePointer<uv_poll_t>?, _ status: Int32, _ events: Int32) {
    unsafe Unmanaged<DatagramSocket>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef {
        $0.ready(status: status, events: events)
    }
}

private func datagramSocketClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    unsafe Unmanaged<DatagramSocket>.fromOpaque(handle!.pointee.data).release()
}

import Synchronization

/// Copies of received packets on their way to another loop, in memory that comes back and is used again.
///
/// `@unchecked Sendable`: a ``PacketLane`` fills it while it is at home, the other loop uses it while it is away, and
/// `isAway` orders the two.
@safe
public final class PacketCopies: @unchecked Sendable {
    /// The most packets of one batch of copies.
    public static let capacity = 64

    private let packetSize: Int
    private let stride: Int
    private let memory: UnsafeMutableRawPointer
    private let packets: UnsafeMutablePointer<ReceivedPacket>
    private let sources: UnsafeMutablePointer<SocketAddress>
    private let ends: UnsafeMutablePointer<Int>
    /// How many packets there are.
    private(set) var count = 0
    private let away = Atomic(false)

    init(packetSize: Int) {
        self.packetSize = packetSize
        // As in a loop's receive memory, each packet begins at a cache line.
        stride = (packetSize + 63) & ~63
        unsafe memory = .allocate(byteCount: Self.capacity * stride, alignment: 64)
        unsafe packets = .allocate(capacity: Self.capacity)
        unsafe sources = .allocate(capacity: Self.capacity)
        unsafe ends = .allocate(capacity: Self.capacity)
    }

    deinit {
        unsafe memory.deallocate()
        unsafe packets.deallocate()
        unsafe sources.deallocate()
        unsafe ends.deallocate()
    }

    /// Whether the other loop has it.
    var isAway: Bool { away.load(ordering: .acquiring) }

    /// Copies a packet of the right size; the caller knows that there is room.
    func append(_ packet: RawSpan, from source: SocketAddress) {
        precondition(count < Self.capacity && packet.byteCount == packetSize, "room for a packet")
        let bytes = unsafe memory + count * stride
        unsafe packet.withUnsafeBytes { packet in
            unsafe UnsafeMutableRawBufferPointer(start: bytes, count: packetSize).copyMemory(from: packet)
        }
        // Each is a run of its own.
        unsafe (packets + count).initialize(
            to: ReceivedPacket(bytes: bytes, length: Int32(packetSize), run: Int32(count)))
        unsafe (sources + count).initialize(to: source)
        unsafe (ends + count).initialize(to: count + 1)
        count += 1
    }

    func leave() { away.store(true, ordering: .releasing) }

    /// Gives the packets to `receive` as one batch, sends what that has queued, and lets the memory go back.
    ///
    /// To be called once, on the loop that was sent the copies.
    public func deliver(on loop: Loop, to receive: (inout ReceivedBatch) -> Void) {
        loop.assertOnThread()
        var batch = unsafe ReceivedBatch(count: count, packets: packets, sources: sources, ends: ends)
        receive(&batch)
        loop.flushTransmits()
        comeHome()
    }

    /// Lets the memory go back without ``deliver(on:to:)``, where the packets are not wanted.
    public func comeHome() {
        count = 0
        away.store(false, ordering: .releasing)
    }
}

/// One loop's way to hand packets to another loop: copies, of which a bounded number is under way.
///
/// It belongs to the thread of the loop that hands them on.
public final class PacketLane {
    /// The most packets under way.
    public static let capacity = 1_024
    /// How many copies of a lane are delivered in one turn of the other loop: 256 packets.
    public static let inTurn = 4

    private let packetSize: Int
    private let send: (PacketCopies) -> Bool
    private var all: [PacketCopies] = []
    private var filling: PacketCopies?

    /// A lane for packets of `packetSize` bytes; `send` brings copies to the other loop, where
    /// ``PacketCopies/deliver(on:to:)`` is called.
    ///
    /// It returns false where that loop is closed.
    public init(packetSize: Int, send: @escaping (PacketCopies) -> Bool) {
        self.packetSize = packetSize
        self.send = send
    }

    /// Copies a packet, to be sent with the next ``flush()`` at the latest; false if too many are under way.
    public func add(_ packet: RawSpan, from source: SocketAddress) -> Bool {
        if filling == nil { filling = takeFree() }
        guard let filling else { return false }
        filling.append(packet, from: source)
        if filling.count == PacketCopies.capacity { flush() }
        return true
    }

    /// Sends what was added.
    public func flush() {
        guard let copies = filling else { return }
        filling = nil
        copies.leave()
        if !send(copies) { copies.comeHome() }
    }

    private func takeFree() -> PacketCopies? {
        if let copies = all.first(where: { !$0.isAway }) { return copies }
        guard all.count < Self.capacity / PacketCopies.capacity else { return nil }
        let copies = PacketCopies(packetSize: packetSize)
        all.append(copies)
        return copies
    }
}

internal import EventLoop

/// A received data packet, and the fields of its opened header.
@safe public struct Arrival {
    /// The link that the packet came on.
    public let link: LinkID
    /// The receiver index, which selects the keys.
    @usableFromInline let index: UInt32
    /// The path id, which this end chose; never 0.
    public let pathID: UInt64
    /// The link counter.
    @usableFromInline let counter: UInt64
    /// The packet, of the network's packet size, in the socket's receive memory.
    @usableFromInline let bytes: UnsafeMutableRawPointer
    private let place: Int32
    /// Whether the packet came from another address than its link's, and the link may move.
    @usableFromInline let isFromNewAddress: Bool

    init(
        link: LinkID, index: UInt32, pathID: UInt64, counter: UInt64, bytes: UnsafeMutableRawPointer, position: Int,
        isFromNewAddress: Bool
    ) {
        self.link = link
        self.index = index
        self.pathID = pathID
        self.counter = counter
        unsafe self.bytes = bytes
        place = Int32(truncatingIfNeeded: position)
        self.isFromNewAddress = isFromNewAddress
    }

    /// The packet's number in the socket's batch.
    var position: Int { Int(place) }
}

/// The data packets of one received batch for one handler, in the memory where the kernel put them.
@safe public struct ReceivedPackets: ~Copyable {
    /// The most packets of one batch for one handler.
    static let capacity = 4_096

    @usableFromInline let arrivals: UnsafeMutablePointer<Arrival>
    /// The size of every packet.
    @usableFromInline let packetSize: Int
    /// The number of packets.
    public var count: Int { used }
    @usableFromInline var used = 0

    init(packetSize: Int) {
        self.packetSize = packetSize
        unsafe arrivals = .allocate(capacity: Self.capacity)
    }

    deinit { unsafe arrivals.deallocate() }

    /// Adds a packet of the right size; false if there is no room.
    @inline(__always)
    mutating func append(_ arrival: Arrival) -> Bool {
        guard used < Self.capacity else { return false }
        unsafe (arrivals + used).initialize(to: arrival)
        used &+= 1
        return true
    }

    mutating func removeAll() { used = 0 }

    /// The header fields of packet `number`.
    @inlinable @inline(__always)
    public subscript(_ number: Int) -> Arrival {
        precondition(number >= 0 && number < used, "no such packet")
        return unsafe arrivals[number]
    }

    /// Traps unless all of `numbers` are packets; call it before the two functions below.
    @inline(__always)
    func check(_ numbers: Range<Int>) {
        precondition(numbers.lowerBound >= 0 && numbers.upperBound <= used, "no such packets")
    }

    /// The bytes of packet `number`, for which `check` was called.
    @inline(__always)
    @_lifetime(&self)
    mutating func checkedPacket(_ number: Int) -> MutableRawSpan {
        assert(number >= 0 && number < used, "check was not called for it")
        let span = unsafe MutableRawSpan(_unsafeStart: arrivals[number].bytes, byteCount: packetSize)
        return unsafe _overrideLifetime(span, mutating: &self)
    }

    /// The address of packet `number`, for which `check` was called.
    @inline(__always)
    func checkedBytes(_ number: Int) -> UnsafeMutableRawPointer {
        assert(number >= 0 && number < used, "check was not called for it")
        return unsafe arrivals[number].bytes
    }

    /// The bytes of packet `number`, to open in place; they must not change after the packet has been forwarded.
    @inlinable @inline(__always)
    @_lifetime(&self)
    public mutating func packet(_ number: Int) -> MutableRawSpan {
        precondition(number >= 0 && number < used, "no such packet")
        let span = unsafe MutableRawSpan(_unsafeStart: arrivals[number].bytes, byteCount: packetSize)
        return unsafe _overrideLifetime(span, mutating: &self)
    }
}

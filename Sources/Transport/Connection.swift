internal import BasicContainers
internal import Wire

/// Reliable streams and unreliable datagrams between two ends, over one or more legs.
///
/// QUIC's design (RFC 9000, 9002, 9221) without its handshake. It does no I/O and reads no clock: packets, times and
/// calls go in; packets, events and one deadline come out. Not thread-safe; times must not run backwards.
///
/// The caller gives each leg packets that arrive whole, authentic and at most once, with a packet number per leg and
/// direction that strictly increases and starts near 0. After `receive`, after `deadlineReached` and after any call on
/// streams or datagrams it should call `writePacket` for each leg while `wantsToSend` says so, poll events, and set a
/// timer to `nextDeadline`.
///
/// It has more members than most types: each packet reads most of them. Parts with rules of their own are types (`Leg`,
/// `Stream`, `DatagramQueue`).
public struct Connection: ~Copyable {
    let role: ConnectionRole
    let configuration: ConnectionConfiguration
    var random: UInt64

    var legs = UniqueArray<Leg>()
    /// The leg that carries data; nil without legs, and at an initiator whose active leg was removed, until it
    /// activates another.
    var active: LegID?
    /// The initiator's last choice, even if that leg is missing; before any choice, the leg that was added first.
    var chosen: LegID?
    /// The sequence of the last LEG_ACTIVE, sent or received; nothing else changes it.
    var activeSequence: UInt64 = 0
    var activeFrameWanted = false
    var legCloses: [LegID] = []
    var closedLegEvents: [LegID] = []

    var streams = UniqueArray<Stream>()
    var freeSlots: [Int] = []
    var index: StreamIndex
    var pool = BytePool()
    /// Streams that have data to send; none is in both queues.
    var sendQueue = Ring<StreamRef>()
    var shortQueue = Ring<StreamRef>()
    /// How many bytes the short streams are ahead of the others; at most a quantum behind.
    var shortLead = 0
    /// Streams that wait for the connection's credit: those that may use all of it, and those that must leave the last
    /// part.
    var blockedQueue = Ring<StreamRef>()
    var blockedLongQueue = Ring<StreamRef>()
    var wakesLong = false
    var controlQueue = Ring<StreamRef>()
    var eventQueue = Ring<StreamRef>()

    var nextOwnStream: UInt64
    var ownStreamLimit = UInt64(InitialLimits.streams)
    var peerStreamLimit = UInt64(InitialLimits.streams)
    var ownStreamsOpened: UInt64 = 0
    /// How many streams the peer has opened, by naming them or later ones.
    var peerStreamsOpened: UInt64 = 0
    /// The opened streams that no frame has named yet, as ranges of their ordinal numbers; they have no state.
    var unmade = RangeSet()
    var peerStreamsClosed: UInt64 = 0
    var maxStreamsWanted = false
    var tellStreams = false

    var sendLimit = UInt64(InitialLimits.data)
    var sentData: UInt64 = 0
    /// The bytes that all streams hold for sending, and how many of them are unsent or unacknowledged.
    var heldToSend = 0
    var pendingToSend = 0
    var receiveLimit = UInt64(InitialLimits.data)
    var receiveWindow = UInt64(InitialLimits.data)
    var receivedData: UInt64 = 0
    var consumedData: UInt64 = 0
    /// How many of the consumed bytes nobody has read: their streams were reset, or not wanted.
    var discardedData: UInt64 = 0
    var lastGrant: Instant?
    var maxDataWanted = false
    /// When unread streams were last checked.
    var lastReset: Instant?
    /// Streams that wait for room, in the order in which they get it.
    var roomQueue = Ring<StreamRef>()
    /// The bytes promised to streams and not yet taken, for all streams together.
    var promisedRoom = 0

    var datagrams = DatagramQueue()
    var datagramsFirst = true
    var reassembly: Reassembly
    var arrived: [(flow: UInt64, bytes: [UInt8])] = []
    var arrivedHead = 0
    var arrivedBytes = 0

    var pathEvents: [ConnectionEvent] = []
    var closeCode: UInt64?
    var isPeerClosed = false
    var closedEvent: UInt64?
    /// How many packets have been read; it tells which frames are of one packet.
    var packet: UInt64 = 0
    /// The time of the last call that passed one.
    var clock = Instant(nanoseconds: 0)

    /// A connection without legs.
    ///
    /// `seed` feeds `numbersToSkip` and the hash of stream numbers; the peer must not know it.
    public init(role: ConnectionRole, configuration: ConnectionConfiguration = ConnectionConfiguration(), seed: UInt64)
    {
        self.role = role
        self.configuration = configuration
        random = seed ^ 0x9e37_79b9_7f4a_7c15 | 1
        index = StreamIndex(salt: seed)
        reassembly = Reassembly(budget: configuration.maxReassembly)
        nextOwnStream = role == .initiator ? 0 : 1
        if configuration.maxPeerStreams > InitialLimits.streams {
            peerStreamLimit = UInt64(configuration.maxPeerStreams)
            maxStreamsWanted = true
        }
    }

    /// The next of a sequence of numbers that the peer cannot predict from its view (xorshift; not for secrets).
    mutating func nextRandom() -> UInt64 {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return random &* 0x2545_f491_4f6c_dd1d
    }

    /// The place of a leg in the table.
    func find(_ id: LegID) -> Int? {
        var position = 0
        while position < legs.count {
            if legs[position].id == id { return position }
            position += 1
        }
        return nil
    }

    /// How many packet numbers to skip before the next packet: mostly 0, at random 1.
    ///
    /// An acknowledgement of a skipped number reveals a peer that acknowledges packets it has not received.
    public mutating func numbersToSkip() -> UInt64 { nextRandom() >> 56 == 0 ? 1 : 0 }

    /// Closes at once: each leg sends CONNECTION_CLOSE in one packet, and in one more after packets that still come on
    /// it.
    public mutating func close(code: UInt64) {
        guard closeCode == nil else { return }
        closeCode = code
        guard !isPeerClosed else { return }
        var position = 0
        while position < legs.count {
            legs[position].closeWanted = true
            position += 1
        }
    }

    /// Whether either end has closed the connection.
    public var isClosed: Bool { closeCode != nil || isPeerClosed }

    /// How many stream bytes have been sent for the first time or read; no change means no progress.
    public var movedBytes: UInt64 { sentData &+ consumedData &- discardedData }

    /// The bytes of the buffers that streams and datagrams have.
    public var bufferedBytes: Int { pool.lent }

    /// Frees buffers that are kept for reuse, beyond as many bytes as are in use.
    public mutating func trimBuffers() { pool.trim() }

    /// Whether streams hold bytes that wait to be sent or read.
    public var hasWaitingBytes: Bool { heldToSend > 0 || unreadBytes > 0 }

    /// Bytes of memory held for buffers and tables, for accounting.
    public var memoryUse: Int {
        var total = pool.lent + pool.kept + streams.capacity * MemoryLayout<Stream>.stride + index.count * 48
        total += unmade.count * MemoryLayout<RangeSet.Run>.stride
        total += reassembly.held + arrivedBytes + datagrams.memory
        total += (sendQueue.capacity + shortQueue.capacity + blockedQueue.capacity + blockedLongQueue.capacity) * 8
        total += (controlQueue.capacity + eventQueue.capacity + roomQueue.capacity) * 8
        var position = 0
        while position < legs.count {
            total += legs[position].memory
            position += 1
        }
        return total
    }
}

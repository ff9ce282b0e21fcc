internal import Wire

/// A frame of a sent packet that must be sent again if the packet is lost.
struct SentFrame: BitwiseCopyable {
    enum Kind: UInt8 {
        case stream, streamFin, maxData, maxStreamData, maxStreams, reset, stopSending, legActive, legClose, ack
    }

    var kind: Kind
    var count: UInt16
    var stream: StreamRef
    /// The offset of stream data, the limit granted, the sequence, or the largest packet acknowledged.
    var value: UInt64

    init(_ kind: Kind, stream: StreamRef = StreamRef(slot: 0, generation: 0), value: UInt64 = 0, count: Int = 0) {
        self.kind = kind
        self.count = UInt16(truncatingIfNeeded: count)
        self.stream = stream
        self.value = value
    }
}

/// A sent packet, kept until it is resolved and no older one is open.
struct SentPacket {
    enum State: UInt8 { case outstanding, acknowledged, lost }

    var number: UInt64
    var time: Instant
    /// The delivered bytes when it was sent, and their time; for samples of the delivery rate.
    var delivered: UInt64
    var deliveredTime: Instant
    var firstSentTime: Instant
    /// The index of its first frame in the log.
    var firstFrame: Int
    var frameCount: UInt16
    var state: State
    /// Whether it asks for an acknowledgement and counts as in flight.
    var isEliciting: Bool
    /// Whether the sender had no more data at that time.
    var isAppLimited: Bool
    /// Whether loss detection declared it lost and told the congestion controller.
    ///
    /// The frames of other lost packets were only queued again, for another leg.
    var isCounted: Bool
}

/// The packets of a leg that may still be acknowledged, in the order of their numbers, and the frames in them.
struct SentLog {
    private(set) var packets = Ring<SentPacket>()
    private(set) var frames = Ring<SentFrame>()
    /// The first packet that may be outstanding.
    private(set) var firstOpen = 0
    /// One more than the last number sent.
    private(set) var nextNumber: UInt64 = 0
    /// The indices of acknowledged packets, as runs, so that a repeated acknowledgement passes a run in one step.
    private var acknowledged = RangeSet()
    #if DEBUG
        /// How many packets and runs acknowledgements have examined, for tests.
        private(set) var steps = 0
    #endif

    init() {}

    var memory: Int {
        packets.capacity * MemoryLayout<SentPacket>.stride + frames.capacity * MemoryLayout<SentFrame>.stride
    }

    mutating func append(frame: SentFrame) { frames.append(frame) }

    /// The index that the next frame will have.
    var nextFrame: Int { frames.tail }

    /// Logs a packet whose frames were appended since `firstFrame`.
    mutating func append(_ packet: SentPacket) {
        nextNumber = packet.number + 1
        // An acknowledgement-only packet needs no entry if none before it is open.
        if !packet.isEliciting && packets.isEmpty {
            frames.removeAll(before: frames.tail)
            return
        }
        packets.append(packet)
    }

    subscript(index: Int) -> SentPacket {
        get { packets[index] }
        set { packets[index] = newValue }
    }

    /// The index of the last packet whose number is at most `number`, or `packets.head - 1`.
    func lastIndex(atMost number: UInt64) -> Int {
        var low = packets.head
        var high = packets.tail
        // Numbers are nearly dense, so a guess from the end is mostly right.
        if low < high {
            let last = packets[high - 1].number
            if number >= last { return high - 1 }
            let guess = high - 1 - Int(min(last - number, UInt64(high - low)))
            if guess >= low, packets[guess].number == number { return guess }
        }
        while low < high {
            let middle = (low + high) / 2
            if packets[middle].number <= number { low = middle + 1 } else { high = middle }
        }
        return low - 1
    }

    /// Records that all packets from `first` to `last` are acknowledged.
    mutating func acknowledgedAll(from first: Int, to last: Int) {
        acknowledged.insert(UInt64(first), UInt64(last) + 1)
    }

    /// The index after the run of acknowledged packets that contains `index`.
    func endOfAcknowledged(from index: Int) -> Int {
        guard let run = acknowledged.overlapping(UInt64(index), UInt64(index) + 1).first else { return index + 1 }
        return Int(run.high)
    }

    /// Counts a step of an acknowledgement, in test builds.
    mutating func countStep() {
        #if DEBUG
            steps += 1
        #endif
    }

    /// Moves `firstOpen` past the resolved packets.
    mutating func advanceOpen() {
        if firstOpen < packets.head { firstOpen = packets.head }
        while firstOpen < packets.tail {
            let packet = packets[firstOpen]
            if packet.state == .outstanding && packet.isEliciting { return }
            firstOpen += 1
        }
    }

    /// Removes resolved packets from the front; a lost one stays until it is older than `horizon`, in case it arrives
    /// after all.
    mutating func trim(horizon: Instant) {
        var index = packets.head
        while index < packets.tail {
            let packet = packets[index]
            switch packet.state {
            case .acknowledged: break
            case .lost: if packet.time > horizon { return finishTrim(index) }
            case .outstanding: if packet.isEliciting { return finishTrim(index) }
            }
            index += 1
        }
        finishTrim(index)
    }

    private mutating func finishTrim(_ index: Int) {
        packets.removeAll(before: index)
        frames.removeAll(before: index < packets.tail ? packets[index].firstFrame : frames.tail)
        if firstOpen < index { firstOpen = index }
        if let first = acknowledged.first, first.low < UInt64(index) { acknowledged.remove(0, UInt64(index)) }
    }
}

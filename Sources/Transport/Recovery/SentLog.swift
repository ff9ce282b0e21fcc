internal import Wire

/// What a packet carried that must come again if it is lost.
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

/// A packet that was sent, until it is resolved and no older one is open.
struct SentPacket {
    enum State: UInt8 { case outstanding, acknowledged, lost }

    var number: UInt64
    var time: Instant
    /// What had been delivered when it was sent, and when; for samples of the delivery rate.
    var delivered: UInt64
    var deliveredTime: Instant
    var firstSentTime: Instant
    /// The index of its first frame in the log.
    var firstFrame: Int
    var frameCount: UInt16
    var state: State
    /// Whether it asks for an acknowledgement and counts as in flight.
    var isEliciting: Bool
    /// Whether there was nothing more to send then.
    var isAppLimited: Bool
    /// Whether it has been declared lost for the controller too.
    var isCounted: Bool
}

/// The packets of a leg that may still be acknowledged, in the order of their numbers, and the frames in them.
struct SentLog {
    private(set) var packets = Ring<SentPacket>()
    private(set) var frames = Ring<SentFrame>()
    /// The first packet that may be outstanding.
    private(set) var firstOpen = 0
    /// The number after the last one sent.
    private(set) var nextNumber: UInt64 = 0
    /// The indices of packets that are acknowledged, as runs, so that what says it again passes a run in one step.
    private var acknowledged = RangeSet()
    #if DEBUG
        /// Packets and runs that acknowledgements have looked at, for tests.
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
        // Nobody needs to hear of an acknowledgement if nothing before it is open.
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
        // Numbers are nearly dense: a guess from the end is mostly right.
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

    /// Notes that all packets from `first` to `last` are acknowledged.
    mutating func acknowledgedAll(from first: Int, to last: Int) {
        acknowledged.insert(UInt64(first), UInt64(last) + 1)
    }

    /// The index behind the acknowledged packets that follow each other from `index` on, which is one of them.
    func endOfAcknowledged(from index: Int) -> Int {
        guard let run = acknowledged.overlapping(UInt64(index), UInt64(index) + 1).first else { return index + 1 }
        return Int(run.high)
    }

    /// Counts a step of an acknowledgement, in builds for tests.
    mutating func countStep() {
        #if DEBUG
            steps += 1
        #endif
    }

    /// Moves `firstOpen` over what is resolved.
    mutating func advanceOpen() {
        if firstOpen < packets.head { firstOpen = packets.head }
        while firstOpen < packets.tail {
            let packet = packets[firstOpen]
            if packet.state == .outstanding && packet.isEliciting { return }
            firstOpen += 1
        }
    }

    /// Forgets what is resolved at the front; lost packets stay until they were sent before `horizon`, in case they come after all.
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

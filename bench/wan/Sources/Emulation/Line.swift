/// A bottleneck: packets leave one after the other at a rate, and wait in a queue that drops at its tail.
struct Line: Equatable, Sendable {
    /// How much may wait, the packet that is leaving included.
    enum Queue: Equatable, Sendable {
        case bytes(Int)
        /// As many bytes as leave in this time; they change with the rate.
        case time(Nanoseconds)
    }

    /// Bits a second; 0 is a line without a limit.
    private(set) var rate: Double
    var queue: Queue
    /// Bytes that wait, the packet that is leaving included.
    private(set) var waiting = 0
    private(set) var mostWaiting = 0
    private(set) var packets = 0
    private(set) var bytes = 0
    private(set) var dropped = 0
    private(set) var droppedBytes = 0

    /// The first and the last of the packets that wait, slots that `Emulation` links.
    var head = -1
    var tail = -1
    /// When the first packet has left; nil while none waits.
    private(set) var finish: Nanoseconds?

    init(rate: Double, queue: Queue) {
        self.rate = rate
        self.queue = queue
    }

    /// How many bytes may wait now.
    var room: Int {
        switch queue {
        case .bytes(let count): count
        case .time(let time): Int(rate * Double(time) / 8e9)
        }
    }

    func duration(of length: Int) -> Nanoseconds { Nanoseconds((Double(length) * 8e9 / rate).rounded()) }

    /// Whether a packet may wait; it is counted as dropped where not.
    ///
    /// An empty line takes any packet.
    mutating func admits(_ length: Int) -> Bool {
        if rate == 0 || waiting == 0 || waiting + length <= room { return true }
        dropped += 1
        droppedBytes += length
        return false
    }

    /// A packet that was admitted waits.
    ///
    /// True when it is the first, so that `finish` is new.
    mutating func add(_ length: Int, at time: Nanoseconds) -> Bool {
        waiting += length
        mostWaiting = max(mostWaiting, waiting)
        guard finish == nil else { return false }
        finish = time + (rate > 0 ? duration(of: length) : 0)
        return true
    }

    /// The first packet has left; `next` is the length of the one behind it, if there is one.
    mutating func remove(_ length: Int, next: Int?) {
        packets += 1
        bytes += length
        waiting -= length
        if let next, let left = finish {
            finish = left + (rate > 0 ? duration(of: next) : 0)
        } else {
            finish = nil
        }
    }

    /// Changes the rate.
    ///
    /// What is left of the packet that is leaving leaves at the new one. True when `finish` is new.
    mutating func change(rate new: Double, at time: Nanoseconds) -> Bool {
        defer { rate = new }
        guard let finish, new != rate else { return false }
        let left = Double(max(0, finish - time)) * rate
        self.finish = time + (new > 0 ? Nanoseconds((left / new).rounded()) : 0)
        return true
    }
}

internal import Wire

/// The received packets of a leg, as ranges to acknowledge, and when the acknowledgement is due.
struct ReceivedNumbers {
    struct Run: BitwiseCopyable {
        var low: UInt64
        var high: UInt64
    }

    /// The largest packet number that an ACK can name.
    static let largestNumber: UInt64 = 1 << 62 - 1

    /// In descending order; never more than one ACK can carry.
    private(set) var runs: [Run] = []
    /// Packet numbers below this and outside of `runs` are too old to be told from duplicates.
    private var floor: UInt64 = 0
    private(set) var largestTime = Instant(nanoseconds: 0)
    private(set) var count: UInt64 = 0
    /// Packets that ask for an acknowledgement since the last one was sent.
    private(set) var unacknowledged = 0
    /// Whether an acknowledgement would tell the peer anything new.
    private(set) var hasNews = false
    private(set) var isUrgent = false
    private(set) var deadline: Instant?
    private var afterGap = 0
    /// How many packets are acknowledged together: about as many as come within the delay.
    private var threshold = 2
    /// How many acknowledgements holes may cause before the next one that is due without them.
    private var holesToTell = Self.mostHoles

    private static let mostHoles = 2
    /// The largest threshold: on short paths, where few packets are in flight, and on others.
    private static let nearThreshold = 32
    private static let farThreshold = 256
    private static let farDelay = TimeSpan.milliseconds(4)

    init() { runs.reserveCapacity(AckFrame.maxRanges + 1) }

    var largest: UInt64? { runs.first?.high }

    /// Nil if the packet is new; otherwise whether it has been seen or is too old to tell.
    func check(_ number: UInt64) -> ConnectionDropReason? {
        if let first = runs.first, number > first.high { return nil }
        for run in runs {
            if number > run.high { return nil }
            if number >= run.low { return .duplicate }
        }
        return number < floor ? .stale : nil
    }

    /// Records a packet that `check` has passed.
    mutating func insert(_ number: UInt64, isEliciting: Bool, wantsAnswer: Bool, delay: TimeSpan, now: Instant) {
        count += 1
        hasNews = true
        let isInOrder: Bool
        if let first = runs.first {
            isInOrder = number == first.high + 1
            if number > first.high { largestTime = now }
        } else {
            isInOrder = true
            largestTime = now
        }
        record(number)
        guard isEliciting else { return }
        unacknowledged += 1
        // After a hole one more acknowledgement is sent when the sender's threshold is passed, so the sender need not
        // wait for its timer.
        if !isInOrder { afterGap = 4 } else if afterGap > 0 { afterGap -= 1 }
        if !isInOrder || afterGap == 1, holesToTell > 0 {
            holesToTell -= 1
            isUrgent = true
        }
        if wantsAnswer { isUrgent = true }
        guard let deadline else {
            deadline = now + delay
            return
        }
        guard unacknowledged >= threshold else { return }
        isUrgent = true
        // This many come in less than the delay: an acknowledgement may wait for more.
        let most = delay < Self.farDelay ? Self.nearThreshold : Self.farThreshold
        if now < deadline { threshold = min(threshold * 2, most) }
    }

    private mutating func record(_ number: UInt64) {
        var index = 0
        while index < runs.count, runs[index].low > number { index += 1 }
        // Every run before `index` lies above the number; the run at `index` starts at or below it.
        let joinsAbove = index > 0 && runs[index - 1].low == number + 1
        let joinsBelow = index < runs.count && runs[index].high + 1 == number
        if joinsAbove && joinsBelow {
            runs[index - 1].low = runs[index].low
            runs.remove(at: index)
        } else if joinsAbove {
            runs[index - 1].low = number
        } else if joinsBelow {
            runs[index].high = number
        } else {
            runs.insert(Run(low: number, high: number), at: index)
            if runs.count > AckFrame.maxRanges {
                let forgotten = runs.removeLast()
                floor = max(floor, forgotten.high + 1)
            }
        }
    }

    /// The peer has our acknowledgements up to `largest`; they need not be repeated.
    mutating func forget(upTo largest: UInt64) {
        guard let first = runs.first, largest < first.high else { return }
        while let last = runs.last, last.high <= largest, runs.count > 1 {
            floor = max(floor, last.high + 1)
            runs.removeLast()
        }
    }

    mutating func acknowledgementSent(now: Instant) {
        if deadline.map({ $0 <= now }) ?? false {
            if unacknowledged < threshold / 4 { threshold = max(threshold / 2, 2) }
            holesToTell = Self.mostHoles
        } else if unacknowledged >= threshold {
            holesToTell = Self.mostHoles
        }
        unacknowledged = 0
        hasNews = false
        isUrgent = false
        deadline = nil
    }

    func isDue(_ now: Instant) -> Bool {
        if isUrgent { return true }
        guard let deadline else { return false }
        return deadline <= now
    }
}

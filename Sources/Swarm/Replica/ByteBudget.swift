/// A number of bytes that may be taken; it refills evenly over time.
public struct ByteBudget: Sendable {
    /// The most bytes that the budget holds.
    public private(set) var capacity: UInt64
    /// The milliseconds in which an empty budget fills.
    private let window: UInt64
    private var level: UInt64
    private var last: UInt64

    /// A full budget; times are milliseconds.
    public init(capacity: UInt64, window: UInt64, now: UInt64) {
        precondition(window > 0, "a budget fills in some time")
        self.capacity = capacity
        self.window = window
        level = capacity
        last = now
    }

    /// How many bytes can be taken now.
    public mutating func available(_ now: UInt64) -> UInt64 {
        // A clock that was set back neither adds nor removes bytes.
        guard now > last else {
            last = now
            return level
        }
        let elapsed = min(now - last, window)
        let product = capacity.multipliedFullWidth(by: elapsed)
        let gained = window.dividingFullWidth(product).quotient
        // Times too short to add a byte accumulate.
        guard gained > 0 else { return level }
        level = min(capacity, level + min(gained, capacity - level))
        last = now
        return level
    }

    /// Takes `bytes` if the budget holds them.
    public mutating func take(_ bytes: Int, _ now: UInt64) -> Bool {
        let wanted = UInt64(clamping: bytes)
        guard available(now) >= wanted else { return false }
        level -= wanted
        return true
    }

    /// Takes `bytes`, or all bytes there are if the budget holds fewer.
    public mutating func takeAll(upTo bytes: Int, _ now: UInt64) {
        level -= min(available(now), UInt64(clamping: bytes))
    }

    /// Changes the capacity; an increase is available at once.
    public mutating func resize(_ capacity: UInt64) {
        if capacity > self.capacity { level += capacity - self.capacity }
        self.capacity = capacity
        level = min(level, capacity)
    }

    /// Returns `bytes` that were taken but not used.
    public mutating func giveBack(_ bytes: Int) {
        level = min(capacity, level + min(UInt64(clamping: bytes), capacity))
    }
}

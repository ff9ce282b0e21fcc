/// So many bytes in a time: what is taken comes back evenly.
public struct ByteBudget: Sendable {
    /// The most that is there at once.
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

    /// How much is there.
    public mutating func available(_ now: UInt64) -> UInt64 {
        // A clock that was set back gives nothing, and takes nothing.
        guard now > last else {
            last = now
            return level
        }
        let elapsed = min(now - last, window)
        let product = capacity.multipliedFullWidth(by: elapsed)
        let gained = window.dividingFullWidth(product).quotient
        // Short times that bring nothing add up.
        guard gained > 0 else { return level }
        level = min(capacity, level + min(gained, capacity - level))
        last = now
        return level
    }

    /// Takes `bytes` if they are there.
    public mutating func take(_ bytes: Int, _ now: UInt64) -> Bool {
        let wanted = UInt64(clamping: bytes)
        guard available(now) >= wanted else { return false }
        level -= wanted
        return true
    }

    /// Changes the capacity; what it grows by is there at once.
    public mutating func resize(_ capacity: UInt64) {
        if capacity > self.capacity { level += capacity - self.capacity }
        self.capacity = capacity
        level = min(level, capacity)
    }

    /// Gives `bytes` back that were taken for nothing.
    public mutating func giveBack(_ bytes: Int) {
        level = min(capacity, level + min(UInt64(clamping: bytes), capacity))
    }
}

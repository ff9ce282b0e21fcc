/// Finds a stream's slot by its number: open addressing, with a secret mixed into the hash because the peer chooses
/// some numbers.
struct StreamIndex {
    private static let empty = UInt64.max

    private var keys: [UInt64] = Array(repeating: empty, count: 16)
    private var slots: [Int32] = Array(repeating: 0, count: 16)
    private(set) var count = 0
    private let salt: UInt64

    init(salt: UInt64) { self.salt = salt }

    private func start(_ key: UInt64) -> Int {
        var x = (key ^ salt) &* 0x9e37_79b9_7f4a_7c15
        x ^= x >> 32
        x = x &* 0xd6e8_feb8_6659_fd93
        return Int(truncatingIfNeeded: x >> 32) & (keys.count - 1)
    }

    func find(_ key: UInt64) -> Int? {
        var index = start(key)
        while true {
            let found = keys[index]
            if found == key { return Int(slots[index]) }
            if found == Self.empty { return nil }
            index = (index + 1) & (keys.count - 1)
        }
    }

    /// Adds a number that is not there yet.
    mutating func insert(_ key: UInt64, slot: Int) {
        if (count + 1) * 2 > keys.count { grow() }
        var index = start(key)
        while keys[index] != Self.empty { index = (index + 1) & (keys.count - 1) }
        keys[index] = key
        slots[index] = Int32(truncatingIfNeeded: slot)
        count += 1
    }

    mutating func remove(_ key: UInt64) {
        var hole = start(key)
        while keys[hole] != key {
            if keys[hole] == Self.empty { return }
            hole = (hole + 1) & (keys.count - 1)
        }
        count -= 1
        var index = hole
        while true {
            index = (index + 1) & (keys.count - 1)
            let other = keys[index]
            if other == Self.empty { break }
            // Moves back each entry that a look-up could not reach past the hole.
            let distance = (index - start(other)) & (keys.count - 1)
            if distance >= (index - hole) & (keys.count - 1) {
                keys[hole] = other
                slots[hole] = slots[index]
                hole = index
            }
        }
        keys[hole] = Self.empty
    }

    private mutating func grow() {
        let oldKeys = keys
        let oldSlots = slots
        keys = Array(repeating: Self.empty, count: oldKeys.count * 2)
        slots = Array(repeating: 0, count: oldKeys.count * 2)
        count = 0
        for (index, key) in oldKeys.enumerated() where key != Self.empty { insert(key, slot: Int(oldSlots[index])) }
    }
}

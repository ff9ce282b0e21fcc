/// Values by key, each with a small number that it keeps while it is there.
///
/// A key is hashed once to find its number; all else goes by number. Every operation takes constant time. Numbers are
/// reused.
@usableFromInline
struct Slots<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    @usableFromInline
    struct Slot: Sendable {
        /// nil: nobody has the number.
        @usableFromInline var key: Key?
        @usableFromInline var value: Value

        @inlinable
        init(key: Key, value: Value) {
            self.key = key
            self.value = value
        }
    }

    @usableFromInline var numbers: [Key: Int32] = [:]
    @usableFromInline var slots: [Slot] = []
    @usableFromInline var free: [Int32] = []

    @inlinable init() {}

    @inlinable var count: Int { numbers.count }

    /// The number of `key`; nil if it is not there.
    @inlinable
    func number(of key: Key) -> Int32? { numbers[key] }

    /// The key of a number that is in use.
    @inlinable
    func key(of number: Int32) -> Key? { slots[Int(number)].key }

    /// The value of a number that is in use.
    @inlinable
    subscript(number: Int32) -> Value {
        get { slots[Int(number)].value }
        _modify { yield &slots[Int(number)].value }
    }

    /// Inserts the value of a key that is not there; its number.
    @inlinable
    mutating func insert(_ key: Key, _ value: Value) -> Int32 {
        let number = free.popLast() ?? Int32(slots.count)
        if Int(number) == slots.count {
            slots.append(Slot(key: key, value: value))
        } else {
            slots[Int(number)] = Slot(key: key, value: value)
        }
        numbers[key] = number
        return number
    }

    /// Removes the key with `number`.
    @inlinable
    mutating func remove(_ number: Int32) {
        guard let key = slots[Int(number)].key else { return }
        numbers[key] = nil
        slots[Int(number)].key = nil
        free.append(number)
    }
}

/// Lists of small numbers, in the order in which they came; a number is in one of the lists at most.
///
/// Every operation takes constant time.
@usableFromInline
struct NumberLinks: Sendable {
    /// The ends of a list.
    @usableFromInline
    struct List: Sendable {
        @usableFromInline var oldest: Int32?
        @usableFromInline var youngest: Int32?

        @inlinable init() {}

        @inlinable var isEmpty: Bool { oldest == nil }
    }

    @usableFromInline
    struct Link: Sendable {
        @usableFromInline var previous: Int32?
        @usableFromInline var next: Int32?

        @inlinable init() {}
    }

    @usableFromInline var links: [Link] = []

    @inlinable init() {}

    /// Puts `number`, which is in no list, at the end of `list`.
    @inlinable
    mutating func append(_ number: Int32, to list: inout List) {
        while links.count <= Int(number) { links.append(Link()) }
        links[Int(number)] = Link()
        links[Int(number)].previous = list.youngest
        if let youngest = list.youngest { links[Int(youngest)].next = number } else { list.oldest = number }
        list.youngest = number
    }

    /// Takes `number` out of `list`, in which it is.
    @inlinable
    mutating func remove(_ number: Int32, from list: inout List) {
        let link = links[Int(number)]
        if let previous = link.previous { links[Int(previous)].next = link.next } else { list.oldest = link.next }
        if let next = link.next { links[Int(next)].previous = link.previous } else { list.youngest = link.previous }
    }
}

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

    @usableFromInline var numbers: [Key: Int] = [:]
    @usableFromInline var slots: [Slot] = []
    @usableFromInline var free: [Int] = []

    @inlinable init() {}

    @inlinable var count: Int { numbers.count }

    /// The number of `key`; nil if it is not there.
    @inlinable
    func number(of key: Key) -> Int? { numbers[key] }

    /// The key of a number that is in use.
    @inlinable
    func key(of number: Int) -> Key? { slots[number].key }

    /// The value of a number that is in use.
    @inlinable
    subscript(number: Int) -> Value {
        get { slots[number].value }
        _modify { yield &slots[number].value }
    }

    /// Inserts the value of a key that is not there; its number.
    @inlinable
    mutating func insert(_ key: Key, _ value: Value) -> Int {
        let number = free.popLast() ?? slots.count
        if number == slots.count {
            slots.append(Slot(key: key, value: value))
        } else {
            slots[number] = Slot(key: key, value: value)
        }
        numbers[key] = number
        return number
    }

    /// Removes the key with `number`.
    @inlinable
    mutating func remove(_ number: Int) {
        guard let key = slots[number].key else { return }
        numbers[key] = nil
        slots[number].key = nil
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
        @usableFromInline var oldest: Int?
        @usableFromInline var youngest: Int?

        @inlinable init() {}

        @inlinable var isEmpty: Bool { oldest == nil }
    }

    @usableFromInline
    struct Link: Sendable {
        @usableFromInline var previous: Int?
        @usableFromInline var next: Int?

        @inlinable init() {}
    }

    @usableFromInline var links: [Link] = []

    @inlinable init() {}

    /// Puts `number`, which is in no list, at the end of `list`.
    @inlinable
    mutating func append(_ number: Int, to list: inout List) {
        while links.count <= number { links.append(Link()) }
        links[number] = Link()
        links[number].previous = list.youngest
        if let youngest = list.youngest { links[youngest].next = number } else { list.oldest = number }
        list.youngest = number
    }

    /// Takes `number` out of `list`, in which it is.
    @inlinable
    mutating func remove(_ number: Int, from list: inout List) {
        let link = links[number]
        if let previous = link.previous { links[previous].next = link.next } else { list.oldest = link.next }
        if let next = link.next { links[next].previous = link.previous } else { list.youngest = link.previous }
    }
}

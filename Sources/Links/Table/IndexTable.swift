internal import OnionCrypto
internal import Wire

/// Maps receiver indices, which this end draws at random, to places in the link table: one look-up, no hash, no
/// probing.
///
/// An index is drawn until its lower bits select a free entry, so that each entry holds at most one index.
@safe struct IndexTable: ~Copyable {
    /// The place of an index that is reserved for a handshake of this end.
    static let reserved = UInt32.max

    private struct Entry {
        var index: UInt32
        var place: UInt32
    }

    private let entries: UnsafeMutablePointer<Entry>
    private let mask: UInt32
    private let worker: UInt32
    private(set) var count = 0
    private let limit: Int

    /// A table for `capacity` indices of `worker`, at most half full.
    init(capacity: Int, worker: UInt8) {
        var size = 1_024
        while size < capacity * 2, size < 1 << 22 { size *= 2 }
        unsafe entries = .allocate(capacity: size)
        unsafe entries.initialize(repeating: Entry(index: 0, place: 0), count: size)
        mask = UInt32(size - 1)
        limit = size / 2
        self.worker = UInt32(worker) << 24
    }

    deinit { unsafe entries.deallocate() }

    /// The place of `index`; nil if it is not in use.
    func find(_ index: UInt32) -> UInt32? {
        let entry = unsafe entries[Int(index & mask)]
        return entry.index == index && index != 0 ? entry.place : nil
    }

    /// A fresh random index for `place`; nil if the table is full.
    mutating func take(for place: UInt32) -> UInt32? {
        guard count < limit else { return nil }
        while true {
            let index = worker | SecureRandom.u32() & 0x00ff_ffff
            guard index >= Packet.firstReceiverIndex, unsafe entries[Int(index & mask)].index == 0 else { continue }
            unsafe entries[Int(index & mask)] = Entry(index: index, place: place)
            count += 1
            return index
        }
    }

    /// Lets an index lead to `place`: one that is in use, or that worker 0 has drawn from a table which it keeps for
    /// this worker.
    mutating func lead(_ index: UInt32, to place: UInt32) {
        guard find(index) == nil else { return move(index, to: place) }
        let entry = unsafe entries + Int(index & mask)
        precondition(index >> 24 == worker >> 24, "another worker's index")
        precondition(unsafe entry.pointee.index == 0, "an entry that is in use")
        unsafe entry.pointee = Entry(index: index, place: place)
        count += 1
    }

    /// Lets `index`, which is in use, lead to `place`.
    mutating func move(_ index: UInt32, to place: UInt32) {
        guard find(index) != nil else { return }
        unsafe entries[Int(index & mask)].place = place
    }

    mutating func free(_ index: UInt32) {
        guard find(index) != nil else { return }
        unsafe entries[Int(index & mask)] = Entry(index: 0, place: 0)
        count -= 1
    }
}

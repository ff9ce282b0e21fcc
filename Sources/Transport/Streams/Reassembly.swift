internal import Wire

/// Reassembles datagrams from fragments, within a budget of bytes, messages and time.
struct Reassembly {
    private struct Message {
        var flow: UInt64
        var number: UInt64
        var bytes: [UInt8]
        var missing: Int
        var runs = RangeSet()
        var started: Instant
    }

    private static let maxMessages = 32
    private static let maxRuns = 64
    private static let lifetime = TimeSpan.seconds(5)
    /// How many messages one packet may begin: a sender's packet holds the end of one and the start of the next.
    static let maxBegunByPacket = 2

    private var messages: [Message] = []
    private(set) var held = 0
    private let budget: Int
    /// The packet that last began a message, and how many it has begun.
    private var packet: UInt64 = 0
    private var begun = 0

    init(budget: Int) { self.budget = budget }

    /// Adds a fragment; returns the datagram if this was the last missing one.
    ///
    /// The oldest messages are dropped for new ones. `packet` identifies the fragments of one packet.
    mutating func receive(_ frame: borrowing DatagramFrame, packet: UInt64, now: Instant) -> [UInt8]? {
        guard let number = frame.message, frame.total <= budget else { return nil }
        while let oldest = messages.first, now - oldest.started > Self.lifetime { drop(0) }
        var index = messages.firstIndex { $0.number == number && $0.flow == frame.flow } ?? messages.count
        if index == messages.count {
            guard mayBegin(packet) else { return nil }
            while held > budget - frame.total || messages.count >= Self.maxMessages { drop(0) }
            index = messages.count
            messages.append(
                Message(
                    flow: frame.flow, number: number, bytes: [UInt8](repeating: 0, count: frame.total),
                    missing: frame.total, started: now))
            held += frame.total
        }
        guard messages[index].bytes.count == frame.total, messages[index].runs.count < Self.maxRuns,
            Self.copy(frame.data, into: &messages[index].bytes, at: frame.offset)
        else {
            drop(index)
            return nil
        }
        let low = UInt64(frame.offset)
        let added = messages[index].runs.insert(low, low + UInt64(frame.data.byteCount))
        messages[index].missing -= Int(added)
        guard messages[index].missing == 0 else { return nil }
        let whole = messages[index].bytes
        drop(index)
        return whole
    }

    /// Whether this packet may begin one more message, which allocates memory; counts it.
    private mutating func mayBegin(_ packet: UInt64) -> Bool {
        if packet != self.packet {
            self.packet = packet
            begun = 0
        }
        begun += 1
        return begun <= Self.maxBegunByPacket
    }

    /// Copies `data` to `offset`; if it does not fit there, copies nothing and returns false.
    private static func copy(_ data: RawSpan, into bytes: inout [UInt8], at offset: Int) -> Bool {
        let count = data.byteCount
        guard offset >= 0, offset <= bytes.count - count else { return false }
        unsafe bytes.withUnsafeMutableBytes { target in
            unsafe data.withUnsafeBytes { source in
                unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset..<offset + count]).copyMemory(from: source)
            }
        }
        return true
    }

    private mutating func drop(_ index: Int) {
        held -= messages[index].bytes.count
        messages.remove(at: index)
    }
}

internal import Wire

/// Puts datagrams together from fragments, within a budget of bytes, messages and time.
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

    private var messages: [Message] = []
    private(set) var held = 0
    private let budget: Int

    init(budget: Int) { self.budget = budget }

    /// Takes a fragment; gives the datagram if it was the last one missing.
    ///
    /// The oldest messages make room for new ones.
    mutating func receive(_ frame: borrowing DatagramFrame, now: Instant) -> [UInt8]? {
        guard let number = frame.message, frame.total <= budget else { return nil }
        while let oldest = messages.first, now - oldest.started > Self.lifetime { drop(0) }
        var index = messages.count
        for (position, message) in messages.enumerated() where message.number == number && message.flow == frame.flow {
            index = position
        }
        if index == messages.count {
            while held + frame.total > budget || messages.count >= Self.maxMessages { drop(0) }
            index = messages.count
            messages.append(
                Message(
                    flow: frame.flow, number: number, bytes: [UInt8](repeating: 0, count: frame.total),
                    missing: frame.total, started: now))
            held += frame.total
        }
        guard messages[index].bytes.count == frame.total, messages[index].runs.count < Self.maxRuns else {
            drop(index)
            return nil
        }
        let low = frame.offset
        let count = frame.data.byteCount
        let before = covered(messages[index].runs)
        messages[index].runs.insert(UInt64(low), UInt64(low + count))
        messages[index].missing -= covered(messages[index].runs) - before
        for position in 0..<count {
            messages[index].bytes[low + position] = unsafe frame.data.unsafeLoad(
                fromByteOffset: position, as: UInt8.self)
        }
        guard messages[index].missing == 0 else { return nil }
        let whole = messages[index].bytes
        drop(index)
        return whole
    }

    private func covered(_ runs: RangeSet) -> Int { runs.runs.reduce(0) { $0 + Int($1.high - $1.low) } }

    private mutating func drop(_ index: Int) {
        held -= messages[index].bytes.count
        messages.remove(at: index)
    }
}

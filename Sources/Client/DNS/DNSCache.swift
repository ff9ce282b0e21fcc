internal import Wire

/// Recent answers for one isolation key.
struct DNSCache {
    /// The most answers; the one that expires first makes room.
    static let limit = 1_024
    /// The most bytes of records.
    static let sizeLimit = 1 << 20
    /// How long an answer is kept, in seconds: at least and at most, and if there are no records.
    static let seconds: (least: UInt32, most: UInt32, nothing: UInt32) = (10, 300, 60)

    private struct Entry {
        let outcome: RecordsReply.Outcome
        let until: Instant
        let size: Int
    }

    private var entries: [DNSQuestion: Entry] = [:]
    private var size = 0

    var count: Int { entries.count }

    init() {}

    /// The cached answer; nil if there is none.
    ///
    /// Its time to live is the same as when it was new. The time that is left would tell another user of this machine
    /// when somebody asked for the name.
    func answer(to question: DNSQuestion, now: Instant) -> RecordsReply.Outcome? {
        guard let entry = entries[question], entry.until > now else { return nil }
        return entry.outcome
    }

    /// Keeps an answer if it is about the name, and not a failure of the look-up; returns it as apps get it.
    mutating func keep(
        _ outcome: RecordsReply.Outcome, to question: DNSQuestion, now: Instant
    ) -> RecordsReply.Outcome {
        let (least, most, nothing) = Self.seconds
        let kept: RecordsReply.Outcome
        let seconds: UInt32
        var cost = 128
        switch outcome {
        case .found(let records):
            seconds = records.map { min(max($0.timeToLive, least), most) }.min() ?? nothing
            kept = .found(records.map { RecordsReply.Record(timeToLive: seconds, data: $0.data) })
            cost += records.reduce(0) { $0 + $1.data.count + 48 }
        case .failed(.hostNotFound):
            seconds = nothing
            kept = outcome
        case .failed: return outcome
        }
        remove(question)
        while entries.count >= Self.limit || size + cost > Self.sizeLimit {
            guard let first = entries.min(by: { $0.value.until < $1.value.until }) else { return kept }
            remove(first.key)
        }
        entries[question] = Entry(outcome: kept, until: now + .seconds(Int64(seconds)), size: cost)
        size += cost
        return kept
    }

    private mutating func remove(_ question: DNSQuestion) {
        if let entry = entries.removeValue(forKey: question) { size -= entry.size }
    }
}

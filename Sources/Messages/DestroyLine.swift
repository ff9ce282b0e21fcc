internal import Wire

/// The DESTROY messages that wait on one link: they follow as others are answered, so that no path is left to its time.
///
/// A link that carried thousands of paths to a node that has gone has to say so for each of them, and may have 128 messages under
/// way, of which the peer takes so many a second.
struct DestroyLine {
    /// How often one is sent.
    static let attempts: UInt8 = 4
    /// How long none is sent after the peer refused one.
    static let pause = TimeSpan.seconds(1)

    /// One message.
    struct Entry {
        let pathID: UInt64
        /// How often it was sent.
        var sent: UInt8 = 0
    }

    private var entries: [Entry] = []
    /// How many are sent and not answered.
    private(set) var underWay = 0
    private var first = 0
    private var resumes = Instant(nanoseconds: 0)

    /// How many wait.
    var count: Int { entries.count - first }
    /// Bytes of memory.
    var memoryUse: Int { entries.capacity * MemoryLayout<Entry>.stride }

    /// Puts one at the end; dropped when `limit` wait.
    mutating func add(_ pathID: UInt64, limit: Int) {
        guard count < limit else { return }
        entries.append(Entry(pathID: pathID))
    }

    /// The next one, which is under way then; nil as long as none may be sent or `limit` are under way.
    mutating func next(at now: Instant, limit: Int) -> Entry? {
        guard count > 0, underWay < limit, now >= resumes else { return nil }
        let entry = entries[first]
        underWay += 1
        first += 1
        if first == entries.count {
            entries = []
            first = 0
        } else if first >= 1_024, first * 2 >= entries.count {
            entries.removeFirst(first)
            first = 0
        }
        return entry
    }

    /// One is no longer under way, or was not sent after all; that one goes to the end again.
    mutating func ended(_ entry: Entry, wasSent: Bool) {
        underWay -= 1
        if !wasSent { entries.append(entry) }
    }

    /// Puts one that was refused at the end, unless it was sent often enough; the line rests.
    mutating func addAgain(_ entry: Entry, at now: Instant) {
        resumes = now + Self.pause
        guard entry.sent + 1 < Self.attempts else { return }
        entries.append(Entry(pathID: entry.pathID, sent: entry.sent + 1))
    }
}

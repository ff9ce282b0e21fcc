internal import Wire

/// The DESTROY messages that wait on one link; each follows as others are answered, so that no path stays until it
/// expires.
///
/// If a node is gone, a link must carry one message for each of up to thousands of paths that led there. It may have
/// 128 messages under way, of which the peer accepts a limited number each second.
struct DestroyQueue {
    /// How many times a message is sent.
    static let attempts: UInt8 = 4
    /// The pause after the peer has refused a message.
    static let pause = TimeSpan.seconds(1)

    /// A message that waits or is under way.
    struct Entry {
        let pathID: UInt64
        /// How many times it was sent and refused.
        var sent: UInt8 = 0
    }

    private var entries: [Entry] = []
    /// How many messages were sent and are not answered.
    private(set) var underWay = 0
    private var first = 0
    private var resumes = Instant(nanoseconds: 0)

    /// How many messages wait.
    var count: Int { entries.count - first }
    /// Bytes of memory.
    var memoryUse: Int { entries.capacity * MemoryLayout<Entry>.stride }

    /// Adds a message at the end; it is dropped if `limit` wait.
    mutating func add(_ pathID: UInt64, limit: Int) {
        guard count < limit else { return }
        entries.append(Entry(pathID: pathID))
    }

    /// The next message, which is under way from now on; nil while none may be sent or `limit` are under way.
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

    /// Notes that a message is no longer under way; one that was not sent goes to the end again.
    mutating func ended(_ entry: Entry, wasSent: Bool) {
        underWay -= 1
        if !wasSent { entries.append(entry) }
    }

    /// Adds a refused message at the end, unless it was sent often enough, and begins the pause.
    mutating func addAgain(_ entry: Entry, at now: Instant) {
        resumes = now + Self.pause
        guard entry.sent + 1 < Self.attempts else { return }
        entries.append(Entry(pathID: entry.pathID, sent: entry.sent + 1))
    }
}

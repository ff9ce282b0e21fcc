internal import Links
internal import OnionCrypto
internal import Wire

/// The questions for an update to the newest snapshot, and the kept answers.
struct SnapshotAnswers {
    struct Question {
        /// The height of the asker's snapshot, and its digest.
        let height: UInt64
        let digest: Bytes32
        let responder: ControlResponder
    }

    /// The most bytes of kept answers.
    ///
    /// The newest answer is kept however long it is.
    static let keptBytes = 8 << 20

    private var waiting = SharedQueue<Question>(capacity: 256, most: 16)
    /// The kept answers.
    ///
    /// The one that was last asked for is at the end.
    private var kept: [(height: UInt64, bytes: [UInt8])] = []

    /// The number of questions that wait.
    var waitingCount: Int { waiting.count }

    /// Adds a question; returns a question that must be refused, if any.
    mutating func add(_ question: Question, from asker: Asker) -> Question? { waiting.add(question, from: asker) }

    /// The next question whose asker still waits for the answer.
    mutating func next(isAnswering: (ControlResponder) -> Bool) -> Question? {
        while let next = waiting.take()?.request { if isAnswering(next.responder) { return next } }
        return nil
    }

    /// The kept answer for `height`; nil if there is none.
    mutating func answer(at height: UInt64) -> [UInt8]? {
        guard let place = kept.firstIndex(where: { $0.height == height }) else { return nil }
        let found = kept.remove(at: place)
        kept.append(found)
        return found.bytes
    }

    /// Keeps an answer; the least recently used answers are dropped to make room.
    mutating func keep(_ bytes: [UInt8], at height: UInt64) {
        kept.removeAll { $0.height == height }
        kept.append((height, bytes))
        var total = kept.reduce(0) { $0 + $1.bytes.count }
        while total > Self.keptBytes, kept.count > 1 { total -= kept.removeFirst().bytes.count }
    }

    /// Drops all answers.
    ///
    /// To be called when there is a newer snapshot.
    mutating func forget() { kept = [] }
}

internal import Links
internal import OnionCrypto
internal import Wire

/// Questions of others for what leads to the newest snapshot, and the answers that are kept for the next to ask.
struct SnapshotAnswers {
    /// A question.
    struct Question {
        /// The height that the asker has, and the digest of the snapshot there.
        let height: UInt64
        let digest: Bytes32
        let responder: ControlResponder
    }

    /// What the kept answers may hold; the newest one is kept, however long.
    static let keptBytes = 8 << 20

    private var waiting = SharedQueue<Question>(capacity: 256, most: 16)
    /// The kept answers, the one that was asked for last at the end.
    private var kept: [(height: UInt64, bytes: [UInt8])] = []

    /// How many questions wait.
    var waitingCount: Int { waiting.count }

    /// Takes a question; returns one that is to be refused.
    mutating func add(_ question: Question, from asker: Asker) -> Question? { waiting.add(question, from: asker) }

    /// The next question whose asker still waits.
    mutating func next(isAnswering: (ControlResponder) -> Bool) -> Question? {
        while let next = waiting.take()?.request { if isAnswering(next.responder) { return next } }
        return nil
    }

    /// The kept answer for `height`.
    mutating func answer(at height: UInt64) -> [UInt8]? {
        guard let place = kept.firstIndex(where: { $0.height == height }) else { return nil }
        let found = kept.remove(at: place)
        kept.append(found)
        return found.bytes
    }

    /// Keeps an answer; those that nobody has asked for longest give way.
    mutating func keep(_ bytes: [UInt8], at height: UInt64) {
        kept.removeAll { $0.height == height }
        kept.append((height, bytes))
        var total = kept.reduce(0) { $0 + $1.bytes.count }
        while total > Self.keptBytes, kept.count > 1 { total -= kept.removeFirst().bytes.count }
    }

    /// Forgets all answers: there is a newer snapshot.
    mutating func forget() { kept = [] }
}

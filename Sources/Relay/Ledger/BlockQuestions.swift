internal import Links
internal import Wire

/// Questions of others for blocks: which are being answered, and which wait.
///
/// An answer counts until the other end has all of it: at most one on a link, a few for an asker and `limit` in all. So what
/// answers hold in memory is bounded before they are made, by `limit` of the longest.
struct BlockQuestions {
    /// A question.
    struct Question {
        let asker: Asker
        /// The blocks above it are asked for.
        let height: UInt64
        let responder: ControlResponder
    }

    /// The most answers at once.
    static let limit = 8
    /// The most answers at once to one asker.
    static let limitPerAsker = 2
    /// The most questions that wait.
    static let waitingLimit = 256
    /// The most questions of one asker that wait.
    static let waitingLimitPerAsker = 8
    /// How long the other end may take to read an answer; its question has no longer either.
    static let patience = TimeSpan.seconds(5)

    private var waiting = SharedQueue<Question>(capacity: waitingLimit, most: waitingLimitPerAsker)
    private(set) var answering: [(question: Question, deadline: Instant)] = []

    /// How many questions wait.
    var waitingCount: Int { waiting.count }

    /// Takes a question, of which one may wait on each link; returns one that is to be refused.
    mutating func add(_ question: Question) -> Question? {
        guard !waiting.contains(where: { $0.responder.link == question.responder.link }) else { return question }
        return waiting.add(question, from: question.asker)
    }

    /// The next question to be answered, which counts from now on; nil while there is none or no room.
    mutating func next(now: Instant) -> Question? {
        guard answering.count < Self.limit else { return nil }
        let answering = answering
        let next = waiting.take { asker, question in
            !answering.contains { $0.question.responder.link == question.responder.link }
                && answering.count { $0.question.asker == asker } < Self.limitPerAsker
        }
        guard let question = next?.request else { return nil }
        self.answering.append((question, now + Self.patience))
        return question
    }

    /// Forgets answers that are read; returns those that were not in time, to be abandoned.
    mutating func sweep(now: Instant, isAnswering: (ControlResponder) -> Bool) -> [ControlResponder] {
        answering.removeAll { !isAnswering($0.question.responder) }
        let late = answering.filter { $0.deadline <= now }.map(\.question.responder)
        answering.removeAll { $0.deadline <= now }
        return late
    }

    /// A link is gone, and what it asked for.
    mutating func linkDown(_ link: LinkID) {
        while waiting.take(where: { $1.responder.link == link }) != nil {}
        answering.removeAll { $0.question.responder.link == link }
    }
}

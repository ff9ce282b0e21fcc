internal import Links
internal import Wire

/// Other nodes' and clients' questions for blocks: those that wait, and those that are being answered.
///
/// An answer counts until the peer has received all of it. There is at most one on a link, `limitPerAsker` for an
/// asker, `limitPerGroup` for the addresses of a network and `limit` in all. This bounds the memory of answers before
/// they are made.
struct BlockQuestions {
    struct Question {
        let asker: Asker
        /// The height above which blocks are asked for.
        let height: UInt64
        let responder: ControlResponder
    }

    /// The most answers at a time.
    static let limit = 8
    /// The most answers to one asker at a time.
    static let limitPerAsker = 2
    /// The most answers to one group of askers at a time.
    static let limitPerGroup = 4
    /// The most questions that wait.
    static let waitingLimit = 256
    /// The most questions of one asker that wait.
    static let waitingLimitPerAsker = 8
    /// The longest time for a peer to read an answer; the peer waits for its answer as long.
    static let patience = TimeSpan.seconds(5)

    private var waiting = SharedQueue<Question>(capacity: waitingLimit, most: waitingLimitPerAsker)
    private(set) var answering: [(question: Question, deadline: Instant)] = []

    /// The number of questions that wait.
    var waitingCount: Int { waiting.count }

    /// Adds a question; returns a question that must be refused, if any.
    ///
    /// On each link one question may wait.
    mutating func add(_ question: Question) -> Question? {
        guard !waiting.contains(where: { $0.responder.link == question.responder.link }) else { return question }
        return waiting.add(question, from: question.asker)
    }

    /// Takes the next question, which counts as being answered from then on; nil if there is none, or no room for an
    /// answer.
    mutating func next(now: Instant) -> Question? {
        guard answering.count < Self.limit else { return nil }
        let answering = answering
        let next = waiting.take { asker, question in
            !answering.contains { $0.question.responder.link == question.responder.link }
                && answering.count { $0.question.asker == asker } < Self.limitPerAsker
                && answering.count { $0.question.asker.group == asker.group } < Self.limitPerGroup
        }
        guard let question = next?.request else { return nil }
        self.answering.append((question, now + Self.patience))
        return question
    }

    /// Removes answers that were read.
    ///
    /// Returns those that were not read in time, which must be abandoned.
    mutating func sweep(now: Instant, isAnswering: (ControlResponder) -> Bool) -> [ControlResponder] {
        answering.removeAll { !isAnswering($0.question.responder) }
        let late = answering.filter { $0.deadline <= now }.map(\.question.responder)
        answering.removeAll { $0.deadline <= now }
        return late
    }

    /// Removes the questions and answers of a link that has ended.
    mutating func linkDown(_ link: LinkID) {
        waiting.remove { $0.responder.link == link }
        answering.removeAll { $0.question.responder.link == link }
    }
}

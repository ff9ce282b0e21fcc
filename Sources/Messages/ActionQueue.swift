/// Actions that wait to be taken, in their order.
struct ActionQueue {
    private var waiting: [MessageExchange.Action] = []
    private var first = 0

    mutating func append(_ action: MessageExchange.Action) { waiting.append(action) }

    /// Takes the next one; nil where none waits.
    mutating func next() -> MessageExchange.Action? {
        guard first < waiting.count else { return nil }
        defer {
            first += 1
            if first == waiting.count {
                waiting = []
                first = 0
            }
        }
        return waiting[first]
    }

    /// Takes out the messages that wait to be handed over.
    mutating func forgetMessages() {
        waiting.removeFirst(first)
        first = 0
        waiting.removeAll { action in
            switch action {
            case .received, .rekey: true
            case .answered, .answerMoved, .answerEnded, .refused, .pathResponse, .closed, .violated: false
            }
        }
    }
}

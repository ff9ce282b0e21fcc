/// The actions that wait to be taken, in order.
struct ActionQueue {
    private var waiting: [MessageExchange.Action] = []
    private var first = 0

    mutating func append(_ action: MessageExchange.Action) { waiting.append(action) }

    /// Takes the next action; nil if none waits.
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

    /// Removes the actions that deliver messages of the peer.
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

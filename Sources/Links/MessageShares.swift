internal import Link
internal import Messages
internal import Wire

/// What the control messages of all links share: the kinds that are taken, the memory of long answers, and an address's rate.
struct MessageShares {
    /// The control messages that peers may send.
    let kinds: MessageTable
    /// What long answers hold.
    var answers: AnswerMemory<ControlResponder>
    /// Control messages of all links of one address.
    private var rates: SourceRates

    init(_ configuration: LinksConfiguration) {
        kinds = MessageTable(configuration.messages)
        answers = AnswerMemory(bytes: configuration.answerMemory, longest: kinds.longestAnswer)
        let messages = configuration.clientMessages
        let factor = configuration.addressRateFactor
        rates = SourceRates(
            rate: messages.rate * factor, burst: messages.burst * factor, capacity: configuration.maximumLinks)
    }

    /// Whether the links of `address` may begin another message.
    mutating func admits(_ address: AddressShare, now: Instant) -> Bool {
        rates.take(address, now: now)
    }
}

internal import Link
internal import Messages
internal import Wire

/// State that the control messages of all links share: the accepted kinds, the memory of long answers, and the rates of
/// addresses.
struct MessageShares {
    /// The control messages that peers may send.
    let kinds: MessageTable
    /// The memory that long answers hold.
    var answers: AnswerMemory<ControlResponder>
    /// The rate of control messages for each address, over all its links.
    private var rates: SourceRates

    init(_ configuration: LinksConfiguration) {
        kinds = MessageTable(configuration.messages)
        answers = AnswerMemory(bytes: configuration.answerMemory, longest: kinds.longestAnswer)
        let messages = configuration.clientMessages
        let factor = configuration.addressRateFactor
        rates = SourceRates(
            rate: messages.rate * factor, burst: messages.burst * factor, capacity: configuration.maximumLinks)
    }

    /// Whether the links of `address` may begin another message now; takes it from the rate.
    mutating func admits(_ address: AddressShare, now: Instant) -> Bool {
        rates.take(address, now: now)
    }
}

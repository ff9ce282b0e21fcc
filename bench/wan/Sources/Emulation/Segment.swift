/// A part of the way without a rate: it delays, loses and reorders.
///
/// Routes that share a segment share its settings.
struct Segment: Equatable, Sendable {
    /// One way.
    var delay: Nanoseconds = 0
    /// Each packet's delay is between `delay - jitter` and `delay + jitter`, evenly; the order stays.
    var jitter: Nanoseconds = 0
    /// The probability that a packet is lost.
    var loss = 0.0
    /// The probability that a packet is overtaken: it comes `late` later than its delay, and nothing waits for it.
    var reorder = 0.0
    var late: Nanoseconds = 0
    var lost = 0
    var reordered = 0

    /// What happens to one packet.
    enum Fate: Equatable {
        case lost
        /// How long the packet takes, and whether later ones may overtake it.
        case passes(Nanoseconds, overtaken: Bool)
    }

    mutating func pass(_ chance: inout Chance) -> Fate {
        if chance.happens(loss) {
            lost += 1
            return .lost
        }
        var taken = delay
        if jitter > 0 { taken = max(0, taken + Nanoseconds((2 * chance.fraction() - 1) * Double(jitter))) }
        guard chance.happens(reorder) else { return .passes(taken, overtaken: false) }
        reordered += 1
        return .passes(taken + late, overtaken: true)
    }
}

/// Names one link of a worker for as long as it lives; the name of a link that is gone finds nothing.
public struct LinkID: Hashable, Sendable {
    /// Place in the table 18 │ generation 14; never 0.
    public let rawValue: UInt32

    static let placeBits: UInt32 = 18
    static let generationMask: UInt32 = (1 << 14) - 1

    /// The link that `rawValue` names, as tables of other modules keep it.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    init(place: Int, generation: UInt32) {
        rawValue = generation << Self.placeBits | UInt32(truncatingIfNeeded: place)
    }

    var place: Int { Int(rawValue & (1 << Self.placeBits - 1)) }
    var generation: UInt32 { rawValue >> Self.placeBits }
}

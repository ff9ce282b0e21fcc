/// The id of one link of a worker, valid as long as the link exists.
public struct LinkID: Hashable, Sendable {
    /// Place in the table 18 │ generation 14; never 0.
    public let rawValue: UInt32

    static let placeBits: UInt32 = 18
    static let generationMask: UInt32 = (1 << 14) - 1

    /// The id with this raw value, which tables of other modules store.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    init(place: Int, generation: UInt32) {
        rawValue = generation << Self.placeBits | UInt32(truncatingIfNeeded: place)
    }

    var place: Int { Int(rawValue & (1 << Self.placeBits - 1)) }
    var generation: UInt32 { rawValue >> Self.placeBits }
}

/// What an item is for; its rules follow from it (protocol.md, section 12.1).
public enum ItemKind: UInt8, CaseIterable, Hashable, Sendable {
    /// A service's descriptor.
    case descriptor = 1
    /// What an account shows to all.
    case account = 2
    /// What the owner of a box keeps there for itself; grants and purges too.
    case record = 3
    /// A message.
    case message = 4
    /// A contact request of anyone.
    case contact = 5

    /// How long an item lives from `created`, in minutes.
    public var life: UInt32 {
        switch self {
        case .descriptor: 180
        case .account: 35 * SwarmLimits.dayMinutes
        case .record: 90 * SwarmLimits.dayMinutes
        case .message, .contact: 14 * SwarmLimits.dayMinutes
        }
    }

    /// The sizes that a whole item may have.
    public var sizes: ClosedRange<Int> {
        switch self {
        case .descriptor, .contact: 4_096...4_096
        case .account: 2_048...16_384
        case .record, .message: 2_048...65_536
        }
    }

    /// Whether items have a name, and the newest version of it replaces the others.
    public var isMutable: Bool { self == .descriptor || self == .account || self == .record }

    /// Whether replicas write it to the disk and compare it.
    public var isKept: Bool { self != .descriptor }

    /// Whether an item of it may be deleted; versions are replaced.
    public var isDeletable: Bool { self == .message || self == .contact }

    /// The kinds that are compared: grants and purges before what they rule.
    static let compared: [ItemKind] = [.record, .account, .message, .contact]

    /// How many bytes a coordinator lets a box have.
    var quota: Int {
        switch self {
        case .descriptor: SwarmLimits.boxDescriptors * 4_096
        case .account: 64 << 10
        case .record: 8 << 20
        case .message: 16 << 20
        case .contact: SwarmLimits.boxContacts * 4_096 + SwarmLimits.boxContactTombstones * SwarmLimits.tombstoneShare
        }
    }
}

/// Which kinds a reader asks for: bit k for kind k.
public struct ItemKinds: Hashable, Sendable {
    /// The bits.
    public let bits: UInt8

    /// The kinds that a reader may ask for: those that are kept.
    private static let known: UInt8 = 0b0011_1100

    /// The kinds of `bits`; nil when a bit names no kept kind, or none is set.
    public init?(bits: UInt8) {
        guard bits != 0, bits & ~Self.known == 0 else { return nil }
        self.bits = bits
    }

    /// All kinds that are kept.
    public static let all = ItemKinds(uncheckedBits: known)

    fileprivate init(uncheckedBits bits: UInt8) { self.bits = bits }

    /// Whether `kind` is among them.
    public func contains(_ kind: ItemKind) -> Bool { bits >> kind.rawValue & 1 == 1 }
}

extension ItemKinds {
    /// One kind, which is kept.
    init(_ kind: ItemKind) {
        precondition(kind.isKept, "a kind that readers may ask for")
        self.init(uncheckedBits: 1 << kind.rawValue)
    }
}

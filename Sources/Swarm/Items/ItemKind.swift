/// The purpose of an item, which decides its rules (protocol.md, section 12.1).
public enum ItemKind: UInt8, CaseIterable, Hashable, Sendable {
    /// A service's descriptor.
    case descriptor = 1
    /// The public record of an account.
    case account = 2
    /// The private records of a box's owner, and grants and purges.
    case record = 3
    /// A message.
    case message = 4
    /// A contact request, which anyone may send.
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

    /// Whether items have a name, and the newest version of a name replaces the others.
    public var isMutable: Bool { self == .descriptor || self == .account || self == .record }

    /// Whether replicas write items of this kind to the disk and compare them.
    public var isKept: Bool { self != .descriptor }

    /// Whether items of this kind can be deleted; versions are replaced instead.
    public var isDeletable: Bool { self == .message || self == .contact }

    /// The kinds that are compared: grants and purges come before the messages that they rule.
    static let compared: [ItemKind] = [.record, .account, .message, .contact]

    /// How many bytes of this kind a coordinator lets a box have.
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

/// A set of kinds that a reader asks for: bit k for kind k.
public struct ItemKinds: Hashable, Sendable {
    /// The bits.
    public let bits: UInt8

    /// The kinds that a reader may ask for: those that are kept on disk.
    private static let known: UInt8 = 0b0011_1100

    /// The kinds of `bits`; nil if a bit names a kind that is not kept, or none is set.
    public init?(bits: UInt8) {
        guard bits != 0, bits & ~Self.known == 0 else { return nil }
        self.bits = bits
    }

    /// All kinds that are kept on disk.
    public static let all = ItemKinds(uncheckedBits: known)

    fileprivate init(uncheckedBits bits: UInt8) { self.bits = bits }

    /// Whether `kind` is among them.
    public func contains(_ kind: ItemKind) -> Bool { bits >> kind.rawValue & 1 == 1 }
}

extension ItemKinds {
    /// One kind, which must be kept on disk.
    init(_ kind: ItemKind) {
        precondition(kind.isKept, "a kind that readers may ask for")
        self.init(uncheckedBits: 1 << kind.rawValue)
    }
}

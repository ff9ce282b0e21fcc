/// The types of control messages (protocol.md, section 8); the raw value is the first byte of their stream.
public enum ControlMessage: UInt8, CaseIterable, Sendable {
    /// Builds a path.
    case build = 1
    /// Ends a path.
    case destroy = 2
    /// Renews the link's keys; handled by the link itself.
    case rekey = 3
    /// Ends the link; handled by the link itself.
    case close = 4
    /// Asks for a newer snapshot.
    case getSnapshot = 5
    /// Asks for descriptors published since a time.
    case getDescriptors = 6
    /// Asks for one node's descriptor.
    case getDescriptor = 7
    /// Brings descriptors.
    case publish = 8
    /// Asks for the ledger's blocks above a height.
    case getBlocks = 16
    /// Tells of the ledger's height.
    case announce = 17
    /// Hands an operation to an authority.
    case submit = 18
    /// Asks an authority to promise a slot.
    case prepare = 19
    /// Asks an authority to accept a block.
    case propose = 20
    /// Asks an authority to sign a block for good.
    case commit = 21
    /// Brings an authority a block that is final.
    case final = 22
    /// Brings signatures of a snapshot.
    case signatures = 24
    /// Asks for signatures of a snapshot.
    case getSignatures = 25
    /// Asks which snapshot is the newest, and which one stands at a height.
    case getSnapshotID = 26
    /// Asks for what changed in the descriptors.
    case getDescriptorChanges = 27
    /// Brings signatures of a list of descriptors.
    case listSignatures = 28
    /// Asks for signatures of a list of descriptors.
    case getListSignatures = 29
    /// Asks for the newest certified list of descriptors.
    case getList = 30
    /// Asks for descriptors of a list.
    case getListed = 31
    /// Asks for a proposed list of descriptors.
    case getProposal = 35
    /// Asks a member of a quorum to look at a node, or tells a node that it is looked at.
    case suspect = 32
    /// Brings votes of a quorum, and asks for those of the other.
    case votes = 33
    /// Asks whether new links to the sender can be made.
    case linkBack = 34

    /// The longest body in bytes; a longer one resets the stream.
    public var longestBody: Int {
        switch self {
        case .build: 4_968
        case .destroy: 8
        case .rekey: 100
        case .close, .linkBack: 0
        case .suspect: 41
        case .votes: 41 + 1 + 32 * 65
        case .getDescriptors, .getSnapshotID, .getList: 8
        case .getSnapshot: 40
        case .getDescriptor, .getProposal: 32
        case .publish, .signatures, .listSignatures: 262_144
        case .getSignatures, .getListSignatures: 40 + 1_250
        case .getListed: 32 + 1_250
        case .getDescriptorChanges: 10 + 8 * 4_096
        case .getBlocks: 8
        case .announce: 40
        case .submit: 2_268
        case .prepare: 16
        case .propose, .final: 202_400
        case .commit: 2_200
        }
    }

    /// Whether the answer may be long and take work to make: then a link's messages of these types are answered one after the other.
    var isLarge: Bool { longestAnswer >= 660_000 }

    /// The longest answer in bytes; a longer one resets the stream.
    public var longestAnswer: Int {
        switch self {
        case .build: 456
        case .destroy, .close, .publish, .signatures, .listSignatures, .suspect: 0
        case .votes: 41 + 1 + 32 * 65
        case .linkBack: 2
        case .rekey: 100
        case .getSnapshot, .getDescriptors, .getDescriptorChanges, .getListed: 16 << 20
        case .getSignatures, .getListSignatures: 660_000
        case .getList: 51 + 10_000 * 32 + 2 + 10_000 * 96
        case .getProposal: 64 + 51 + 10_000 * 32
        case .getSnapshotID: 112
        case .getDescriptor: 65_535
        case .getBlocks: 256 << 10
        case .announce, .final: 0
        case .submit: 73
        case .prepare: 202_400
        case .propose, .commit: 65
        }
    }
}

/// Why a control message had no answer.
public enum ControlFailure: Error, Equatable, Sendable {
    /// The other end refused it, or does not know its type.
    case refused
    /// No answer came in time.
    case timedOut
    /// The link is gone.
    case linkDown
    /// The link has as many messages under way as it may, or the body is too long.
    case limit
}

/// The right to answer one control message, once; hand it to `Links.answer` or `Links.refuse`.
///
/// When neither happens in time, the message is refused by itself.
public struct ControlResponder: Hashable, Sendable {
    /// The link on which the message came.
    public let link: LinkID
    /// The stream of the message.
    let stream: UInt64
}

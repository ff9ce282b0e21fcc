public import Wire

/// The control messages about snapshots, descriptors and lists of them (protocol.md, section 8).
public enum DirectoryMessage: UInt8, MessageFamily {
    /// Asks for a newer snapshot.
    case getSnapshot = 5
    /// Asks for descriptors published since a time.
    case getDescriptors = 6
    /// Asks for one node's descriptor.
    case getDescriptor = 7
    /// Sends descriptors.
    case publish = 8
    /// Sends signatures of a snapshot.
    case signatures = 24
    /// Asks for signatures of a snapshot.
    case getSignatures = 25
    /// Asks for the newest snapshot's id, and for the id of the one at a height.
    case getSnapshotID = 26
    /// Asks for changes of descriptors.
    case getDescriptorChanges = 27
    /// Sends signatures of a list of descriptors.
    case listSignatures = 28
    /// Asks for signatures of a list of descriptors.
    case getListSignatures = 29
    /// Asks for the newest certified list of descriptors.
    case getList = 30
    /// Asks for descriptors of a list.
    case getListed = 31
    /// Asks for a proposed list of descriptors.
    case getProposal = 35

    private static let digest = 32
    private static let number = 8
    /// One bit for each of the maximum number of nodes.
    private static let bitmap = Snapshot.maximumNodes / 8
    /// The largest body that is sent without a request.
    private static let bundle = 256 << 10
    /// The largest answer with many descriptors, or with an update from an old snapshot to the newest.
    private static let everything = 16 << 20

    /// The longest body in bytes.
    public var longestBody: Int {
        switch self {
        case .getDescriptors, .getSnapshotID, .getList: Self.number
        case .getSnapshot: Self.number + Self.digest
        case .getDescriptor, .getProposal: Self.digest
        case .publish, .signatures, .listSignatures: Self.bundle
        case .getSignatures, .getListSignatures: Self.number + Self.digest + Self.bitmap
        case .getListed: Self.digest + Self.bitmap
        case .getDescriptorChanges: Self.number + 2 + DescriptorChange.maximumShortDigests * 8
        }
    }

    /// The longest answer in bytes.
    public var longestAnswer: Int {
        switch self {
        case .publish, .signatures, .listSignatures: 0
        case .getSnapshot, .getDescriptors, .getDescriptorChanges, .getListed: Self.everything
        // Its length is written in two bytes.
        case .getDescriptor: Int(UInt16.max)
        case .getSignatures, .getListSignatures: Snapshot.maximumNodes * SignatureItem.size
        case .getSnapshotID: 2 * Self.number + 3 * Self.digest
        case .getList: DescriptorList.maximumSize + 2 + Snapshot.maximumNodes * SignedSnapshot.Signature.size
        case .getProposal: 64 + DescriptorList.maximumSize
        }
    }
}

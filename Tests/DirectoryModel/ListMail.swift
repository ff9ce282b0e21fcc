internal import Directory
internal import Wire

/// What the parties of ``ListModel`` send to each other.
struct ListLetter {
    enum Content {
        /// PUBLISH.
        case descriptors([UInt8])
        /// GET_DESCRIPTORS, and its answer.
        case getDescriptors(since: UnixTime)
        case gotDescriptors([UInt8])
        /// LIST_SIGNATURES.
        case signatures(round: UInt64, digest: Bytes32, items: [UInt8])
        /// GET_LIST_SIGNATURES, and its answer.
        case getSignatures(digest: Bytes32, bitmap: [UInt8])
        case gotSignatures(digest: Bytes32, items: [UInt8])
        /// GET_PROPOSAL, and its answer.
        case getProposal(Bytes32)
        case gotProposal(Bytes32, body: [UInt8])
        /// GET_LISTED, and its answer.
        case getListed([UInt8], digest: Bytes32)
        case gotListed(digest: Bytes32, body: [UInt8])
        /// GET_LIST, and its answer.
        case getList(above: UInt64)
        case gotList([UInt8])
    }

    let from: Int
    let to: Int
    let content: Content
}

public import Registry
public import Wire

/// The subject of a quorum's vote: one verdict on one node, by the quorum of one height.
public struct Ballot: Hashable, Sendable {
    /// The length of an encoding.
    public static let size = 1 + 32 + 8

    /// The proposed verdict.
    public let verdict: RegistryOperation.Judgment
    /// The node that is judged.
    public let node: NodeID
    /// The height whose quorum judges.
    public let height: UInt64

    /// The ballot of these values.
    public init(verdict: RegistryOperation.Judgment, node: NodeID, height: UInt64) {
        self.verdict = verdict
        self.node = node
        self.height = height
    }

    /// The encoding: `verdict 1 │ node 32 │ height 8`.
    public var encoded: [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        encode(to: &writer)
        return writer.bytes
    }

    func encode(to writer: inout ByteWriter) {
        writer.u8(verdict.rawValue)
        writer.nodeID(node)
        writer.u64(height)
    }

    /// Reads a ballot, which must take all of `span`.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        try self.init(from: &reader)
        try reader.end()
    }

    init(from reader: inout ByteReader) throws(WireError) {
        let code = try reader.u8()
        guard let verdict = RegistryOperation.Judgment(rawValue: code) else { throw .unknownKind(UInt64(code)) }
        self.init(verdict: verdict, node: try reader.nodeID(), height: try reader.u64())
    }
}

/// Votes on one ballot, as the members of its quorum exchange them.
public struct BallotVotes: Hashable, Sendable {
    /// The longest encoding in bytes.
    public static let maximumSize =
        Ballot.size + 1 + RegistryOperation.maximumVotes * (1 + RegistryOperation.signatureSize)

    /// The subject of the votes.
    public let ballot: Ballot
    /// The votes, by ascending place; this type does not verify their signatures.
    public let votes: [RegistryOperation.Vote]

    /// The votes `votes`, by ascending place, on `ballot`.
    public init(ballot: Ballot, votes: [RegistryOperation.Vote]) {
        self.ballot = ballot
        self.votes = votes
    }

    /// The encoding: `ballot 41 │ count 1 │ count × (place 1 │ signature 64)`.
    public var encoded: [UInt8] {
        var writer = ByteWriter(capacity: Self.maximumSize)
        ballot.encode(to: &writer)
        writer.u8(UInt8(clamping: votes.count))
        for vote in votes {
            writer.u8(vote.place)
            writer.raw(vote.signature)
        }
        return writer.bytes
    }

    /// Reads votes, which must take all of `span`; too many, or places not ascending, throw `outOfRange`.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        ballot = try Ballot(from: &reader)
        let count = Int(try reader.u8())
        guard count <= RegistryOperation.maximumVotes else { throw .outOfRange }
        var votes: [RegistryOperation.Vote] = []
        for _ in 0..<count {
            let vote = RegistryOperation.Vote(
                place: try reader.u8(), signature: try reader.array(RegistryOperation.signatureSize))
            if let last = votes.last, last.place >= vote.place { throw .outOfRange }
            votes.append(vote)
        }
        try reader.end()
        self.votes = votes
    }
}

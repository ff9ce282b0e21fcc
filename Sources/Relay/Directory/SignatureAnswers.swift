internal import Directory
internal import Link
internal import Wire

/// The answers to questions for signatures, made so that a flood of questions costs little.
///
/// All signatures of a digest are encoded at most once a second, and every client gets this encoding. A node gets only
/// the signatures that it lacks, up to ``rate`` answers per second. Beyond this rate it gets all of them too.
struct SignatureAnswers {
    /// The number of answers per second that are made for a single node, over all nodes.
    static let rate = 64
    /// How long encoded signatures are used after more signatures have come.
    static let age = TimeSpan.seconds(1)

    private struct Whole {
        let count: Int
        let made: Instant
        let bytes: [UInt8]
    }

    /// All signatures of the digests that were last asked for.
    private var whole: [Bytes32: Whole] = [:]
    private var parts: SharedRate<Bytes32, Never>

    init(now: Instant) { parts = SharedRate(perSecond: Self.rate, burst: Self.rate * 2, now: now) }

    /// The signatures of `collection` for `source`, which already has those of `bitmap`.
    ///
    /// `isCollected` tells for which digests answers are kept.
    mutating func answer<Subject>(
        _ collection: Signatures<Subject>, without bitmap: [UInt8], to source: LinkSource, byteLimit: Int, now: Instant,
        isCollected: (Bytes32) -> Bool
    ) -> [UInt8] {
        if case .node(let node) = source, bitmap.contains(where: { $0 != 0 }), parts.take(node, now) {
            return Signatures<Subject>.encode(collection.missing(in: bitmap, byteLimit: byteLimit))
        }
        if let known = whole[collection.digest], known.count == collection.count || now - known.made < Self.age {
            return known.bytes
        }
        let bytes = Signatures<Subject>.encode(collection.missing(in: [], byteLimit: byteLimit))
        whole = whole.filter { isCollected($0.key) }
        whole[collection.digest] = Whole(count: collection.count, made: now, bytes: bytes)
        return bytes
    }
}

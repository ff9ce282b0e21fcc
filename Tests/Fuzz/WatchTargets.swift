import OnionCrypto
import Registry
import Watch
import Wire

/// Ballots and votes of other nodes, as SUSPECT and VOTES carry them: one encoding, and a jury that takes none of a stranger.
func watch(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    let kind = unsafe input.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
    let span = input.extracting(1..<input.byteCount)
    let bytes = [UInt8](copying: span)
    let now = Instant(nanoseconds: 1_000_000_000)
    var jury = Jury(node: NodeID(Bytes32()), patience: .seconds(4))
    switch kind % 3 {
    case 0:
        guard let ballot = try? Ballot(decoding: span) else { return }
        precondition(ballot.encoded == bytes, "two encodings")
        precondition(!jury.asked(ballot, now: now), "a ballot without a registry")
    case 1:
        guard let votes = try? BallotVotes(decoding: span) else { return }
        precondition(votes.encoded == bytes, "two encodings")
        precondition(jury.take(votes, now: now) == nil, "votes without a registry")
    default:
        // Several that follow one another, in one jury.
        var rest = span
        while rest.byteCount > 1 {
            let count = min(Int(unsafe rest.unsafeLoad(fromByteOffset: 0, as: UInt8.self)) + 1, rest.byteCount - 1)
            if let votes = try? BallotVotes(decoding: rest.extracting(1..<1 + count)) {
                _ = jury.take(votes, now: now)
            }
            rest = rest.extracting((1 + count)..<rest.byteCount)
        }
    }
}

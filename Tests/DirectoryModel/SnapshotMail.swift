internal import Directory
internal import Wire

/// What the parties of ``SnapshotModel`` send to each other.
struct SnapshotLetter {
    enum Content {
        /// New signatures, as SIGNATURES brings them.
        case signatures(height: UInt64, digest: Bytes32, items: [UInt8])
        /// GET_SIGNATURES, and the items of its answer.
        case getSignatures(digest: Bytes32, bitmap: [UInt8])
        case gotSignatures(digest: Bytes32, items: [UInt8])
        /// GET_SNAPSHOT, and its answer.
        case getSnapshot(SnapshotQuestion)
        case gotSnapshot(SnapshotQuestion, body: [UInt8])
        /// GET_SNAPSHOT_ID, and its answer.
        case getID(SnapshotQuestion)
        case gotID(SnapshotQuestion, body: [UInt8])
    }

    let from: Int
    let to: Int
    let content: Content
}

/// A question for an update, and the snapshot that its asker trusted.
struct SnapshotQuestion {
    let place: SnapshotPlace
    let base: SnapshotPlace.Base
    let trusted: Bytes32
}

/// A party's answer that is being checked on another thread.
struct SnapshotCheck<State: SnapshotFollowing> {
    let pursuit: SnapshotPursuit<State>
    let finding: SnapshotPursuit<State>.Finding
    let body: [UInt8]
    let question: SnapshotQuestion
    /// Whether an honest node gave this answer to this question.
    let isHonest: Bool
}

/// A node or a client: it follows the snapshots that others lead it to, and traps where one that it trusts is false.
///
/// Its questions and their order are those of a relay's `Epochs` and a client's `DirectoryClient`.
class SnapshotFollower<State: SnapshotFollowing> {
    unowned let model: SnapshotModel
    let number: Int
    var state: State
    /// By how many seconds its clock is wrong.
    var clockError: Int64 = 0
    var running: SnapshotCheck<State>?

    init(_ model: SnapshotModel, number: Int, state: State) {
        self.model = model
        self.number = number
        self.state = state
    }

    var chain: SnapshotChain { state.chain }
    var time: UnixTime { UnixTime(seconds: UInt64(Int64(model.time.seconds) + clockError)) }

    /// To be called when the trusted snapshot is newer.
    func changed() { model.trusts(chain) }

    // MARK: Questions

    /// Asks `peer` for an update from the trusted snapshot.
    func ask(_ peer: Int) { ask(peer, from: .trusted) }

    private func ask(_ peer: Int, from base: SnapshotPlace.Base) {
        guard running == nil, peer != number else { return }
        guard let place = SnapshotPlace(chain, at: base) else {
            if base == .earlier { ask(peer, from: .first) }
            return
        }
        let question = SnapshotQuestion(place: place, base: base, trusted: chain.digest)
        model.send(.getSnapshot(question), from: number, to: peer)
    }

    func got(_ body: [UInt8], to question: SnapshotQuestion, from peer: Int) {
        guard chain.digest == question.trusted else { return }
        guard body.isEmpty else { return follow(body, to: question, isHonest: model.isHonest(peer)) }
        switch question.base {
        case .trusted: model.send(.getID(question), from: number, to: peer)
        case .earlier: ask(peer, from: .first)
        case .first: break
        }
    }

    func gotID(_ body: [UInt8], to question: SnapshotQuestion, from peer: Int) {
        guard let answer = SnapshotIDAnswer(body), chain.digest == question.trusted,
            answer.newest > chain.snapshot.height
        else { return }
        ask(peer, from: .earlier)
    }

    // MARK: Answers

    private func follow(_ body: [UInt8], to question: SnapshotQuestion, isHonest: Bool) {
        guard running == nil,
            let pursuit = SnapshotPursuit(body, to: question.place, for: state, at: time, check: Mock.check)
        else { return }
        running = SnapshotCheck(
            pursuit: pursuit, finding: pursuit.finding(), body: body, question: question, isHonest: isHonest)
    }

    /// Ends the check that is under way.
    func endCheck() {
        guard let check = running else { return }
        running = nil
        let before = chain.snapshot.height
        switch check.pursuit.step(check.finding, present: state) {
        case .advanced(let after):
            state = after
            precondition(chain.snapshot.height > before, "an update leads back")
            model.reached.updates += 1
            changed()
        case .repeated:
            follow(check.body, to: check.question, isHonest: check.isHonest)
            endCheck()
        case .nothing, .overtaken: break
        case .refused(let refusal): refused(refusal, check)
        }
    }

    /// An honest node's answer is refused only for the asker's clock, or for what the asker had trusted before.
    private func refused(_ refusal: SnapshotRefusal, _ check: SnapshotCheck<State>) {
        model.reached.refusals += 1
        guard check.isHonest else { return }
        switch refusal {
        case .rolledBack, .fromTheFuture: break
        default: preconditionFailure("an honest answer is refused: \(refusal)")
        }
    }
}

/// A client, which has a chain of snapshots and nothing else.
final class SnapshotReader: SnapshotFollower<SnapshotChain> {
    /// Starts again with what is on its disk.
    func restart() {
        running = nil
        let kept = chain.snapshot.height > chain.first.height ? chain.trusted : nil
        let earlier = chain.earlier.flatMap { SnapshotChain.Earlier(kept: $0.encoded()) }
        do throws(SnapshotRefusal) {
            state = try SnapshotChain(
                network: SnapshotModel.network, first: model.first, kept: kept, mark: chain.highWaterMark,
                earlier: earlier, check: Mock.check)
        } catch { preconditionFailure("its own snapshot is refused: \(error)") }
    }
}

import Directory
import DirectoryModel
import SeededRandom
import Testing
import Wire

struct SnapshotPursuitTests {
    /// The bytes of an update; none unless its votes ascend by header and number.
    private static func encoded(_ update: SnapshotUpdate) -> [UInt8] {
        let votes = zip(update.votes, update.votes.dropFirst())
        return votes.allSatisfy { ($0.header, $0.number) < ($1.header, $1.number) } ? update.encoded() : []
    }

    /// Follows a peer that answers with lies, damaged and old updates, nothing, or the truth.
    ///
    /// Answers are checked at once and taken over in any order, some much later. The state never goes back or trusts a
    /// snapshot that was not final. One true answer leads to the newest snapshot.
    private func follow<State: SnapshotFollowing>(_ begin: (SnapshotWorld) throws -> State, seed: UInt64) throws {
        var world = try SnapshotWorld(nodes: 40, hostile: 0.3, seed: seed)
        var random = SeededGenerator(seed: seed)
        var state = try begin(world)
        var pending: [(pursuit: SnapshotPursuit<State>, finding: SnapshotPursuit<State>.Finding)] = []
        var old: [[UInt8]] = []
        var seen: Set<String> = []
        for _ in 0..<60 {
            _ = world.pass(turnover: 0.02, reachable: 1)
            for _ in 0..<4 {
                let base: SnapshotPlace.Base = [.first, .earlier].randomElement(using: &random) ?? .first
                let place =
                    (.random(in: 0..<4, using: &random) == 0 ? SnapshotPlace(state.chain, at: base) : nil)
                    ?? SnapshotPlace(state.chain)
                let update = world.honest.history.update(from: place.height, digest: place.digest)
                let body: [UInt8]
                switch Int.random(in: 0..<6, using: &random) {
                case 0: body = []
                case 1: body = (0..<60).map { _ in UInt8.random(in: 0...255, using: &random) }
                case 2: body = Self.encoded(world.forged(for: state.chain))
                case 3: body = update.map { Self.encoded(world.spoiled($0)) } ?? []
                case 4: body = old.randomElement(using: &random) ?? []
                default: body = update?.encoded() ?? []
                }
                old.append(body)
                guard let pursuit = SnapshotPursuit(body, to: place, for: state, at: world.time, check: Mock.check)
                else {
                    continue
                }
                pending.append((pursuit, pursuit.finding()))
            }
            while !pending.isEmpty, Int.random(in: 0..<5, using: &random) > 0 {
                let (pursuit, finding) = pending.remove(at: .random(in: pending.indices, using: &random))
                let before = state.chain
                switch pursuit.step(finding, present: state) {
                case .advanced(let after):
                    state = after
                    #expect(state.chain.snapshot.height > before.snapshot.height, "seed \(seed)")
                    seen.insert("advanced")
                case .nothing: seen.insert("nothing")
                case .overtaken: seen.insert("overtaken")
                case .repeated: Issue.record("nothing was signed, seed \(seed)")
                case .refused: seen.insert("refused")
                }
                #expect(world.final[state.chain.snapshot.height] == state.chain.digest, "seed \(seed)")
            }
        }
        #expect(seen.isSuperset(of: ["advanced", "overtaken", "refused"]), "seed \(seed)")
        let place = SnapshotPlace(state.chain)
        guard let update = world.honest.history.update(from: place.height, digest: place.digest),
            let pursuit = SnapshotPursuit(update.encoded(), to: place, for: state, at: world.time, check: Mock.check)
        else { return #expect(place.digest == world.honest.chain.digest) }
        if case .advanced(let after) = pursuit.step(pursuit.finding(), present: state) { state = after }
        #expect(state.chain.digest == world.honest.chain.digest, "seed \(seed)")
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func aClientFollowsWhateverPeersAnswer(_ seed: UInt64) throws {
        try follow({ try $0.client() }, seed: seed)
    }

    @Test(arguments: [4, 5] as [UInt64]) func aNodeFollowsWhateverPeersAnswer(_ seed: UInt64) throws {
        try follow({ SnapshotSigning(try $0.client()) }, seed: seed)
    }

    @Test func anEmptyAnswerIsNone() throws {
        let world = try SnapshotWorld(nodes: 10, hostile: 0, seed: 1)
        let chain = try world.client()
        #expect(SnapshotPursuit([], to: SnapshotPlace(chain), for: chain, at: now) == nil)
    }

    @Test("s11: an update that begins elsewhere than asked is refused") func anotherBeginning() throws {
        var world = try SnapshotWorld(nodes: 10, hostile: 0, seed: 1)
        for _ in 0..<3 { _ = world.pass(turnover: 0, reachable: 1) }
        var state = SnapshotSigning(try world.client())
        let first = SnapshotPlace(state.chain)
        let all = try #require(world.honest.history.update(from: first.height, digest: first.digest))
        func step(_ update: SnapshotUpdate, to asked: SnapshotPlace) throws -> SnapshotPursuit<SnapshotSigning>.Step {
            let pursuit = try #require(
                SnapshotPursuit(update.encoded(), to: asked, for: state, at: world.time, check: Mock.check))
            return pursuit.step(pursuit.finding(), present: state)
        }
        guard case .advanced(let after) = try step(all, to: first) else { Issue.record("not followed"); return }
        state = after
        _ = world.pass(turnover: 0, reachable: 1)
        let longer = try #require(world.honest.history.update(from: first.height, digest: first.digest))
        guard case .refused(.unknownBase) = try step(longer, to: SnapshotPlace(state.chain)) else {
            Issue.record("not refused")
            return
        }
        // Where it was asked for, it leads on.
        guard case .advanced = try step(longer, to: first) else { Issue.record("not followed from there"); return }
    }

    /// A signature that a node made while it checked an answer is not lost.
    @Test func whatWasSignedMeanwhileIsKept() throws {
        var world = try SnapshotWorld(nodes: 10, hostile: 0, seed: 1)
        _ = world.pass(turnover: 0, reachable: 1)
        let chain = try world.client()
        let before = SnapshotSigning(chain)
        let place = SnapshotPlace(chain)
        let update = try #require(world.honest.history.update(from: place.height, digest: place.digest))
        let pursuit = try #require(
            SnapshotPursuit(update.encoded(), to: place, for: before, at: world.time, check: Mock.check))
        let finding = pursuit.finding()
        let signed = SnapshotSigning(chain, signed: .init(height: world.height, digest: bytes32(1, 1)))
        guard case .repeated = pursuit.step(finding, present: signed),
            case .advanced(let after) = pursuit.step(finding, present: before)
        else { Issue.record("a finding for another state"); return }
        #expect(after.snapshot.height == world.height)
    }

    @Test func aQuestionNamesAPlace() throws {
        var world = try SnapshotWorld(nodes: 10, hostile: 0, seed: 1)
        _ = world.pass(turnover: 0, reachable: 1)
        let chain = world.honest.chain
        let newest = SnapshotPlace(chain)
        let first = try #require(SnapshotPlace(chain, at: .first))
        #expect(newest.height == 2 && newest.digest == chain.digest && first.height == 1)
        #expect(newest.body.count == 40 && newest.body.suffix(32) == chain.digest.array[...])
        #expect(newest.body.prefix(8) == [2, 0, 0, 0, 0, 0, 0, 0])
    }
}

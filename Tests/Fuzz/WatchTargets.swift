import OnionCrypto
import Registry
import Watch
import Wire

/// Ballots and votes of other nodes, as in SUSPECT and VOTES: one encoding, and a jury takes none of a stranger's.
func watch(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    let kind = unsafe input.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
    let span = input.extracting(1..<input.byteCount)
    let bytes = [UInt8](copying: span)
    let now = Instant(nanoseconds: 1_000_000_000)
    var jury = Jury(node: NodeID(Bytes32()), patience: .seconds(4), silence: .seconds(60))
    switch kind % 3 {
    case 0:
        guard let ballot = try? Ballot(decoding: span) else { return }
        precondition(ballot.encoded == bytes, "two encodings")
        precondition(!jury.asked(ballot, from: ballot.node, now: now), "a ballot without a registry")
    case 1:
        guard let votes = try? BallotVotes(decoding: span) else { return }
        precondition(votes.encoded == bytes, "two encodings")
        precondition(jury.take(votes, from: NodeID(Bytes32()), now: now) == nil, "votes without a registry")
    default:
        // Several messages in a row, for one jury.
        var rest = span
        while rest.byteCount > 1 {
            let count = min(Int(unsafe rest.unsafeLoad(fromByteOffset: 0, as: UInt8.self)) + 1, rest.byteCount - 1)
            if let votes = try? BallotVotes(decoding: rest.extracting(1..<1 + count)) {
                _ = jury.take(votes, from: NodeID(Bytes32()), now: now)
            }
            rest = rest.extracting((1 + count)..<rest.byteCount)
        }
    }
}

/// Four honest nodes, a dead node, and a hostile node that the input plays.
///
/// The hostile node asks, and sends its own votes, forged votes and votes that it has heard. It also delivers, drops
/// and reorders the messages of the honest nodes. Tables stay bounded, honest nodes vote only on the dead node, and
/// the ledger accepts every verdict that is submitted.
func jury(_ input: RawSpan) {
    var model = JuryModel()
    var reader = ByteReader(input)
    var steps = 0
    while steps < 300, let kind = try? reader.u8(), let what = try? reader.u8() {
        steps += 1
        model.step(kind, what)
    }
}

private struct JuryModel {
    private static let honest = 0..<4, hostile = 4, dead = 5, count = 6
    private static let ids = (0..<count).map { NodeID(key($0).publicKey) }
    private static let network = Bytes32([UInt8](repeating: 5, count: 32))!
    private static let beginning: RegistryState = {
        var parameters = RegistryParameters(treasury: Account(ids[0].key))
        parameters.fullStake = 1_000
        parameters.operationFee = 0
        (parameters.quorumSize, parameters.quorumVotes) = (4, 3)
        let balances = Dictionary(uniqueKeysWithValues: ids.map { (Account($0.key), UInt64(2_000_000)) })
        var state = RegistryState(network: network, parameters: parameters, time: 0, pool: 0, balances: balances)!
        begin(&state)
        for number in 0..<count {
            let operation = RegistryOperation(
                registering: key(number), fee: 0, stake: 1_000, network: network, nonce: 0, key: key(number))
            do { try state.apply(operation) } catch { fatalError("a node is not registered: \(error)") }
        }
        for _ in 0..<3 { begin(&state) }
        return state
    }()

    private var state = beginning
    private var time: Int64 = 1
    private var juries = honest.map { Jury(node: ids[$0], patience: .seconds(4), silence: .seconds(60)) }
    private var testers = honest.map { number in
        Tester(timing: .init(epochSeconds: 60), seed: UInt64(number), now: Instant(nanoseconds: 0))
    }
    private var sent: [(from: Int, to: Int, votes: BallotVotes)] = []
    private var heard: [BallotVotes] = []

    init() {
        for number in Self.honest {
            testers[number].follow(Self.ids.indices.filter { $0 != number }.map { Self.ids[$0] }.sorted())
            juries[number].follow(state, now: now)
        }
    }

    private static func key(_ number: Int) -> SigningKey {
        SigningKey(seed: Secret(copying: [UInt8](repeating: UInt8(number) + 1, count: 32).rawSpan))
    }

    private static func begin(_ state: inout RegistryState) {
        let height = state.height + 1
        let block = Blake2b.digest([UInt8](String(height).utf8).rawSpan)
        do { try state.begin(height: height, time: height, block: block, seed: block) } catch {
            fatalError("a block does not begin: \(error)")
        }
    }

    private var now: Instant { Instant(nanoseconds: UInt64(time) * 1_000_000_000) }

    mutating func step(_ kind: UInt8, _ what: UInt8) {
        let member = Int(kind >> 4) % Self.honest.count
        let height = UInt64(what >> 3)
        let ballot = Ballot(
            verdict: [.decommission, .recommission][Int(kind >> 6) % 2],
            node: Self.ids[Int(what & 7) % Self.count], height: state.height &- height)
        switch kind & 7 {
        case 0: _ = juries[member].asked(ballot, from: Self.ids[Self.hostile], now: now)
        case 1: take(BallotVotes(ballot: ballot, votes: votes(on: ballot)), member)
        case 2:
            let other = heard.isEmpty ? [] : heard[Int(what) % heard.count].votes
            take(BallotVotes(ballot: ballot, votes: other), member)
        case 3: if !heard.isEmpty { take(heard[Int(what) % heard.count], member) }
        case 4:
            guard !sent.isEmpty else { return }
            let message = sent.remove(at: Int(what) % sent.count)
            if kind & 8 == 0 { deliver(message) }
        case 5:
            time += Int64(what & 15)
            if state.height < 40 { Self.begin(&state) }
            for number in Self.honest { juries[number].follow(state, now: now) }
        case 6:
            time += 1
            while let node = testers[member].next(now) {
                let isDead = node == Self.ids[Self.dead]
                testers[member].finished(
                    node, isDead ? .failed : .passed(capacity: nil), at: .first(mayHide: false), now: now)
            }
        default: perform(juries[member].consider(testers[member], now: now), member)
        }
        precondition(juries[member].counts.others <= Jury.ballotsPerSender * Self.count, "a share is exceeded")
        precondition(juries[member].counts.own <= Jury.ownLimit, "own ballots are not bounded")
    }

    /// The hostile node's vote with its signature, at its place if it is a judge.
    private func votes(on ballot: Ballot) -> [RegistryOperation.Vote] {
        let judges = state.judges(of: ballot.node, height: ballot.height)
        let place = judges.firstIndex(of: Self.ids[Self.hostile]) ?? 0
        return [.init(place: UInt8(place), signature: sign(ballot, Self.hostile))]
    }

    private func sign(_ ballot: Ballot, _ number: Int) -> [UInt8] {
        let block = state.quorums.last { $0.height == ballot.height }?.block ?? Bytes32()
        let message = RegistryOperation.ballot(
            ballot.verdict, on: ballot.node, height: ballot.height, block: block, network: Self.network)
        return Self.key(number).sign(message.rawSpan)
    }

    private mutating func take(_ votes: BallotVotes, _ member: Int) {
        guard let taken = juries[member].take(votes, from: Self.ids[Self.hostile], now: now) else { return }
        if heard.count < 64 { heard.append(taken.answer) }
        perform(taken.actions, member)
    }

    private mutating func deliver(_ message: (from: Int, to: Int, votes: BallotVotes)) {
        guard let taken = juries[message.to].take(message.votes, from: Self.ids[message.from], now: now) else { return }
        perform(taken.actions, message.to)
    }

    private mutating func perform(_ actions: [Jury.Action], _ member: Int) {
        for action in actions {
            switch action {
            case .ask: break
            case .vote(let ballot):
                precondition(ballot.node == Self.ids[Self.dead], "a vote against a node that serves")
                perform(juries[member].voted(ballot, signature: sign(ballot, member), now: now), member)
            case .spread(let votes, let others):
                if heard.count < 64 { heard.append(votes) }
                for other in Self.honest where others.contains(Self.ids[other]) && sent.count < 256 {
                    sent.append((member, other, votes))
                }
            case .submit(let operation):
                var copy = state
                do { try copy.apply(RegistryOperation(unsigned: operation, network: Self.network)) } catch {
                    fatalError("a verdict without its votes is handed in: \(error)")
                }
            }
        }
    }
}

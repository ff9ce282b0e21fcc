import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Registry

/// The hostile nodes of a simulation: they know each other's keys and all data of the honest nodes.
///
/// Every hostile authority signs whatever helps another one.
final class LedgerCabal {
    enum Kind: CaseIterable {
        /// Proposes two blocks in each of its slots, each to some authorities, and has the certified one signed by a
        /// few.
        case equivocating
        /// Has its blocks signed by at most n − k others, then proposes another block.
        case victims
        /// Takes promises for its slots in advance, and proposes nothing.
        case ahead
        /// Promises with invalid certificates and blocks, and answers with random bytes.
        case garbage
        /// Announces a height of 2^63 and delivers nothing.
        case announcing
        /// Does nothing.
        case silent
        /// Repeats its requests, and shows old certificates.
        case replaying
        /// Answers and commits as late as possible.
        case stalling
        /// Collects the signatures of a block, and keeps them or sends them to one node.
        case withholding
        /// Has a clock that is off by up to two slots, and dates its blocks by it.
        case shifted
        /// Proposes blocks with a wrong seed, maker, state, time or height, and sends such blocks as final.
        case forging
        /// Submits valid and invalid operations without end, and repeats its requests.
        case flooding
        /// Asks for promises in its past slots, and proposes blocks with a wrong state in all of its slots, ten times a
        /// second and by turns with others of its kind.
        case wasting
    }

    /// The work of a hostile leader on one slot.
    private final class Plot {
        let height: UInt64
        let slot: UInt64
        let leader: Int
        var locks: [BlockLock] = []
        var proposals: [(block: Block, certificate: Certificate?)] = []
        var acceptances: [Bytes32: [Int: AuthoritySignature]] = [:]
        var seals: [Int: AuthoritySignature] = [:]
        var isDone = false

        init(height: UInt64, slot: UInt64, leader: Int) {
            self.height = height
            self.slot = slot
            self.leader = leader
        }
    }

    let kinds: [Int: Kind]
    /// The locks of the present height that any hostile node has seen.
    private var locks: [BlockLock] = []
    private var sent: [(AuthorityRequest, Int)] = []
    private var begun: Set<[UInt64]> = []
    private var height: UInt64 = 0
    /// The number of slots in which a hostile leader began.
    private(set) var plots = 0

    init(_ kinds: [Int: Kind]) { self.kinds = kinds }

    private func authorities(in town: LedgerSimulation) -> Range<Int> { town.realm.rules.authorities.indices }

    private func sign(_ index: Int, _ message: [UInt8]) -> AuthoritySignature {
        AuthoritySignature(authority: UInt8(index), bytes: key(2000 + UInt64(index)).sign(message.rawSpan))
    }

    // MARK: Acting

    func act(in town: LedgerSimulation) {
        guard let chain = town.nodes.compactMap({ $0?.chain }).max(by: { $0.height < $1.height }) else { return }
        if chain.height + 1 != height {
            height = chain.height + 1
            locks = []
        }
        let rules = town.realm.rules
        let now = rules.slot(at: town.now)
        for index in kinds.keys.sorted() {
            let turns = [now, now + 1].filter { rules.leader(of: $0, after: chain.state.seed) == index }
            switch kinds[index]! {
            case .silent, .garbage: break
            case .announcing:
                for other in town.honest {
                    town.send(from: index, to: other) {
                        town.perform(
                            town.nodes[other]!.announced(1 << 63, by: town.ids[index], now: town.clock(other)), other)
                    }
                }
            case .ahead:
                guard index < rules.authorities.count, town.now % 500 < 100 else { continue }
                // As far ahead as any authority might allow.
                let far = (now...now + 60 / rules.slotSeconds + 1).filter {
                    rules.leader(of: $0, after: chain.state.seed) == index
                }
                for slot in far { ask(.prepare(height: height, slot: slot), by: index, town) { _, _ in } }
            case .replaying:
                for (request, leader) in sent.suffix(40).shuffled(using: &town.random).prefix(4) where leader == index {
                    ask(request, by: index, town) { _, _ in }
                }
                for slot in turns { begin(slot, index, chain, town) }
            case .equivocating, .victims, .stalling, .withholding, .forging:
                for slot in turns { begin(slot, index, chain, town) }
            case .shifted:
                for slot in (now - 2)...(now + 2)
                where rules.leader(of: slot, after: chain.state.seed) == index && Bool.random(using: &town.random) {
                    begin(slot, index, chain, town)
                }
            case .flooding:
                flood(index, chain, town)
                for slot in turns { begin(slot, index, chain, town) }
            case .wasting: waste(index, chain, town)
            }
        }
    }

    /// Submits payments of many accounts, with the next nonces or others, to every honest authority.
    private func flood(_ index: Int, _ chain: LedgerChain, _ town: LedgerSimulation) {
        guard town.now % 1_000 < 100 else { return }
        for _ in 0..<3 {
            let account = UInt64.random(in: 20..<28, using: &town.random)
            let next = chain.state.accounts[Town.ids[Int(account)]]?.nonce ?? 0
            let nonce = next + UInt64.random(in: 0...2, using: &town.random)
            let operation = town.realm.operation(
                account, nonce, .pay(amount: UInt64.random(in: 0...9, using: &town.random)))
            for other in town.honest where other < town.realm.rules.authorities.count {
                town.send(from: index, to: other) { _ = town.serve(.submit(operation), other, from: index) }
            }
        }
        if let (request, _) = sent.last(where: { $0.1 == index }) {
            for _ in 0..<4 { ask(request, by: index, town) { _, _ in } }
        }
    }

    /// Makes the others write promises, and check blocks that are valid up to their state.
    private func waste(_ index: Int, _ chain: LedgerChain, _ town: LedgerSimulation) {
        guard index < town.realm.rules.authorities.count else { return }
        var draft = chain
        let good = draft.draft([], time: town.now / 1_000, by: UInt64(index), drawn: town.now)
        let bad = Block(
            network: good.network, height: good.height, time: good.time, previous: good.previous, random: good.random,
            maker: good.maker, proof: good.proof, operations: [], stateDigest: good.hash)
        let now = town.realm.rules.slot(at: town.now)
        let slots = ((now - 40)...(now + 1)).filter { chain.leader(of: $0) == index }
        for slot in slots.dropLast() { ask(.prepare(height: height, slot: slot), by: index, town) { _, _ in } }
        for slot in Bool.random(using: &town.random) ? slots : slots.reversed() {
            ask(.propose(slot: slot, nil, bad), by: index, town) { _, _ in }
        }
    }

    /// A block that breaks one rule.
    private func forged(_ block: Block, by leader: Int, _ town: LedgerSimulation) -> Block {
        var (height, time, random, maker, proof, state) = (
            block.height, block.time, block.random, block.maker, block.proof, block.stateDigest
        )
        switch Int.random(in: 0..<7, using: &town.random) {
        case 0: proof = key(2000 + UInt64(leader)).prove([UInt8(leader)].rawSpan)
        case 1: proof = proof.map { _ in UInt8.random(in: 0...255, using: &town.random) }
        case 2: maker = UInt8.random(in: 0...31, using: &town.random)
        case 3: state = Blake2b.digest(proof.rawSpan)
        case 4: time = [0, time - 30, time + 30, time + 59, time + 3_600, .max].randomElement(using: &town.random)!
        case 5: random = bytes32(79, town.random.next())
        default: height = [0, height - 1, height + 1, .max].randomElement(using: &town.random)!
        }
        return Block(
            network: block.network, height: height, time: time, previous: block.previous, random: random, maker: maker,
            proof: proof, operations: block.operations, stateDigest: state)
    }

    /// Sends a request to all or some honest authorities, and handles their answers.
    private func ask(
        _ request: AuthorityRequest, by index: Int, _ town: LedgerSimulation, to some: [Int]? = nil,
        _ heard: @escaping (Int, AuthorityAnswer) -> Void
    ) {
        if kinds[index] != .wasting { sent.append((request, index)) }
        if sent.count > 200 { sent.removeFirst(100) }
        for other in some ?? town.honest where other < town.realm.rules.authorities.count {
            town.send(from: index, to: other) {
                guard let body = town.serve(.authority(request), other, from: index),
                    let answer = try? AuthorityAnswer(decoding: body.rawSpan)
                else { return }
                town.send(from: other, to: index) { heard(other, answer) }
            }
        }
    }

    private func begin(_ slot: UInt64, _ index: Int, _ chain: LedgerChain, _ town: LedgerSimulation) {
        guard begun.insert([height, slot, UInt64(index)]).inserted else { return }
        plots += 1
        let plot = Plot(height: height, slot: slot, leader: index)
        ask(.prepare(height: plot.height, slot: slot), by: index, town) { [self] _, answer in
            if case .promise(let lock?) = answer {
                plot.locks.append(lock)
                locks.append(lock)
            }
        }
        town.after(UInt64.random(in: 30...200, using: &town.random)) { [self] in propose(plot, chain, town) }
    }

    private func propose(_ plot: Plot, _ chain: LedgerChain, _ town: LedgerSimulation) {
        guard plot.height == height else { return }
        let kind = kinds[plot.leader]!
        var chain = chain
        let count = kind == .equivocating ? 2 : 1
        let rules = town.realm.rules
        for number in 0..<count {
            // The highest certificate, any certificate, or an own block.
            let known = (plot.locks + locks).filter { $0.slot < plot.slot }
            switch Int.random(in: 0..<3, using: &town.random) {
            case 0 where !known.isEmpty:
                let lock = known.max { $0.slot < $1.slot }!
                plot.proposals.append((lock.block, lock.certificate))
            case 1 where !known.isEmpty:
                let lock = known.randomElement(using: &town.random)!
                plot.proposals.append((lock.block, lock.certificate))
            default:
                let shift = kind == .shifted ? UInt64.random(in: 0...4, using: &town.random) : 2
                let time = max(chain.state.time, town.now / 1_000 + UInt64(number) + shift - 2)
                let pay = town.realm.operation(
                    5 + UInt64(plot.leader), 0, .pay(amount: 1 + UInt64(number) + plot.slot % 1_000))
                plot.proposals.append((chain.draft([pay], time: time, by: UInt64(plot.leader)), nil))
            }
            if kind == .forging {
                let bad = forged(plot.proposals[number].block, by: plot.leader, town)
                if Bool.random(using: &town.random) { plot.proposals[number].block = bad }
                let message = rules.seal(height: bad.height, slot: plot.slot, hash: bad.hash)
                let signers = kinds.keys.sorted().filter { $0 < rules.authorities.count }
                let final = FinalBlock(bad, slot: plot.slot, signatures: signers.map { sign($0, message) })
                for other in town.honest {
                    town.send(from: plot.leader, to: other) {
                        _ = town.serve(.final(final), other, from: plot.leader)
                    }
                }
            }
        }
        for (number, proposal) in plot.proposals.enumerated() {
            let message = town.realm.rules.acceptance(
                height: plot.height, slot: plot.slot, hash: proposal.block.hash)
            for member in kinds.keys where member < authorities(in: town).count {
                plot.acceptances[proposal.block.hash, default: [:]][member] = sign(member, message)
            }
            let part = town.honest.filter { _ in count == 1 || Bool.random(using: &town.random) }
            let request = AuthorityRequest.propose(slot: plot.slot, proposal.certificate, proposal.block)
            town.after(UInt64(number) * 5) { [self] in
                ask(request, by: plot.leader, town, to: part) { [self] other, answer in
                    guard case .signature(let bytes) = answer else { return }
                    plot.acceptances[proposal.block.hash]![other] = AuthoritySignature(
                        authority: UInt8(other), bytes: bytes)
                    commit(plot, proposal.block, town)
                }
            }
        }
    }

    private func commit(_ plot: Plot, _ block: Block, _ town: LedgerSimulation) {
        let rules = town.realm.rules
        guard !plot.isDone, let acceptances = plot.acceptances[block.hash], acceptances.count >= rules.threshold else {
            return
        }
        plot.isDone = true
        let certificate = Certificate(slot: plot.slot, acceptances: Array(acceptances.values))
        locks.append(BlockLock(certificate, on: block))
        let honest = town.honest.filter { $0 < rules.authorities.count }.shuffled(using: &town.random)
        var few = Int.random(in: 1...max(1, rules.authorities.count - rules.threshold), using: &town.random)
        var delay: UInt64 = 0
        switch kinds[plot.leader]! {
        case .withholding: few = honest.count
        case .stalling:
            few = honest.count
            delay = UInt64.random(in: 0...2_000, using: &town.random)
        default: break
        }
        let request = AuthorityRequest.commit(height: plot.height, hash: block.hash, certificate)
        town.after(delay) { [self] in
            ask(request, by: plot.leader, town, to: Array(honest.prefix(few))) { [self] other, answer in
                guard case .signature(let bytes) = answer else { return }
                plot.seals[other] = AuthoritySignature(authority: UInt8(other), bytes: bytes)
                finish(plot, block, town)
            }
        }
    }

    /// Sends the block to one node, after a while, or to nobody.
    private func finish(_ plot: Plot, _ block: Block, _ town: LedgerSimulation) {
        let rules = town.realm.rules
        var seals = plot.seals
        let message = rules.seal(height: plot.height, slot: plot.slot, hash: block.hash)
        for member in kinds.keys where member < rules.authorities.count { seals[member] = sign(member, message) }
        guard seals.count >= rules.threshold, Bool.random(using: &town.random) else { return }
        let final = FinalBlock(block, slot: plot.slot, signatures: Array(seals.values))
        let other = town.honest.randomElement(using: &town.random)!
        town.after(UInt64.random(in: 0...3_000, using: &town.random)) {
            town.send(from: plot.leader, to: other) { _ = town.serve(.final(final), other, from: plot.leader) }
        }
    }

    // MARK: Answering

    /// A hostile node's answer, and its delay in milliseconds.
    func answer(
        _ request: LedgerRequest, by index: Int, from other: Int, in town: LedgerSimulation
    ) -> (body: [UInt8]?, delay: UInt64) {
        let kind = kinds[index]!
        let delay: UInt64 = kind == .stalling ? UInt64.random(in: 100...1_950, using: &town.random) : 0
        switch request {
        case .submit, .final: return (nil, 0)
        case .blocks(let above):
            switch kind {
            case .announcing, .silent, .ahead: return (nil, 0)
            case .garbage: return ([UInt8](repeating: 0x5b, count: 300), 0)
            default:
                let source = town.honest.max { town.disks[$0].blocks.count < town.disks[$1].blocks.count }!
                return (FinalBlock.encodeList(Array(town.disks[source].blocks.dropFirst(Int(above)).prefix(10))), delay)
            }
        case .authority(let request):
            if index >= authorities(in: town).count { return (nil, 0) }
            return (answer(request, by: index, from: other, kind, town)?.encoded(), delay)
        }
    }

    private func answer(
        _ request: AuthorityRequest, by index: Int, from other: Int, _ kind: Kind, _ town: LedgerSimulation
    ) -> AuthorityAnswer? {
        let rules = town.realm.rules
        let slot = request.slot
        switch kind {
        case .silent, .ahead: return nil
        case .announcing: return .refused(.otherHeight, height: 1 << 63)
        case .garbage: return garbage(request, index, town)
        default: break
        }
        switch request {
        case .prepare:
            let lock = kind == .replaying ? locks.first : nil
            return .promise(lock)
        case .propose(_, _, let block):
            return .signature(
                sign(index, rules.acceptance(height: block.height, slot: slot, hash: block.hash)).bytes)
        case .commit(let height, let hash, let certificate):
            if let block = town.nodes[other]?.lockedBlock, block.hash == hash {
                locks.append(BlockLock(certificate, on: block))
            }
            guard kind == .stalling || Bool.random(using: &town.random) else { return nil }
            return .signature(sign(index, rules.seal(height: height, slot: slot, hash: hash)).bytes)
        }
    }

    /// A lock whose certificate is not signed, or random bytes as a signature.
    private func garbage(_ request: AuthorityRequest, _ index: Int, _ town: LedgerSimulation) -> AuthorityAnswer? {
        guard case .prepare(_, let slot) = request, let chain = town.nodes.compactMap({ $0?.chain }).first else {
            return .signature((0..<64).map { _ in UInt8.random(in: 0...255, using: &town.random) })
        }
        var draft = chain
        let block = draft.draft([], time: chain.state.time, by: UInt64(index))
        let members = (0..<town.realm.rules.threshold).map {
            AuthoritySignature(
                authority: UInt8($0), bytes: [UInt8](repeating: 7, count: 64))
        }
        return .promise(BlockLock(Certificate(slot: slot - 1, acceptances: members), on: block))
    }
}

extension LedgerNode {
    /// The block that this authority is locked on.
    fileprivate var lockedBlock: Block? { currentAcceptor?.lock?.block }
}

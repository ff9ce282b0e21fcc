import OnionCrypto
import Registry
import Wire

/// Three honest authorities and a hostile one, whose messages come from the input: one final block at each height.
///
/// The input also decides which messages between honest authorities arrive, in which order, and which processes
/// restart.
func consensus(_ input: RawSpan) {
    var council = Council()
    var reader = ByteReader(input)
    var count = 0
    while count < 200, let step = try? reader.u8(), let detail = try? reader.u8() {
        council.step(step, detail, &reader)
        count += 1
    }
}

private func seed(_ number: UInt8) -> SigningKey {
    SigningKey(seed: Secret(copying: [UInt8](repeating: number, count: 32).rawSpan))
}

private let nodes: [NodeID] = (0..<4).map { NodeID(seed(100 + $0).publicKey) }
private let treasury = Account(seed(50).publicKey)
private let rules: LedgerRules = {
    let network = Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan)
    let genesis = RegistryState(
        network: network, parameters: RegistryParameters(treasury: treasury), time: 1_000_000, pool: 1 << 50,
        balances: [treasury: 1 << 50])
    let authorities = (0..<4 as Range<UInt8>).map {
        LedgerRules.Member(key: seed($0 + 1).publicKey, node: nodes[Int($0)])
    }
    guard let genesis,
        let rules = LedgerRules(
            authorities: authorities, threshold: 3, blockSeconds: 4, slotSeconds: 2, genesis: genesis)
    else { preconditionFailure("the rules are wrong") }
    return rules
}()

private struct Council {
    private static let hostile = 3

    private struct Message {
        let from: Int
        let to: Int
        let request: LedgerRequest
        let id: UInt64
    }

    private struct Disk {
        var acceptor: [UInt8]?
        var blocks: [FinalBlock] = []
    }

    private var now: UInt64 = 1_000_000_000
    private var disks = [Disk](repeating: Disk(), count: 3)
    private var members: [LedgerNode] = []
    private var waiting: [Message] = []
    private var finals: [UInt64: Bytes32] = [:]
    /// The blocks that the hostile authority knows, and their acceptances and seals.
    private var blocks: [Block] = []
    private var acceptances: [Signed: [AuthoritySignature]] = [:]
    private var seals: [Signed: [AuthoritySignature]] = [:]

    private struct Signed: Hashable {
        let slot: UInt64
        let hash: Bytes32
    }

    init() { for index in 0..<3 { members.append(Self.boot(index, Disk())) } }

    private static func boot(_ index: Int, _ disk: Disk) -> LedgerNode {
        var chain = LedgerChain(rules)
        for block in disk.blocks {
            guard (try? chain.append(block, now: .max - 1_000)) != nil else {
                preconditionFailure("a kept block is refused")
            }
        }
        let acceptor = disk.acceptor.flatMap { try? AcceptorState(decoding: $0.rawSpan) }
        precondition((acceptor == nil) == (disk.acceptor == nil), "a kept acceptor state is not read")
        return LedgerNode(
            node: nodes[index], chain: chain, epochs: EpochSnapshots(seconds: 100),
            authority: Authority(rules, key: seed(UInt8(index) + 1), kept: acceptor, draw: { Bytes32() }))
    }

    private mutating func perform(_ actions: [LedgerNode.Action], _ index: Int) {
        for action in actions {
            switch action {
            case .keepAcceptor(let acceptor): disks[index].acceptor = acceptor.encoded()
            case .keepBlock(let block, _):
                disks[index].blocks.append(block)
                let other = finals.updateValue(block.block.hash, forKey: block.block.height)
                precondition(other == nil || other == block.block.hash, "two final blocks at one height")
            case .ask(.node(let node), let request, let id):
                guard let other = nodes.firstIndex(of: node), waiting.count < 256 else { break }
                waiting.append(Message(from: index, to: other, request: request, id: id))
            case .ask(.anyone, let request, let id):
                guard waiting.count < 256 else { break }
                waiting.append(Message(from: index, to: (index + 1) % 4, request: request, id: id))
            case .announce, .submitted, .warn: break
            }
        }
    }

    /// An honest member's answer.
    private mutating func serve(_ request: LedgerRequest, _ index: Int, from other: Int) -> [UInt8]? {
        switch request {
        case .blocks(let above):
            return FinalBlock.encodeList(
                disks[index].blocks.filter { $0.block.height > above }.map { $0.encoded() })
        case .submit: return nil
        case .final(let block):
            perform(members[index].received(block, from: nodes[other], now: now), index)
            return []
        case .authority(let request):
            guard let (actions, answer) = members[index].received(request, from: nodes[other], now: now) else {
                return nil
            }
            perform(actions, index)
            return answer.encoded()
        }
    }

    mutating func step(_ step: UInt8, _ detail: UInt8, _ reader: inout ByteReader) {
        let index = Int(detail) % 3
        switch step % 12 {
        case 0:
            now += UInt64(detail) * 20
            for member in 0..<3 { perform(members[member].tick(now: now), member) }
        case 1, 2, 3: deliver(Int(detail), &reader)
        case 4 where !waiting.isEmpty:
            let lost = waiting.remove(at: Int(detail) % waiting.count)
            perform(members[lost.from].answered(lost.id, nil, from: nodes[lost.to], now: now), lost.from)
        case 5: members[index] = Self.boot(index, disks[index])
        case 6: ask(.prepare(height: height(detail), slot: slot(detail)), index)
        case 7: propose(detail, index, &reader)
        case 8: commit(detail, index, &reader)
        case 9: finish(detail, index, &reader)
        case 10:
            let claimed = (try? reader.u64()) ?? .max
            perform(members[index].announced(claimed, by: nodes[Self.hostile], now: now), index)
        default: raw(detail, index, &reader)
        }
    }

    /// The height after the longest chain, or one near it if `detail` is high.
    private func height(_ detail: UInt8) -> UInt64 {
        let next = members.map(\.chain.height).max().map { $0 + 1 } ?? 1
        return detail < 240 ? next : next &+ UInt64(detail) &- 244
    }

    /// A slot near the clock that the hostile authority leads, if there is one.
    private func slot(_ detail: UInt8) -> UInt64 {
        let present = rules.slot(at: now) + UInt64(detail >> 6)
        let seed = members[Int(detail) % 3].chain.state.seed
        return (present...present + 3).first { rules.leader(of: $0, after: seed) == Self.hostile } ?? present
    }

    private func sign(_ message: [UInt8]) -> AuthoritySignature {
        AuthoritySignature(authority: UInt8(Self.hostile), bytes: seed(4).sign(message.rawSpan))
    }

    private mutating func ask(_ request: AuthorityRequest, _ index: Int) {
        guard let body = serve(.authority(request), index, from: Self.hostile),
            let answer = try? AuthorityAnswer(decoding: body.rawSpan)
        else { return }
        switch (request, answer) {
        case (_, .promise(let lock?)):
            blocks.append(lock.block)
            acceptances[Signed(slot: lock.certificate.slot, hash: lock.block.hash)] = lock.certificate.acceptances
        case (.propose(let slot, _, let block), .signature(let bytes)):
            add(bytes, index, to: &acceptances[Signed(slot: slot, hash: block.hash), default: []])
        case (.commit(_, let hash, let certificate), .signature(let bytes)):
            add(bytes, index, to: &seals[Signed(slot: certificate.slot, hash: hash), default: []])
        default: break
        }
        if blocks.count > 32 { blocks.removeFirst(16) }
    }

    private func add(_ bytes: [UInt8], _ index: Int, to list: inout [AuthoritySignature]) {
        guard !list.contains(where: { Int($0.authority) == index }) else { return }
        list.append(AuthoritySignature(authority: UInt8(index), bytes: bytes))
    }

    private func certificate(_ block: Block, _ slot: UInt64) -> Certificate? {
        let known = acceptances[Signed(slot: slot, hash: block.hash)] ?? []
        guard slot > 0 else { return nil }
        let own = sign(rules.acceptance(height: block.height, slot: slot, hash: block.hash))
        return Certificate(slot: slot, acceptances: known.filter { Int($0.authority) != Self.hostile } + [own])
    }

    /// Proposes a new block or a known one, with or without a certificate, as the input says.
    private mutating func propose(_ detail: UInt8, _ index: Int, _ reader: inout ByteReader) {
        let choice = (try? reader.u8()) ?? 0
        let block: Block
        if choice < 128 || blocks.isEmpty {
            var chain = members[index].chain
            let proof = seed(4).prove(chain.proofInput.rawSpan)
            block = chain.draft(
                [], time: now / 1_000 + UInt64(choice % 64), maker: UInt8(Self.hostile), proof: proof, random: Bytes32()
            )
            blocks.append(block)
        } else {
            block = blocks[Int(choice) % blocks.count]
        }
        let shown = slots(of: block, acceptances).randomLike(choice)
        ask(.propose(slot: slot(detail), shown.flatMap { certificate(block, $0) }, block), index)
    }

    private func slots(of block: Block, _ table: [Signed: [AuthoritySignature]]) -> [UInt64] {
        table.keys.filter { $0.hash == block.hash }.map(\.slot).sorted()
    }

    private mutating func commit(_ detail: UInt8, _ index: Int, _ reader: inout ByteReader) {
        guard !blocks.isEmpty, let choice = try? reader.u8() else { return }
        let block = blocks[Int(choice) % blocks.count]
        guard let slot = slots(of: block, acceptances).last ?? Optional(slot(detail)),
            let certificate = certificate(block, slot)
        else { return }
        ask(.commit(height: block.height, hash: block.hash, certificate), index)
    }

    private mutating func finish(_ detail: UInt8, _ index: Int, _ reader: inout ByteReader) {
        guard !blocks.isEmpty, let choice = try? reader.u8() else { return }
        let block = blocks[Int(choice) % blocks.count]
        let slot = slots(of: block, seals).last ?? slot(detail)
        var list = seals[Signed(slot: slot, hash: block.hash)] ?? []
        list.append(sign(rules.seal(height: block.height, slot: slot, hash: block.hash)))
        _ = serve(.final(FinalBlock(block, slot: slot, signatures: list)), index, from: Self.hostile)
    }

    /// Sends bytes of the input, if they are a message.
    private mutating func raw(_ detail: UInt8, _ index: Int, _ reader: inout ByteReader) {
        guard let length = try? reader.u8(), let bytes = try? reader.array(min(Int(length) * 4, reader.remaining))
        else {
            return
        }
        let request: AuthorityRequest? =
            switch detail % 3 {
            case 0: try? AuthorityRequest(decodingPrepare: bytes.rawSpan)
            case 1: try? AuthorityRequest(decodingPropose: bytes.rawSpan)
            default: try? AuthorityRequest(decodingCommit: bytes.rawSpan)
            }
        if let request { ask(request, index) }
    }

    /// Delivers a message of an honest member; the input says how the hostile authority answers.
    private mutating func deliver(_ place: Int, _ reader: inout ByteReader) {
        guard !waiting.isEmpty else { return }
        let message = waiting.remove(at: place % waiting.count)
        var body: [UInt8]?
        if message.to != Self.hostile {
            body = serve(message.request, message.to, from: message.from)
        } else if case .authority(let request) = message.request, let choice = try? reader.u8() {
            if case .propose(_, _, let block) = request { blocks.append(block) }
            switch (request, choice % 4) {
            case (.propose(let slot, _, let block), 0):
                let signature = sign(rules.acceptance(height: block.height, slot: slot, hash: block.hash))
                body = AuthorityAnswer.signature(signature.bytes).encoded()
            case (.commit(let height, let hash, let certificate), 0):
                acceptances[Signed(slot: certificate.slot, hash: hash)] = certificate.acceptances
                let signature = sign(rules.seal(height: height, slot: certificate.slot, hash: hash))
                body = AuthorityAnswer.signature(signature.bytes).encoded()
            case (.prepare, 0): body = AuthorityAnswer.promise(nil).encoded()
            case (.prepare, 1) where !blocks.isEmpty:
                let block = blocks[Int(choice) % blocks.count]
                let lock = slots(of: block, acceptances).randomLike(choice).flatMap { certificate(block, $0) }
                body = AuthorityAnswer.promise(lock.map { BlockLock($0, on: block) }).encoded()
            case (_, 2): body = AuthorityAnswer.refused(.otherHeight, height: .max - UInt64(choice)).encoded()
            default: body = try? reader.array(min(Int(choice), reader.remaining))
            }
        }
        perform(members[message.from].answered(message.id, body, from: nodes[message.to], now: now), message.from)
    }
}

extension Array {
    /// The element that a byte selects; nil for some bytes.
    fileprivate func randomLike(_ choice: UInt8) -> Element? {
        isEmpty || choice % 8 == 7 ? nil : self[Int(choice) % count]
    }
}

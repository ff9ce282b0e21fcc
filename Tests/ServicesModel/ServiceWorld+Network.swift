internal import OnionCrypto
internal import SeededRandom
internal import Services
internal import Swarm
internal import SwarmModel
internal import Wire

/// What the network and the replicas do with questions.
extension ServiceWorld {
    func asked(_ question: ReplicaQuestion) -> Asked {
        switch question.request {
        case .store(_, let item):
            Asked(at: now, replica: question.replica, box: question.swarm.box, item: item)
        case .lookup, .list, .fetch, .delete:
            Asked(at: now, replica: question.replica, box: question.swarm.box, item: nil)
        }
    }

    func carry(_ question: ReplicaQuestion, _ answered: @escaping (ReplicaReply) -> Void) {
        if sendsNothing { return after(.zero) { answered(.notSent) } }
        if unknown.contains(question.replica) { return after(.zero) { answered(.unknownReplica) } }
        guard let replica = replicas[question.replica], replica.isUp, !random.happens(loss) else {
            return after(.seconds(10)) { answered(.silence) }
        }
        after(.milliseconds(.random(in: 0...delay / 2, using: &random))) { [unowned self] in
            var conduct = replica.conduct
            if conduct == .mixed { conduct = Conduct.allCases.dropLast().randomElement(using: &random) ?? .silent }
            guard replica.isUp, conduct != .silent else { return after(.seconds(10)) { answered(.silence) } }
            let bytes = answer(question, by: replica, conduct)
            let back = TimeSpan.milliseconds(.random(in: 0...delay / 2, using: &random))
            after(conduct == .slow ? .seconds(9) : back) { answered(.answer(bytes)) }
            if conduct == .repeats { after(back + .milliseconds(50)) { answered(.answer(bytes)) } }
        }
    }

    private func answer(_ question: ReplicaQuestion, by replica: ModelReplica, _ conduct: Conduct) -> [UInt8] {
        if let said { return said }
        switch conduct {
        case .noise: return (0..<Int.random(in: 0...9_000, using: &random)).map { _ in UInt8(random.next() & 255) }
        case .oversized: return [0, 8] + [UInt8](repeating: 7, count: 40_000)
        case .refuses: return StoreAnswer.refused(refusal()).encoded()
        case .honest, .silent, .hides, .stale, .forges, .slow, .repeats, .outdoes, .mixed: break
        }
        switch question.request {
        case .store(let height, let item):
            return store(item, height: height, question.swarm, by: replica, conduct).encoded()
        case .lookup(let box, _, let most, _):
            var items = replica.show(
                box, most: most, minute: minute, isStale: conduct == .stale, random: &random)
            if conduct == .hides { items = [] }
            if conduct == .forges {
                items = items.map { bytes in
                    var bytes = bytes
                    bytes[Int.random(in: bytes.indices, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
                    return bytes
                }
            }
            return StoreAnswer.items(items).encoded()
        case .list, .fetch, .delete: return StoreAnswer.refused(.unknown).encoded()
        }
    }

    private func refusal() -> StoreRefusal {
        let far = minute + UInt32.random(in: 0...40, using: &random)
        let all: [StoreRefusal] = [
            .malformed, .unknown, .notReplica(height: .max), .full, .notAuthorised, .timeInvalid, .busy(seconds: 255),
            .superseded(created: far, counter: UInt8(random.next() & 255)),
            .superseded(created: .max, counter: 255),
        ]
        return all.randomElement(using: &random) ?? .full
    }

    private func store(
        _ item: StoredItem, height: UInt64, _ swarm: BoxSwarm, by coordinator: ModelReplica, _ conduct: Conduct
    ) -> StoreAnswer {
        guard staked.contains(coordinator.key.node), height + 180 > self.height else {
            return .refused(.notReplica(height: self.height))
        }
        guard item.isAuthentic(network: SwarmModel.network, writers: WriteKeys(box: swarm.box, grant: nil)) else {
            return .refused(.notAuthorised)
        }
        if conduct == .outdoes, let version = item.version {
            return .refused(
                .superseded(created: item.header.created, counter: version.counter < 255 ? version.counter + 1 : 255))
        }
        if item.header.created + 30 < minute { return .refused(.timeInvalid) }
        if let refusal = coordinator.keep(item, minute: minute, ahead: 30) { return .refused(refusal) }
        var receipts: [StoreAnswer.IndexedReceipt] = []
        for (index, member) in swarm.members.enumerated() {
            guard let replica = replicas[member], replica.isUp, replica.conduct != .silent else { continue }
            if replica !== coordinator, [.refuses, .outdoes].contains(replica.conduct) { continue }
            if replica.conduct != .hides, replica.keep(item, minute: minute, ahead: 40) != nil { continue }
            // A hostile coordinator leaves the others out.
            if conduct == .forges, replica !== coordinator { continue }
            receipts.append(.init(index: UInt8(index), receipt: replica.receipt(of: item.id, height: height)))
        }
        return .stored(height: height, receipts)
    }
}

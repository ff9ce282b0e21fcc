internal import OnionCrypto
import SeededRandom
internal import Swarm
internal import Wire

/// A hostile replica, which has the key of a listed node and answers as it likes.
public struct Liar {
    /// The kinds of lies.
    public enum Kind: CaseIterable, Sendable {
        /// Signs for every item, and claims to have none.
        case signsOnly
        /// Never answers.
        case stalls
        /// Answers with random bytes.
        case noise
        /// Claims that everything differs, with invented days, ranges and ids.
        case differs
        /// Takes part like an honest replica, and brings back every item that it has seen.
        case bringsBack
        /// Takes part, and brings a new item to one replica of a shard every minute.
        case feeds

        /// Whether the liar answers instead of its replica.
        var answersItself: Bool { self != .bringsBack && self != .feeds }
    }

    /// The kind of its lies.
    public let kind: Kind
    /// The copies that it has seen.
    var seen: [[UInt8]] = []

    init(_ kind: Kind) { self.kind = kind }

    /// Keeps copies that are brought to it.
    mutating func sees(_ kind: SwarmMessage, _ body: [UInt8]) {
        if kind == .replicate, seen.count < 400 { seen.append(body) }
    }
}

extension SwarmNetwork {
    /// A liar's answer.
    func lie(_ index: Int, _ kind: SwarmMessage, _ body: [UInt8], to peer: Int) -> [UInt8]? {
        switch nodes[index].liar?.kind {
        case nil, .stalls, .bringsBack, .feeds: return nil
        case .noise:
            return (0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        case .signsOnly, .differs:
            switch kind {
            case .replicate:
                guard let message = try? Replicate(decoding: body.rawSpan, network: network) else { return nil }
                return Replicate.encode(
                    message.copies.map {
                        .held(
                            nodes[index].key.sign(
                                StoreReceipt.message(height: message.height, id: $0.id, network: network)))
                    })
            case .compare:
                guard let message = try? Compare(decoding: body.rawSpan) else { return nil }
                return nodes[index].liar?.kind == .differs ? invent(message) : deny(message)
            case .fetchCopies: return []
            }
        }
    }

    /// The answer that there is nothing.
    private func deny(_ message: Compare) -> [UInt8] {
        let answer: CompareAnswer =
            switch message.question {
            case .shards(let shards):
                .shards(
                    shards.map { .init(shard: $0.shard, isOutOfDate: false, isNotShared: false, digest: Bytes32()) })
            case .days: .days([])
            case .ranges: .ranges([Bytes32](repeating: Bytes32(), count: 144))
            case .ids: .ids([])
            }
        return answer.encoded()
    }

    /// The answer that everything differs.
    private func invent(_ message: Compare) -> [UInt8] {
        let bytes = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
        let noise = Bytes32(copying: bytes.rawSpan)
        let day = UInt16(truncatingIfNeeded: message.cut / 1_440)
        let answer: CompareAnswer =
            switch message.question {
            case .shards(let shards):
                .shards(shards.map { .init(shard: $0.shard, isOutOfDate: false, isNotShared: false, digest: noise) })
            case .days:
                .days([
                    .init(kind: .message, day: day - 1, digest: noise), .init(kind: .message, day: day, digest: noise),
                ])
            case .ranges: .ranges((0..<144).map { $0 % 24 == 0 ? noise : Bytes32() })
            case .ids(_, let after):
                .ids((1...40 as ClosedRange<UInt64>).map { .init(shortID: after + $0 << 20, isDeleted: $0 % 2 == 0) })
            }
        return answer.encoded()
    }

    /// Brings a new item with an older time to one other replica of a box of this liar.
    func feed(_ index: Int) {
        let own = (0..<200 as Range<UInt32>).lazy.map { Box(Key(20_000 + $0)) }.first { box in
            self.view.map.position(of: self.id(index), in: self.view.map.shard(of: box.id)) != nil
        }
        guard let box = own else { return }
        let minute = UInt32(now / 60_000)
        let item = box.message(now, created: minute - minute % 10 - 40)
        let others = nodes.indices.filter {
            $0 != index && view.map.position(of: id($0), in: view.map.shard(of: box.id)) != nil
        }
        guard let other = others.randomElement(using: &random) else { return }
        let body = Replicate(height: view.height, copies: [.item(item)]).encoded()
        deliver(.replicate, body, from: index, to: other) { _ in }
    }

    /// Has the liars of this kind bring back items.
    public func bringBack() {
        for index in nodes.indices where nodes[index].liar?.kind == .bringsBack {
            for body in nodes[index].liar?.seen ?? [] {
                for peer in nodes.indices where peer != index && random.happens(30) {
                    deliver(.replicate, body, from: index, to: peer) { _ in }
                }
            }
        }
    }
}

internal import OnionCrypto
internal import Requests
internal import SeededRandom
internal import Wire

extension RequestNetwork {
    /// The first number of askers of hostile clients.
    static let foreign: UInt64 = 1 << 62

    /// A hostile proxy's treatment of a request; false if it serves the request.
    func lie(_ bytes: [UInt8], attempt: UInt64, session: UInt64, at node: Node) -> Bool {
        switch random.next() % 9 {
        case 0: return true
        case 1:
            let invented: [OuterAnswer] = [
                .busy(seconds: 255), .unknownTarget, .noLink, .noAnswer, .tooMany, .unreadable,
                .newKey([UInt8](repeating: 1, count: 50)), .answer([UInt8](repeating: 3, count: 1_056)),
            ]
            answer(attempt, invented[Int(random.next() % UInt64(invented.count))].encoded(for: .stream))
            return true
        case 2:
            answer(attempt, node.seen.randomElement(using: &random))
            return true
        case 3:
            ask(flipped(bytes), asker: attempt, session: session, at: node)
            return true
        case 4:
            // The same envelope also goes out again later.
            after(delay(8_000)) { [unowned self] in
                ask(bytes, asker: Self.foreign + random.next() % (1 << 40), session: session, at: node)
            }
            return false
        case 5:
            endSession(session)
            return true
        case 6:
            answer(attempt, nil)
            return true
        default: return false
        }
    }

    /// One action of a hostile client or a bad network.
    public func disturb() {
        switch hostile {
        case .nobody, .proxy, .target: break
        case .links:
            let (one, other) = (nodes[Int(random.next() % 6)], nodes[Int(random.next() % 6)])
            guard links.remove([one.index, other.index]) != nil else { return }
            perform(one.proxy.linkEnded(Self.id(other.index)), at: one)
            perform(other.target.linkEnded(Self.id(one.index), now: now), at: other)
        case .client:
            let node = nodes[Int(random.next() % 6)]
            let session = Self.foreign + random.next() % 4
            if random.happens(5) { return node.proxy.sessionEnded(session, over: Self.link) }
            for _ in 0..<8 {
                let size = RequestClass.bytes1024.envelopeSize
                var envelope = (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                let target = Int(random.next() % 6)
                if random.happens(80) {
                    let key = nodes[target].key.publicKey
                    let hash = Blake2b.digest(key.rawSpan)
                    envelope.replaceSubrange(0..<8, with: hash.array.prefix(8))
                }
                let open = RequestOpen.envelope(envelope, to: Self.id(target)).encoded()
                ask(
                    random.happens(20) ? flipped(open) : open, asker: Self.foreign + random.next() % (1 << 40),
                    session: session, at: node)
            }
        }
    }
}

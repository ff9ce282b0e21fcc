import EventLoop
import Testing
import Wire

@testable import Link
@testable import Links
@testable import OnionCrypto

/// In which order workers hear of links and keys, and what worker 0 waits for.
@Suite struct LinkOrdersTests {
    /// The orders that were given and wait for their answers.
    private final class Workers {
        var given: [String] = []
        /// Whether a worker answers at once, as the only one does.
        var isDirect = false

        func take(_ worker: UInt8, _ order: LinkOrder) -> LinkAnswer? {
            let (name, kind): (String, LinkAnswer.Kind?) =
                switch order.kind {
                case .add(let receiver, _, _, _, _): (receiver == nil ? "add" : "own", .added)
                case .renew: ("renew", .renewed)
                case .expect(_, let sendKey): (sendKey == nil ? "expect" : "expect with send key", .expects)
                case .use: ("use", .uses)
                case .move: ("move", nil)
                case .remove: ("remove", .removed)
                }
            given.append("\(worker) \(name)")
            return isDirect ? kind.map { LinkAnswer(link: order.link, kind: $0) } : nil
        }

        func takeGiven() -> [String] {
            defer { given = [] }
            return given
        }
    }

    private let link = LinkID(place: 5, generation: 1)
    private let now = Instant(nanoseconds: 1_000_000_000)
    private let address = SocketAddress(ipv4: 0x0a00_0001, port: 7)

    private func sendKey() -> LinkSendKey { LinkSendKey(.chacha20poly1305, .random(), remoteIndex: 4_321) }

    private func keys(_ index: UInt32) -> ReceivingKeys {
        let split = SplitKeys(initiator: .random(), responder: .random())
        return ReceivingKeys(split, isInitiator: true, suite: .chacha20poly1305, localIndex: index, now: now)
    }

    /// Orders to three workers, with a link of worker 2.
    private func orders(_ workers: Workers) -> LinkOrders {
        var orders = LinkOrders(workers: 3, order: workers.take)
        let receiver = LinkReceiver(keys(2 << 24 | 300), controlStart: 0)
        let progress = orders.add(
            link, owner: 2, receiver, sendKey: sendKey(), liveness: Liveness(now: now), address: address, mayMove: false
        )
        #expect(progress.isEmpty)
        return orders
    }

    @Test("a link stands when all other workers have it") func add() {
        let workers = Workers()
        var orders = orders(workers)
        #expect(workers.takeGiven() == ["2 own", "1 add"])
        #expect(orders.owner(of: link) == 2)
        #expect(orders.answered(LinkAnswer(link: link, kind: .added)).isEmpty)
        #expect(orders.answered(LinkAnswer(link: link, kind: .added)) == [.stands(link)])
    }

    @Test("new keys are the owner's first, then everybody's, and the old send key is over when all have the new one")
    func renew() {
        let workers = Workers()
        var orders = orders(workers)
        _ = workers.takeGiven()
        #expect(orders.renew(link, keys(2 << 24 | 301), sendKey()).isEmpty)
        #expect(workers.takeGiven() == ["2 renew"])
        let renewed = LinkAnswer(link: link, kind: .renewed, forgotten: [300])
        #expect(orders.answered(renewed) == [.forgotten([300], owner: 2)])
        #expect(workers.takeGiven() == ["0 use", "1 use", "2 use"])
        for _ in 0..<2 { #expect(orders.answered(LinkAnswer(link: link, kind: .uses)).isEmpty) }
        #expect(orders.answered(LinkAnswer(link: link, kind: .uses)) == [.uses(link)])
        // The same from the other end: the owner waits for the peer's first packet.
        #expect(orders.expect(link, keys(2 << 24 | 302), sendKey()).isEmpty)
        #expect(workers.takeGiven() == ["2 expect"])
        #expect(orders.answered(LinkAnswer(link: link, kind: .expects)) == [.expects(link)])
        #expect(orders.answered(LinkAnswer(link: link, kind: .switched)) == [.switched(link)])
        #expect(orders.use(link, sendKey()).isEmpty)
        #expect(workers.takeGiven() == ["0 use", "1 use", "2 use"])
    }

    @Test("a link that goes waits for all workers, and no answer about it has an effect any more") func remove() {
        let workers = Workers()
        var orders = orders(workers)
        #expect(orders.renew(link, keys(2 << 24 | 301), sendKey()).isEmpty)
        _ = workers.takeGiven()
        #expect(orders.remove(link).isEmpty)
        #expect(workers.takeGiven() == ["0 remove", "1 remove", "2 remove"])
        // On its way when the link went.
        #expect(orders.answered(LinkAnswer(link: link, kind: .renewed)).isEmpty)
        #expect(workers.takeGiven().isEmpty)
        for _ in 0..<2 { #expect(orders.answered(LinkAnswer(link: link, kind: .removed)).isEmpty) }
        let last = LinkAnswer(link: link, kind: .removed, forgotten: [7])
        #expect(orders.answered(last) == [.forgotten([7], owner: 2), .gone(link)])
        #expect(orders.count == 0)
        for kind in [LinkAnswer.Kind.uses, .renewed, .removed, .switched] {
            #expect(orders.answered(LinkAnswer(link: link, kind: kind)).isEmpty)
        }
        #expect(orders.renew(link, keys(2 << 24 | 302), sendKey()).isEmpty)
        #expect(workers.takeGiven().isEmpty)
    }

    @Test("with one worker all is done at once, in the same order") func alone() {
        let workers = Workers()
        workers.isDirect = true
        var orders = LinkOrders(workers: 1, order: workers.take)
        let added = orders.add(
            link, owner: 0, nil, sendKey: sendKey(), liveness: Liveness(now: now), address: address, mayMove: false)
        #expect(added == [.stands(link)])
        #expect(workers.takeGiven().isEmpty)
        #expect(orders.renew(link, keys(301), sendKey()) == [.uses(link)])
        #expect(workers.takeGiven() == ["0 renew", "0 use"])
        #expect(orders.expect(link, keys(302), sendKey()) == [.expects(link)])
        #expect(workers.takeGiven() == ["0 expect with send key"])
        // Its table has gone over with the packet that said so.
        #expect(orders.use(link, sendKey()) == [.uses(link)])
        #expect(workers.takeGiven().isEmpty)
        #expect(orders.remove(link) == [.gone(link)])
        #expect(workers.takeGiven() == ["0 remove"])
    }
}

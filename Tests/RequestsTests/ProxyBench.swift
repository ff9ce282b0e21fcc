import Link
import RequestsModel
import SeededRandom
import Testing
import Wire

@testable import Requests

/// A proxy; the test plays its sessions, links and targets.
struct ProxyBench {
    var proxy: RequestProxy
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var asker: UInt64 = 0
    var answers: [UInt64: OuterAnswer] = [:]
    var forwards: [(ticket: UInt64, node: NodeID, message: ForwardMessage)] = []
    var connects: [NodeID] = []
    var performs: [(ticket: UInt64, method: RequestMethod)] = []

    init(places: Int = RequestLimits.pendingPlaces) {
        proxy = RequestProxy(node: ProxyBench.node(0), random: SeededGenerator(seed: 1), places: places, now: now)
    }

    static func node(_ number: Int) -> NodeID {
        var writer = ByteWriter()
        writer.u32(UInt32(number + 1))
        writer.zeros(28)
        return NodeID(Bytes32(copying: writer.bytes.rawSpan))
    }

    /// The link of all sessions for which a test names no other.
    static let link = LinkSource.node(node(900).key)
    static let envelope = [UInt8](repeating: 1, count: RequestClass.bytes1024.envelopeSize)

    @discardableResult
    mutating func ask(
        _ session: UInt64, over link: LinkSource = ProxyBench.link, to target: Int = 1, hasLink: Bool = true,
        isNode: Bool = true, envelope: [UInt8] = ProxyBench.envelope
    ) throws -> UInt64 {
        try ask(.envelope(envelope, to: Self.node(target)), session, over: link, hasLink: hasLink, isNode: isNode)
    }

    @discardableResult
    mutating func ask(
        _ request: RequestOpen?, _ session: UInt64, over link: LinkSource = ProxyBench.link, hasLink: Bool = true,
        isNode: Bool = true
    ) throws -> UInt64 {
        asker += 1
        let target = RequestProxy.Knowledge(isNode: isNode, hasLink: hasLink)
        try take(proxy.ask(request, asker: asker, from: session, over: link, target: target, now: now))
        return asker
    }

    mutating func take(_ actions: [RequestProxy.Action]) throws {
        for action in actions {
            switch action {
            case .answer(let asker, let answer):
                try #require(answers[asker] == nil, "one answer for each")
                answers[asker] = answer
            case .perform(let ticket, let method, _, _): performs.append((ticket, method))
            case .connect(let node): connects.append(node)
            case .forward(let ticket, let node, let body):
                forwards.append((ticket, node, try ForwardMessage(decoding: body.rawSpan)))
            }
        }
    }

    mutating func advance(_ span: TimeSpan) throws {
        now = now + span
        try take(proxy.advance(now))
    }
}

import OnionCrypto
import Synchronization
import Testing
import VectorFiles
import Wire

@testable import Onion

/// The vectors that an independent model computes from protocol.md: each message and packet of a path, byte for byte.
@Suite struct VectorTests {
    static let paths: [(String, [Suite])] = [
        ("path1", [.chacha20poly1305]),
        ("path2", [.chacha20poly1305, .aes256gcm]),
        ("path3", [.chacha20poly1305, .chacha20poly1305, .chacha20poly1305]),
        ("path4", [.aes256gcm, .chacha20poly1305, .aes256gcm, .aes256gcm]),
    ]

    /// The model's fill bytes.
    private static func fill(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: 7 * $0 + 3) } }

    /// Returns the recorded values in order.
    private static func source(_ file: VectorFile, ephemerals names: [String]) -> BuildSource {
        let next = Mutex(0)
        let order = Mutex(0)
        return BuildSource(
            ephemeral: {
                let index = next.withLock { value in
                    value += 1
                    return value - 1
                }
                guard index < names.count, let secret = try? file.secret(names[index]) else { return AgreementKey() }
                return AgreementKey(secret)
            },
            fill: { fill($0) },
            encapsulate: { (_: [UInt8]) throws(CryptoError) -> KEM.Encapsulation in
                let index = order.withLock { value in
                    value += 1
                    return value - 1
                }
                guard let secret = try? file.secret("shared.\(index)"), let text = try? file("in.ciphertext.\(index)")
                else { throw .invalidKey }
                return KEM.Encapsulation(secret: secret, ciphertext: text)
            })
    }

    @Test(arguments: paths.filter { $0.1.allSatisfy(\.isAvailable) })
    func everyByteOfAPath(name: String, suites: [Suite]) throws {
        let file = try VectorFile(name)
        let count = suites.count
        let network = try file.bytes32("in.network")
        let time = UnixTime(seconds: 1_800_000_123)
        var targets: [HopTarget] = []
        var pairs: [KEM.PrivateKey] = []
        for hop in 0..<count {
            pairs.append(try KEM.PrivateKey(seed: file("in.onion.\(hop)")))
            targets.append(
                HopTarget(
                    node: try file.bytes32("in.node.\(hop)"), onionKey: pairs[hop].publicKey, suite: suites[hop]))
        }

        let builder = try PathBuilder(
            hops: targets, network: network, time: time,
            source: Self.source(file, ephemerals: (0..<count).map { "in.client ephemeral.\($0)" }))
        let nodes = Nodes()
        let reply = try answer(0, builder.records, file, targets, pairs, network, time, nodes)
        let expected = try file("reply.0")
        #expect(reply == expected)
        let message = BuildMessage.encode(pathID: 5, reply)
        let result = builder.receive(message.rawSpan, now: at(0))
        guard case .built(var path, pathID: 5) = consume result else {
            Issue.record("not built")
            return
        }
        #expect([UInt8](copying: path.secrets.session.bytes) == (try file("session secret")))
        #expect([UInt8](copying: path.secrets.leg.bytes) == (try file("leg secret")))

        for number in 0..<3 {
            let now = at(number == 2 ? 60 : 0)
            var packet = [UInt8](repeating: 0, count: 132) + Self.payload(number)
            var span = packet.mutableRawSpan
            _ = path.seal(&span, now: now)
            for hop in 0..<count {
                #expect([UInt8](packet[36...]) == (try file("forward.\(number).\(hop)")))
                let verdict = nodes.list[hop].step(&packet, fromClient: true, now)
                if hop + 1 == count {
                    #expect(verdict == .deliver(path: nodes.list[hop].handle, number: UInt64(number)))
                }
            }
            #expect([UInt8](packet[132...]) == Self.payload(number))

            packet = [UInt8](repeating: 0xee, count: 132) + Self.payload(0x80 + number)
            for hop in (0..<count).reversed() {
                _ = nodes.list[hop].step(&packet, fromClient: false, now)
                #expect([UInt8](packet[36...]) == (try file("backward.\(number).\(hop)")))
            }
            span = packet.mutableRawSpan
            #expect(path.open(&span, now: now) == .packet(UInt64(number)))
            #expect([UInt8](packet[132...]) == Self.payload(0x80 + number))
        }
    }

    private static func payload(_ mark: Int) -> [UInt8] {
        (0..<1_100).map { UInt8(truncatingIfNeeded: mark + 3 * $0) }
    }

    /// A hop whose table holds one path.
    final class Hop {
        var table = ForwardingTable(worker: 0, maximumPaths: 1)
        let handle: PathHandle
        init(_ keys: consuming HopKeys) throws {
            let isTerminal = keys.slot == 4
            handle = try table.insert(
                keys, previous: PathNeighbour(link: 1, pathID: 0), nextLink: isTerminal ? nil : 2, linkLimit: 1,
                now: at(0))
            _ = table.connect(handle, nextPathID: 9)
        }

        func step(_ packet: inout [UInt8], fromClient: Bool, _ now: Instant) -> ForwardingStep {
            var span = packet.mutableRawSpan
            if fromClient { return table.forward(handle.index, &span, now: now) }
            if table.nextNumberAtTerminal(handle) != nil {
                return table.sealAtTerminal(handle, &span, now: now).verdict
            }
            return table.backward(handle.index, &span, now: now)
        }
    }

    final class Nodes {
        var list: [Hop] = []
    }

    private func answer(
        _ hop: Int, _ records: [UInt8], _ file: VectorFile, _ targets: [HopTarget], _ pairs: [KEM.PrivateKey],
        _ network: Bytes32, _ time: UnixTime, _ nodes: Nodes
    ) throws -> [UInt8] {
        #expect(records == (try file("records.\(hop)")))
        let source = Self.source(file, ephemerals: ["in.hop ephemeral.\(hop)"])
        var responder = BuildResponder(
            network: network, node: targets[hop].node, keys: OnionKeys(pairs[hop], now: at(0)),
            cache: BuildReplayCache(now: at(0)))
        let outcome = responder.open(records.rawSpan, from: 0, time: time, now: at(0), source: source)
        switch consume outcome {
        case .terminal(let keys, let reply, let secrets):
            #expect([UInt8](copying: secrets.session.bytes) == (try file("session secret")))
            nodes.list.append(try Hop(keys))
            let records = reply.answer(.ready, source: source)
            #expect(records == (try file("reply.\(hop)")))
            return records
        case .onward(let node, let onward, let keys, let reply):
            #expect(node == targets[hop + 1].node)
            nodes.list.append(try Hop(keys))
            let inner = try answer(hop + 1, onward, file, targets, pairs, network, time, nodes)
            let records = reply.wrap(inner.rawSpan, source: source)
            #expect(records == (try file("reply.\(hop)")))
            return records ?? []
        case .unreadable(let fault):
            Issue.record("hop \(hop): \(fault)")
            return []
        case .refuse(let status, _):
            Issue.record("hop \(hop): \(status)")
            return []
        }
    }
}

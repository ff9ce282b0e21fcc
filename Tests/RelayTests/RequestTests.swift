import Directory
import EventLoop
import LoopTesting
import Onion
import OnionCrypto
import Requests
import Sessions
import Testing
import Transport
import Wire

@testable import Client
@testable import Relay

/// Onion requests through whole relays, from a whole client.
@Suite struct RequestTests {
    @Test("A client asks every node for its state, exit or not, and no node but the target opens the request")
    func states() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        for relay in bench.relays {
            let answer = try #require(bench.state(of: relay)).get()
            #expect(answer.height == relay.trustedSnapshot.height && answer.fill == 0 && !answer.stores)
            #expect(relay.status.requests.answeredHere == 1 && relay.status.requests.pendingHere == 0)
        }
        let asked = bench.relays.map(\.status.requests.asked).reduce(0, +)
        #expect(asked == UInt64(bench.relays.count) && bench.client.status.requests.answered == asked)
        #expect(bench.relays.allSatisfy { $0.status.requests.pending == 0 && $0.status.requests.refused == 0 })
        // A session has one target, so there are as many sessions as targets. None of them is an app's.
        #expect(bench.client.requests.sessionCount == bench.relays.count && bench.client.sessions.all.isEmpty)
        // The same target is asked again over the same session.
        #expect(try #require(bench.state(of: bench.relays[0])).get().time < .seconds(1))
        #expect(bench.client.requests.sessionCount == bench.relays.count)
        let stranger = NodeID(Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan))
        var failure: NodeStateFailure?
        bench.client.requestState(of: stranger) { if case .failure(let found) = $0 { failure = found } }
        #expect(failure == .unknownNode)
    }

    @Test("RQ5: a guard that is asked is not the guard of the path to the proxy, and no other guard is drawn for it")
    func targetIsNoGuard() throws {
        let bench = try RequestBench(relays: 9)
        defer { bench.close() }
        let directory = bench.client.directory
        let (sample, primaries) = (directory.guards.sample.map(\.node), directory.guards.primaries.map(\.node))
        #expect(primaries.count > 1)
        for node in primaries {
            let descriptor = try #require(directory.descriptor(of: node))
            for isolation in 1...8 {
                let before = Set(bench.pool.all.map(\.pathID))
                // Each isolation key has its own session.
                let call = RequestClient.Call(
                    scope: .init(isolation: UInt64(isolation), purpose: .state(node)), method: .status,
                    targets: [.init(node: node, onionKey: descriptor.onionKey)], arguments: { _ in [] })
                var outcome: RequestClient.Outcome?
                bench.client.requests.ask(call) { outcome = $0 }
                bench.run { outcome != nil }
                guard case .answered = outcome else { throw Unexpected() }
                let new = bench.pool.all.filter { !before.contains($0.pathID) && bench.isForRequests($0) }
                #expect(new.count == 1 && new.allSatisfy { $0.entry != node && $0.exit != node })
            }
        }
        #expect(directory.guards.sample.map(\.node) == sample)
    }

    @Test("The nodes that requests may go over are one array, until the descriptors change")
    func proxiesAreNotCopied() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let directory = bench.client.directory
        func place(_ nodes: [RequestNode]) -> UInt {
            unsafe nodes.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) }
        }
        let (one, other) = (directory.proxies, directory.proxies)
        #expect(one.count == bench.relays.count && place(one) == place(other))
        let signed = bench.relays[0].publication.renew(onionKey: try KEM.PrivateKey().publicKey)
        bench.run(for: .seconds(2))
        let newer = bench.relays[0].publication.renew(onionKey: try KEM.PrivateKey().publicKey)
        #expect(try directory.descriptors.insert(newer, at: directory.unixTime) && signed.bytes != newer.bytes)
        #expect(place(directory.proxies) != place(one))
    }

    @Test("The terminal answers its own sessions; other nodes, strangers and itself it tells apart")
    func ownTerminal() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target) = (bench.relays[0], bench.relays[1])
        let session = try bench.session(to: proxy)
        let own = try #require(try bench.ask(.own(method: RequestMethod.status.rawValue, arguments: []), on: session))
        guard case .answer(let bytes) = own else { throw Unexpected() }
        let result = try RequestAnswer(decoding: bytes.rawSpan).result
        let state = try NodeState(decoding: result.rawSpan)
        #expect(state == NodeState(height: proxy.trustedSnapshot.height, fill: 0, stores: false))
        // Methods that no node has yet, and invalid arguments.
        for method in [RequestMethod.store, .delete, .list, .fetch, .lookup] {
            let answer = try bench.ask(.own(method: method.rawValue, arguments: []), on: session)
            #expect(answer == .answer(RequestAnswer(.unknown).encoded()))
        }
        let malformed = try bench.ask(.own(method: RequestMethod.status.rawValue, arguments: [1]), on: session)
        #expect(malformed == .answer(RequestAnswer(.malformed).encoded()))
        // The descriptor of a node: one that it has, one that it has not, and no node id.
        func descriptor(_ arguments: [UInt8]) throws -> RequestAnswer {
            let answer = try bench.ask(
                .own(method: RequestMethod.descriptor.rawValue, arguments: arguments), on: session)
            guard case .answer(let bytes)? = answer else { throw Unexpected() }
            return try RequestAnswer(decoding: bytes.rawSpan)
        }
        let found = try descriptor(target.node.key.array)
        #expect(found.status == .done)
        let signed = try SignedDescriptor(decoding: found.result.rawSpan)
        #expect(signed.descriptor.node == target.node)
        #expect(signed.isAuthentic(network: bench.pool.directory.network.id))
        #expect(try descriptor([UInt8](repeating: 9, count: 32)) == RequestAnswer(.done))
        #expect(try descriptor([UInt8](repeating: 9, count: 31)) == RequestAnswer(.malformed))
        // To an unknown node, and to the proxy itself.
        let envelope = try bench.seal(for: target).envelope
        let stranger = NodeID(Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan))
        #expect(try bench.ask(.envelope(envelope, to: stranger), on: session) == .unknownTarget)
        #expect(try bench.ask(.envelope(envelope, to: proxy.node), on: session) == .unknownTarget)
        // An envelope for another node cannot be opened by this one.
        #expect(try bench.ask(.envelope(envelope, to: bench.relays[2].node), on: session)?.status == .newKey)
        #expect(try bench.ask(.envelope(envelope, to: target.node), on: session)?.status == .answer)
    }

    @Test("RQ6: RELAY goes over two proxies and no further")
    func relays() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, second, target) = (bench.relays[0], bench.relays[1], bench.relays[2])
        let session = try bench.session(to: proxy)
        /// The answer to RELAY with an inner request for `target`.
        func relay(to target: Relay, _ inner: SealedRequest) throws -> RequestAnswer? {
            let arguments = RelayRequest(target: target.node, envelope: inner.envelope).encoded()
            let outer = try bench.seal(for: second, .relay, arguments: arguments)
            guard case .answer(let sealed)? = try bench.ask(.envelope(outer.envelope, to: second.node), on: session)
            else { return nil }
            return outer.open(sealed)
        }
        let inner = try bench.seal(for: target)
        let answer = try #require(try relay(to: target, inner))
        #expect(answer.status == .done)
        guard case .answer(let sealed) = try OuterAnswer(decoding: answer.result.rawSpan, at: .stream) else {
            throw Unexpected()
        }
        #expect(inner.open(sealed)?.status == .done)
        // To itself, back to the node that asks, and by a second RELAY.
        #expect(try relay(to: second, try bench.seal(for: second))?.status == .notAuthorised)
        #expect(try relay(to: proxy, try bench.seal(for: proxy))?.status == .notAuthorised)
        let third = RelayRequest(target: bench.relays[3].node, envelope: try bench.seal(for: bench.relays[3]).envelope)
        let chain = try bench.seal(for: target, .relay, arguments: third.encoded())
        let refused = try #require(try relay(to: target, chain))
        guard case .answer(let last) = try OuterAnswer(decoding: refused.result.rawSpan, at: .stream) else {
            throw Unexpected()
        }
        #expect(chain.open(last)?.status == .notAuthorised)
    }

    @Test("RQ7: a stream that is too long is reset, one that is malformed is told, one that never ends has 30 s")
    func oddStreams() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (proxy, target) = (bench.relays[0], bench.relays[1])
        let session = try bench.session(to: proxy)
        let sealed = try bench.seal(for: target, padding: .bytes65792)
        let open = RequestOpen.envelope(sealed.envelope, to: target.node)
        #expect(open.encoded().count == RequestOpen.maximumSize)
        #expect(try bench.ask(open, on: session)?.status == .answer)
        func told(_ bytes: [UInt8]) throws -> [UInt8]? {
            var told: [UInt8]??
            try bench.send(bytes, on: session) { told = .some($0) }
            bench.run { told != nil }
            return told ?? nil
        }
        #expect(try told(open.encoded() + [0]) == nil)
        let unreadable = OuterAnswer.unreadable.encoded(for: .stream)
        let good = RequestOpen.envelope(try bench.seal(for: target).envelope, to: target.node).encoded()
        #expect(try told(Array(good.dropLast())) == unreadable)
        #expect(try told(Array(good.prefix(2))) == unreadable)
        var puzzle = good
        puzzle[40] = 1
        #expect(try told(puzzle) == unreadable)
        #expect(try told(good)?.first == OuterStatus.answer.rawValue)
        // The whole request, without the end of the stream.
        let id = try session.session.connection.openStream()
        _ = session.session.connection.write(id, good.rawSpan)
        session.session.touch()
        bench.run(for: .seconds(5))
        #expect(proxy.sessions.streamCount == 1)
        bench.run(for: .seconds(30)) { proxy.sessions.streamCount == 0 }
        #expect(proxy.sessions.streamCount == 0 && proxy.status.requests.pending == 0)
    }

    @Test(
        "RQ8: a descriptor that a target sends of itself is taken for one request, if it is its own, newer and signed")
    func newKeys() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (one, other) = (bench.relays[0], bench.relays[1])
        let directory = bench.client.directory
        let held = try #require(directory.descriptor(of: one.node))
        bench.run(for: .seconds(2))
        let pair = try KEM.PrivateKey()
        let key = pair.publicKey
        let signed = one.publication.renew(onionKey: key)
        let bytes = signed.bytes
        #expect(directory.onionKey(of: one.node, in: bytes) == key)
        #expect(directory.onionKey(of: other.node, in: bytes) == nil)
        #expect(directory.onionKey(of: one.node, in: other.publication.renew(onionKey: key).bytes) == nil)
        for place in [0, 40, bytes.count - 1] {
            var changed = bytes
            changed[place] ^= 1
            #expect(directory.onionKey(of: one.node, in: changed) != key)
        }
        #expect(directory.onionKey(of: one.node, in: []) == nil)
        // A descriptor that is not newer than the one the client holds changes nothing.
        let older = try #require(directory.descriptors.descriptor(of: one.node, at: directory.unixTime)).bytes
        #expect(directory.onionKey(of: one.node, in: older) == held.onionKey)
        // The newer descriptor is not kept, because all clients use the same descriptors.
        #expect(directory.descriptor(of: one.node)?.onionKey == held.onionKey)
        // The node uses the new key now. The client knows the old key, so it is told the new one and asks once more.
        one.requests.renew(keys: OnionKeys(pair, now: bench.pool.now), descriptor: bytes)
        let received = one.status.requests.received
        _ = try #require(bench.state(of: one)).get()
        #expect(one.status.requests.received == received + 2)
        // A forged descriptor is not accepted from any sender, and the request has no answer.
        one.requests.renew(
            keys: OnionKeys(try KEM.PrivateKey(), now: bench.pool.now),
            descriptor: other.publication.renew(onionKey: key).bytes)
        #expect(bench.state(of: one) == .failure(.noAnswer(hint: OuterStatus.newKey.name)))
        // The list has brought the descriptor while a request that was sealed with the older key was under way.
        #expect(try directory.descriptors.insert(signed, at: directory.unixTime))
        #expect(directory.onionKey(of: one.node, in: bytes) == key)
    }
}

/// A result that a test needs is missing.
struct Unexpected: Error {}

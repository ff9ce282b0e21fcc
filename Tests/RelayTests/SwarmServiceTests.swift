import Directory
import EventLoop
import Links
import OnionCrypto
import Requests
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Client
@testable import Relay

/// The swarm store of whole relays.
@Suite struct SwarmServiceTests {
    @Test("What one replica takes, all replicas of the box have at once, and each shows it; nobody else has it")
    func replicates() throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        let item = bench.descriptor(1)
        let (members, others) = try bench.replicas(of: item)
        #expect(members.count == 5 && others.count == 2)
        let session = try bench.requests.session(to: members[0])
        let height = members[0].trustedSnapshot.height
        guard case .stored(height, let receipts) = try bench.ask(.store(height: height, item), on: session, to: .store)
        else { throw Unexpected() }
        let swarm = try bench.swarm(of: item)
        #expect(receipts.count >= swarm.majority)
        for entry in receipts {
            let signer = swarm.members[Int(entry.index)]
            #expect(StoreReceipt.isGood(entry.receipt, of: signer, height: height, id: item.id, network: bench.id))
        }
        bench.requests.run(for: .seconds(2))
        #expect(members.allSatisfy { $0.swarm?.state.descriptors == 1 && $0.swarm?.pending == 0 })
        #expect(others.allSatisfy { $0.swarm?.state.descriptors == 0 })
        let lookup = StoreRequest.lookup(box: item.header.box, kind: .descriptor, most: 2, name: .zeros)
        for member in members {
            let answer = try bench.ask(lookup, on: try bench.requests.session(to: member), to: .lookup)
            #expect(answer == .items([item.bytes]))
        }
    }

    @Test("A node refuses all kinds but descriptors, and a session alone gives nobody the right to read a box")
    func otherKinds() throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        let box = bench.box(1)
        let account = box.named(
            .account, bench.descriptor(1).version?.name ?? .zeros, created: bench.minute, content: [], certified: nil)
        let member = try bench.replicas(of: account).members[0]
        let session = try bench.requests.session(to: member)
        let unknown = OuterAnswer.answer(RequestAnswer(.unknown).encoded())
        let requests: [StoreRequest] = [
            .list(box.read(binding: Bytes32()), kinds: .all), .fetch(box.read(binding: Bytes32()), offsets: [1]),
            .delete(box: box.id, [.init(id: account.id, proof: box.proof(of: account.id))]),
            .store(height: member.trustedSnapshot.height, account),
        ]
        for request in requests {
            let open = RequestOpen.own(method: request.method, arguments: request.arguments())
            #expect(try bench.requests.ask(open, on: session) == unknown)
        }
        // Arguments that cannot be read, and a node that does not hold the box.
        let bad = RequestOpen.own(method: RequestMethod.store.rawValue, arguments: [1, 2, 3])
        #expect(try bench.requests.ask(bad, on: session) == .answer(RequestAnswer(.malformed).encoded()))
        let item = bench.descriptor(1)
        let other = try bench.replicas(of: item).others[0]
        let store = StoreRequest.store(height: other.trustedSnapshot.height, item)
        let answer = try bench.requests.ask(
            .own(method: store.method, arguments: store.arguments()), on: try bench.requests.session(to: other))
        #expect(answer == .answer(StoreRefusal.notReplica(height: other.trustedSnapshot.height).encoded()))
        // A height that no node knows.
        let future = StoreRequest.store(height: 1 << 40, item)
        let refused = try bench.requests.ask(
            .own(method: future.method, arguments: future.arguments()), on: session)
        #expect(refused == .answer(StoreRefusal.notReplica(height: member.trustedSnapshot.height).encoded()))
    }

    @Test("Without the store's numbers in the network file a node has none, and a neighbour's messages are refused")
    func noStore() throws {
        let bench = try RequestBench()
        defer { bench.close() }
        let (one, other) = (bench.relays[0], bench.relays[1])
        #expect(one.swarm == nil)
        one.links.link(to: other.node, at: other.listenAddresses) { _ in }
        bench.run { one.links.existingLink(to: other.node) != nil }
        let link = try #require(one.links.existingLink(to: other.node))
        var result: Result<[UInt8], ControlFailure>?
        one.links.request(on: link, SwarmMessage.compare, body: [1]) { result = $0 }
        bench.run { result != nil }
        #expect(result == .failure(.refused))
    }
}

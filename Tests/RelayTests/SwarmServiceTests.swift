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

    @Test("All kinds are stored at all replicas; their owner alone lists, fetches and deletes, in a request of its own")
    func allKinds() throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        let box = bench.box(1)
        let created = bench.minute - bench.minute % 10
        let account = box.named(.account, SwarmModel.name("me"), created: created, content: [], certified: nil)
        let items = [
            bench.message(1, in: box), bench.message(2, in: box, sizeClass: 5), box.contact(3, created: created),
            box.record(SwarmModel.name("own"), created: created, content: [1, 2, 3]), account,
        ]
        let (members, others) = try bench.replicas(of: account)
        let session = try bench.requests.session(to: others[0])
        for (number, item) in items.enumerated() {
            let member = members[number]
            let height = member.trustedSnapshot.height
            let answer = try bench.ask(member, over: session, .store) { _ in .store(height: height, item) }
            guard case .stored(height, let receipts) = answer else { throw Unexpected() }
            #expect(receipts.count >= 3)
        }
        bench.requests.run(for: .seconds(2))
        #expect(members.allSatisfy { $0.swarm?.state.entries == items.count && $0.swarm?.pending == 0 })
        #expect(members.allSatisfy { $0.swarm?.state.bytes == items.reduce(0) { $0 + $1.bytes.count } })
        #expect(others.allSatisfy { $0.swarm?.state.entries == 0 })
        // Each replica shows all of it to the owner, and to nobody who has another request's signature.
        for member in members {
            let listed = try bench.ask(member, over: session, .list) { .list(box.read(binding: $0), kinds: .all) }
            guard case .listed(let listing) = listed else { throw Unexpected() }
            #expect(listing.entries.count == items.count && listing.isOutOfDate)
            let fetched = try bench.ask(member, over: session, .fetch) {
                .fetch(box.read(log: listing.log, binding: $0), offsets: listing.entries.map(\.offset))
            }
            guard case .items(let found) = fetched else { throw Unexpected() }
            // All but the longest fit in one answer, or it alone.
            #expect(Set(found).isSubset(of: items.map(\.bytes)) && !found.isEmpty)
            let refused = try bench.ask(member, over: session, .list) { _ in
                .list(box.read(binding: Bytes32()), kinds: .all)
            }
            #expect(refused == .refused(.notAuthorised))
            let lookup = StoreRequest.lookup(box: box.id, kind: .account, most: 8, name: .zeros)
            #expect(try bench.ask(member, over: session, .lookup) { _ in lookup } == .items([account.bytes]))
        }
        let deleted = try bench.ask(members[0], over: session, .delete) { _ in
            .delete(box: box.id, [.init(id: items[0].id, proof: box.proof(of: items[0].id))])
        }
        guard case .deleted(1, let replicas) = deleted else { throw Unexpected() }
        #expect(replicas >= 3)
        bench.requests.run(for: .seconds(2))
        #expect(members.allSatisfy { $0.swarm?.worker.entry(items[0].id)?.isDeleted == true })
    }

    @Test("A session alone gives nobody the right to read a box, and what cannot be read or is not held is refused")
    func refusals() throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        let box = bench.box(1)
        let item = bench.descriptor(1)
        let member = try bench.replicas(of: item).members[0]
        let session = try bench.requests.session(to: member)
        let refusal = OuterAnswer.answer(RequestAnswer(.unknown).encoded())
        let requests: [StoreRequest] = [
            .list(box.read(binding: Bytes32()), kinds: .all), .fetch(box.read(binding: Bytes32()), offsets: [1]),
            .delete(box: box.id, [.init(id: item.id, proof: box.proof(of: item.id))]),
        ]
        for request in requests {
            let open = RequestOpen.own(method: request.method, arguments: request.arguments())
            #expect(try bench.requests.ask(open, on: session) == refusal)
        }
        // Arguments that cannot be read, and a node that does not hold the box.
        let bad = RequestOpen.own(method: RequestMethod.store.rawValue, arguments: [1, 2, 3])
        #expect(try bench.requests.ask(bad, on: session) == .answer(RequestAnswer(.malformed).encoded()))
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

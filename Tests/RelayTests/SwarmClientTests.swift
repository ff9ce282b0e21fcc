import Directory
import EventLoop
import Links
import OnionCrypto
import Requests
import SwarmModel
import Testing
import Wire

@testable import Client
@testable import Relay
@testable import Swarm

extension SwarmBench {
    /// What became of a store; nil if it does not end.
    func store(_ item: StoredItem) -> Result<StoreProof, StoreFailure>? {
        var result: Result<StoreProof, StoreFailure>?
        client.store(item) { result = $0 }
        requests.run(for: .seconds(11)) { result != nil }
        return result
    }

    /// What became of a look-up; nil if it does not end.
    func lookUp(
        _ number: UInt32, _ kind: ItemKind = .descriptor, name: Bytes16 = .zeros
    ) throws -> Result<[StoredItem], StoreFailure>? {
        let question = try #require(LookupQuestion(box: box(number).id, kind: kind, name: name, most: 8))
        var result: Result<[StoredItem], StoreFailure>?
        client.lookUp(question) { result = $0 }
        requests.run(for: .seconds(11)) { result != nil }
        return result
    }
}

extension Result where Failure == StoreFailure {
    /// Whether replicas have answered, and too few agree.
    fileprivate var isUndecided: Bool { if case .failure(.undecided) = self { true } else { false } }
}

/// The swarm store from a whole client, through whole relays.
@Suite struct SwarmClientTests {
    @Test("A client stores a descriptor with a majority of its replicas, and looks it up at any of them")
    func storesAndLooksUp() throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        let item = bench.descriptor(1)
        let (members, others) = try bench.replicas(of: item)
        #expect(members.count == 5 && others.count == 2)
        #expect(try bench.lookUp(1) == .success([]))
        let proof = try #require(bench.store(item)).get()
        let swarm = try bench.swarm(of: item)
        #expect(proof.id == item.id && proof.isGood(for: swarm, network: bench.id))
        // The other replicas have it at once too, and nobody else.
        bench.requests.run(for: .seconds(2))
        #expect(members.allSatisfy { $0.swarm?.state.descriptors == 1 })
        #expect(others.allSatisfy { $0.swarm?.state.descriptors == 0 })
        for _ in 0..<3 { #expect(try bench.lookUp(1) == .success([item])) }
        // By name, and a box that nobody has.
        #expect(try bench.lookUp(1, name: item.version?.name ?? .zeros) == .success([item]))
        #expect(try bench.lookUp(1, name: .init([UInt8](repeating: 7, count: 16)) ?? .zeros) == .success([]))
        #expect(try bench.lookUp(2) == .success([]))
        // A newer version takes its place; the older one is refused by two replicas.
        let newer = bench.descriptor(1, counter: 1)
        _ = try #require(bench.store(newer)).get()
        bench.requests.run(for: .seconds(2))
        #expect(try bench.lookUp(1) == .success([newer]))
        #expect(
            bench.store(item) == .failure(.refused(.superseded(created: newer.header.created, counter: 1))))
        let state = try #require(bench.requests.state(of: members[0])).get()
        #expect(state.stores && state.fill == 0)
        #expect(bench.client.swarm.count == 0 && bench.client.status.requests.pending == 0)
    }

    @Test("A client is told that replicas refuse what it wants to store, and that a network has no store")
    func refusals() throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        let name = bench.descriptor(1).version?.name ?? .zeros
        // Two replicas say that it is too late for this one.
        let account = bench.box(1).named(
            .account, name, created: bench.minute - bench.minute % 10 - 60, content: [], certified: nil)
        #expect(bench.store(account) == .failure(.refused(.timeInvalid)))
        #expect(try bench.lookUp(1, .account) == .success([]))
        let none = try RequestBench()
        defer { none.close() }
        var failures: [StoreFailure] = []
        let question = try #require(LookupQuestion(box: Bytes32(), kind: .descriptor, most: 1))
        none.client.lookUp(question) { if case .failure(let found) = $0 { failures.append(found) } }
        none.client.store(account) { if case .failure(let found) = $0 { failures.append(found) } }
        #expect(failures == [.noStore, .noStore])
    }

    @Test("SW3: with two of five replicas dead a store has its majority; with three it says how few have signed")
    func sw3Dead() throws {
        let bench = try SwarmBench(relays: 9)
        defer { bench.close() }
        let guards = bench.client.directory.guards.primaries.map(\.node)
        // A box of which at least three replicas are no guards of the client.
        let found = try (1..<60 as Range<UInt32>).first { number in
            try bench.replicas(of: bench.descriptor(number)).members.count { !guards.contains($0.node) } >= 3
        }
        let number = try #require(found)
        let members = try bench.replicas(of: bench.descriptor(number)).members.filter { !guards.contains($0.node) }
        for member in members.prefix(2) { member.close {} }
        let first = bench.descriptor(number)
        let proof = try #require(bench.store(first)).get()
        #expect(proof.receipts.count >= 3 && members.prefix(2).allSatisfy { proof.receipts[$0.node] == nil })
        #expect(try bench.lookUp(number) == .success([first]))
        members[2].close {}
        // Either nobody answered in time, or the two that live have signed.
        switch try #require(bench.store(bench.descriptor(number, counter: 1))) {
        case .success: Issue.record("two receipts are no majority")
        case .failure(let failure):
            let signed = StoreCount(signed: 2, refusals: [], silent: 3)
            #expect(failure == .undecided(signed) || failure == .noAnswer(hint: nil), "\(failure)")
        }
    }

    @Test("SW20: where one replica refuses and the others are dead, a call does not end as if replicas had refused")
    func sw20OneRefusal() throws {
        let bench = try SwarmBench(relays: 14)
        defer { bench.close() }
        let guards = bench.client.directory.guards.primaries.map(\.node)
        let found = try (1..<60 as Range<UInt32>).first { number in
            try bench.replicas(of: bench.descriptor(number)).members.count { !guards.contains($0.node) } >= 4
        }
        let number = try #require(found)
        let members = try bench.replicas(of: bench.descriptor(number)).members.filter { !guards.contains($0.node) }
        for member in members.prefix(4) { member.close {} }
        let name = bench.descriptor(number).version?.name ?? .zeros
        // A replica refuses what was made in the future.
        let account = bench.box(number).named(
            .account, name, created: bench.minute + 10_000, content: [], certified: nil)
        let one = StoreCount(signed: 0, refusals: [.timeInvalid], silent: 4)
        let stored = try #require(bench.store(account))
        #expect(stored == .failure(.undecided(one)) || stored == .failure(.noAnswer(hint: nil)), "\(stored)")
        let seen = try #require(try bench.lookUp(number, .account))
        let none = StoreCount(signed: 1, refusals: [], silent: 4)
        #expect(seen == .failure(.undecided(none)) || seen == .failure(.noAnswer(hint: nil)), "\(seen)")
        #expect([stored.isUndecided, seen.isUndecided].contains(true))
    }

    @Test("SW2: a replica cannot show the same part of a box, or an empty one, without end")
    func sw2EndlessBox() throws {
        let node = NodeID(SwarmModel.Key(1).publicKey)
        func page(_ offsets: [UInt64], more: Bool, log: UInt64 = 7, from place: BoxPlace?) -> BoxPage? {
            let entries = offsets.map {
                StoreAnswer.Listing.Entry(offset: $0, shortID: $0, kind: .message, sizeClass: 0)
            }
            return BoxPage(
                StoreAnswer.Listing(log: log, isOutOfDate: false, hasMore: more, entries: entries), of: node,
                from: place, binding: Bytes32())
        }
        let first = try #require(page([1, 2], more: true, from: nil))
        let place = try #require(first.next(after: nil))
        #expect(place == BoxPlace(replica: node, log: 7, after: 2))
        for offsets in [[1, 2], [2], []] as [[UInt64]] { #expect(page(offsets, more: true, from: place) == nil) }
        #expect(page([], more: false, from: place)?.next(after: place) == nil)
        #expect(page([3], more: true, from: place)?.next(after: place)?.after == 3)
        // A new numbering begins at its beginning, and a search does not follow it.
        let other = try #require(page([1], more: true, log: 8, from: place))
        #expect(other.start == 0 && other.next(after: place) == nil)
        #expect(other.next(after: BoxPlace(replica: node, log: 0, after: 0))?.after == 1)
    }

    @Test("A box's owner lists, fetches and deletes its messages at any replica, from where the last part ended")
    func readsABox() throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        let key = BoxKey(SwarmModel.Key(1).copy())
        let sizes = [0, 1, 1_900, 1_901, 5_000, 65_388]
        let contents = sizes.map { [UInt8](repeating: UInt8($0 & 255), count: $0) }
        let items = try contents.map { try #require(bench.client.message($0, in: key)) }
        #expect(bench.client.message([UInt8](repeating: 0, count: 65_389), in: key) == nil)
        // The same content is another item each time: a deleted one could not be stored again.
        #expect(bench.client.message(contents[1], in: key)?.id != items[1].id)
        for (item, content) in zip(items, contents) {
            #expect(BoxMessage.content(of: item) == content && bench.client.isOfOwner(item))
            _ = try #require(bench.store(item)).get()
        }
        bench.requests.run(for: .seconds(2))
        func list(from place: BoxPlace? = nil) throws -> BoxPage {
            var result: Result<BoxPage, StoreFailure>?
            bench.client.list(key, from: place) { result = $0 }
            bench.requests.run(for: .seconds(11)) { result != nil }
            return try #require(result).get()
        }
        func fetch(_ entries: [BoxPage.Entry], of page: BoxPage) throws -> [StoredItem] {
            var result: Result<[StoredItem], StoreFailure>?
            bench.client.fetch(key, entries, of: page) { result = $0 }
            bench.requests.run(for: .seconds(11)) { result != nil }
            return try #require(result).get()
        }
        for member in try bench.replicas(of: items[0]).members {
            let page = try list(from: BoxPlace(replica: member.node, log: 0, after: 0))
            #expect(page.replica == member.node && page.listing.entries.count == items.count && page.start == 0)
            for item in items { #expect(try fetch([try #require(page.entry(of: item.id))], of: page) == [item]) }
            // Behind the last one there is nothing yet.
            let rest = try list(from: page.end)
            #expect(rest.listing.entries.isEmpty && rest.end == page.end)
        }
        // Whoever is not the owner gets nothing.
        var refused: Result<BoxPage, StoreFailure>?
        let place = BoxPlace(replica: try bench.replicas(of: items[0]).others[0].node, log: 0, after: 0)
        bench.client.list(key, from: place) { refused = $0 }
        bench.requests.run(for: .seconds(11)) { refused != nil }
        guard case .failure? = refused else { throw Unexpected() }
        func delete(_ id: ItemID) throws -> DeletionResult {
            var result: Result<DeletionResult, StoreFailure>?
            bench.client.delete([.init(id: id, proof: bench.client.proof(of: id, by: key))], in: key.box) {
                result = $0
            }
            bench.requests.run(for: .seconds(11)) { result != nil }
            return try #require(result).get()
        }
        let deleted = try delete(items[1].id)
        #expect(deleted.deleted == 1 && deleted.replicas >= 3)
        #expect(try delete(Bytes32()).deleted == 0)
        bench.requests.run(for: .seconds(2))
        let page = try list()
        #expect(page.entry(of: items[1].id)?.isDeleted == true && page.listing.entries.count == items.count)
    }

    @Test("Who closes the client on hearing of a result hears of it once")
    func closedOnAResult() throws {
        let bench = try SwarmBench()
        defer { bench.close() }
        let question = try #require(LookupQuestion(box: bench.box(1).id, kind: .descriptor, most: 8))
        var results: [Bool] = []
        bench.client.store(bench.descriptor(1)) {
            if case .success = $0 { results.append(true) } else { results.append(false) }
            guard results.count == 1 else { return }
            bench.client.lookUp(question) {
                if case .success = $0 { results.append(true) } else { results.append(false) }
                bench.client.swarm.close()
            }
        }
        bench.requests.run(for: .seconds(25)) { false }
        #expect(results == [true, true])
    }
}

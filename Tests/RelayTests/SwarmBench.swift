import Directory
import EventLoop
import Links
import OnionCrypto
import Requests
import Sessions
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Client
@testable import Relay

/// A whole network on simulated time whose nodes hold descriptors.
final class SwarmBench {
    let requests: RequestBench
    /// The minute at the beginning, as the nodes see it.
    let minute: UInt32
    private let swarmSize: Int

    /// `relays` nodes, of which `swarmSize` hold each box.
    init(relays: Int = 7, swarmSize: Int = 5) throws {
        self.swarmSize = swarmSize
        requests = try RequestBench(relays: relays) {
            $0.swarms.shards = 64
            $0.swarms.size = swarmSize
        }
        minute = UInt32(requests.network.loop.wallClock / 60_000_000_000)
    }

    var relays: [Relay] { requests.relays }
    var client: Client { requests.client }
    var id: Bytes32 { client.directory.network.id }

    /// The box of the key with this number.
    func box(_ number: UInt32) -> SwarmModel.Box { SwarmModel.Box(SwarmModel.Key(number), network: id) }

    /// A descriptor of a box.
    func descriptor(_ number: UInt32, _ title: String = "web", counter: UInt8 = 0) -> StoredItem {
        box(number).named(
            .descriptor, SwarmModel.name(title), created: minute, counter: counter, content: [],
            certified: SwarmModel.Key(3))
    }

    /// The swarm of an item's box.
    func swarm(of item: StoredItem) throws -> BoxSwarm {
        let snapshot = client.directory.trust.chain.snapshot
        return try #require(BoxSwarm(of: item.header.box, by: snapshot, shards: 64, swarmSize: swarmSize))
    }

    /// The relays that hold an item's box, and the others.
    func replicas(of item: StoredItem) throws -> (members: [Relay], others: [Relay]) {
        let members = try swarm(of: item).members
        return (relays.filter { members.contains($0.node) }, relays.filter { !members.contains($0.node) })
    }

    /// The first box from `number` on that `relay` holds.
    func number(from number: UInt32, heldBy relay: Relay) throws -> UInt32 {
        let found = try (number..<number + 100).first {
            try replicas(of: descriptor($0)).members.contains { $0 === relay }
        }
        return try #require(found)
    }

    /// A relay's answer to a request that the client's session to it brings.
    func ask(_ request: StoreRequest, on session: RequestSession, to method: StoreAnswer.Method) throws -> StoreAnswer {
        let open = RequestOpen.own(method: request.method, arguments: request.arguments())
        guard case .answer(let bytes)? = try requests.ask(open, on: session) else { throw Unexpected() }
        return try StoreAnswer(decoding: bytes.rawSpan, to: method)
    }

    /// A message in a box, made now.
    func message(_ number: UInt64, in box: SwarmModel.Box, sizeClass: Int = 0) -> StoredItem {
        box.message(number, created: minute - minute % 10, sizeClass: sizeClass)
    }

    /// A relay's answer to a sealed request, which `session` brings; `request` gets the request's binding.
    func ask(
        _ target: Relay, over session: RequestSession, _ method: StoreAnswer.Method,
        _ request: (Bytes32) -> StoreRequest
    ) throws -> StoreAnswer {
        let descriptor = try #require(client.directory.descriptor(of: target.node))
        let number = try #require(RequestMethod(rawValue: request(Bytes32()).method))
        let sealed = try RequestEnvelope.seal(
            number, to: target.node, onionKey: descriptor.onionKey, network: id, time: client.directory.time
        ) { request($0).arguments() }
        guard case .answer(let bytes)? = try requests.ask(.envelope(sealed.envelope, to: target.node), on: session)
        else { throw Unexpected() }
        return try StoreAnswer(decoding: try #require(sealed.open(bytes)).encoded().rawSpan, to: method)
    }

    /// A link from one relay to another, which is made if there is none.
    func link(from one: Relay, to other: Relay) throws -> LinkID {
        if one.links.existingLink(to: other.node) == nil {
            one.links.link(to: other.node, at: other.listenAddresses) { _ in }
            requests.run { one.links.existingLink(to: other.node) != nil }
        }
        return try #require(one.links.existingLink(to: other.node))
    }

    func close() { requests.close() }
}

import LinkModel
import OnionCrypto
import Testing
import Wire

@testable import Link

/// A node, a client and another node with their handshakes, on a clock that only the test moves.
struct Handshakes: ~Copyable {
    let network: LinkNetwork
    let node = LinkIdentity(SigningKey())
    let peer = LinkIdentity(SigningKey())
    var responder: LinkResponder
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var isStaked = true
    /// The endpoints that descriptors name.
    var known: Set<Endpoint> = []
    let source = Endpoint(address: IPAddress(v4: 0x0a00_0001), port: 4_000)

    init(packetSize: Int = Packet.defaultSize, _ change: (inout LinkResponder.Limits) -> Void = { _ in }) {
        network = LinkNetwork(id: Bytes32(copying: SecureRandom.bytes(32).rawSpan), packetSize: packetSize)
        var limits = LinkResponder.Limits()
        change(&limits)
        responder = LinkResponder(network: network, identity: node, limits: limits, now: now)
    }

    /// A handshake of a client or of the other node.
    func initiator(isNode: Bool = false, by peer: LinkIdentity? = nil, index: UInt32 = 4_242) -> LinkInitiator {
        guard
            let initiator = try? LinkInitiator(
                network: network, responder: node.nodeID, identity: isNode ? peer ?? self.peer : nil, localIndex: index,
                now: now)
        else { preconditionFailure("a node id is a public key") }
        return initiator
    }

    /// The wall clock at `now`.
    var wallClock: UInt64 { 1_700_000_000_000_000_000 + now.nanoseconds }

    mutating func initiation(_ initiator: inout LinkInitiator) -> [UInt8] {
        guard case .send(let datagram) = initiator.poll(now: now, wallClock: wallClock) else { return [] }
        return datagram
    }

    /// The node's reaction to a datagram.
    enum Met: Equatable { case dropped(LinkDropReason), cookie([UInt8]), accepted(response: [UInt8]) }

    mutating func meet(_ datagram: [UInt8], from source: Endpoint? = nil) -> Met {
        receive(datagram, from: source).met
    }

    struct Received: ~Copyable {
        let met: Met
        var link: NewLink?
    }

    mutating func receive(_ datagram: [UInt8], from source: Endpoint? = nil, index: UInt32 = 777_777) -> Received {
        let isStaked = isStaked
        let known = known
        let addresses = Set(known.map(\.address))
        switch responder.receive(
            datagram.rawSpan, from: source ?? self.source, now: now, wallClock: wallClock, isStaked: { _ in isStaked },
            isKnown: { known.contains($0) }, isKnownAddress: { addresses.contains($0) })
        {
        case .drop(let reason): return Received(met: .dropped(reason), link: nil)
        case .cookie(let bytes): return Received(met: .cookie(bytes), link: nil)
        case .accepted(let initiation):
            let answer = initiation.respond(localIndex: index, time: UnixTime(seconds: 1_700_000_000), now: now)
            guard let answer else { return Received(met: .dropped(.badHandshake), link: nil) }
            let bytes = answer.bytes
            return Received(met: .accepted(response: bytes), link: answer.takeLink())
        }
    }

    /// The result of a client's second initiation from `source`, after the cookie.
    mutating func client(from source: Endpoint) -> Met {
        var initiator = initiator()
        let met = meet(initiation(&initiator), from: source)
        guard case .cookie(let cookie) = met, case .cookie = initiator.receive(cookie.rawSpan, now: now) else {
            return met
        }
        return meet(initiation(&initiator), from: source)
    }

    /// The two ends of a finished handshake: the initiator's and the node's.
    struct Pair: ~Copyable {
        var near: LinkEnd
        var far: LinkEnd
    }

    mutating func pair(isNode: Bool = true) throws -> Pair {
        var initiator = initiator(isNode: isNode)
        if !isNode {
            guard case .cookie(let cookie) = meet(initiation(&initiator)) else { throw Missing.cookie }
            guard case .cookie = initiator.receive(cookie.rawSpan, now: now) else { throw Missing.cookie }
        }
        var received = receive(initiation(&initiator))
        guard case .accepted(let response) = received.met, let far = received.link.take() else {
            throw Missing.response
        }
        guard case .established(let near) = initiator.receive(response.rawSpan, now: now) else {
            throw Missing.response
        }
        return Pair(near: LinkEnd(near), far: LinkEnd(far))
    }

    enum Missing: Error { case cookie, response }
}

/// A packet with `first` as its payload's first byte, not sealed yet.
func blank(_ first: UInt8 = 0, pathID: UInt64 = 0, size: Int = Packet.defaultSize) -> [UInt8] {
    var packet = [UInt8](repeating: 0, count: size)
    packet[Packet.payloadOffset] = first
    var span = packet.mutableRawSpan
    span.pathID = pathID
    return packet
}

extension LinkEnd {
    /// A sealed data packet.
    mutating func data(pathID: UInt64 = 5, size: Int = Packet.defaultSize) -> [UInt8] {
        var packet = blank(1, pathID: pathID, size: size)
        var span = packet.mutableRawSpan
        let isSealed = sealHeader(&span)
        precondition(isSealed, "the send key is over")
        return packet
    }

    /// A sealed control packet.
    mutating func control(_ first: UInt8, size: Int = Packet.defaultSize) -> [UInt8] {
        var packet = blank(first, size: size)
        var span = packet.mutableRawSpan
        let isSealed = sealControl(&span)
        precondition(isSealed, "the send key is over")
        return packet
    }

    /// Takes a data packet as a handler does: header, then commit.
    mutating func take(_ packet: [UInt8], now: Instant) -> Result<LinkReceiver.Commit, LinkDropReason> {
        var packet = packet
        var span = packet.mutableRawSpan
        let (index, counter) = (span.receiverIndex, span.linkCounter)
        if let reason = openHeader(&span) { return .failure(reason) }
        return .success(commit(index: index, counter: counter, now: now))
    }

    /// Takes a control packet; gives its number and first byte.
    mutating func takeControl(_ packet: [UInt8], now: Instant) -> Result<[UInt64], LinkDropReason> {
        var packet = packet
        var span = packet.mutableRawSpan
        let (index, counter) = (span.receiverIndex, span.linkCounter)
        if let reason = openHeader(&span) { return .failure(reason) }
        switch openControl(&span) {
        case .drop(let reason): return .failure(reason)
        case .opened(let number):
            let first = span.bytes.loadByte(Packet.payloadOffset)
            guard commitControl(packetNumber: number) else { return .failure(.replayedControl) }
            guard commit(index: index, counter: counter, now: now) != .duplicate else {
                return .failure(.replayedPacket)
            }
            return .success([number, UInt64(first)])
        }
    }
}

extension RawSpan {
    func loadByte(_ offset: Int) -> UInt8 { unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self) }
}

/// `#expect` for conditions that use values which cannot be copied.
func check(_ condition: Bool, _ location: SourceLocation = #_sourceLocation) {
    #expect(condition, sourceLocation: location)
}

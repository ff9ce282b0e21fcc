import LinkModel
import OnionCrypto
import Testing
import Wire

@testable import Link

@Suite struct HandshakeTests {
    static let sizes = [Packet.minimumSize, Packet.defaultSize]

    @Test("a client gets a cookie first and then a link; a node gets its link at once", arguments: sizes)
    func handshake(_ size: Int) throws {
        var parties = Handshakes(packetSize: size)
        for isNode in [false, true] {
            var pair = try parties.pair(isNode: isNode)
            check(pair.near.isInitiator && !pair.far.isInitiator)
            let outward = pair.near.data(pathID: 9, size: size)
            check(pair.far.take(outward, now: parties.now) == .success(.confirmed))
            let inward = pair.far.data(pathID: 9, size: size)
            check(pair.near.take(inward, now: parties.now) == .success(.confirmed))
            let control = pair.near.control(42, size: size)
            check(pair.far.takeControl(control, now: parties.now) == .success([0, 42]))
        }
    }

    @Test("R1: mac1 comes first: any other bit, node or network is dropped before all else") func mac1() throws {
        var parties = Handshakes()
        var initiator = parties.initiator(isNode: true)
        let good = parties.initiation(&initiator)
        for offset in [4, 8, 40, 700, good.count - 32, good.count - 17] {
            var spoiled = good
            spoiled[offset] ^= 0x40
            check(parties.meet(spoiled) == .dropped(.badMAC))
        }
        check(parties.meet(Array(good.dropLast())) == .dropped(.wrongSize))
        check(parties.meet([]) == .dropped(.wrongSize))
        var other = Handshakes()
        check(other.meet(good) == .dropped(.badMAC))
        for type in [UInt8(0), 3, 4, 5, 255] {
            var wrong = good
            wrong[0] = type
            check(parties.meet(wrong) == .dropped(.unknownType))
        }
        // The type is under the MAC: a node's initiation is not a client's.
        var wrong = good
        wrong[0] = 2
        check(parties.meet(wrong) == .dropped(.badMAC))
    }

    @Test("R1: a cookie is good for one source only, and for two periods at most") func cookieBinding() throws {
        var parties = Handshakes()
        let elsewhere = Endpoint(address: IPAddress(v4: 0x0a00_0002), port: 4_000)
        let otherPort = Endpoint(address: IPAddress(v4: 0x0a00_0001), port: 4_001)
        var initiator = parties.initiator()
        let first = parties.initiation(&initiator)
        guard case .cookie(let cookie) = parties.meet(first) else { return check(Bool(false)) }
        check(cookie.count == first.count)
        guard case .cookie = initiator.receive(cookie.rawSpan, now: parties.now) else { return check(Bool(false)) }
        let second = parties.initiation(&initiator)
        for source in [elsewhere, otherPort] {
            guard case .cookie = parties.meet(second, from: source) else { return check(Bool(false)) }
        }
        parties.now = parties.now + .seconds(130)
        guard case .accepted = parties.meet(second) else { return check(Bool(false)) }

        var late = parties.initiator()
        guard case .cookie(let old) = parties.meet(parties.initiation(&late)) else { return check(Bool(false)) }
        guard case .cookie = late.receive(old.rawSpan, now: parties.now) else { return check(Bool(false)) }
        let stale = parties.initiation(&late)
        parties.now = parties.now + .seconds(250)
        guard case .cookie = parties.meet(stale) else { return check(Bool(false)) }
    }

    @Test("R1: under load nodes need a cookie too; the load passes") func load() throws {
        var parties = Handshakes { $0.loadThreshold = 5 }
        var accepted = 0
        var cookies = 0
        for _ in 0..<10 {
            parties.now = parties.now + .milliseconds(1)
            var initiator = parties.initiator(isNode: true)
            switch parties.meet(parties.initiation(&initiator)) {
            case .accepted: accepted += 1
            case .cookie(let cookie):
                cookies += 1
                // With the cookie the node gets its link under load.
                guard case .cookie = initiator.receive(cookie.rawSpan, now: parties.now) else { continue }
                parties.now = parties.now + .milliseconds(1)
                guard case .accepted = parties.meet(parties.initiation(&initiator)) else {
                    Issue.record("a cookie under load is good")
                    continue
                }
            case .dropped(let reason): Issue.record("\(reason)")
            }
        }
        check(accepted == 5 && cookies == 5)
        // The load of the last second still counts at the beginning of this one.
        parties.now = parties.now + .seconds(1)
        var early = parties.initiator(isNode: true)
        guard case .cookie = parties.meet(parties.initiation(&early)) else { return check(Bool(false)) }
        parties.now = parties.now + .seconds(3)
        var initiator = parties.initiator(isNode: true)
        guard case .accepted = parties.meet(parties.initiation(&initiator)) else { return check(Bool(false)) }
    }

    @Test("R1: one source gets 20 initiations a second and 40 at once; another is not touched") func sourceLimit()
        throws
    {
        var parties = Handshakes()
        func count(_ parties: inout Handshakes, _ tries: Int, _ source: Endpoint) -> Int {
            var accepted = 0
            for _ in 0..<tries {
                var initiator = parties.initiator()
                guard case .cookie(let cookie) = parties.meet(parties.initiation(&initiator), from: source),
                    case .cookie = initiator.receive(cookie.rawSpan, now: parties.now)
                else { continue }
                if case .accepted = parties.meet(parties.initiation(&initiator), from: source) { accepted += 1 }
            }
            return accepted
        }
        check(count(&parties, 60, parties.source) == 40)
        parties.now = parties.now + .seconds(1)
        check(count(&parties, 60, parties.source) == 20)
        let other = Endpoint(address: IPAddress(v4: 0x0a00_0099), port: 1)
        check(count(&parties, 10, other) == 10)
    }

    @Test("R1: cookies to one prefix are limited in number, and others are not touched") func cookieLimit() throws {
        var parties = Handshakes { $0.cookiesPerPrefix = 10 }
        var initiator = parties.initiator()
        let initiation = parties.initiation(&initiator)
        for _ in 0..<10 { guard case .cookie = parties.meet(initiation) else { return check(Bool(false)) } }
        check(parties.meet(initiation) == .dropped(.cookieLimit))
        for text in ["10.1.0.1", "2001:db8::1"] {
            let address = try #require(IPAddress(text))
            guard case .cookie = parties.meet(initiation, from: Endpoint(address: address, port: 1)) else {
                return check(Bool(false))
            }
        }
    }

    @Test("R2: nothing that is sent back is longer than what came", arguments: sizes) func sizesOfAnswers(_ size: Int) {
        var parties = Handshakes(packetSize: size)
        var initiator = parties.initiator()
        guard case .cookie(let cookie) = parties.meet(parties.initiation(&initiator)) else { return check(Bool(false)) }
        check(cookie.count == size)
        var node = parties.initiator(isNode: true)
        let initiation = parties.initiation(&node)
        check(initiation.count == size)
        guard case .accepted(let response) = parties.meet(initiation) else { return check(Bool(false)) }
        check(response.count == size)
    }

    @Test("R4: a client's initiation works once, however long its cookie is good") func clientReplay() throws {
        var parties = Handshakes()
        var initiator = parties.initiator()
        guard case .cookie(let cookie) = parties.meet(parties.initiation(&initiator)) else {
            return check(Bool(false))
        }
        guard case .cookie = initiator.receive(cookie.rawSpan, now: parties.now) else { return check(Bool(false)) }
        let initiation = parties.initiation(&initiator)
        guard case .accepted = parties.meet(initiation) else { return check(Bool(false)) }
        for delay in [TimeSpan.zero, .seconds(100), .seconds(60)] {
            parties.now = parties.now + delay
            check(parties.meet(initiation) == .dropped(.replayedInitiation))
        }
        // The cookie is over as soon as the memory of it is.
        parties.now = parties.now + .seconds(100)
        guard case .cookie = parties.meet(initiation) else { return check(Bool(false)) }
    }

    @Test("R4: a node's initiation must be newer than its last, and from a staked node") func timestamps() throws {
        var parties = Handshakes()
        var initiator = parties.initiator(isNode: true)
        let first = parties.initiation(&initiator)
        parties.now = parties.now + .milliseconds(300)
        let second = parties.initiation(&initiator)
        guard case .accepted = parties.meet(second) else { return check(Bool(false)) }
        check(parties.meet(second) == .dropped(.staleTimestamp))
        check(parties.meet(first) == .dropped(.staleTimestamp))
        parties.isStaked = false
        parties.now = parties.now + .seconds(1)
        let third = parties.initiation(&initiator)
        check(parties.meet(third) == .dropped(.notStaked))
        parties.isStaked = true
        guard case .accepted = parties.meet(third) else { return check(Bool(false)) }
    }

    @Test("timestamps of one node go up even when its wall clock stands or goes back") func clockBack() {
        let identity = LinkIdentity(SigningKey())
        check(identity.nextTimestamp(100) == 100)
        check(identity.nextTimestamp(100) == 101)
        check(identity.nextTimestamp(50) == 102)
        check(identity.nextTimestamp(200) == 200)
        // Set back by more than any peer accepts ahead: the clock was wrong before.
        check(identity.nextTimestamp(200 + 86_401_000_000_000) == 200 + 86_401_000_000_000)
        check(identity.nextTimestamp(300) == 300)
        check(identity.nextTimestamp(.max) == .max)
    }

    @Test("O12: an initiation with an ephemeral key of low order is dropped") func lowOrder() throws {
        var parties = Handshakes()
        var initiator = parties.initiator(isNode: true)
        var forged = parties.initiation(&initiator)
        for index in 8..<40 { forged[index] = 0 }
        let key = parties.network.macKey(of: parties.node.nodeID)
        let mac = Blake2b.mac16(key: key.bytes, forged.rawSpan.extracting(0..<forged.count - 32))
        for index in 0..<16 { forged[forged.count - 32 + index] = mac[index] }
        check(parties.meet(forged) == .dropped(.badHandshake))
    }

    @Test("retries come after 250 ms, doubling to 4 s, and end after 10 s") func retries() {
        var parties = Handshakes()
        var initiator = parties.initiator()
        let start = parties.now
        var times: [Int64] = []
        while true {
            let step = initiator.poll(now: parties.now, wallClock: parties.wallClock)
            if step == .failed { break }
            if case .send = step { times.append((parties.now - start).nanoseconds / 1_000_000) }
            parties.now = initiator.nextDeadline
        }
        check(times == [0, 250, 750, 1_750, 3_750, 7_750])
        check(parties.now - start == .seconds(10))
    }

    @Test("O17: a spoiled or foreign answer leaves the handshake as it was; a late answer is good") func answers()
        throws
    {
        var parties = Handshakes()
        var initiator = parties.initiator(isNode: true)
        let first = parties.initiation(&initiator)
        guard case .accepted(let response) = parties.meet(first) else { return check(Bool(false)) }
        for offset in [12, 60, 500, response.count - 1] {
            var spoiled = response
            spoiled[offset] ^= 1
            guard case .drop(.badHandshake) = initiator.receive(spoiled.rawSpan, now: parties.now) else {
                return check(Bool(false))
            }
        }
        var foreign = response
        foreign[8] ^= 1
        guard case .drop(.unexpectedAnswer) = initiator.receive(foreign.rawSpan, now: parties.now) else {
            return check(Bool(false))
        }
        // The round trip is longer than the first retry: the answer to the first initiation still counts.
        parties.now = parties.now + .milliseconds(300)
        check(!parties.initiation(&initiator).isEmpty)
        guard case .established = initiator.receive(response.rawSpan, now: parties.now) else {
            return check(Bool(false))
        }
    }

    /// An observer of a client's handshake can read its cookie: the cookie's key is derived from public values.
    @Test("O17: a spoiled copy of a client's initiation with the right MACs does not displace it") func spoiledCopy() {
        var parties = Handshakes()
        var initiator = parties.initiator()
        let first = parties.initiation(&initiator)
        guard case .cookie(let answer) = parties.meet(first),
            case .cookie = initiator.receive(answer.rawSpan, now: parties.now)
        else { return check(Bool(false)) }
        let real = parties.initiation(&initiator)

        let end = real.count - 32
        let opened = XChaCha20Poly1305.open(
            answer.rawSpan.extracting(32..<64), associated: first.rawSpan.extracting(end..<end + 16),
            nonce: answer.rawSpan.extracting(8..<32), key: parties.network.cookieKey(of: parties.node.nodeID))
        guard let cookie = opened else { return check(Bool(false)) }
        var spoiled = real
        spoiled[1_000] ^= 1
        let key = parties.network.macKey(of: parties.node.nodeID)
        let mac1 = Blake2b.mac16(key: key.bytes, spoiled.rawSpan.extracting(0..<end))
        spoiled.replaceSubrange(end..<end + 16, with: mac1)
        let mac2 = Blake2b.mac16(key: cookie.rawSpan, spoiled.rawSpan.extracting(0..<end + 16))
        spoiled.replaceSubrange(end + 16..<end + 32, with: mac2)
        check(parties.meet(spoiled) == .dropped(.badHandshake))
        guard case .accepted = parties.meet(real) else { return check(Bool(false)) }
    }

    @Test("a forged cookie is dropped, and cookies cause a bounded number of initiations") func cookiesAtInitiator() {
        var parties = Handshakes()
        var initiator = parties.initiator()
        var resends = 0
        for _ in 0..<10 {
            let initiation = parties.initiation(&initiator)
            if initiation.isEmpty { break }
            guard
                case .cookie(let cookie) = parties.meet(initiation, from: Endpoint(address: IPAddress(v4: 1), port: 1))
            else { break }
            var forged = cookie
            forged[40] ^= 1
            if case .drop(.badHandshake) = initiator.receive(forged.rawSpan, now: parties.now) {
            } else {
                Issue.record("a forged cookie was taken")
            }
            // A new cookie each time, as if the source changed on the way.
            parties.now = parties.now + .seconds(0)
            if case .cookie = initiator.receive(cookie.rawSpan, now: parties.now) { resends += 1 } else { break }
            parties.responder = LinkResponder(network: parties.network, identity: parties.node, now: parties.now)
        }
        check(resends == 3)
    }

    /// The suite in the answer of a responder with `suites` to a node that offers the bits `offered`; nil if the
    /// initiation is dropped as malformed.
    private func suite(offered: UInt8, of suites: SuiteSet) throws -> UInt8? {
        let parties = Handshakes()
        let (network, node) = (parties.network, parties.node)
        var responder = LinkResponder(network: network, identity: node, suites: suites, now: parties.now)
        let prologue = network.prologue(.nodeInitiation, responder: node.nodeID)
        var handshake = NoiseHandshake(
            initiator: .ik, prologue: prologue.rawSpan, identity: parties.peer, remoteStatic: node.linkKey)
        var payload = ByteWriter()
        payload.u8(offered)
        payload.u8(0)
        payload.u64(parties.wallClock)
        payload.bytes32(parties.peer.nodeID)
        payload.zeros(network.packetSize - 40 - NoisePattern.ik.firstOverhead - payload.bytes.count)
        var message = ByteWriter()
        message.u32(HandshakeKind.nodeInitiation.rawValue)
        message.u32(4_242)
        message.raw(try handshake.writeFirst(payload.bytes.rawSpan))
        message.raw(Blake2b.mac16(key: network.macKey(of: node.nodeID).bytes, message.bytes.rawSpan))
        message.zeros(HandshakeLayout.macSize)
        switch responder.receive(
            message.bytes.rawSpan, from: parties.source, now: parties.now, wallClock: parties.wallClock,
            isStaked: { _ in true })
        {
        case .drop(let reason):
            check(reason == .malformed)
            return nil
        case .cookie: throw Handshakes.Missing.response
        case .accepted(let initiation):
            let answer = initiation.respond(localIndex: 777_777, time: UnixTime(seconds: 1), now: parties.now)
            guard let answer else { throw Handshakes.Missing.response }
            let bytes = answer.bytes
            let noise = bytes.rawSpan.extracting(HandshakeLayout.responseNoise..<bytes.count)
            return try handshake.readSecond(noise).bytes.first
        }
    }

    @Test("the responder chooses suite 1 where both can, and takes no suite that one of the two cannot") func suites()
        throws
    {
        let (aes, chacha) = (SuiteSet.aes256gcm, SuiteSet.chacha20poly1305)
        if Suite.aes256gcm.isAvailable {
            check(try suite(offered: 3, of: [aes, chacha]) == 1)
            check(try suite(offered: 1, of: [aes, chacha]) == 1)
            // Bits that stand for no suite change nothing.
            check(try suite(offered: 0xff, of: [aes, chacha]) == 1)
        }
        check(try suite(offered: 2, of: [aes, chacha]) == 2)
        check(try suite(offered: 3, of: chacha) == 2)
        check(try suite(offered: 1, of: chacha) == nil)
        check(try suite(offered: 2, of: aes) == nil)
        check(try suite(offered: 0, of: [aes, chacha]) == nil)
        check(try suite(offered: 0xfc, of: [aes, chacha]) == nil)
    }
}

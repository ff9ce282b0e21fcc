import Link
import Testing
import Wire

@testable import Relay

@Suite("E3: whom a UDP association speaks to") struct FlowPeersTests {
    private let start = Instant(nanoseconds: 1_000_000_000)
    private static func address(_ number: Int) -> IPAddress { IPAddress(v4: 0x0900_0000 + UInt32(number)) }
    /// What `peers` say of datagrams to port 9 of `host`.
    private func send(
        _ count: Int, to host: IPAddress, from peers: inout FlowPeers, _ rates: inout HostRates, _ now: Instant
    ) -> Bool {
        peers.send(count, to: host, port: 9, as: .address(host), &rates, now: now) == nil
    }

    private final class Session {}
    private let sessions = (0..<100).map { _ in Session() }

    /// Session `session`, whose first path came from network `source`.
    private func share(_ session: Int = 0, of source: Int = 0) -> StreamShare {
        StreamShare(
            source: .client(AddressShare(Self.address(source << 8))), session: ObjectIdentifier(sessions[session]))
    }

    private static let name = Destination.Host.name(HostName("a.example")!)

    @Test("only hosts that were sent something are heard, from any of their ports, under the name they were asked for")
    func filtering() {
        var peers = FlowPeers(for: share())
        var rates = HostRates(now: start)
        let (first, second) = (Self.address(1), Self.address(2))
        func heard(_ address: IPAddress, _ port: UInt16) -> Destination? { peers.received(from: address, port: port) }
        func send(_ port: UInt16, _ host: Destination.Host) -> Bool {
            peers.send(10, to: first, port: port, as: host, &rates, now: start) == nil
        }
        #expect(heard(first, 53) == nil)
        #expect(send(53, Self.name))
        #expect(heard(first, 53) == Destination(host: Self.name, port: 53))
        #expect(heard(first, 54) == Destination(host: Self.name, port: 54))
        #expect(heard(second, 53) == nil)
        #expect(send(443, .address(first)))
        #expect(heard(first, 53) == Destination(host: Self.name, port: 53))
        #expect(heard(first, 443) == Destination(host: .address(first), port: 443))
    }

    @Test("a host that does not answer gets little, one that does gets more")
    func rates() {
        func sent(hasAnswered: Bool, for seconds: Int) -> Int {
            var peers = FlowPeers(for: share())
            var rates = HostRates(now: start)
            let host = Self.address(1)
            _ = peers.send(0, to: host, port: 9, as: .address(host), &rates, now: start)
            if hasAnswered { _ = peers.received(from: host, port: 9) }
            var bytes = 0
            for step in 0..<seconds * 1_000 {
                let now = start + .milliseconds(Int64(step))
                if peers.send(24_000, to: host, port: 9, as: .address(host), &rates, now: now) == nil {
                    bytes += 24_000
                }
            }
            return bytes
        }
        #expect((500_000...620_000).contains(sent(hasAnswered: false, for: 1)))
        #expect((1_000_000...1_200_000).contains(sent(hasAnswered: false, for: 3)))
        #expect((20_000_000...21_100_000).contains(sent(hasAnswered: true, for: 1)))
    }

    @Test("a host that does not answer gets little from all associations of all sessions together")
    func ratesOfAll() {
        var rates = HostRates(now: start)
        var all = (0..<100).map { FlowPeers(for: share($0, of: $0 % 10)) }
        let host = Self.address(1)
        var bytes = 0
        for step in 0..<3_000 {
            let now = start + .milliseconds(Int64(step))
            for number in all.indices where send(1_000, to: host, from: &all[number], &rates, now) { bytes += 1_000 }
        }
        #expect((960_000...1_240_000).contains(bytes))
        // Another host is not concerned.
        let other = Self.address(2)
        #expect((0..<200).count { _ in send(1_000, to: other, from: &all[0], &rates, start + .seconds(3)) } == 200)
    }

    @Test("while a source floods a silent host, another one reaches it")
    func partOfASilentHost() {
        var rates = HostRates(now: start)
        var flood = (0..<20).map { FlowPeers(for: share($0)) }
        var honest = FlowPeers(for: share(50, of: 1))
        let host = Self.address(1)
        var reached = 0
        for step in 0..<5_000 {
            let now = start + .milliseconds(Int64(step))
            for number in flood.indices { _ = send(1_000, to: host, from: &flood[number], &rates, now) }
            if step % 500 == 250, send(1_200, to: host, from: &honest, &rates, now) { reached += 1 }
        }
        #expect(reached == 10)
    }

    @Test("a flood of a host that answers others does not keep it from new associations")
    func hostThatAnswersOthers() {
        var rates = HostRates(now: start)
        let (host, silent) = (Self.address(1), Self.address(2))
        var other = FlowPeers(for: share(60, of: 60))
        _ = send(100, to: host, from: &other, &rates, start)
        _ = other.received(from: host, port: 9)
        var flood = (0..<40).map { FlowPeers(for: share($0, of: $0)) }
        var reached = (host: 0, silent: 0)
        for step in 0..<5_000 {
            let now = start + .milliseconds(Int64(step))
            if step % 1_000 == 0 { #expect(send(100, to: host, from: &other, &rates, now)) }
            for number in flood.indices {
                _ = send(1, to: host, from: &flood[number], &rates, now)
                _ = send(1, to: silent, from: &flood[number], &rates, now)
            }
            guard step >= 2_500, step % 50 == 0 else { continue }
            var honest = FlowPeers(for: share(70, of: 70 + step))
            if send(1_200, to: host, from: &honest, &rates, now) { reached.host += 1 }
            // Only the first datagram is free.
            _ = send(1_200, to: host, from: &honest, &rates, now)
            if send(1_200, to: silent, from: &honest, &rates, now) { reached.silent += 1 }
        }
        #expect(reached.host == 50 && reached.silent < 25)
    }

    @Test("only an answer from a port that was sent to makes a host one that answers")
    func answersOfOtherPorts() {
        func sent(answeringFrom port: UInt16) -> Int {
            var rates = HostRates(now: start)
            var peers = FlowPeers(for: share())
            let host = Self.address(1)
            _ = send(0, to: host, from: &peers, &rates, start)
            #expect(peers.received(from: host, port: port) != nil)
            return (0..<1_000).count { _ in send(1_000, to: host, from: &peers, &rates, start) }
        }
        #expect(sent(answeringFrom: 9) == 1_000)
        #expect(sent(answeringFrom: 10) < 500)
    }

    @Test("R13: a session contacts no more new hosts over many associations than over one, and all have a bound")
    func newHostsOfSessions() {
        var rates = HostRates(now: start)
        var associations = (0..<10).map { _ in FlowPeers(for: share()) }
        var next = 0
        func contacts(_ peers: inout FlowPeers) -> Int {
            (0..<1_000).count { _ in
                next += 1
                return send(1, to: Self.address(next), from: &peers, &rates, start)
            }
        }
        var count = 0
        for number in associations.indices { count += contacts(&associations[number]) }
        #expect(count == HostRates.ofSession.burst)
        for number in 1..<50 {
            var peers = FlowPeers(for: share(number))
            count += contacts(&peers)
        }
        // The rest is for sources with less.
        #expect(count < HostRates.ofAll.burst * 3 / 4)
        var other = FlowPeers(for: share(60, of: 1))
        #expect(contacts(&other) > 400)
    }

    @Test("R13: hosts are bounded, and so is how fast new ones come; what is dropped for that is counted")
    func bounds() {
        var peers = FlowPeers(for: share())
        var rates = HostRates(now: start)
        var drops = DatagramDrops()
        func send(_ number: Int, _ now: Instant) -> Bool {
            let address = Self.address(number)
            guard let reason = peers.send(1, to: address, port: 1, as: .address(address), &rates, now: now) else {
                return true
            }
            drops.add(reason)
            return false
        }
        let atOnce = (0..<1_000).count { send($0, start) }
        #expect(atOnce == HostRates.ofSession.burst)
        #expect(drops.byName == ["udpHosts": UInt64(1_000 - atOnce)])
        let later = start + .seconds(1)
        #expect((1_000..<2_000).count { send($0, later) } == HostRates.ofSession.perSecond)
        for second in 2..<20 { _ = (0..<200).count { send(second * 1_000 + $0, start + .seconds(Int64(second))) } }
        #expect(peers.count <= FlowPeers.limit && peers.count > FlowPeers.limit / 4 * 3)
        // The newest hosts stay.
        let newest = peers.received(from: Self.address(19_099), port: 1)
        #expect(newest != nil)
        let oldest = peers.received(from: Self.address(1), port: 1)
        #expect(oldest == nil)
        // The ports of one host are bounded too, and the newest ports keep their names.
        for port in 1...UInt16(100) {
            _ = peers.send(1, to: Self.address(19_099), port: port, as: Self.name, &rates, now: start + .seconds(19))
        }
        let named = peers.received(from: Self.address(19_099), port: 100)
        #expect(named?.host == Self.name)
    }

    @Test("R5: what names take is counted, bounded, and forgotten with their hosts")
    func namesInMemory() throws {
        let text = Array(repeating: String(repeating: "a", count: 49), count: 5).joined(separator: ".")
        let long = Destination.Host.name(try #require(HostName(text)))
        let cost = 80 + text.utf8.count
        var peers = FlowPeers(for: share())
        var rates = HostRates(now: start)
        func send(_ number: Int, _ port: UInt16, _ host: Destination.Host, _ second: Int64) {
            _ = peers.send(0, to: Self.address(number), port: port, as: host, &rates, now: start + .seconds(second))
        }
        send(0, 1, .address(Self.address(0)), 0)
        #expect(peers.heldBytes == FlowPeers.hostBytes + 48)
        for port in 1...UInt16(100) { send(0, port, long, 0) }
        #expect(peers.heldBytes == FlowPeers.hostBytes + 16 * cost)
        // A port with a new name costs only its last name.
        send(0, 100, .address(Self.address(0)), 0)
        #expect(peers.heldBytes == FlowPeers.hostBytes + 15 * cost + 48)
        send(0, 100, long, 0)
        for second in 1..<20 { for number in 0..<200 { send(second * 1_000 + number, 1, long, Int64(second)) } }
        #expect(peers.received(from: Self.address(0), port: 1) == nil)
        #expect(peers.heldBytes == peers.count * (FlowPeers.hostBytes + cost))
    }
}

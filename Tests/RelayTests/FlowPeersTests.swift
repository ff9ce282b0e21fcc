import Testing
import Wire

@testable import Relay

@Suite("E3: whom a UDP association speaks to") struct FlowPeersTests {
    private let start = Instant(nanoseconds: 1_000_000_000)
    private static func address(_ number: Int) -> IPAddress { IPAddress(v4: 0x0900_0000 + UInt32(number)) }
    private static let name = Destination.Host.name(HostName("a.example")!)

    @Test("only hosts that were sent something are heard, from any of their ports, under the name they were asked for")
    func filtering() {
        var peers = FlowPeers(now: start)
        let (first, second) = (Self.address(1), Self.address(2))
        func heard(_ address: IPAddress, _ port: UInt16) -> Destination? { peers.received(from: address, port: port) }
        func send(_ port: UInt16, _ host: Destination.Host) -> Bool {
            peers.send(10, to: first, port: port, as: host, now: start) == nil
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
            var peers = FlowPeers(now: start)
            let host = Self.address(1)
            _ = peers.send(0, to: host, port: 9, as: .address(host), now: start)
            if hasAnswered { _ = peers.received(from: host, port: 9) }
            var bytes = 0
            for step in 0..<seconds * 1_000 {
                let now = start + .milliseconds(Int64(step))
                if peers.send(24_000, to: host, port: 9, as: .address(host), now: now) == nil { bytes += 24_000 }
            }
            return bytes
        }
        #expect((700_000...800_000).contains(sent(hasAnswered: false, for: 1)))
        #expect((1_200_000...1_320_000).contains(sent(hasAnswered: false, for: 3)))
        #expect((16_500_000...17_500_000).contains(sent(hasAnswered: true, for: 1)))
    }

    @Test("R13: hosts are bounded, and so is how fast new ones come; what is dropped for that is counted")
    func bounds() {
        var peers = FlowPeers(now: start)
        var drops = DatagramDrops()
        func send(_ number: Int, _ now: Instant) -> Bool {
            let address = Self.address(number)
            guard let reason = peers.send(1, to: address, port: 1, as: .address(address), now: now) else { return true }
            drops.add(reason)
            return false
        }
        let atOnce = (0..<1_000).count { send($0, start) }
        #expect(atOnce == FlowPeers.newHosts.burst)
        #expect(drops.byName == ["udpHosts": UInt64(1_000 - atOnce)])
        let later = start + .seconds(1)
        #expect((1_000..<2_000).count { send($0, later) } == FlowPeers.newHosts.perSecond)
        for second in 2..<20 { _ = (0..<200).count { send(second * 1_000 + $0, start + .seconds(Int64(second))) } }
        #expect(peers.count <= FlowPeers.limit && peers.count > FlowPeers.limit / 4 * 3)
        // The newest hosts stay.
        let newest = peers.received(from: Self.address(19_099), port: 1)
        #expect(newest != nil)
        let oldest = peers.received(from: Self.address(1), port: 1)
        #expect(oldest == nil)
        // The ports of one host are bounded too, and the newest ports keep their names.
        for port in 1...UInt16(100) {
            _ = peers.send(1, to: Self.address(19_099), port: port, as: Self.name, now: start + .seconds(19))
        }
        let named = peers.received(from: Self.address(19_099), port: 100)
        #expect(named?.host == Self.name)
    }

    @Test("R5: what names take is counted, bounded, and forgotten with their hosts")
    func namesInMemory() throws {
        let text = Array(repeating: String(repeating: "a", count: 49), count: 5).joined(separator: ".")
        let long = Destination.Host.name(try #require(HostName(text)))
        let cost = 80 + text.utf8.count
        var peers = FlowPeers(now: start)
        func send(_ number: Int, _ port: UInt16, _ host: Destination.Host, _ second: Int64) {
            _ = peers.send(0, to: Self.address(number), port: port, as: host, now: start + .seconds(second))
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

import EventLoop
import Glibc
import LoopTesting
import Testing
import Wire

@testable import Relay

/// The address of a name to which an exit connects.
@Suite struct ConnectionRaceTests {
    /// An address that does not answer connections: a listener whose queue is full.
    private final class Silence {
        let address: SocketAddress
        private let descriptors: [Int32]

        init(_ host: UInt32) throws {
            let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            try #require(listener >= 0)
            var opened = [listener]
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_addr.s_addr = host.bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            unsafe withUnsafeMutablePointer(to: &name) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    #expect(unsafe bind(listener, $0, length) == 0 && listen(listener, 0) == 0)
                    #expect(unsafe getsockname(listener, $0, &length) == 0)
                    for _ in 0..<4 {
                        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
                        _ = unsafe connect(client, $0, length)
                        opened.append(client)
                    }
                }
            }
            address = SocketAddress(ipv4: host, port: UInt16(bigEndian: name.sin_port))
            descriptors = opened
        }

        deinit { for descriptor in descriptors { close(descriptor) } }
    }

    private func race(_ loop: Loop, _ addresses: [SocketAddress]) throws -> (SocketAddress?, UVError?) {
        var result: Result<ByteStream, UVError>?
        let race = ConnectionRace(on: loop, to: addresses) { result = $0 }
        race.start()
        #expect(loop.run { result != nil })
        switch try #require(result) {
        case .success(let stream):
            let remote = stream.remoteAddress
            stream.close()
            return (remote, nil)
        case .failure(let error): return (nil, error)
        }
    }

    @Test("R4: an address that is silent holds up the next one for half a second") func silent() throws {
        let loop = try Loop()
        defer { loop.close() }
        let silence = try Silence(0x7f00_0001)
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { accepted.append($0) }
        let good = try #require(listener.localAddress)
        let began = loop.now
        let (remote, _) = try race(loop, [silence.address, good])
        #expect(remote == good)
        #expect(loop.now - began >= UInt64(ConnectionRace.headStart.nanoseconds))
        for stream in accepted { stream.close() }
        listener.close()
    }

    @Test("R4: after a refusal the next address is tried at once, and the last error is told") func refused() throws {
        let loop = Loop.simulated()
        defer { loop.close() }
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { $0.close() }
        let good = try #require(listener.localAddress)
        let closed = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { $0.close() }
        let bad = try #require(closed.localAddress)
        closed.close()
        #expect(try race(loop, [bad, bad, good]).0 == good)
        #expect(try race(loop, [bad, bad]).1?.kind == .connectionRefused)
        // A fifth address is not tried.
        #expect(try race(loop, [bad, bad, bad, bad, good]).1?.kind == .connectionRefused)
        listener.close()
    }

    @Test("R4: addresses of the two families take turns") func families() {
        let v4 = (1...3).map { SocketAddress(ipv4: 0x0100_0000 + UInt32($0), port: 1) }
        let v6 = (1...2).map { SocketAddress(high: 0x2001, low: UInt64($0), port: 1) }
        #expect(ConnectionRace.interleaved(v4 + v6) == [v4[0], v6[0], v4[1], v6[1], v4[2]])
        #expect(ConnectionRace.interleaved(v6 + v4) == [v6[0], v4[0], v6[1], v4[1], v4[2]])
    }
}

import Dispatch
import Synchronization
import Testing

@testable import EventLoop

@Suite struct SocketAddressTests {
    @Test(arguments: ["1.2.3.4:80", "[::1]:65535", "[2001:db8::5:0]:0", "0.0.0.0:1"])
    func readsWhatItWrites(_ text: String) throws {
        #expect(try #require(SocketAddress(text)).description == text)
    }

    @Test(arguments: [
        "", ":", ":80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:+80", "1.2.3.4:8a", "1.2.3:80", "::1:80",
        "[1.2.3.4]:80", "[::1]", "[::1%lo]:80", "[]:80", "localhost:80", "1.2.3.4 :80",
        "01.2.3.400:80", "1.2.3.4:000080",
    ])
    func refusesOthers(_ text: String) {
        #expect(SocketAddress(text) == nil)
    }

    @Test func holdsIPv4Mapped() throws {
        let address = try #require(SocketAddress("127.0.0.1:5"))
        #expect(address == SocketAddress(high: 0, low: 0xffff_7f00_0001, port: 5))
        #expect(address.isIPv4 && address.ipv4 == 0x7f00_0001)
        let mapped = try #require(SocketAddress("[::ffff:127.0.0.1]:5"))
        #expect(mapped == address)
        #expect(try #require(SocketAddress("[::1]:5")).ipv4 == nil)
    }

    @Test("L5: the user of a local socket is known by its address, and of a closed one is not", arguments: [4, 6])
    func users(family: Int) throws {
        let loop = try Loop()
        defer { loop.close() }
        let here: (UInt16) -> SocketAddress = { family == 4 ? .loopbackIPv4(port: $0) : .loopbackIPv6(port: $0) }
        guard here(9).hasRoute else { return }
        var accepted: [ByteStream] = []
        let listener = try StreamListener.tcp(on: loop, address: here(0)) { accepted.append($0) }
        defer { listener.close() }
        let port = try #require(listener.localAddress)
        let app = try ByteStream.connect(on: loop, to: port, delegate: nil)
        run(loop) { !accepted.isEmpty && app.localAddress != nil }
        let remote = try #require(accepted[0].remoteAddress)
        // Whether this kernel tells at all.
        guard remote.user(of: .tcp, to: port) != nil else { return app.close() }
        #expect(accepted[0].localUser == ByteStream.ownUser)
        // Of a listener nobody is at the other end.
        #expect(port.user(of: .tcp, to: here(1)) == nil && here(1).user(of: .tcp, to: port) == nil)
        app.close()
        run(loop) { accepted[0].localUser == nil }
        accepted[0].close()

        let one = try DatagramSocket(on: loop, bindTo: here(0), receiver: nil)
        let any = try DatagramSocket(
            on: loop, bindTo: family == 4 ? .anyIPv4(port: 0) : .anyIPv6(port: 0), receiver: nil)
        let (known, wide) = (one.localAddress, here(any.localAddress.port))
        guard known.user(of: .udp, to: wide) != nil else { return }
        #expect(known.user(of: .udp, to: wide) == ByteStream.ownUser)
        #expect(wide.user(of: .udp, to: known) == ByteStream.ownUser)
        one.close()
        #expect(known.user(of: .udp, to: wide) == nil)
        any.close()
    }

    @Test("L5: of threads that ask at once each gets the answer to its own question")
    func usersOfManyThreads() throws {
        let loop = try Loop()
        defer { loop.close() }
        // A listener is found as the socket that exchanges packets with port 0.
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { _ in }
        defer { listener.close() }
        let (known, peer) = (try #require(listener.localAddress), SocketAddress.loopbackIPv4(port: 0))
        guard known.user(of: .tcp, to: peer) != nil else { return }
        let wrong = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            let (address, user) = thread % 2 == 0 ? (known, ByteStream.ownUser) : (.loopbackIPv4(port: 1), nil)
            for _ in 0..<500 where address.user(of: .tcp, to: peer) != user { wrong.add(1, ordering: .relaxed) }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
    }

    @Test(arguments: ["1.2.3.4:80", "[2001:db8:1:2:3:4:5:6]:443"])
    func convertsToSockaddrAndBack(_ text: String) throws {
        let address = try #require(SocketAddress(text))
        let back = unsafe address.withSockaddr { name, length in
            unsafe SocketAddress(sockaddr: UnsafeRawPointer(name), length: length)
        }
        #expect(back == address)
        let short = unsafe address.withSockaddr { name, length in
            unsafe SocketAddress(sockaddr: UnsafeRawPointer(name), length: length - 1)
        }
        #expect(short == nil)
    }
}

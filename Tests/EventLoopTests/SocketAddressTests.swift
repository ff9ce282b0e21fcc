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

import Directory
import EventLoop
import Links
import Logging
import LoopTesting
import OnionCrypto
import Testing
import Wire

@testable import Client

/// What local programs can make a client spend, over real sockets on one loop.
@Suite struct ClientThreatTests {
    /// What one program hears.
    private final class App: ByteStreamDelegate {
        var received: [UInt8] = []
        var isOver = false
        func streamConnected(_ stream: ByteStream) { stream.startReading() }
        func stream(_ stream: ByteStream, received bytes: RawSpan) { received += [UInt8](copying: bytes) }
        func streamReachedEnd(_ stream: ByteStream) { isOver = true }
        func stream(_ stream: ByteStream, failed error: UVError) { isOver = true }
    }

    @Test("R9: without descriptors to spare a new app is turned away at once, and those that are there are served")
    func descriptorsOfTheSocksPort() throws {
        let loop = try Loop()
        let time = UnixTime(seconds: 1_700_000_000)
        let creation = NetworkCreation(name: "test", nodes: [.init(addresses: [Endpoint("9.9.9.9:1090")!])], at: time)
        let client = try Client(
            loop: loop, network: creation.file,
            configuration: ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)]), store: nil,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        defer {
            client.close {}
            loop.close()
        }
        let port = SocketAddress(try #require(client.socksAddresses.first?.endpoint))
        let reserve = loop.reservedDescriptors

        let first = App()
        let early = try ByteStream.connect(on: loop, to: port, delegate: first)
        #expect(loop.run { early.isOpen })
        let second = App()
        let late = try ByteStream.connect(on: loop, to: port, delegate: second)
        loop.reservedDescriptors = 1 << 30
        #expect(loop.run { second.isOver })
        #expect(second.received.isEmpty)
        // The one that was there before goes on.
        try early.write([5, 1, 0])
        #expect(loop.run { first.received == [5, 0] })
        // What the loop itself would open is refused by an error, not by a trap.
        #expect(throws: UVError.self) { try ByteStream.connect(on: loop, to: port, delegate: nil) }

        loop.reservedDescriptors = reserve
        let third = App()
        let again = try ByteStream.connect(on: loop, to: port, delegate: third)
        #expect(loop.run { again.isOpen })
        try again.write([5, 1, 0])
        #expect(loop.run { third.received == [5, 0] })
        for stream in [early, late, again] { stream.close() }
    }
}

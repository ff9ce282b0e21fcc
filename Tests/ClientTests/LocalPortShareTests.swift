import EventLoop
import Links
import Logging
import LoopTesting
import Testing
import Wire

@testable import Client

/// What one user of the machine leaves to others of the places at the local ports.
@Suite struct LocalPortShareTests {
    private typealias App = ClientThreatTests.App

    @Test("L4, R3: a user with all connections in use keeps half of them beside another user, and the log says so once")
    func connections() throws {
        let loop = Loop.simulated()
        let lines = ClientThreatTests.Lines.Store()
        let log = Logger(label: "test") { _ in ClientThreatTests.Lines(store: lines) }
        let (client, port) = try ClientThreatTests().client(on: loop, log: log) { $0.appLimit = 8 }
        var streams: [ByteStream] = []
        defer {
            for stream in streams { stream.close() }
            client.close {}
            loop.close()
        }
        var user: UInt32 = 1
        client.ports.owner = { _ in .user(user) }
        /// Connects and asks for a connection; all that are accepted wait for an exit.
        func app() throws -> App {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write([5, 1, 0] + ClientThreatTests.ask("a.example"))
            streams.append(stream)
            #expect(loop.run { app.received == [5, 0] || app.isOver })
            loop.run(for: .milliseconds(10)) { false }
            return app
        }
        let flood = try (0..<8).map { _ in try app() }
        #expect(flood.allSatisfy { !$0.isOver } && !lines.lines.contains { $0.contains("limit") })
        user = 2
        let others = try (0..<4).map { _ in try app() }
        #expect(flood.count { $0.isOver } == 4 && flood.prefix(4).allSatisfy(\.isOver))
        #expect(others.allSatisfy { !$0.isOver })
        // Neither of the two gets more from the other.
        for each: UInt32 in [1, 2] {
            user = each
            #expect(try app().isOver)
        }
        #expect(flood.count { $0.isOver } == 4 && others.allSatisfy { !$0.isOver })
        #expect(lines.lines.filter { $0.contains("the connections of apps have reached their limit") }.count == 1)
    }

    @Test("L4, R3: a user who does not finish handshakes ends none of another user") func handshakes() throws {
        let loop = Loop.simulated()
        let (client, port) = try ClientThreatTests().client(on: loop) { $0.appLimit = 8 }
        var streams: [ByteStream] = []
        defer {
            for stream in streams { stream.close() }
            client.close {}
            loop.close()
        }
        var user: UInt32 = 2
        client.ports.owner = { _ in .user(user) }
        func app() throws -> App {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write([5, 1, 0])
            streams.append(stream)
            #expect(loop.run { app.received == [5, 0] || app.isOver })
            return app
        }
        let slow = try app()
        user = 1
        let flood = try (0..<30).map { _ in try app() }
        #expect(!slow.isOver && flood.suffix(7).allSatisfy { !$0.isOver })
        #expect(loop.run { flood.dropLast(7).allSatisfy(\.isOver) })
    }

    @Test("R3, L5: a user with all UDP associations gives some up to other users, and to nobody else")
    func associations() throws {
        let associations = Associations(idleLimit: .seconds(300))
        var ended: [UInt64] = []
        func begin(_ owner: KeyOwner?) -> UInt64? {
            var own: UInt64?
            own = associations.begin(for: owner) { if let own { ended.append(own) } }
            return own
        }
        let flood = (0..<AppAssociation.limit).compactMap { _ in begin(.user(1)) }
        #expect(flood.count == AppAssociation.limit && begin(.user(1)) == nil && ended.isEmpty)
        // The process's own streams, by the library, are an owner too.
        let other = try #require(begin(.user(2)))
        let own = try #require(begin(nil))
        #expect(ended == Array(flood.prefix(2)) && associations.count == AppAssociation.limit)
        #expect(begin(.user(1)) == nil)
        // An end frees a place for anyone, once.
        associations.end(other)
        associations.end(other)
        associations.end(flood[0])
        #expect(associations.count == AppAssociation.limit - 1 && begin(.user(1)) != nil && begin(.user(1)) == nil)
        associations.end(own)
        #expect(ended.count == 2)
    }

    /// An app on a TCP connection to the DNS port.
    private final class Caller: ByteStreamDelegate {
        var isOver = false
        func streamConnected(_ stream: ByteStream) { stream.startReading() }
        func stream(_ stream: ByteStream, received bytes: RawSpan) {}
        func streamReachedEnd(_ stream: ByteStream) { isOver = true }
        func stream(_ stream: ByteStream, failed error: UVError) { isOver = true }
    }

    @Test("R3: a user with as many TCP connections to the DNS port as there may be ends none of another user")
    func dnsConnections() throws {
        let loop = Loop.simulated()
        let (client, _) = try ClientThreatTests().client(on: loop) { $0.dns = [Endpoint("127.0.0.1:0")!] }
        var streams: [ByteStream] = []
        defer {
            for stream in streams { stream.close() }
            client.close {}
            loop.close()
        }
        let port = try #require(client.dnsPorts.first)
        var user: UInt32 = 2
        port.owner = { _ in .user(user) }
        func settle() { loop.run(for: .milliseconds(10)) { false } }
        func caller(asks: Bool) throws -> Caller {
            let caller = Caller()
            let stream = try ByteStream.connect(on: loop, to: SocketAddress(port.address), delegate: caller)
            streams.append(stream)
            settle()
            let name: [UInt8] = [1, 0x61, 7] + Array("example".utf8) + [0]
            let query = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name + [0, 1, 0, 1]
            if asks { try stream.write([0, UInt8(query.count)] + query) }
            settle()
            return caller
        }
        // A program that waits for its answer, and one that does not ask yet.
        let (asking, quiet) = (try caller(asks: true), try caller(asks: false))
        user = 1
        let flood = try (0..<3 * DNSPort.connectionLimit).map { try caller(asks: $0 % 2 == 0) }
        #expect(!asking.isOver && !quiet.isOver)
        #expect(flood.count { !$0.isOver } == DNSPort.connectionLimit - 2)
        // Another user still gets in.
        user = 3
        let late = try caller(asks: true)
        #expect(!late.isOver && !asking.isOver && !quiet.isOver)
        #expect(flood.count { !$0.isOver } == DNSPort.connectionLimit - 3)
    }
}

import EventLoop
import LoopTesting
import SocksProtocol
import Testing
import Wire

@testable import Client

/// What one app, or the page in a browser, leaves to other apps of the same client.
@Suite struct AppShareTests {
    private typealias App = ClientThreatTests.App

    @Test("L4: at the limit of apps one that has half-closed and waits for an exit makes room")
    func halfClosedAppsThatWaitMakeRoom() throws {
        let loop = Loop.simulated()
        let (client, port) = try ClientThreatTests().client(on: loop) { $0.appLimit = 3 }
        defer {
            client.close {}
            loop.close()
        }
        var streams: [ByteStream] = []
        func app(_ said: [UInt8], halfCloses: Bool) throws -> App {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write([5, 1, 0] + said)
            #expect(loop.run { app.received == [5, 0] || app.isOver })
            if halfCloses { stream.shutdown() }
            streams.append(stream)
            return app
        }
        let waiting = try app(ClientThreatTests.ask("a.example"), halfCloses: false)
        let gone = try app(ClientThreatTests.ask("b.example"), halfCloses: true)
        let other = try app(ClientThreatTests.ask("c.example"), halfCloses: false)
        #expect(loop.run { client.ports.apps.all.values.contains { $0.deafSince != nil } })
        let last = try app([], halfCloses: false)
        #expect(loop.run { gone.isOver })
        #expect(last.received == [5, 0] && !last.isOver && !waiting.isOver && !other.isOver)
        for stream in streams { stream.close() }
    }

    @Test("R3: an app that asks for as many hosts as there may be identities leaves other apps theirs")
    func identitiesAreShared() throws {
        let loop = Loop.simulated()
        let (client, port) = try ClientThreatTests().client(on: loop) {
            $0.appLimit = 1_000
            $0.listeners[0].isolation.insert(.destinationHost)
        }
        defer {
            client.close {}
            loop.close()
        }
        var streams: [ByteStream] = []
        func app(_ said: [UInt8], _ heard: [UInt8]) throws -> App {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            try stream.write(said)
            #expect(loop.run { app.received.starts(with: heard) })
            streams.append(stream)
            return app
        }
        // The hosts of a page that a browser has open.
        let page = try (0..<ClientSessions.limit).map {
            try app([5, 1, 0] + ClientThreatTests.ask("h\($0).example"), [5, 0])
        }
        #expect(loop.run { client.sessions.waiting.count == ClientSessions.limit })
        #expect(!page.contains { $0.isOver })
        // Other apps, by their user names: each gets a place, and the page gives one up for it.
        let others = try (0..<3).map { number in
            try app([5, 1, 2, 1, 1, UInt8(number), 1, 1] + ClientThreatTests.ask("other.example"), [5, 2, 1, 0])
        }
        #expect(loop.run { page.count { $0.isOver } == 3 })
        #expect(page.filter(\.isOver).allSatisfy { $0.received.starts(with: [5, 0, 5, 1]) })
        #expect(!others.contains { $0.isOver } && client.sessions.waiting.count == ClientSessions.limit)
        #expect(Set(client.sessions.waiting.keys.map(\.source)).count == 4)
        // The page itself gets no further one.
        let further = try app([5, 1, 0] + ClientThreatTests.ask("further.example"), [5, 0, 5, 1])
        #expect(loop.run { further.isOver } && page.count { $0.isOver } == 3)
        for stream in streams { stream.close() }
    }

    @Test("R3: of the idle identities, one of the app that has the most gives way")
    func idleIdentitiesOfAPage() {
        let (page, mail) = (IsolationKey(ownStreams: "page"), IsolationKey(ownStreams: "mail"))
        let other = IsolationKey(ownStreams: "other")
        let idle = [(mail, 1), (page, 7), (page, 5)].map { ($0.0, Instant(nanoseconds: $0.1)) }
        func shares(_ counts: [(IsolationKey, Int)]) -> IdentityShares {
            IdentityShares(counts.flatMap { [IsolationKey](repeating: $0.0, count: $0.1) })
        }
        #expect(ClientSessions.placeToEnd(of: idle, for: other, held: shares([(mail, 1), (page, 3)])) == 2)
        #expect(ClientSessions.placeToEnd(of: idle, for: other, held: shares([(mail, 2), (page, 2)])) == 0)
        #expect(ClientSessions.placeToEnd(of: [], for: other, held: shares([])) == nil)
    }

    /// The key of a user's app at one address of the client.
    private func key(_ user: UInt32, name: String? = nil, host: Int? = nil) -> IsolationKey {
        var key = IsolationKey(dns: 0)
        key.isDNS = false
        key.owner.value = .user(user)
        key.credentials = name.map { SocksCredentials(user: Array($0.utf8), password: []) }
        key.port = host.map { UInt16($0) }
        return key
    }

    @Test("R3: a user with as many user names as there may be identities leaves others theirs")
    func usersShare() {
        let flood = (0..<256).map { key(1, name: "n\($0)") }
        let shares = IdentityShares(flood)
        // Another user, also by a user name that the first one has, and an app without a user name.
        for other in [key(2), key(2, name: "n7"), key(2, name: "x"), key(1)] {
            #expect(shares.loser(for: other)?.kind == IdentityShares.Kind(of: flood[0]))
            #expect(shares.size(of: other) < shares.size(of: key(1, name: "new")))
        }
        #expect(shares.loser(for: key(1, name: "new")) == nil)
        // Each of two users with floods keeps half; in it an app without a user name gets half of that.
        let both = IdentityShares((0..<128).flatMap { [key(1, name: "n\($0)"), key(2, name: "n\($0)")] })
        #expect(both.loser(for: key(1, name: "new")) == nil)
        #expect(both.loser(for: key(1))?.kind == IdentityShares.Kind(of: flood[0]))
        #expect(both.loser(for: key(3))?.kind.owner != .user(3))
        // A page with many hosts loses to another app of the same kind.
        let page = IdentityShares((0..<4).map { key(1, name: "page", host: $0) } + [key(1, name: "mail")])
        #expect(page.loser(for: key(1, name: "new")) == IdentityShares.Source(of: key(1, name: "page")))
        #expect(page.loser(for: key(1, name: "page", host: 9)) == nil)
    }

    @Test("R3: a user with more identities than another ends no idle one of that one")
    func idleIdentitiesOfOthers() {
        let flood = (0..<255).map { key(1, name: "n\($0)") }
        let shares = IdentityShares(flood + [key(2)])
        let idle = [(key(2), 1), (flood[3], 7)].map { ($0.0, Instant(nanoseconds: $0.1)) }
        func end(for asker: IsolationKey, of idle: [(IsolationKey, Instant)]) -> Int? {
            ClientSessions.placeToEnd(of: idle, for: asker, held: shares)
        }
        #expect(end(for: key(1, name: "new"), of: [idle[0]]) == nil)
        #expect(end(for: key(1, name: "new"), of: idle) == 1)
        #expect(end(for: key(3), of: idle) == 1 && end(for: key(3), of: [idle[0]]) == 0)
        #expect(end(for: key(2, name: "new"), of: [idle[0]]) == 0)
        // The process's own give way to all, after those of the largest owner.
        let own = (IsolationKey(dns: 0), Instant(nanoseconds: 0))
        #expect(end(for: key(1, name: "new"), of: [idle[0], own]) == 1)
        #expect(end(for: key(1, name: "new"), of: [own] + idle) == 2)
    }

    @Test("R3: this machine's addresses are one owner where the kernel does not tell the user")
    func addressesOfTheMachine() throws {
        let address = { IPAddress($0)! }
        let port = address("127.0.0.1")
        let owners = (1..<255).map { KeyOwner.of(user: nil, from: address("127.0.\($0).\($0)"), to: port) }
        #expect(Set(owners) == [.machine])
        #expect(KeyOwner.of(user: nil, from: address("::1"), to: address("::1")) == .machine)
        #expect(KeyOwner.of(user: nil, from: address("192.0.2.7"), to: address("192.0.2.7")) == .machine)
        #expect(KeyOwner.of(user: nil, from: nil, to: nil) == .machine)
        #expect(KeyOwner.of(user: 7, from: address("127.0.0.9"), to: port) == .user(7))
        let others = ["192.0.2.8", "192.0.2.9"].map {
            KeyOwner.of(user: nil, from: address($0), to: address("192.0.2.7"))
        }
        #expect(Set(others).count == 2 && !others.contains(.machine))
    }

    @Test("R3: who asks is no part of an identity")
    func ownersAreNotCompared() {
        #expect(key(1, name: "a") == key(2, name: "a") && Set([key(1), key(2)]).count == 1)
    }

    @Test("R3: an app without a user name gets an identity where another one has all, with a user name for each")
    func userNamesShare() throws {
        let loop = Loop.simulated()
        let (client, port) = try ClientThreatTests().client(on: loop) { $0.appLimit = 1_000 }
        defer {
            client.close {}
            loop.close()
        }
        var streams: [ByteStream] = []
        func app(_ name: [UInt8]?) throws -> App {
            let app = App()
            let stream = try ByteStream.connect(on: loop, to: port, delegate: app)
            let hello: [UInt8] = name.map { [5, 1, 2, 1, UInt8($0.count)] + $0 + [1, 1] } ?? [5, 1, 0]
            try stream.write(hello + ClientThreatTests.ask("a.example"))
            #expect(loop.run { app.received.starts(with: name == nil ? [5, 0] : [5, 2, 1, 0]) })
            streams.append(stream)
            return app
        }
        let many = try (0..<ClientSessions.limit).map { try app([UInt8($0), 1]) }
        #expect(loop.run { client.sessions.waiting.count == ClientSessions.limit })
        let other = try app(nil)
        #expect(loop.run { many.contains { $0.isOver } })
        #expect(!other.isOver && many.count { $0.isOver } == 1)
        for stream in streams { stream.close() }
    }
}

import Directory
import EventLoop
import LoopTesting
import Testing
import Wire

@testable import Client

/// A whole network and a client on one loop, and apps with different credentials.
@Suite struct IsolationTests {
    private static let credentials = 50
    private static let rounds = 20
    private static let roundsOpen = 4

    /// The bytes that a program with these credentials sends at once: greeting, user and password, request.
    private static func conversation(_ number: Int, port: UInt16) -> [UInt8] {
        let user = Array("user \(number / 5)".utf8)
        let password = Array("password \(number)".utf8)
        let credentials = [1, UInt8(user.count)] + user + [UInt8(password.count)] + password
        return [5, 1, 2] + credentials + [5, 1, 0, 1, 127, 0, 0, 1, UInt8(port >> 8), UInt8(port & 255)]
    }

    @Test(
        "L6: 1,000 streams with 50 credentials: equal ones share a session, different ones never a path, while paths are rebuilt"
    )
    func credentialsAndPaths() throws {
        let network = try LoopNetwork(relays: 6) {
            $0.limits.clientBuildsPerSecond = 1_000
            $0.limits.clientBuildBurst = 1_000
            $0.limits.pathsPerClientLink = 2_000
        } client: {
            // Often enough for paths to be rebuilt, and seldom enough for a slow machine to do more than build paths.
            $0.pathUse = .seconds(6)
        }
        defer { network.close() }
        let (loop, client) = (network.loop, network.client)

        var owners: [UInt64: IsolationKey] = [:]
        var apps: [[App]] = []
        func look() {
            for (key, session) in client.sessions.current {
                for path in session.legs.values {
                    if let owner = owners.updateValue(key, forKey: path.pathID), owner != key {
                        Issue.record("a path with two owners")
                    }
                }
            }
        }
        for _ in 0..<Self.rounds {
            let round = try (0..<Self.credentials).map { number in
                try network.app(saying: Self.conversation(number, port: network.port))
            }
            apps.append(round)
            let wereServed = loop.run(for: .seconds(60)) {
                look()
                return round.allSatisfy { $0.received == 2 + 2 + 10 + 1 || $0.isOver }
            }
            #expect(wereServed && round.allSatisfy { !$0.isOver })
            // The session of a key has all open streams of that key and no others.
            #expect(client.sessions.current.count == Self.credentials)
            #expect(client.sessions.current.values.allSatisfy { $0.streamCount == apps.count })
            if apps.count == Self.roundsOpen {
                for app in apps.removeFirst() { app.stream?.close() }
                for stream in network.accepted.prefix(Self.credentials) { stream.close() }
                network.accepted.removeFirst(min(network.accepted.count, Self.credentials))
                let wereEnded = loop.run(for: .seconds(30)) {
                    look()
                    return client.sessions.current.values.allSatisfy { $0.streamCount == apps.count }
                }
                #expect(wereEnded)
            }
        }
        #expect(Set(owners.values).count == Self.credentials)
        let wereRebuilt = loop.run(for: .seconds(60)) {
            look()
            return owners.count > Self.credentials * 3
        }
        #expect(wereRebuilt)
        for app in apps.joined() { app.stream?.close() }
    }
}

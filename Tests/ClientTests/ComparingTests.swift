import Directory
import EventLoop
import Glibc
import Logging
import LoopTesting
import Store
import Testing
import Wire

@testable import Client

/// What a client makes of the nodes' unsigned words about its snapshot, and when it asks a node that is not a guard.
@Suite struct ComparingTests {
    private func run(_ world: DirectoryWorld, _ time: TimeSpan) { _ = world.loop.run(for: time) { false } }

    @Test("P6: one operator that names another snapshot raises no alarm, two do, and the log tells each node once")
    func contradictions() throws {
        let lines = ClientThreatTests.Lines.Store()
        let world = try DirectoryWorld(
            6, operatorOf: { $0 == 1 ? 0 : $0 },
            log: Logger(label: "test") { _ in ClientThreatTests.Lines(store: lines) })
        #expect(world.start())
        let trust = { world.directory.trust }
        func told() -> Int { lines.lines.count { $0.contains("different snapshots") } }
        world.restoreGuards([0, 1])
        let other = Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan)
        for node in world.nodes.prefix(2) { node.chain = (1, other) }
        #expect(world.loop.run(for: .seconds(3_600)) { told() >= 2 })
        // Both guards are of one operator.
        run(world, .seconds(1_500))
        #expect(told() == 2 && !trust().isContradicted)
        world.nodes[2].chain = (1, other)
        world.restoreGuards([0, 2])
        #expect(world.loop.run(for: .seconds(3_600)) { told() >= 3 })
        #expect(told() == 3 && trust().isContradicted)
    }

    @Test("P6: when one guard names another snapshot, other nodes are asked at once, and their word is the alarm")
    func doubt() throws {
        let world = try DirectoryWorld(6)
        #expect(world.start())
        // The nodes of the first contact are asked, too.
        run(world, .seconds(2))
        world.restoreGuards([0, 1])
        let other = Bytes32(copying: [UInt8](repeating: 9, count: 32).rawSpan)
        for node in world.nodes.dropFirst() { node.chain = (1, other) }
        world.directory.schedule.next = world.directory.now
        #expect(world.loop.run(for: .seconds(60)) { world.directory.trust.isContradicted })
        // They learn this machine's address, and are asked once in twelve hours, whatever a guard says.
        func count() -> Int {
            world.nodes.dropFirst(2).reduce(0) { $0 + $1.questions.count { $0.message == .getSnapshotID } }
        }
        let asked = count()
        for node in world.nodes.dropFirst(2) { node.chain = (1, Bytes32()) }
        for _ in 0..<8 {
            world.directory.trust.follow(world.directory.trust.chain)
            world.directory.schedule.next = world.directory.now
            run(world, .seconds(30))
        }
        // Lists that wait have a few asked as well.
        #expect(count() < asked + 12)
        #expect(!world.directory.trust.isContradicted)
    }

    /// How a snapshot keeps operators from being heard.
    enum Exclusion { case missing, suspended, ofOneOperator }

    /// Eight nodes of whose last four the network file says how to reach them, and whose first two are the guards.
    private func forked(_ lines: ClientThreatTests.Lines.Store, operatorOf: (Int) -> Int = { $0 }) throws
        -> (world: DirectoryWorld, first: SnapshotHistory)
    {
        let world = try DirectoryWorld(
            8, operatorOf: operatorOf, log: Logger(label: "test") { _ in ClientThreatTests.Lines(store: lines) },
            change: { $0.bootstrap = Array($0.bootstrap.suffix(4)) })
        #expect(world.start())
        world.restoreGuards([0, 1])
        let first = world.network.snapshot.snapshot
        return (world, SnapshotHistory(first: first, digest: first.digest))
    }

    /// The first four nodes lead the client to a snapshot of height 2 without the others.
    private func lead(_ world: DirectoryWorld, from first: SnapshotHistory, _ exclusion: Exclusion) throws {
        let out = Set(world.nodes.suffix(4).map(\.id))
        let next = try world.history(first, to: 2) { entries in
            switch exclusion {
            case .missing: entries.removeAll { out.contains($0.node) }
            case .suspended:
                for place in entries.indices where out.contains(entries[place].node) {
                    entries[place].state = .suspended
                }
            case .ofOneOperator:
                for place in entries.indices where out.contains(entries[place].node) {
                    entries[place].operatorID = world.nodes[0].id.key
                }
            }
        }
        for node in world.nodes.prefix(4) { node.history = next }
        world.directory.schedule.next = world.directory.now
        #expect(world.loop.run(for: .seconds(60)) { world.directory.trust.chain.digest == next.digest })
    }

    /// The client asks its guards and a node that is not a guard.
    private func askAgain(_ world: DirectoryWorld) {
        world.directory.schedule.next = world.directory.now
        world.directory.trust.nextIndependentCheck = world.directory.now
    }

    @Test(
        "P6: a client that follows a snapshot without the other operators is alarmed by their nodes of the network file",
        arguments: [Exclusion.missing, .suspended, .ofOneOperator])
    func leftOut(_ exclusion: Exclusion) throws {
        let lines = ClientThreatTests.Lines.Store()
        let (world, first) = try forked(lines)
        try lead(world, from: first, exclusion)
        let history = try world.history(first, to: 2)
        for node in world.nodes.suffix(4) { node.history = history }
        #expect(!world.directory.trust.isContradicted)
        // One of them is asked, and then others at once.
        askAgain(world)
        func told() -> Bool { lines.lines.contains { $0.contains("different snapshots") } }
        #expect(world.loop.run(for: .seconds(60)) { told() })
        #expect(world.loop.run(for: .seconds(60)) { world.directory.trust.isContradicted })
    }

    @Test(
        "P6: nodes of the network file that are staked no more raise no alarm as one operator, or by an older snapshot",
        arguments: [false, true])
    func retired(isOlder: Bool) throws {
        let lines = ClientThreatTests.Lines.Store()
        let (world, first) = try forked(lines, operatorOf: { $0 > 4 && !isOlder ? 4 : $0 })
        try lead(world, from: first, .missing)
        let history = isOlder ? first : try world.history(first, to: 2)
        for node in world.nodes.suffix(4) { node.history = history }
        func told() -> Int { lines.lines.count { $0.contains("different snapshots") } }
        for _ in 0..<12 {
            askAgain(world)
            run(world, .seconds(10))
        }
        #expect(world.nodes.suffix(4).count { $0.questions.contains { $0.message == .getSnapshotID } } > 1)
        #expect(isOlder ? told() == 0 : told() > 1)
        #expect(!world.directory.trust.isContradicted)
    }

    @Test("P6: nodes that do not name the client's snapshot do not count as having it, whatever they answer else")
    func witnesses() throws {
        let world = try DirectoryWorld(6)
        let own = world.nodes[0].chain
        for node in world.nodes { node.chain = (1, Bytes32()) }
        #expect(world.start())
        world.restoreGuards([0, 1])
        run(world, .seconds(10))
        func count(_ message: DirectoryMessage) -> Int {
            world.nodes.reduce(0) { $0 + $1.questions.count { $0.message == message } }
        }
        let (sources, asked) = (count(.getSnapshot), count(.getSnapshotID))
        run(world, .seconds(2_000))
        #expect(world.directory.trust.witnesses.isEmpty)
        // Each time both guards are asked, also the one that was the source.
        let times = count(.getSnapshot) - sources
        #expect(times > 1 && (count(.getSnapshotID) - asked) * 2 > times * 3)
        let guards = world.directory.guards.primaries.map(\.node)
        for node in world.nodes { node.chain = own }
        #expect(world.loop.run(for: .seconds(3_600)) { world.directory.trust.witnesses.isSuperset(of: guards) })
    }

    @Test("P6: the time to the next question to a node that is not a guard goes on over restarts")
    func restarts() throws {
        var template = Array("/tmp/tunic-client-XXXXXX".utf8CString)
        #expect(unsafe mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let store = try Store(folder: folder)
        let world = try DirectoryWorld(4)
        func started() throws -> Client {
            let client = try Client(
                loop: world.loop, network: world.network,
                configuration: ClientConfiguration(socks: [.tcp(Endpoint("127.0.0.1:0")!)]), store: store,
                log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, sentence: \.text)
            client.start()
            return client
        }
        func left(_ client: Client) -> Int64 {
            (client.directory.trust.nextIndependentCheck - client.directory.now).nanoseconds / 1_000_000_000
        }
        func end(_ client: Client) {
            var isClosed = false
            client.close { isClosed = true }
            #expect(world.loop.run(for: .seconds(60)) { isClosed })
        }
        var client = try started()
        let first = left(client)
        #expect(first > 43_000 && first <= 129_600)
        // A client that ends at once does not draw again.
        run(world, .seconds(2))
        end(client)
        client = try started()
        #expect(left(client) <= first && left(client) > first - 120)
        run(world, .seconds(1_500))
        end(client)
        client = try started()
        #expect(left(client) <= first - 1_500 && left(client) > first - 1_700)
        // One that is killed loses ten minutes at most.
        run(world, .seconds(1_500))
        let killed = client
        client = try started()
        #expect(left(client) <= first - 3_000 + 600)
        end(killed)
        end(client)
        // A record that is damaged or too large makes no longer wait.
        for bytes in [[1, 2], [UInt8](repeating: 255, count: 8)] as [[UInt8]] {
            try store.setValue(bytes, for: SnapshotTrust.keptName)
            client = try started()
            #expect(left(client) > 43_000 && left(client) <= 129_600)
            end(client)
        }
    }
}

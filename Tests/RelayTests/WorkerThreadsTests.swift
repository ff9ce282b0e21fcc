import Directory
import EventLoop
import Glibc
import Link
import LoopTesting
import Synchronization
import Testing
import Wire

@testable import Client
@testable import Links
@testable import Onion
@testable import Relay

/// Whole relays whose workers are threads, on the kernel's sockets.
@Suite(.serialized) struct WorkerThreadsTests {
    /// How many threads of workers this process has; nil if other tests have some at the same time.
    private var threadCount: Int? {
        testWorkers > 1 ? nil : threads().count { $0.hasPrefix("tunic-worker-") }
    }

    /// The names of this process's threads.
    private func threads() -> [String] {
        guard let folder = unsafe opendir("/proc/self/task") else { return [] }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let task = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            guard let file = unsafe fopen("/proc/self/task/\(task)/comm", "r") else { continue }
            defer { unsafe fclose(file) }
            var line = [CChar](repeating: 0, count: 64)
            guard unsafe fgets(&line, 64, file) != nil else { continue }
            names.append(
                String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        return names
    }

    @Test("links, paths and streams of other workers' threads", arguments: [2, 3]) func sessions(_ workers: Int) throws
    {
        do {
            let harness = try RelayHarness(exit: true, isSimulated: false, workers: workers)
            #expect(harness.relay.crew?.count == workers)
            let listener = try StreamListener.tcp(on: harness.loop, address: .loopbackIPv4(port: 0)) { _ in }
            defer { listener.close() }
            let target = Endpoint(try #require(listener.localAddress))
            var owners: Set<UInt8> = []
            for host in UInt32(1)...6 {
                let client = try harness.client(at: host)
                guard case .path(let id) = try client.build() else {
                    Issue.record("not built")
                    continue
                }
                owners.insert(PathID.worker(of: id))
                client.beginSession()
                #expect(try client.open(target) == .ok)
            }
            #expect(owners.isSuperset(of: (1..<workers).map { UInt8($0) }))
            let relay = harness.relay
            #expect(relay.status.paths == 6 && relay.status.sessions == 6)
            let counters = { relay.crew?.counters ?? [] }
            #expect(harness.run(for: .seconds(10)) { counters().allSatisfy { $0.links.packetsReceived > 0 } })
            #expect(counters().allSatisfy { $0.undelivered == 0 && $0.links.drops.total == 0 && $0.processorTime > 0 })
            #expect(threadCount ?? workers - 1 == workers - 1)
            var isClosed = false
            relay.close { isClosed = true }
            #expect(harness.run(for: .seconds(10)) { isClosed })
            #expect(threadCount ?? 0 == 0)
        }
    }

    @Test("a relay that is released with its loop leaves no thread") func released() throws {
        do {
            let harness = try RelayHarness(exit: true, isSimulated: false, workers: 3)
            _ = try harness.client(at: 1).build()
            #expect(threadCount ?? 2 == 2)
        }
        #expect(threadCount ?? 0 == 0)
    }

    @Test("a relay with workers refuses a port in use, and names the address") func portInUse() throws {
        let loop = try Loop()
        defer { loop.close() }
        let socket = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        var configuration = LinksConfiguration(
            network: LinkNetwork(id: Bytes32(copying: [UInt8](repeating: 1, count: 32).rawSpan)),
            listen: [socket.localAddress], messages: [])
        let error = #expect(throws: UVError.self) { _ = try configuration.bind(workers: 2) }
        #expect(error?.kind == .addressInUse && error?.address == socket.localAddress.description)
    }

    @Test("a transfer passes through relays with two workers each, and they drain", arguments: [2]) func transfer(
        _ workers: Int
    ) throws {
        let network = try LoopNetwork(relays: 4, isSimulated: false, relay: { $0.workers = workers })
        defer { network.close() }
        let app = try network.app(saying: network.request)
        #expect(network.loop.run(for: .seconds(30)) { app.received == LoopNetwork.greetedCount })
        let size = 3_000_000
        try network.accepted.first?.write([UInt8](repeating: 7, count: size))
        #expect(network.loop.run(for: .seconds(60)) { app.received == LoopNetwork.greetedCount + size })
        #expect(!app.isOver)
        for relay in network.relays { #expect(relay.crew?.count == workers) }
        let passed = { network.relays.map { $0.crew?.counters.map(\.links.packetsReceived).reduce(0, +) ?? 0 } }
        #expect(network.loop.run(for: .seconds(10)) { passed().contains { $0 > 100 } })
        app.stream?.close()
        var drained = 0
        for relay in network.relays { relay.drain { drained += 1 } }
        #expect(network.loop.run(for: .seconds(60)) { drained == network.relays.count })
    }
}

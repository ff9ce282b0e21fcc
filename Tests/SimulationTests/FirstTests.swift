import EventLoop
import Testing
import Wire

/// Small networks on simulated time.
@Suite struct SimpleNetworkTests {
    @Test("A client finds a network, builds a path, and its apps' bytes come and go")
    func transfers() throws {
        let network = try Network(seed: 1, relays: 5, exits: 2)
        defer { network.close() }
        let user = try network.addUser()
        #expect(network.run(30) { user.isReady })
        let apps = [
            try user.begin(Transfer(kind: .download, seed: 1, length: 300_000)),
            try user.begin(Transfer(kind: .echo, seed: 2, length: 20_000)),
            try user.begin(Transfer(kind: .download, seed: 3, length: 10), name: "server.example"),
        ]
        network.run(30) { apps.allSatisfy(\.isOver) }
        #expect(apps.map(\.state) == [.done, .done, .done])
        #expect(network.violations.isEmpty, "\(network.violations)")
    }
}

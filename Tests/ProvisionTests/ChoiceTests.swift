import Bench
import Directory
import Testing
import Wire

@testable import Provision

/// The message of the error that `attempt` throws; nil if it throws none.
private func fault(_ attempt: () throws -> Void) -> String? {
    do {
        try attempt()
        return nil
    } catch {
        return (error as? ChoiceFault)?.message ?? "\(error)"
    }
}

private func endpoint(_ text: String) -> Endpoint {
    guard let endpoint = Endpoint(text) else { preconditionFailure("an address") }
    return endpoint
}

@Suite struct NetworkChoicesTests {
    private func fault(_ change: (inout NetworkChoices) -> Void) -> String? {
        var choices = NetworkChoices()
        change(&choices)
        return ProvisionTests.fault { _ = try choices.plan() }
    }

    @Test func withoutOptionsFiveNodesAreOnThisMachine() throws {
        let plan = try NetworkChoices().plan()
        #expect(plan.addresses == (0..<5).map { [endpoint("127.0.0.1:\(7_100 + $0)")] })
        #expect(plan.isLocal && plan.exits == 1 && plan.name == "tunic")
        #expect(plan.registry.epoch == 3_600 && plan.registry.block == 120 && plan.registry.authorities == nil)
    }

    @Test func addressesCountTheNodes() throws {
        var choices = NetworkChoices()
        choices.address = [
            [endpoint("198.51.100.7:7100")], [endpoint("203.0.113.9:7100"), endpoint("[2001:db8::9]:7100")],
        ]
        let plan = try choices.plan()
        #expect(plan.addresses == choices.address && !plan.isLocal)
        choices.nodes = 3
        #expect(ProvisionTests.fault { _ = try choices.plan() } == "--nodes 3 and 2 times --address do not match")
    }

    @Test func aNameIsPrintable() {
        for name in ["", String(repeating: "x", count: 65), "a\nb", "ü"] {
            #expect(fault { $0.name = name } == "--name: use 1 to 64 printable ASCII characters")
        }
    }

    @Test func numbersHaveRanges() {
        #expect(fault { $0.nodes = 0 } == "--nodes 0: use 1 to 256")
        #expect(fault { $0.nodes = .max } == "--nodes \(Int.max): use 1 to 256")
        #expect(fault { $0.exits = 6 } == "--exits 6: use 0 to 5, the number of nodes")
        #expect(fault { $0.exits = -1 } == "--exits -1: use 0 to 5, the number of nodes")
        #expect(fault { $0.basePort = 65_532 } == "--base-port 65532 leaves no room for 5 ports")
        #expect(fault { $0.basePort = 65_531 } == nil)
        #expect(fault { $0.basePort = 0 } == "--base-port 0 leaves no room for 5 ports")
        #expect(fault { $0.epoch = 0 } == "--epoch 0: use 1 to 604800 seconds")
        #expect(fault { ($0.epoch, $0.blockTime) = (60, 61) } == "--block-time 61: use 1 to 60 seconds")
        #expect(fault { ($0.epoch, $0.blockTime) = (604_800, 86_401) } == "--block-time 86401: use 1 to 86400 seconds")
    }

    @Test func addressesAreOnesToWhichOthersSend() {
        #expect(fault { $0.baseAddress = "here" } == "--base-address 'here' is not an address such as 127.0.0.1")
        let twice = [[endpoint("198.51.100.7:1")], [endpoint("198.51.100.7:1")]]
        #expect(fault { $0.address = twice } == "--address: an address occurs twice")
        let unspecified = fault { $0.baseAddress = "0.0.0.0" }
        #expect(unspecified == "'0.0.0.0:7100' is not an address to which others can send")
        let isPrivate = "192.168.0.1 is not a public address; use --local for a network of private addresses"
        #expect(fault { $0.baseAddress = "192.168.0.1" } == isPrivate)
        #expect(fault { ($0.baseAddress, $0.local) = ("192.168.0.1", true) } == nil)
    }

    @Test func theInstructionsStartEachNode() throws {
        let folder = try Folder()
        let network = try folder.network { $0.addresses[2].append(endpoint("[::1]:7102")) }
        let path = "\(folder.path)/net"
        let lines = network.instructions(isLocal: true).split(separator: "\n").map(String.init)
        #expect(
            lines[0]
                == "Made \(path)/network.json, the keys of 3 nodes, and their operators' in \(path)/wallets. Start them with:"
        )
        let start = "  tunic relay --network \(path)/network.json --listen"
        #expect(lines[1] == "\(start) 127.0.0.1:7100 --data \(path)/node-1 --authority \(path)/node-1/authority.key")
        #expect(
            lines[3]
                == "\(start) '127.0.0.1:7102,[::1]:7102' --data \(path)/node-3 --authority \(path)/node-3/authority.key "
                + "--exit --exit-allow 127.0.0.0/8 --exit-allow ::1/128")
        #expect(lines[4...] == ["and a client with:", "  tunic client --network \(path)/network.json"])
        #expect(network.instructions(isLocal: false).hasSuffix("network.json"))
        #expect(!network.instructions(isLocal: false).contains("--exit-allow"))
    }

    /// The address of a rented machine is often not that of its interface, and its files have another place there.
    @Test func nodesOfOtherMachinesListenAtAllAddressesAndAnnounceTheirs() throws {
        let folder = try Folder()
        let network = try folder.network {
            $0.addresses = [
                [endpoint("198.51.100.7:7100")], [endpoint("203.0.113.9:7101")],
                [endpoint("192.0.2.33:7102"), endpoint("[2001:db8::9]:7103")],
            ]
            ($0.isLocal, $0.registry.authorities) = (false, 1)
        }
        let path = "\(folder.path)/net"
        let lines = network.instructions(isLocal: false).split(separator: "\n").map(String.init)
        let start = "  tunic relay --network network.json --listen"
        #expect(
            lines == [
                "Made \(path)/network.json, the keys of 3 nodes, and their operators' in \(path)/wallets.",
                "For the node at 198.51.100.7:7100, copy \(path)/network.json and the folder \(path)/node-1 to its machine, "
                    + "and run there:",
                "\(start) 0.0.0.0:7100 --public 198.51.100.7:7100 --data node-1 --authority node-1/authority.key",
                "For the node at 203.0.113.9:7101, copy \(path)/network.json and the folder \(path)/node-2 to its machine, "
                    + "and run there:",
                "\(start) 0.0.0.0:7101 --public 203.0.113.9:7101 --data node-2",
                "For the node at 192.0.2.33:7102 and [2001:db8::9]:7103, copy \(path)/network.json and the folder "
                    + "\(path)/node-3 to its machine, and run there:",
                "\(start) '0.0.0.0:7102,[::]:7103' --public '192.0.2.33:7102,[2001:db8::9]:7103' --data node-3 --exit",
                "A client needs only \(path)/network.json:", "  tunic join network.json && tunic client",
            ])
    }
}

@Suite struct DevnetChoicesTests {
    private func fault(_ change: (inout Devnet.Options) -> Void) -> String? {
        var options = Devnet.Options(socks: endpoint("127.0.0.1:1080"))
        change(&options)
        return ProvisionTests.fault { try options.check() }
    }

    @Test func numbersHaveRanges() {
        #expect(fault { _ in } == nil)
        #expect(fault { $0.nodes = 101 } == "--nodes 101: use 1 to 100")
        #expect(fault { $0.registry.epoch = 0 } == "--epoch 0: use 1 to 604800 seconds")
        #expect(fault { $0.registry.testCredit = 86_401 } == "--credit 86401: use 1 to 86400 seconds")
        #expect(fault { ($0.nodes, $0.hops) = (2, 3) } == "--hops 3 needs as many nodes, but --nodes is 2")
        #expect(fault { $0.exits = 0 } == "--exits 0: use 1 to 6, the number of nodes")
    }

    @Test func peopleAreToldHowToUseIt() {
        let announcement = DevnetAnnouncement(
            socks: "127.0.0.1:9", control: "/c", client: .init(pid: 1), folder: "/f", network: "/n",
            nodes: [.init(id: "", pid: 2, address: "", exit: true, control: "/r")])
        let text = DevnetPrinter.welcome(announcement, hasCommand: false, hasStandardControl: false)
        #expect(text.hasPrefix("Ready: SOCKS5 at 127.0.0.1:9\n"))
        #expect(text.contains("  tunic nodes --control /r\n") && text.hasSuffix("\nCtrl-C ends it."))
        let short = DevnetPrinter.welcome(announcement, hasCommand: true, hasStandardControl: true)
        #expect(!short.contains("Ctrl-C") && short.contains("  tunic paths\n"))
        #expect(text.contains("  tunic paths --control /c\n") && text.contains("without --control"))
    }
}

@Suite struct BenchChoicesTests {
    private func fault(_ change: (inout BenchChoices) -> Void) -> String? {
        var choices = BenchChoices()
        change(&choices)
        return ProvisionTests.fault { try choices.check() }
    }

    @Test func numbersHaveRanges() {
        #expect(fault { _ in } == nil)
        #expect(fault { $0.repeats = 21 } == "--repeat 21: use 1 to 20 windows")
        #expect(fault { $0.hops = 5 } == "--hops 5: a path has 1 to 4 hops")
        #expect(fault { $0.seconds = 0.1 } == "--seconds 0.1: use 0.2 to 3600 seconds")
        #expect(fault { $0.seconds = .nan } == "--seconds nan: use 0.2 to 3600 seconds")
        #expect(fault { $0.patience = 601 } == "--patience 601.0: use 0.1 to 600 seconds")
    }

    @Test func thereIsOneSubject() {
        let socks = endpoint("127.0.0.1:9")
        #expect(
            fault { ($0.socks, $0.direct) = (socks, true) }
                == "--socks and --direct cannot be combined; give one of them")
        #expect(fault { $0.network = "n" }?.hasPrefix("--network needs --target HOST:PORT") == true)
        #expect(fault { ($0.network, $0.target, $0.hops) = ("n", ProxyTarget("sink.example:1"), 2) } == nil)
        #expect(fault { $0.target = ProxyTarget("sink.example:1") }?.hasPrefix("--target needs --network") == true)
        #expect(fault { ($0.socks, $0.hops) = (socks, 2) }?.hasPrefix("--hops cannot be combined with --socks") == true)
        #expect(
            fault { ($0.direct, $0.target) = (true, ProxyTarget("sink.example:1")) }?
                .hasSuffix("--direct needs a numeric address") == true)
        #expect(
            fault { ($0.direct, $0.measure) = (true, [.builds]) }?
                .hasPrefix("--measure builds cannot be combined with --direct") == true)
        #expect(
            fault { ($0.socks, $0.raisesLimits) = (socks, true) }?
                .hasPrefix("--raise-limits cannot be combined with --socks") == true)
    }

    @Test func standardOutputHasOneForm() {
        #expect(fault { ($0.json, $0.html) = ("-", "-") } == "--json - and --html - cannot be combined")
        #expect(fault { ($0.json, $0.compare) = ("-", "old") }?.hasPrefix("--compare prints a table") == true)
        #expect(fault { ($0.json, $0.html, $0.compare) = ("a", "b", "old") } == nil)
    }

    @Test func aSinkMeasuresNothing() {
        let words = "--sink measures nothing; the only other option it takes is --listen"
        #expect(fault { $0.listen = endpoint("127.0.0.1:0") } == "--listen needs --sink")
        #expect(fault { ($0.sink, $0.listen) = (true, endpoint("127.0.0.1:0")) } == nil)
        #expect(fault { ($0.sink, $0.direct) = (true, true) } == words)
        #expect(fault { ($0.sink, $0.isolate) = (true, true) } == words)
        #expect(fault { ($0.sink, $0.compare) = (true, "old") } == words)
    }

    @Test func thePlanHasWhatIsGiven() {
        var choices = BenchChoices()
        let standard = choices.plan
        #expect(standard.streams == [1, 8, 64] && standard.repeats == 3 && standard.seconds == 3)
        (choices.streams, choices.direction, choices.measure) = ([2], [.up], [.latency])
        (choices.repeats, choices.patience, choices.isolate) = (10, 5, true)
        let plan = choices.plan
        #expect(plan.streams == [2] && plan.directions == [.up] && plan.measurements == [.latency])
        #expect(plan.repeats == 10 && plan.seconds == 1 && plan.patience == 5 && plan.isolates)
        guard case .devnet(let hops, let raisesLimits) = choices.subject else {
            Issue.record("a network of its own")
            return
        }
        #expect(hops == 3 && !raisesLimits)
        choices.direct = true
        if case .direct = choices.subject {} else { Issue.record("a direct connection") }
    }
}

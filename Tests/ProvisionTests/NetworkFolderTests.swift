import Directory
import OnionCrypto
import Process
import Registry
import Store
import Testing
import Wire

@testable import Provision

@Suite struct NetworkFolderTests {
    @Test func aNetworkHasItsFilesAndEachItsMode() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 4)
        let base = "\(folder.path)/net"
        #expect(network.file == "\(base)/network.json")
        #expect(mode(base) == "700")
        #expect(["644", "600"].contains(mode(network.file)))
        #expect(network.nodes.map(\.folder) == (1...4).map { "\(base)/node-\($0)" })
        #expect(network.nodes.map(\.isExit) == [false, false, false, true])
        for (number, node) in network.nodes.enumerated() {
            #expect(mode(node.folder) == "700")
            #expect(mode("\(node.folder)/identity.key") == "600")
            #expect(NodeID(try KeyFile.load("\(node.folder)/identity.key").publicKey) == node.id)
            #expect(node.authority == (number < 3 ? "\(node.folder)/authority.key" : nil))
            #expect(Files.exists("\(node.folder)/authority.key") == (number < 3))
            #expect(mode("\(base)/wallets/operator-\(number + 1).key") == "600")
        }
        #expect(mode("\(base)/wallets") == "700")
        #expect(mode("\(base)/wallets/bank.key") == "600")
    }

    @Test func theFileNamesWhatWasPlanned() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 5) {
            $0.name = "planned"
            $0.packetSize = 1_300
            $0.limits.streamsPerSecond = 77
            $0.registry = RegistryPlan(authorities: 2, epoch: 60, block: 3)
        }
        let file = try file(network)
        #expect(file.name == "planned")
        #expect(file.packetSize == 1_300)
        #expect(file.limits.streamsPerSecond == 77)
        #expect(file.allowPrivateAddresses && !file.requireAddressDiversity)
        #expect(file.epochSeconds == 60)
        #expect(file.ledger?.blockSeconds == 3)
        #expect(file.ledger?.slotSeconds == 3)
        #expect(file.authorities.map(\.node) == network.nodes.prefix(2).map(\.id))
        #expect(file.authorityThreshold == 2)
        #expect(file.bootstrap.map(\.node) == network.nodes.map(\.id))
        #expect(file.snapshot.snapshot.stakedCount == 5)
        #expect(file.snapshotMaximumAge == SnapshotChain.trustLifetime)
    }

    /// The first block registers each node by its operator's operation, and the accounts' amounts add up.
    @Test func theFirstLedgerHasEachNodeAndAllOfTheMoney() throws {
        let folder = try Folder()
        let network = try folder.network(nodes: 4)
        let file = try file(network)
        let ledger = try #require(file.ledger)
        let genesis = try RegistryState(decoding: ledger.genesis.rawSpan)
        let rules = try #require(
            LedgerRules(
                authorities: file.authorities.map { .init(key: $0.key, node: $0.node) },
                threshold: file.authorityThreshold, blockSeconds: ledger.blockSeconds,
                slotSeconds: ledger.slotSeconds, genesis: genesis))
        var chain = LedgerChain(rules)
        #expect(ledger.blocks.count == 1)
        let block = ledger.blocks[0]
        try chain.append(try FinalBlock(decoding: block.rawSpan), now: file.snapshot.snapshot.time.seconds)
        let state = chain.state
        #expect(state.isBalanced)
        #expect(state.network == file.id)
        #expect(Set(state.nodes.keys) == Set(network.nodes.map(\.id)))
        for (number, node) in network.nodes.enumerated() {
            let entry = try #require(state.nodes[node.id])
            let wallet = "\(folder.path)/net/wallets/operator-\(number + 1).key"
            let account = Account(try KeyFile.load(wallet).publicKey)
            #expect(entry.standing == .active)
            #expect(entry.operatorAccount == account)
            #expect(entry.stake == state.parameters.fullStake)
            #expect(entry.fee == 1_000)
            #expect(state.accounts[account]?.nonce == 1)
        }
        let bank = Account(try KeyFile.load("\(folder.path)/net/wallets/bank.key").publicKey)
        #expect(state.parameters.treasury == bank)
        #expect(state.accounts[bank].map { $0.balance > 0 } == true)
        #expect(state.snapshot()?.digest == file.snapshot.snapshot.digest)
        // All first nodes have signed the snapshot.
        #expect(file.progress.signed == 4)
    }

    @Test(
        arguments: [(1, nil, 1, 1), (2, nil, 1, 1), (3, nil, 3, 2), (5, nil, 3, 2), (5, 5, 5, 3), (4, 1, 1, 1)]
            as [(Int, Int?, Int, Int)])
    func moreThanHalfOfTheAuthoritiesMakeABlock(nodes: Int, asked: Int?, authorities: Int, threshold: Int) throws {
        let folder = try Folder()
        let file = try file(try folder.network(nodes: nodes) { $0.registry.authorities = asked })
        #expect(file.authorities.count == authorities)
        #expect(file.authorityThreshold == threshold)
    }

    @Test(arguments: [(3, 4), (3, 0), (3, -1)])
    func anAuthorityHasANodeOfItsOwn(nodes: Int, authorities: Int) throws {
        let folder = try Folder()
        let found = failure { _ = try folder.network(nodes: nodes) { $0.registry.authorities = authorities } }
        #expect(found?.code == .usage)
        #expect(found?.message == "--authorities \(authorities): use 1 to 3, each at a node of its own")
        #expect(!Files.exists("\(folder.path)/net"))
    }

    @Test func noNetworkIsMadeOfAddressesThatMayNotBe() throws {
        let folder = try Folder()
        let found = failure { _ = try folder.network { $0.isLocal = false } }
        #expect(found?.code == .usage)
        #expect(found?.message.hasPrefix("no network can be made of these values: ") == true)
        #expect(!Files.exists("\(folder.path)/net"))
    }

    @Test(arguments: ["network.json", "wallets", "node-1", "node-3"])
    func nothingIsOverwritten(name: String) throws {
        let folder = try Folder()
        try Files.makeFolder("\(folder.path)/net")
        let there = try folder.write("net/\(name)", [1])
        let found = failure { _ = try folder.network() }
        #expect(found?.code == .cannotCreate)
        #expect(found?.message == "\(there) is there already; remove it, or give another folder with --dir")
        #expect(try contents(there) == [1])
        // The files begun before the failure are gone.
        for other in ["network.json", "wallets", "node-1", "node-2", "node-3"] where other != name {
            #expect(!Files.exists("\(folder.path)/net/\(other)"))
        }
    }

    @Test func aPlanOfATestHasSecondsForDays() throws {
        let treasury = Account(SigningKey().publicKey)
        let real = RegistryPlan().parameters(treasury: treasury)
        #expect(real == RegistryParameters(treasury: treasury) || real.creditGrace == 3_600)
        let test = RegistryPlan(epoch: 5, block: 2, testCredit: 60).parameters(treasury: treasury)
        #expect(test.creditAtStart == 60)
        #expect(test.creditLimit == 120)
        #expect(test.leaveDelay == 20)
        #expect(test.deregistrationLock == 60)
        #expect(RegistryPlan(block: 120).slot == 10)
        #expect(RegistryPlan(block: 3).slot == 3)
    }
}

@Suite struct KeysTests {
    @Test func aNodesKeyIsMadeOnce() throws {
        let folder = try Folder()
        let data = "\(folder.path)/a/b"
        let id = try Keys.makeNode(in: data, passphrase: nil)
        #expect(mode(data) == "700")
        #expect(mode("\(data)/identity.key") == "600")
        #expect(NodeID(try KeyFile.load("\(data)/identity.key").publicKey) == id)
        #expect(failure { _ = try Keys.makeNode(in: data, passphrase: nil) }?.code == .cannotCreate)
    }

    @Test func anAccountIsReadFromItsKey() throws {
        let folder = try Folder()
        let path = "\(folder.path)/wallet.key"
        let account = try Keys.makeAccount(at: path, passphrase: nil)
        #expect(bytes32(hexadecimal: account) != nil)
        #expect(try Keys.account(at: path, passphrase: nil) == account)
        #expect(failure { _ = try Keys.makeAccount(at: path, passphrase: nil) }?.code == .cannotCreate)
        #expect(failure { _ = try Keys.account(at: path + "x", passphrase: nil) }?.code == .noInput)
    }
}

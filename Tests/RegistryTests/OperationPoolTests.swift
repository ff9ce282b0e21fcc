import OnionCrypto
import Testing
import Wire

@testable import Registry

/// The pool during floods: which operations get places, which ones give way, and which ones a leader takes.
@Suite struct OperationPoolTests {
    /// A chain with eight active nodes of accounts 0 to 7, the accounts 10 to 29, and flooders with four SESH each.
    private struct Flooded {
        var chain: LedgerChain
        var pool = OperationPool()
        let realm: Realm
        let flooders: UInt64
        let accounts: [Account]
        /// Flooder f has the key 10,000 + f.
        private var nonces: [UInt64]

        init(flooders: UInt64) throws {
            accounts = (0..<flooders).map { Account(key(10_000 + $0).publicKey) }
            realm = Realm(extraBalances: accounts.map { ($0, 4 * sesh) })
            self.flooders = flooders
            nonces = Array(repeating: 0, count: Int(flooders))
            chain = LedgerChain(realm.rules)
            let registrations = (0..<8).map { (number: UInt64) in
                RegistryOperation(
                    registering: key(100 + number), fee: 0, stake: full, network: networkID, nonce: 0, key: key(number))
            }
            try append(chain.draft(registrations, time: start))
            try append(chain.draft([], time: start + 2))
        }

        mutating func append(_ block: Block) throws {
            try chain.append(realm.sealed(block), now: block.time)
            pool.follow(chain, now: block.time)
        }

        mutating func add(_ operation: RegistryOperation) throws(RegistryRefusal) {
            try pool.add(operation, to: chain, now: chain.state.time + 1)
        }

        /// Every flooder submits transfers of one unit until one is refused, at most `each`.
        mutating func flood(each: Int) {
            for flooder in 0..<flooders { flood(Int(flooder), count: each) }
        }

        mutating func flood(_ flooder: Int, count: Int) {
            let account = accounts[flooder]
            for _ in 0..<count {
                let nonce = nonces[flooder]
                let operation = RegistryOperation(
                    network: networkID, nonce: nonce, action: .transfer(to: Town.ids[29], amount: 1),
                    key: key(10_000 + UInt64(flooder)))
                do {
                    try add(operation)
                    nonces[flooder] += 1
                } catch {
                    nonces[flooder] = max(chain.state.accounts[account]!.nonce, nonce)
                    break
                }
            }
        }

        /// The leader's block from the pool, two seconds after the last one.
        mutating func block() throws -> Block {
            let block = chain.draft(pool.waiting, time: chain.state.time + 2)
            try append(block)
            // Flooders submit their removed operations again.
            for flooder in 0..<flooders {
                nonces[Int(flooder)] = chain.state.accounts[accounts[Int(flooder)]]!.nonce
            }
            return block
        }

        /// The newest quorum's verdict against node `number`.
        func verdict(on number: UInt64) -> RegistryOperation {
            let node = NodeID(key(100 + number).publicKey)
            let height = chain.height
            let judges = chain.state.judges(of: node, height: height)
            let ballot = RegistryOperation.ballot(
                .decommission, on: node, height: height, block: chain.state.quorums.last!.block, network: networkID)
            let votes = judges.enumerated().map { place, judge in
                let index = (0..<8).first { NodeID(key(100 + $0).publicKey) == judge }!
                return RegistryOperation.Vote(place: UInt8(place), signature: key(100 + index).sign(ballot.rawSpan))
            }
            return RegistryOperation(
                unsigned: .judge(.decommission, node: node, height: height, votes: votes), network: networkID)
        }
    }

    @Test(
        "s15: transfers of any number of accounts keep no verdict and no stake out", arguments: [16, 1_000] as [UInt64])
    func verdictsAndStakesFindRoom(_ flooders: UInt64) throws {
        var town = try Flooded(flooders: flooders)
        let state = town.chain.state
        // The flood has all thousand places of the transfers, and continues while the others arrive.
        town.flood(each: flooders == 16 ? 63 : 1)
        let verdict = town.verdict(on: 0)
        try town.add(verdict)
        let registration = RegistryOperation(
            registering: key(120), fee: 0, stake: full, network: networkID, nonce: 0, key: key(20))
        try town.add(registration)
        if flooders == 16 { town.flood(each: 1) }
        let block = try town.block()
        #expect(block.operations.contains(verdict))
        #expect(block.operations.contains(registration))
        #expect(block.operations.count == Int(state.parameters.operationsPerBlock), "the rest is the transfers'")
        // The flood costs its senders: each transfer moved one unit and paid the fee, and the pool has the fees.
        let fee = state.parameters.operationFee
        let transfers = UInt64(block.operations.count - 2)
        let left = town.accounts.reduce(0) { $0 + town.chain.state.accounts[$1]!.balance }
        #expect(left == flooders * 4 * sesh - transfers * (fee + 1))
        #expect(town.chain.state.pool == state.pool + (transfers + 1) * fee)
        #expect(town.chain.state.isBalanced)
    }

    @Test("s15: an account that waits with one transfer takes a place of one that waits with many")
    func placesAreSharedByAccount() throws {
        var town = try Flooded(flooders: 16)
        town.flood(each: 63)
        let transfers = town.pool.count
        #expect(transfers == 1_000)
        let own = town.realm.operation(28, 0, .transfer(to: Town.ids[27], amount: 1))
        try town.add(own)
        #expect(town.pool.count == transfers)
        #expect(town.pool.waiting.contains(own))
        // An account whose operation gave way continues with the nonce that became free.
        let counts = Dictionary(grouping: town.pool.waiting, by: \.account).mapValues(\.count)
        #expect(counts.values.max()! <= 64)
        for (account, operations) in Dictionary(grouping: town.pool.waiting, by: \.account) {
            let first = town.chain.state.accounts[account]!.nonce
            #expect(operations.map(\.nonce) == Array(first..<first + UInt64(operations.count)))
        }
        #expect(try town.block().operations.contains(own))
    }

    @Test("s15: a flood that takes others' places costs few passes over the pool")
    func aFloodCostsFewPasses() throws {
        var town = try Flooded(flooders: 216)
        // Sixteen flooders have all places of the transfers; then two hundred others arrive with one each.
        for flooder in 0..<16 { town.flood(flooder, count: 63) }
        #expect(town.pool.count == 1_000)
        let before = town.pool.replays
        for flooder in 16..<216 { town.flood(flooder, count: 1) }
        let sources = Set(town.pool.waiting.map(\.account))
        #expect(sources.count == 216, "every one of them waits")
        #expect(town.pool.count == 1_000)
        let passes = town.pool.replays - before
        #expect(passes <= 3, "\(passes) passes")
        // All waiting operations can be applied, and an account that gave way continues after the next block.
        let block = try town.block()
        #expect(block.operations.count == 1_000 && town.chain.state.isBalanced)
        town.flood(0, count: 1)
        #expect(town.pool.count == 1)
    }

    @Test("s15: reports of one node keep no others' reports out, and no verdicts")
    func reportsHaveSharesByReporter() throws {
        var town = try Flooded(flooders: 1)
        let measured = (0..<8).map { NodeID(key(100 + $0).publicKey) }
        func report(by reporter: UInt64, on node: Int, height: UInt64) -> RegistryOperation {
            RegistryOperation(
                reporting: [.init(node: measured[node], capacity: 5)], height: height, network: networkID,
                nodeKey: key(100 + reporter))
        }
        // One node reports on each of the others at each height that is still allowed, one report at a time.
        for _ in 0..<12 { try town.append(town.chain.draft([], time: town.chain.state.time + 2)) }
        var taken = 0
        for height in 3...town.chain.height {
            for node in 1..<8 where (try? town.add(report(by: 0, on: node, height: height))) != nil { taken += 1 }
        }
        #expect(taken == OperationPool.maximumPerSource)
        try town.add(report(by: 1, on: 2, height: town.chain.height))
        let verdict = town.verdict(on: 5)
        try town.add(verdict)
        #expect(town.pool.waiting.first == verdict)
    }

    @Test("s15: what names the block's own height finds no place, so that no draft has to begin anew for it")
    func nothingOnTheComingHeight() throws {
        var town = try Flooded(flooders: 1)
        let height = town.chain.height + 1
        let opened = try #require(town.chain.opened(at: town.chain.state.time + 2))
        #expect(opened.quorums.allSatisfy { $0.height < height })
        let nodes = (0..<8).map { NodeID(key(100 + $0).publicKey) }
        for reporter in 0..<8 {
            for node in 0..<8 where node != reporter {
                let report = RegistryOperation(
                    reporting: [.init(node: nodes[node], capacity: 5)], height: height, network: networkID,
                    nodeKey: key(100 + UInt64(reporter)))
                #expect(throws: RegistryRefusal.unknownQuorum) { try town.add(report) }
            }
        }
        #expect(town.pool.count == 0)
    }

    @Test func aBlockIsSharedInQuartersAndTheRestIsAnybodys() throws {
        var town = try Flooded(flooders: 16)
        let perBlock = Int(town.chain.state.parameters.operationsPerBlock)
        town.flood(each: 60)
        // Operations on stakes come last; each one needs the one before it.
        for account in 20..<24 as Range<UInt64> {
            try town.add(
                RegistryOperation(
                    registering: key(100 + account), fee: 0, stake: full / 4, network: networkID, nonce: 0,
                    key: key(account)))
            for nonce in 1..<64 as Range<UInt64> {
                try town.add(
                    town.realm.operation(
                        account, nonce, .contribute(node: NodeID(key(100 + account).publicKey), amount: 1)))
            }
        }
        let block = try town.block()
        let stakes = block.operations.count { $0.share == .stakes }
        #expect(stakes >= perBlock / 4)
        #expect(block.operations.count == perBlock)
        #expect(town.pool.count == 960 + 256 - perBlock)
    }

    @Test func thePoolsBoundsComeToOneMebibyte() {
        #expect(OperationShare.allCases.reduce(0) { $0 + $1.places } == 2_400)
        #expect(OperationShare.verdicts.places * (RegistryOperation.maximumSize + 2) <= 256 << 10)
        let report = RegistryOperation(
            reporting: (0..<16).map { .init(node: NodeID(bytes32(1, $0)), capacity: 1) }, height: 1, network: networkID,
            nodeKey: key(1))
        #expect(OperationShare.reports.places * (report.encoded().count + 2) <= 256 << 10)
        let registration = RegistryOperation(
            registering: key(1), fee: 0, stake: 1, network: networkID, nonce: 0, key: key(2))
        #expect(OperationShare.stakes.places * (registration.encoded().count + 2) <= 256 << 10)
    }
}

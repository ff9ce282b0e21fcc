import OnionCrypto
import Testing
import VectorFiles
import Wire

@testable import Registry

/// The pool, the rewards and the fees, and a year of them compared with an independent model.
@Suite struct RewardTests {
    @Test func ninetyPercentOfAFeeGoToThePool() {
        var town = Town()
        let pool = town.state.pool
        town.run(0, .pay(amount: 19))
        #expect(town.state.pool == pool + 17)
        #expect(town.state.fees == 2)
        town.refuse(0, .claim, .nothingToClaim)
        town.run(1000, .claim)
        #expect(town.balance(1000) == 2 && town.state.fees == 0)
        town.refuse(1000, .claim, .nothingToClaim)
    }

    @Test func rewardsComeOnceADay() {
        var town = Town()
        town.settle(0..<3)
        town.refuse(9, .distribute, .distributedTooEarly(next: start + day))
        town.next(after: day - 1)
        town.refuse(9, .distribute, .distributedTooEarly(next: start + day))
        town.next(after: 1)
        let each = town.state.intervalReward / 3
        let pool = town.state.pool
        town.run(9, .distribute)
        #expect(town.state.pool == pool - 3 * each)
        #expect(town.state.accounts[town.id(0)]?.rewards == each)
        town.refuse(9, .distribute, .distributedTooEarly(next: start + 2 * day))
        let balance = town.balance(0)
        town.run(0, .claim)
        #expect(town.balance(0) == balance + each)
        town.refuse(0, .claim, .nothingToClaim)
        // Missed intervals are made up, one at a time.
        town.next(after: 2 * day)
        town.run(9, .distribute)
        town.run(9, .distribute)
        town.refuse(9, .distribute, .distributedTooEarly(next: start + 4 * day))
    }

    @Test func onlyActiveNodesEarn() {
        var town = Town()
        town.settle(0..<12)
        town.run(town.registration(12, 12, stake: full / 2))
        town.next(after: day)
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
        town.run(0, .distribute)
        #expect(town.state.accounts[town.id(3)]?.rewards == 0)
        #expect(town.state.accounts[town.id(12)]?.rewards == 0)
        #expect(town.state.accounts[town.id(4)]!.rewards > 0)
    }

    @Test func withoutNodesAnIntervalPassesUnpaid() {
        var town = Town()
        let pool = town.state.pool
        town.next(after: day)
        town.run(0, .distribute)
        #expect(town.state.pool == pool && town.state.distributedUntil == start + day)
    }

    @Test func theFeeComesFirstAndTheRemainderIsTheOperators() {
        var town = Town()
        town.run(town.registration(0, 0, fee: 1_000, stake: full / 4))
        town.run(1, .contribute(node: Town.nodeIDs[0], amount: full / 4))
        town.run(2, .contribute(node: Town.nodeIDs[0], amount: full / 2))
        town.next(after: day)
        let reward = town.state.intervalReward
        town.run(9, .distribute)
        let rest = reward - reward / 10
        #expect(town.state.accounts[town.id(1)]?.rewards == rest / 4)
        #expect(town.state.accounts[town.id(2)]?.rewards == rest / 2)
        #expect(town.state.accounts[town.id(0)]?.rewards == reward - rest / 4 - rest / 2)
    }

    /// Seeds of 32 bytes, one after the other.
    private func seeds(_ bytes: [UInt8]) -> [[UInt8]] {
        stride(from: 0, to: bytes.count, by: 32).map { Array(bytes[$0..<$0 + 32]) }
    }

    private func u64s(_ bytes: [UInt8]) throws -> [UInt64] {
        var reader = ByteReader(bytes.rawSpan)
        return try (0..<bytes.count / 8).map { _ throws(WireError) in try reader.u64() }
    }

    private func hash(_ label: String, _ height: UInt64) -> Bytes32 {
        var writer = ByteWriter()
        writer.raw(label.utf8)
        writer.u64(height)
        return Blake2b.digest(writer.bytes.rawSpan)
    }

    /// The hash of the model's block at `height`.
    private func blockHash(_ height: UInt64) -> Bytes32 { hash("block", height) }

    /// The model's seed at `height`.
    private func seed(_ height: UInt64) -> Bytes32 { hash("seed", height) }

    @Test func aYearIsTheModelsToTheUnit() throws {
        let file = try VectorFile("registry")
        let accounts = seeds(try file("accounts")).map {
            Account(SigningKey(seed: Secret(copying: $0.rawSpan)).publicKey)
        }
        let genesis = try u64s(file("genesis"))
        var parameters = RegistryParameters(treasury: Account(try file.bytes32("treasury")))
        parameters.reportsPerNode = 2
        var state = RegistryState(
            network: try file.bytes32("network"), parameters: parameters, time: genesis[0], pool: genesis[1],
            balances: Dictionary(uniqueKeysWithValues: accounts.map { ($0, genesis[2]) }))!
        let pools = try u64s(file("pools"))
        let rewards = try u64s(file("rewards"))
        for day in 0...365 as ClosedRange<UInt64> {
            try state.begin(
                height: day + 1, time: genesis[0] + day * 86_400, block: blockHash(day + 1), seed: seed(day + 1))
            let number = String(day)
            let operations = try file("day." + String(repeating: "0", count: 3 - number.count) + number)
            var reader = ByteReader(operations.rawSpan)
            while reader.remaining > 0 {
                let bytes = try reader.array(Int(try reader.u16()))
                try state.apply(RegistryOperation(decoding: bytes.rawSpan))
            }
            #expect(state.isBalanced)
            #expect(state.pool == pools[Int(day)])
            let paid = accounts.map { state.accounts[$0]!.rewards }
            #expect(paid[...] == rewards[Int(day) * 14..<Int(day) * 14 + 14])
        }
        let toPool = UInt64(12_345_678_912_345) * 9 / 10
        let operations = state.accounts.values.reduce(0) { $0 + $1.nonce }
        let fees = operations * parameters.operationFee
        #expect(genesis[1] + toPool + fees - state.pool == rewards.suffix(14).reduce(0, +))
        let expected = try file("state")
        #expect(state.encoded() == expected)
        let digest = try file.bytes32("state digest")
        #expect(state.digest == digest)
        let weights = try file("weights")
        var reader = ByteReader(weights.rawSpan)
        for entry in try #require(state.snapshot()).entries {
            let weight = try reader.u32()
            #expect(entry.weight == weight)
        }
        let read = try RegistryState(decoding: expected.rawSpan)
        #expect(read == state)
    }

    @Test func theQuorumIsTheModels() throws {
        let file = try VectorFile("registry")
        let crowd = seeds(try file("crowd"))
        let expected = seeds(try file("crowd quorum"))
        let network = try file.bytes32("network")
        let ranked = crowd.map { (node: [UInt8]) -> (NodeID, [UInt8]) in
            let id = NodeID(Bytes32(node)!)
            return (NodeID(RegistryState.rank(of: id, network: network, height: 7, seed: seed(7))), node)
        }
        #expect(ranked.sorted { $0.0 < $1.0 }.prefix(11).map(\.1) == expected)
    }

    @Test func seedsAreTheModels() throws {
        let file = try VectorFile("registry")
        let makers = seeds(try file("accounts")).map { SigningKey(seed: Secret(copying: $0.rawSpan)).publicKey }
        let network = try file.bytes32("network")
        let genesis = try #require(
            RegistryState(
                network: network, parameters: RegistryParameters(treasury: Account(makers[0])), time: 1, pool: 1,
                balances: [:]))
        let rules = try #require(
            LedgerRules(
                authorities: makers.enumerated().map { .init(key: $1, node: NodeID(bytes32(1, UInt64($0)))) },
                threshold: makers.count, blockSeconds: 1, slotSeconds: 1, genesis: genesis))
        let keys = try file("accounts")
        var last = genesis.seed
        for height in 1...5 as ClosedRange<UInt64> {
            let vector = try file("turn.\(height)")
            let proof = Array(vector[..<80])
            let secret = Array(keys[Int(height) * 32..<Int(height) * 32 + 32])
            let key = SigningKey(seed: Secret(copying: secret.rawSpan))
            #expect(key.prove(rules.proofInput(height: height, after: last).rawSpan) == proof)
            last = try #require(rules.seed(of: proof, maker: UInt8(height), height: height, after: last))
            #expect(last.array == Array(vector[80...]))
        }
    }

    @Test func aBlockIsTheModels() throws {
        let file = try VectorFile("registry")
        let bytes = try file("block")
        let read = try Block(decoding: bytes.rawSpan)
        let random = Blake2b.digest([UInt8]("random".utf8).rawSpan)
        let made = Block(
            network: try file.bytes32("network"), height: 5, time: start, previous: blockHash(4), random: random,
            maker: 3, proof: read.proof,
            operations: try ["operation.1", "operation.2"].map { name in
                let bytes = try file(name)
                return try RegistryOperation(decoding: bytes.rawSpan)
            }, stateDigest: Blake2b.digest([UInt8]("block state".utf8).rawSpan))
        #expect(made == read && made.encoded() == bytes)
        #expect(try file.bytes32("block hash") == read.hash)
        #expect(try file.bytes32("block content hash") == read.contentHash)
        let node = Array(try file("nodes").prefix(32))
        let id = NodeID(SigningKey(seed: Secret(copying: node.rawSpan)).publicKey)
        var writer = ByteWriter()
        writer.u64(id.placement(block: read.contentHash, network: read.network))
        #expect(try file("block placement") == writer.bytes)
        for length in 0..<bytes.count {
            #expect(throws: WireError.self) { try Block(decoding: Array(bytes[..<length]).rawSpan) }
        }
        #expect(throws: WireError.trailingBytes) { try Block(decoding: (bytes + [0]).rawSpan) }
        var older = bytes
        older[0] = 1
        #expect(throws: WireError.unknownKind(1)) { try Block(decoding: older.rawSpan) }
        // A flipped bit gives an error or another block; flips in digests, times and proof can be read.
        var count = 0
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= 1 << UInt8(place & 7)
            guard let other = try? Block(decoding: changed.rawSpan) else { continue }
            count += 1
            #expect(other.hash != read.hash && other.encoded() == changed)
        }
        #expect(count > 200)
    }

    @Test func operationsAreTheModelsByteForByte() throws {
        let file = try VectorFile("registry")
        let network = try file.bytes32("network")
        let nodeSeeds = seeds(try file("nodes"))
        func node(_ index: Int) -> SigningKey {
            let seed = nodeSeeds[index]
            return SigningKey(seed: Secret(copying: seed.rawSpan))
        }
        let seed = Array(try file("accounts").prefix(32))
        let key = SigningKey(seed: Secret(copying: seed.rawSpan))
        let id = NodeID(node(0).publicKey)
        let ballot = RegistryOperation.ballot(
            .recommission, on: id, height: 9, block: blockHash(9), network: network)
        let votes = [(0, 1), (3, 2), (9, 3)].map { (place: UInt8, index: Int) in
            RegistryOperation.Vote(place: place, signature: node(index).sign(ballot.rawSpan))
        }
        func operation(_ nonce: UInt64, _ action: Action) -> RegistryOperation {
            RegistryOperation(network: network, nonce: nonce, action: action, key: key)
        }
        let newcomerSeed = Blake2b.digest([UInt8]("registry vectors newcomer".utf8).rawSpan).array
        let newcomer = SigningKey(seed: Secret(copying: newcomerSeed.rawSpan)).publicKey
        let made = [
            RegistryOperation(
                registering: node(0), fee: 1_234, stake: full, network: network, nonce: 0, key: key),
            operation(1, .contribute(node: id, amount: 5 * sesh, fee: 1_234)),
            operation(2, .cancel(node: id)),
            operation(3, .setFee(node: id, fee: 77)),
            operation(4, .leave(node: id)),
            operation(5, .judge(.recommission, node: id, height: 9, votes: votes)),
            operation(6, .distribute),
            RegistryOperation(network: network, nonce: 7, until: 720, action: .claim, key: key),
            operation(.max, .pay(amount: 10)),
            operation(8, .transfer(to: Account(newcomer), amount: 2 * sesh)),
            RegistryOperation(
                reporting: [(1, 4_000), (2, 0)].map { (index: Int, capacity: UInt32) in
                    .init(node: NodeID(node(index).publicKey), capacity: capacity)
                }, height: 9, network: network, nodeKey: node(0)),
            RegistryOperation(maintaining: node(0), seconds: 3_600, height: 9, network: network),
        ]
        for (index, operation) in made.enumerated() {
            let bytes = try file("operation.\(index + 1)")
            #expect(operation.encoded() == bytes)
            let read = try RegistryOperation(decoding: bytes.rawSpan)
            #expect(read == operation)
            #expect(operation.isAuthentic)
        }
    }
}

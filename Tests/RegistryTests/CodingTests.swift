import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Registry

/// The bytes of operations and of the state: each has exactly one encoding, and nothing else is read.
@Suite struct CodingTests {
    /// A state with an example of every part.
    private func eventful() -> Town {
        var town = Town()
        town.settle(0..<12)
        town.run(town.registration(12, 12, fee: 500, stake: full / 2))
        town.run(13, .contribute(node: Town.nodeIDs[12], amount: full / 10))
        town.next(after: day)
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
        town.run(0, town.verdict(.decommission, 4, places: 0..<7))
        town.run(5, .leave(node: Town.nodeIDs[5]))
        town.run(town.maintenance(6, 3_600, height: town.state.height))
        town.run(0, .distribute)
        town.next(after: 4_000)
        town.run(0, town.verdict(.recommission, 3, places: 0..<7))
        town.pass(2 * day - 4_000)
        town.run(0, .pay(amount: 12_345))
        let reporter = Town.nodeIDs.firstIndex(
            of: town.state.judges(of: Town.nodeIDs[8], height: town.state.height)[0])!
        town.run(town.report(by: reporter, on: [(8, 1_234)]))
        return town
    }

    private func operations() -> [RegistryOperation] {
        var town = Town()
        town.settle(0..<12)
        town.next(after: 1)
        let node = Town.nodeIDs[1]
        return [
            town.registration(0, 20, fee: 7, stake: full), town.operation(1, .contribute(node: node, amount: 9)),
            town.operation(2, .cancel(node: node)), town.operation(3, .setFee(node: node, fee: 9)),
            town.operation(4, .leave(node: node)), town.operation(5, town.verdict(.recommission, 2, places: 1..<8)),
            town.operation(6, .distribute), town.operation(7, .claim), town.operation(8, .pay(amount: .max)),
            town.operation(9, .transfer(to: Town.treasury, amount: 9)), town.report(by: 3, on: [(4, 7), (5, 0)]),
            town.maintenance(4, 3_600),
        ]
    }

    private func decodeOperation(_ bytes: [UInt8]) throws(WireError) -> RegistryOperation {
        try RegistryOperation(decoding: bytes.rawSpan)
    }

    private func decodeState(_ bytes: [UInt8]) throws(WireError) -> RegistryState {
        try RegistryState(decoding: bytes.rawSpan)
    }

    @Test func operationsComeBackAndEndWhereTheyEnd() throws {
        for operation in operations() {
            let bytes = operation.encoded()
            #expect(bytes.count <= RegistryOperation.maximumSize)
            let read = try decodeOperation(bytes)
            #expect(read == operation)
            #expect(throws: WireError.trailingBytes) { try decodeOperation(bytes + [0]) }
            for length in 0..<bytes.count {
                #expect(throws: WireError.self) { try decodeOperation(Array(bytes[..<length])) }
            }
        }
    }

    @Test func unknownVersionsKindsAndVerdictsAreRefused() {
        let all = operations().map { $0.encoded() }
        var bytes = all[0]
        bytes[0] = 2
        #expect(throws: WireError.unknownKind(2)) { try decodeOperation(bytes) }
        bytes = all[6]
        bytes[1] = 13
        #expect(throws: WireError.unknownKind(13)) { try decodeOperation(bytes) }
        bytes[1] = 0
        #expect(throws: WireError.unknownKind(0)) { try decodeOperation(bytes) }
        bytes = all[5]
        bytes[82] = 3
        #expect(throws: WireError.unknownKind(3)) { try decodeOperation(bytes) }
        bytes = all[5]
        bytes[82 + 1 + 32 + 8] = 0
        #expect(throws: WireError.outOfRange) { try decodeOperation(bytes) }
        bytes = all[5]
        bytes[82 + 1 + 32 + 8 + 1] = 2  // the place of the second vote
        #expect(throws: WireError.outOfRange) { try decodeOperation(bytes) }
    }

    @Test func aStateComesBackAndGoesOnAlike() throws {
        var town = eventful()
        #expect(town.state.locks.count == 1 && town.node(5)!.leavesAt > 0 && town.node(12)?.standing == .open)
        let bytes = town.state.encoded()
        var read = try decodeState(bytes)
        #expect(read == town.state && read.digest == town.state.digest && read.encoded() == bytes)
        let operation = town.operation(0, .distribute)
        town.run(operation)
        try read.apply(operation)
        #expect(read.digest == town.state.digest)
        #expect(throws: WireError.trailingBytes) { try decodeState(bytes + [0]) }
        for length in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: WireError.self) { try decodeState(Array(bytes[..<length])) }
        }
    }

    /// One change of each stored value of a state, by the value's name.
    private static let changes: [(name: String, change: @Sendable (inout RegistryState) -> Void)] = [
        ("height", { $0.height += 1 }), ("time", { $0.time += 1 }),
        ("operationsInBlock", { $0.operationsInBlock += 1 }), ("distributedUntil", { $0.distributedUntil -= 1 }),
        ("pool", { $0.pool -= 1 }), ("fees", { $0.fees += 1 }), ("accounts", { $0.accounts[Town.ids[9]] = nil }),
        ("accounts.balance", { $0.accounts[Town.ids[9]]!.balance += 1 }),
        ("accounts.rewards", { $0.accounts[Town.ids[9]]!.rewards += 1 }),
        ("accounts.nonce", { $0.accounts[Town.ids[9]]!.nonce += 1 }), ("nodes", { $0.nodes[Town.nodeIDs[8]] = nil }),
        ("nodes.standing", { $0.nodes[Town.nodeIDs[8]]!.standing = .decommissioned }),
        ("nodes.fee", { $0.nodes[Town.nodeIDs[8]]!.fee += 1 }),
        ("nodes.changedHeight", { $0.nodes[Town.nodeIDs[8]]!.changedHeight += 1 }),
        ("nodes.activeSince", { $0.nodes[Town.nodeIDs[8]]!.activeSince += 1 }),
        ("nodes.allowance", { $0.nodes[Town.nodeIDs[8]]!.allowance += 1 }),
        ("nodes.creditTime", { $0.nodes[Town.nodeIDs[8]]!.creditTime += 1 }),
        ("nodes.leavesAt", { $0.nodes[Town.nodeIDs[8]]!.leavesAt += 1 }),
        ("nodes.maintenanceEnd", { $0.nodes[Town.nodeIDs[8]]!.maintenanceEnd += 1 }),
        ("nodes.placement", { $0.nodes[Town.nodeIDs[8]]!.placement += 1 }),
        ("nodes.contributions", { $0.nodes[Town.nodeIDs[12]]!.contributions.removeLast() }),
        ("nodes.contributions.amount", { $0.nodes[Town.nodeIDs[12]]!.contributions[1].amount += 1 }),
        (
            "nodes.contributions.account",
            { $0.nodes[Town.nodeIDs[12]]!.contributions[1] = .init(account: Town.ids[20], amount: full / 10) }
        ),
        ("nodes.reports", { $0.nodes[Town.nodeIDs[8]]!.reports = [] }),
        ("nodes.reports.height", { $0.nodes[Town.nodeIDs[8]]!.reports[0].height -= 1 }),
        ("nodes.reports.time", { $0.nodes[Town.nodeIDs[8]]!.reports[0].time -= 1 }),
        ("nodes.reports.capacity", { $0.nodes[Town.nodeIDs[8]]!.reports[0].capacity += 1 }),
        (
            "nodes.reports.operatorAccount",
            {
                let report = $0.nodes[Town.nodeIDs[8]]!.reports[0]
                $0.nodes[Town.nodeIDs[8]]!.reports[0] = .init(
                    operatorAccount: Town.ids[20], height: report.height, time: report.time, capacity: report.capacity)
            }
        ),
        ("locks", { $0.locks = [] }), ("locks.amount", { $0.locks[0].amount += 1 }),
        ("locks.until", { $0.locks[0] = changed($0.locks[0], until: $0.locks[0].until - 1) }),
        ("locks.account", { $0.locks[0] = changed($0.locks[0], account: Town.ids[20]) }),
        ("locks.node", { $0.locks[0] = changed($0.locks[0], node: Town.nodeIDs[20]) }),
        ("quorums", { $0.quorums.removeFirst() }),
        ("quorums.height", { $0.quorums[0] = changed($0.quorums[0], height: 0) }),
        ("quorums.block", { $0.quorums[0] = changed($0.quorums[0], block: bytes32(6, 6)) }),
        ("quorums.seed", { $0.quorums[0] = changed($0.quorums[0], seed: bytes32(6, 6)) }),
        ("quorums.nodes", { $0.quorums[$0.quorums.count - 1] = changed($0.quorums[$0.quorums.count - 1], nodes: []) }),
    ]

    private static func changed(
        _ lock: RegistryState.StakeLock, until: UInt64? = nil, account: Account? = nil, node: NodeID? = nil
    ) -> RegistryState.StakeLock {
        .init(
            until: until ?? lock.until, account: account ?? lock.account, node: node ?? lock.node, amount: lock.amount)
    }

    private static func changed(
        _ quorum: RegistryState.Quorum, height: UInt64? = nil, block: Bytes32? = nil, seed: Bytes32? = nil,
        nodes: [NodeID]? = nil
    ) -> RegistryState.Quorum {
        .init(
            height: height ?? quorum.height, block: block ?? quorum.block, seed: seed ?? quorum.seed,
            nodes: nodes ?? quorum.nodes)
    }

    @Test func everyPartOfTheStateIsInItsDigest() throws {
        let state = eventful().state
        let again = eventful().state
        #expect(again.digest == state.digest)
        var digests: Set<Bytes32> = [state.digest]
        for (name, change) in Self.changes {
            var other = state
            change(&other)
            #expect(other != state && digests.insert(other.digest).inserted, "\(name)")
        }
        // The values that never change.
        func other(_ network: Bytes32, _ supply: UInt64, _ change: (inout RegistryParameters) -> Void) -> Bytes32 {
            var parameters = state.parameters
            change(&parameters)
            var other = RegistryState(
                network: network, parameters: parameters, supply: supply, height: state.height, time: state.time,
                distributedUntil: state.distributedUntil, pool: state.pool, accounts: state.accounts)
            (other.operationsInBlock, other.fees, other.nodes) = (state.operationsInBlock, state.fees, state.nodes)
            (other.locks, other.quorums) = (state.locks, state.quorums)
            return other.digest
        }
        #expect(other(networkID, state.supply) { _ in } == state.digest)
        digests.insert(other(bytes32(6, 6), state.supply) { _ in })
        digests.insert(other(networkID, state.supply + 1) { _ in })
        digests.insert(other(networkID, state.supply) { $0.maintenanceWait += 1 })
        #expect(digests.count == Self.changes.count + 4)
        // Each stored value has a change above.
        let node = try #require(state.nodes[Town.nodeIDs[8]])
        let parts: [(String, Any)] = [
            ("", state), ("accounts.", try #require(state.accounts[Town.ids[9]])), ("nodes.", node),
            ("nodes.contributions.", node.contributions[0]), ("nodes.reports.", node.reports[0]),
            ("locks.", state.locks[0]), ("quorums.", state.quorums[0]),
        ]
        let names = parts.flatMap { prefix, part in Mirror(reflecting: part).children.map { prefix + ($0.label ?? "") }
        }
        #expect(Set(names) == Set(Self.changes.map(\.name)).union(["network", "parameters", "supply"]))
    }

    @Test func aLockThatIsDueIsNotRead() throws {
        var state = eventful().state
        let lock = state.locks[0]
        state.locks[0] = Self.changed(lock, until: state.time + 1)
        #expect(try decodeState(state.encoded()) == state)
        state.locks[0] = Self.changed(lock, until: state.time)
        #expect(throws: WireError.outOfRange) { try decodeState(state.encoded()) }
    }

    @Test func unitsThatDoNotAddUpAreNotRead() {
        let state = eventful().state
        let bytes = state.encoded()
        // The supply follows the version, the network and the parameters.
        var parameters = ByteWriter()
        state.parameters.encode(to: &parameters)
        var changed = bytes
        changed[33 + parameters.bytes.count] ^= 1
        #expect(throws: WireError.outOfRange) { try decodeState(changed) }
    }

    /// Changed bytes throw or are the exact encoding of the value that was read; they never trap.
    @Test func mutationsNeverTrap() {
        var random = SeededGenerator(seed: 11)
        let seeds = operations().map { $0.encoded() }
        var operationsRead = 0
        for _ in 0..<20_000 {
            let bytes = mutated(seeds.randomElement(using: &random)!, using: &random)
            guard let read = try? decodeOperation(bytes) else { continue }
            #expect(read.encoded() == bytes)
            operationsRead += 1
        }
        let state = eventful().state.encoded()
        var (statesRead, blocks) = (0, 0)
        for _ in 0..<3_000 {
            let bytes = mutated(state, using: &random)
            guard var read = try? decodeState(bytes) else { continue }
            #expect(read.encoded() == bytes && read.isBalanced)
            statesRead += 1
            // A state that was read takes two more blocks without a trap, the last one at the end of all time.
            for (height, time) in [(.max - 1, read.time + 1), (.max, RegistryState.timeLimit)] as [(UInt64, UInt64)] {
                guard (try? read.begin(height: height, time: time, block: networkID, seed: networkID)) != nil else {
                    continue
                }
                blocks += 1
                #expect(read.isBalanced && read.height == height && read.time == time)
            }
        }
        // Without inputs that are still read, nothing above would be checked.
        #expect(operationsRead > 2_000 && statesRead > 50 && blocks > statesRead)
    }

    private func mutated(_ bytes: [UInt8], using random: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random)!
            case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            case 3 where bytes.count > 1: bytes.remove(at: place)
            case 4: for index in place..<min(place + 8, bytes.count) { bytes[index] = 0xff }
            default: bytes = Array(bytes[..<max(1, place)])
            }
        }
        return bytes
    }
}

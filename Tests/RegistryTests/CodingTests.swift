import OnionCrypto
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
        town.next(after: 2 * day - 4_000)
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

    @Test func everyPartOfTheStateIsInItsDigest() {
        let state = eventful().state
        var digests: Set<Bytes32> = [state.digest]
        var other = eventful()
        other.run(29, .pay(amount: 1))
        digests.insert(other.state.digest)
        other.next(after: 0)
        digests.insert(other.state.digest)
        let again = eventful().state.digest
        #expect(digests.count == 3 && again == state.digest)
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
        var random = Seeded(11)
        let seeds = operations().map { $0.encoded() }
        for _ in 0..<20_000 {
            let bytes = mutated(seeds.randomElement(using: &random)!, using: &random)
            if let read = try? decodeOperation(bytes) { #expect(read.encoded() == bytes) }
        }
        let state = eventful().state.encoded()
        for _ in 0..<3_000 {
            let bytes = mutated(state, using: &random)
            guard var read = try? decodeState(bytes) else { continue }
            #expect(read.encoded() == bytes && read.isBalanced)
            // A state that was read takes another block without a trap.
            try? read.begin(height: .max, time: read.time + 1, block: networkID, seed: networkID)
            try? read.begin(height: .max, time: RegistryState.timeLimit, block: networkID, seed: networkID)
            #expect(read.isBalanced || read.height < .max)
        }
    }

    private func mutated(_ bytes: [UInt8], using random: inout Seeded) -> [UInt8] {
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

import OnionCrypto
import Registry
import Testing
import Wire

typealias Action = RegistryOperation.Action
typealias Refusal = RegistryRefusal

let day: UInt64 = 86_400
let start: UInt64 = 1_800_000_000
let sesh: UInt64 = 1_000_000_000
let full = 25_000 * sesh

func bytes32(_ tag: UInt64, _ number: UInt64) -> Bytes32 {
    var writer = ByteWriter()
    for word in [number &* 0x9e37_79b9_7f4a_7c15 | 1, tag, number, 0] { writer.u64(word) }
    return Bytes32(copying: writer.bytes.rawSpan)
}

func key(_ number: UInt64) -> SigningKey { SigningKey(seed: Secret(copying: bytes32(99, number).array.rawSpan)) }

let networkID = bytes32(7, 7)

extension RegistryOperation.Action {
    /// A contribution of one who accepts any fee.
    static func contribute(node: NodeID, amount: UInt64) -> Self {
        .contribute(node: node, amount: amount, fee: 10_000)
    }
}

/// Accounts 0 to 29 with 100,000 SESH each, the treasury 1000, nodes with keys from 100 on, and a clock.
///
/// Operations are free unless a test sets a fee, so that balances depend only on the other rules.
struct Town {
    static let accounts: UInt64 = 30
    static let ids: [Account] = (0..<accounts).map { Account(key($0).publicKey) }
    static let nodeIDs: [NodeID] = (0..<60).map { NodeID(key(100 + $0).publicKey) }
    static let treasury = Account(key(1000).publicKey)

    var state: RegistryState

    init(balance: UInt64 = 100_000 * sesh, _ change: (inout RegistryParameters) -> Void = { _ in }) {
        var parameters = RegistryParameters(treasury: Self.treasury)
        parameters.operationFee = 0
        change(&parameters)
        state = RegistryState(
            network: networkID, parameters: parameters, time: start, pool: 40_000_000 * sesh + 1,
            balances: Dictionary(uniqueKeysWithValues: Self.ids.map { ($0, balance) }))!
        next(after: 0)
    }

    func id(_ account: UInt64) -> Account { account == 1000 ? Self.treasury : Self.ids[Int(account)] }
    func balance(_ account: UInt64) -> UInt64 { state.accounts[id(account)]!.balance }
    func node(_ number: Int) -> RegisteredNode? { state.nodes[Self.nodeIDs[number]] }

    /// Opens the next block, `seconds` later.
    mutating func next(after seconds: UInt64) {
        let height = state.height + 1
        #expect(throws: Never.self) {
            try state.begin(
                height: height, time: state.time + seconds, block: bytes32(5, height), seed: bytes32(5, height))
        }
        #expect(state.isBalanced)
    }

    /// Lets `seconds` pass in blocks ten minutes apart.
    mutating func pass(_ seconds: UInt64) {
        for _ in 0..<seconds / 600 { next(after: 600) }
        if seconds % 600 > 0 { next(after: seconds % 600) }
    }

    func operation(_ account: UInt64, _ action: Action) -> RegistryOperation {
        RegistryOperation(
            network: networkID, nonce: state.accounts[id(account)]?.nonce ?? 0, action: action, key: key(account))
    }

    func registration(_ account: UInt64, _ node: Int, fee: UInt16 = 0, stake: UInt64) -> RegistryOperation {
        RegistryOperation(
            registering: key(100 + UInt64(node)), fee: fee, stake: stake, network: networkID,
            nonce: state.accounts[id(account)]?.nonce ?? 0, key: key(account))
    }

    /// Applies an operation that must be accepted.
    mutating func run(_ operation: RegistryOperation, _ place: SourceLocation = #_sourceLocation) {
        do {
            try state.apply(operation)
        } catch {
            Issue.record("refused: \(error)", sourceLocation: place)
        }
        #expect(state.isBalanced, sourceLocation: place)
    }

    mutating func run(_ account: UInt64, _ action: Action, _ place: SourceLocation = #_sourceLocation) {
        run(operation(account, action), place)
    }

    /// Applies an operation that must be refused, and checks that nothing changed.
    mutating func refuse(
        _ operation: RegistryOperation, _ refusal: Refusal, _ place: SourceLocation = #_sourceLocation
    ) {
        let before = state.digest
        do {
            try state.apply(operation)
            Issue.record("accepted", sourceLocation: place)
        } catch {
            #expect(error == refusal, sourceLocation: place)
        }
        #expect(state.digest == before, sourceLocation: place)
    }

    mutating func refuse(
        _ account: UInt64, _ action: Action, _ refusal: Refusal, _ place: SourceLocation = #_sourceLocation
    ) {
        refuse(operation(account, action), refusal, place)
    }

    /// A report by node `reporter` on other nodes, at the present height unless another is given.
    func report(by reporter: Int, on measured: [(Int, UInt32)], height: UInt64? = nil) -> RegistryOperation {
        RegistryOperation(
            reporting: measured.map { .init(node: Self.nodeIDs[$0], capacity: $1) }, height: height ?? state.height,
            network: networkID, nodeKey: key(100 + UInt64(reporter)))
    }

    /// The request of a node for maintenance; with 0 seconds, to come back.
    func maintenance(_ number: Int, _ seconds: UInt32, height: UInt64? = nil) -> RegistryOperation {
        RegistryOperation(
            maintaining: key(100 + UInt64(number)), seconds: seconds, height: height ?? state.height,
            network: networkID)
    }

    /// Registers nodes with full stakes; the operator of each is the account with the same number.
    mutating func settle(_ numbers: Range<Int>) {
        for number in numbers { run(registration(UInt64(number), number, stake: full)) }
    }

    /// A judge action for `verdict`, with the votes at `places` in the quorum of `height` (default: the present one).
    func verdict(
        _ verdict: RegistryOperation.Judgment, _ number: Int, height: UInt64? = nil, places: some Sequence<UInt8>
    ) -> Action {
        let node = Self.nodeIDs[number]
        let height = height ?? state.height
        let judges = state.judges(of: node, height: height)
        let ballot = RegistryOperation.ballot(
            verdict, on: node, height: height, block: bytes32(5, height), network: networkID)
        let votes = places.map { place in
            let voter = Int(place) < judges.count ? Self.nodeIDs.firstIndex(of: judges[Int(place)])! : 59
            return RegistryOperation.Vote(place: place, signature: key(100 + UInt64(voter)).sign(ballot.rawSpan))
        }
        return .judge(verdict, node: node, height: height, votes: votes)
    }
}

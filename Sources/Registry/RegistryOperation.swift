// One file: the bytes of every operation, written and read side by side.

public import OnionCrypto
public import Wire

/// An operation on the registry, signed by an account (docs/registry.md, "Operations").
public struct RegistryOperation: Hashable, Sendable {
    /// The version of the format.
    public static let version: UInt8 = 1
    /// The length of a signature in bytes.
    public static let signatureSize = SigningKey.signatureSize
    /// The most votes of one verdict.
    public static let maximumVotes = Int(RegistryParameters.quorumLimit)
    /// The longest encoding in bytes.
    public static let maximumSize = headSize + 42 + maximumVotes * (1 + signatureSize) + signatureSize
    static let headSize = 1 + 1 + 32 + 32 + 8 + 8
    /// The most nodes in one report.
    public static let maximumReported = 16
    /// The account field of an operation that needs no account: 32 zero bytes.
    public static let nobody = Account(Bytes32(copying: [UInt8](repeating: 0, count: 32).rawSpan))

    /// A quorum's decision about a node.
    public enum Judgment: UInt8, Hashable, Sendable, CaseIterable {
        /// The node does not serve: it is not a hop and gets no rewards.
        case decommission = 1
        /// The node serves again.
        case recommission = 2
    }

    /// The vote of one member of a quorum.
    public struct Vote: Hashable, Sendable {
        /// The voter's place in the quorum, from 0.
        public let place: UInt8
        /// The voter's signature, 64 bytes.
        public let signature: [UInt8]

        /// The vote of the node at `place`; `signature` has 64 bytes.
        public init(place: UInt8, signature: [UInt8]) {
            precondition(signature.count == signatureSize, "a signature is 64 bytes long")
            self.place = place
            self.signature = signature
        }
    }

    /// One node's measurement of another.
    public struct Measurement: Hashable, Sendable {
        /// The measured node.
        public let node: NodeID
        /// The measured capacity, in 1,000 bytes a second; 0: the node did not answer.
        public let capacity: UInt32

        /// The measurement `capacity` of `node`.
        public init(node: NodeID, capacity: UInt32) {
            self.node = node
            self.capacity = capacity
        }
    }

    /// The change that the operation requests.
    public enum Action: Hashable, Sendable {
        /// Registers `node` with the operator's first `stake` and `fee`; `proof` is the node's signature, 64 bytes.
        case register(node: NodeID, fee: UInt16, stake: UInt64, proof: [UInt8])
        /// Adds `amount` to the stake of an open node whose fee is `fee` at most.
        case contribute(node: NodeID, amount: UInt64, fee: UInt16)
        /// Takes back a contribution to an open node; the operator's dissolves the node.
        case cancel(node: NodeID)
        /// Changes the operator's fee.
        case setFee(node: NodeID, fee: UInt16)
        /// Requests that the node leave.
        case leave(node: NodeID)
        /// Carries out a verdict on `node` by the quorum of `height`; `votes` by ascending place.
        case judge(Judgment, node: NodeID, height: UInt64, votes: [Vote])
        /// Pays out the rewards of one interval.
        case distribute
        /// Moves the account's rewards to its free balance.
        case claim
        /// Pays a network fee.
        case pay(amount: UInt64)
        /// Moves `amount` to another account, which is created if it does not exist.
        case transfer(to: Account, amount: UInt64)
        /// Submits the measurements by `reporter` as a member of the quorum of `height`; `measured` by ascending node,
        /// `proof` is the reporter's signature, 64 bytes.
        case report(reporter: NodeID, height: UInt64, measured: [Measurement], proof: [UInt8])
        /// Takes `node` out of service for so many seconds, or returns it with 0; `height` is one of the newest, and
        /// `proof` is the node's signature, 64 bytes.
        case maintain(node: NodeID, seconds: UInt32, height: UInt64, proof: [UInt8])

        /// Whether the operation needs no signature of an account.
        var needsNoAccount: Bool {
            switch self {
            case .judge, .distribute, .report, .maintain: true
            case .register, .contribute, .cancel, .setFee, .leave, .claim, .pay, .transfer: false
            }
        }

        /// The byte that names the action.
        var kind: UInt8 {
            switch self {
            case .register: 1
            case .contribute: 2
            case .cancel: 3
            case .setFee: 4
            case .leave: 5
            case .judge: 6
            case .distribute: 7
            case .claim: 8
            case .pay: 9
            case .transfer: 10
            case .report: 11
            case .maintain: 12
            }
        }
    }

    /// The network's id.
    public let network: Bytes32
    /// The account that signs the operation.
    public let account: Account
    /// The number of the account's operations that were applied before this one.
    public let nonce: UInt64
    /// The height of the last block that may contain it; 0 if no account signs it.
    public let until: UInt64
    /// The requested change.
    public let action: Action
    /// The account's signature, 64 bytes; not verified by this type's initializers.
    public let signature: [UInt8]

    /// The operation with an existing signature of 64 bytes.
    public init(
        network: Bytes32, account: Account, nonce: UInt64, until: UInt64, action: Action, signature: [UInt8]
    ) {
        precondition(signature.count == Self.signatureSize, "a signature is 64 bytes long")
        self.network = network
        self.account = account
        self.nonce = nonce
        self.until = until
        self.action = action
        self.signature = signature
    }

    /// The operation, signed with the account's `key`, for blocks up to the height `until`.
    public init(
        network: Bytes32, nonce: UInt64, until: UInt64 = .max, action: Action, key: borrowing SigningKey
    ) {
        let account = Account(key.publicKey)
        let body = Self.body(network: network, account: account, nonce: nonce, until: until, action: action)
        self.init(
            network: network, account: account, nonce: nonce, until: until, action: action,
            signature: key.sign(Self.message(body).rawSpan))
    }

    /// The registration of the node with `nodeKey`, signed by it and with the operator's `key`.
    public init(
        registering nodeKey: borrowing SigningKey, fee: UInt16, stake: UInt64, network: Bytes32, nonce: UInt64,
        until: UInt64 = .max, key: borrowing SigningKey
    ) {
        let node = NodeID(nodeKey.publicKey)
        let proof = Self.registrationProof(
            of: nodeKey, fee: fee, stake: stake, network: network, account: Account(key.publicKey), nonce: nonce)
        let action = Action.register(node: node, fee: fee, stake: stake, proof: proof)
        self.init(network: network, nonce: nonce, until: until, action: action, key: key)
    }

    /// An operation without an account: a verdict, a distribution, a report or a maintenance request.
    public init(unsigned action: Action, network: Bytes32) {
        precondition(action.needsNoAccount, "this operation is an account's")
        self.init(
            network: network, account: Self.nobody, nonce: 0, until: 0, action: action,
            signature: [UInt8](repeating: 0, count: Self.signatureSize))
    }

    /// A report by the node with `nodeKey`, which was in the quorum of `height`; it needs no account.
    public init(
        reporting measured: [Measurement], height: UInt64, network: Bytes32, nodeKey: borrowing SigningKey
    ) {
        let measured = measured.sorted { $0.node < $1.node }
        let reporter = NodeID(nodeKey.publicKey)
        let message = Self.statement(network: network, reporter: reporter, height: height, measured: measured)
        let action = Action.report(
            reporter: reporter, height: height, measured: measured, proof: nodeKey.sign(message.rawSpan))
        self.init(unsigned: action, network: network)
    }

    /// The request of the node with `nodeKey` for a maintenance of so many seconds; 0: the node returns to service.
    ///
    /// `height` is that of a recent block, after the last change of the node's standing.
    public init(
        maintaining nodeKey: borrowing SigningKey, seconds: UInt32, height: UInt64, network: Bytes32
    ) {
        let node = NodeID(nodeKey.publicKey)
        let message = Self.maintenance(of: node, seconds: seconds, height: height, network: network)
        self.init(
            unsigned: .maintain(node: node, seconds: seconds, height: height, proof: nodeKey.sign(message.rawSpan)),
            network: network)
    }

    /// The message that a node signs to request maintenance.
    static func maintenance(of node: NodeID, seconds: UInt32, height: UInt64, network: Bytes32) -> [UInt8] {
        var writer = ByteWriter()
        writer.prefix(.registryMaintenance)
        writer.bytes32(network)
        writer.nodeID(node)
        writer.u32(seconds)
        writer.u64(height)
        return writer.bytes
    }

    /// The signature, 64 bytes, by which the node with `nodeKey` agrees to this registration in the operation `nonce`
    /// of `account`.
    public static func registrationProof(
        of nodeKey: borrowing SigningKey, fee: UInt16, stake: UInt64, network: Bytes32, account: Account, nonce: UInt64
    ) -> [UInt8] {
        nodeKey.sign(
            registration(
                network: network, account: account, nonce: nonce, node: NodeID(nodeKey.publicKey), fee: fee,
                stake: stake
            ).rawSpan)
    }

    /// The message that a node signs to report.
    static func statement(
        network: Bytes32, reporter: NodeID, height: UInt64, measured: [Measurement]
    ) -> [UInt8] {
        var writer = ByteWriter()
        writer.prefix(.registryReport)
        writer.bytes32(network)
        writer.nodeID(reporter)
        writer.u64(height)
        encode(measured, to: &writer)
        return writer.bytes
    }

    private static func encode(_ measured: [Measurement], to writer: inout ByteWriter) {
        writer.u8(UInt8(clamping: measured.count))
        for measurement in measured {
            writer.nodeID(measurement.node)
            writer.u32(measurement.capacity)
        }
    }

    /// The message that a member of the quorum of `height`, made in the block `block`, signs.
    public static func ballot(
        _ verdict: Judgment, on node: NodeID, height: UInt64, block: Bytes32, network: Bytes32
    ) -> [UInt8] {
        var writer = ByteWriter()
        writer.prefix(.registryVote)
        writer.bytes32(network)
        writer.u8(verdict.rawValue)
        writer.nodeID(node)
        writer.u64(height)
        writer.bytes32(block)
        return writer.bytes
    }

    /// The message that a node signs to be registered.
    static func registration(
        network: Bytes32, account: Account, nonce: UInt64, node: NodeID, fee: UInt16, stake: UInt64
    ) -> [UInt8] {
        var writer = ByteWriter()
        writer.prefix(.registryNode)
        writer.bytes32(network)
        writer.account(account)
        writer.u64(nonce)
        writer.nodeID(node)
        writer.u16(fee)
        writer.u64(stake)
        return writer.bytes
    }

    /// The message that the account signs, for a body without its signature.
    private static func message(_ body: [UInt8]) -> [UInt8] { MessagePrefix.registryOperation.bytes + body }

    /// Whether the signature is the account's; without an account it must be 64 zero bytes.
    public var isAuthentic: Bool {
        if account == Self.nobody {
            return action.needsNoAccount && until == 0 && signature.allSatisfy { $0 == 0 }
        }
        let body = Self.body(network: network, account: account, nonce: nonce, until: until, action: action)
        return SigningKey.verify(signature.rawSpan, of: Self.message(body).rawSpan, by: account.key)
    }
}

extension RegistryOperation {
    /// The encoding.
    public func encoded() -> [UInt8] {
        Self.body(network: network, account: account, nonce: nonce, until: until, action: action) + signature
    }

    private static func body(
        network: Bytes32, account: Account, nonce: UInt64, until: UInt64, action: Action
    ) -> [UInt8] {
        var writer = ByteWriter(capacity: headSize + 128)
        writer.u8(version)
        writer.u8(action.kind)
        writer.bytes32(network)
        writer.account(account)
        writer.u64(nonce)
        writer.u64(until)
        switch action {
        case .register(let node, let fee, let stake, let proof):
            writer.nodeID(node)
            writer.u16(fee)
            writer.u64(stake)
            writer.raw(proof)
        case .contribute(let node, let amount, let fee):
            writer.nodeID(node)
            writer.u64(amount)
            writer.u16(fee)
        case .cancel(let node), .leave(let node):
            writer.nodeID(node)
        case .setFee(let node, let fee):
            writer.nodeID(node)
            writer.u16(fee)
        case .judge(let verdict, let node, let height, let votes):
            writer.u8(verdict.rawValue)
            writer.nodeID(node)
            writer.u64(height)
            writer.u8(UInt8(clamping: votes.count))
            for vote in votes {
                writer.u8(vote.place)
                writer.raw(vote.signature)
            }
        case .distribute, .claim: break
        case .pay(let amount): writer.u64(amount)
        case .transfer(let receiver, let amount):
            writer.account(receiver)
            writer.u64(amount)
        case .report(let reporter, let height, let measured, let proof):
            writer.nodeID(reporter)
            writer.u64(height)
            encode(measured, to: &writer)
            writer.raw(proof)
        case .maintain(let node, let seconds, let height, let proof):
            writer.nodeID(node)
            writer.u32(seconds)
            writer.u64(height)
            writer.raw(proof)
        }
        return writer.bytes
    }

    /// Reads a whole operation; throws for anything else than its exact encoding.
    ///
    /// Throws `outOfRange` if votes or measurements are missing, too many, or not in ascending order of place or node.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        let kind = try reader.u8()
        let network = try reader.bytes32()
        let account = try reader.account()
        let nonce = try reader.u64()
        let until = try reader.u64()
        let action = try Self.action(kind, from: &reader)
        let signature = try reader.array(Self.signatureSize)
        try reader.end()
        self.init(
            network: network, account: account, nonce: nonce, until: until, action: action, signature: signature)
    }

    private static func action(_ kind: UInt8, from reader: inout ByteReader) throws(WireError) -> Action {
        switch kind {
        case 1:
            return .register(
                node: try reader.nodeID(), fee: try reader.u16(), stake: try reader.u64(),
                proof: try reader.array(signatureSize))
        case 2: return .contribute(node: try reader.nodeID(), amount: try reader.u64(), fee: try reader.u16())
        case 3: return .cancel(node: try reader.nodeID())
        case 4: return .setFee(node: try reader.nodeID(), fee: try reader.u16())
        case 5: return .leave(node: try reader.nodeID())
        case 6:
            let code = try reader.u8()
            guard let verdict = Judgment(rawValue: code) else { throw .unknownKind(UInt64(code)) }
            let node = try reader.nodeID()
            let height = try reader.u64()
            let count = Int(try reader.u8())
            guard (1...maximumVotes).contains(count) else { throw .outOfRange }
            var votes: [Vote] = []
            votes.reserveCapacity(count)
            for _ in 0..<count {
                let vote = Vote(place: try reader.u8(), signature: try reader.array(signatureSize))
                if let last = votes.last, last.place >= vote.place { throw .outOfRange }
                votes.append(vote)
            }
            return .judge(verdict, node: node, height: height, votes: votes)
        case 7: return .distribute
        case 8: return .claim
        case 9: return .pay(amount: try reader.u64())
        case 10: return .transfer(to: try reader.account(), amount: try reader.u64())
        case 11:
            let reporter = try reader.nodeID()
            let height = try reader.u64()
            let count = Int(try reader.u8())
            guard (1...maximumReported).contains(count) else { throw .outOfRange }
            var measured: [Measurement] = []
            measured.reserveCapacity(count)
            for _ in 0..<count {
                let measurement = Measurement(node: try reader.nodeID(), capacity: try reader.u32())
                if let last = measured.last, !(last.node < measurement.node) { throw .outOfRange }
                measured.append(measurement)
            }
            let proof = try reader.array(signatureSize)
            return .report(reporter: reporter, height: height, measured: measured, proof: proof)
        case 12:
            return .maintain(
                node: try reader.nodeID(), seconds: try reader.u32(), height: try reader.u64(),
                proof: try reader.array(signatureSize))
        default: throw .unknownKind(UInt64(kind))
        }
    }
}

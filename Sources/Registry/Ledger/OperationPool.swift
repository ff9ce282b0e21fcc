internal import OnionCrypto
public import Wire

/// Operations that wait for a block, each of which can be applied after those before it.
public struct OperationPool: Sendable {
    /// The most operations.
    public static let maximumOperations = 2_000
    /// The most bytes of operations.
    public static let maximumBytes = 1 << 20
    /// The most operations of one account; nobody's are bounded by their own rules.
    public static let maximumPerAccount = 64

    private var operations: [(hash: Bytes32, operation: RegistryOperation, size: Int)] = []
    private var size = 0
    /// The state after the operations of the pool, at the height that it was made for.
    private var trial: RegistryState?

    /// No operations.
    public init() {}

    /// How many operations wait.
    public var count: Int { operations.count }
    /// The operations, in the order in which they came.
    public var waiting: [RegistryOperation] { operations.map(\.operation) }

    /// What tells operations apart.
    public static func hash(of operation: RegistryOperation) -> Bytes32 {
        let bytes = operation.encoded()
        return Blake2b.digest(bytes.rawSpan)
    }

    /// Takes an operation that follows those that wait; throws the rule against it, `blockFull` where there is no room.
    ///
    /// One that waits already is taken again without effect.
    public mutating func add(
        _ operation: RegistryOperation, to chain: LedgerChain, now: UInt64
    ) throws(RegistryRefusal) {
        let bytes = operation.encoded()
        let hash = Blake2b.digest(bytes.rawSpan)
        guard !operations.contains(where: { $0.hash == hash }) else { return }
        guard operations.count < Self.maximumOperations, size + bytes.count <= Self.maximumBytes else {
            throw .blockFull
        }
        let account = operation.account
        guard
            account == RegistryOperation.nobody
                || operations.count(where: { $0.operation.account == account }) < Self.maximumPerAccount
        else { throw .blockFull }
        if trial?.height != chain.height + 1 { rebuild(chain, now: now) }
        guard trial != nil else { throw .timeOutOfRange }
        try trial!.apply(operation)
        operations.append((hash, operation, bytes.count))
        size += bytes.count
    }

    /// Follows the chain after a block: what cannot be applied any more goes.
    public mutating func follow(_ chain: LedgerChain, now: UInt64) {
        if operations.isEmpty { trial = nil } else { rebuild(chain, now: now) }
    }

    private mutating func rebuild(_ chain: LedgerChain, now: UInt64) {
        trial = chain.opened(at: now)
        guard trial != nil else { return }
        operations = operations.filter { entry in
            do throws(RegistryRefusal) {
                try trial!.applyVerified(entry.operation)
                return true
            } catch {
                return false
            }
        }
        size = operations.reduce(0) { $0 + $1.size }
    }
}

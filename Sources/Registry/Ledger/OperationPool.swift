internal import OnionCrypto
public import Wire

/// Operations that wait for a block; each can be applied after those before it.
///
/// Verdicts, reports, stakes and transfers have separate places (``OperationShare``). When a share's places are full,
/// the account with the most gives up one to an account that has at least two fewer.
public struct OperationPool: Sendable {
    /// The most operations of one account, of verdicts on one node, and of reports by one node.
    public static let maximumPerSource = 64

    /// The number of removals after which all other operations are applied again, so that a flood causes few passes.
    static let replayInterval = 64

    private struct Entry {
        let hash: Bytes32
        let operation: RegistryOperation
        let size: Int
        let share: OperationShare
        let source: OperationShare.Source
    }

    /// The operations, in order of arrival.
    private var operations: [Entry] = []
    /// The hashes of all of them.
    private var hashes: Set<Bytes32> = []
    /// The places of each share, by the share's number.
    private var shares = Self.emptyShares
    /// The state in which the next block is open.
    private var base: RegistryState?
    /// The state after the operations of the pool.
    ///
    /// It includes operations removed since the last pass.
    private var trial: RegistryState?
    /// The accounts of the removed operations: until the next pass or block they may add no operation.
    private var gaps: Set<Account> = []
    /// How many were removed since the last pass.
    private var displaced = 0
    /// How many passes there were.
    private(set) var replays = 0

    private static var emptyShares: [Shares<OperationShare.Source>] {
        OperationShare.allCases.map { Shares(capacity: $0.places, most: maximumPerSource) }
    }

    /// No operations.
    public init() {}

    /// How many operations wait.
    public var count: Int { operations.count }

    /// The operations in the order in which a leader tries them.
    ///
    /// Each share has a quarter of the next block, and its unused part goes to the others. Verdicts within their
    /// quarter come first, then everything else that the block has room for, then the rest; each part in order of
    /// arrival.
    public var waiting: [RegistryOperation] {
        let places = Int(clamping: base?.parameters.operationsPerBlock ?? 0)
        let count = OperationShare.allCases.count
        var ranks = [Int](repeating: 2, count: operations.count)
        var used = (places: 0, bytes: 0)
        var usedByShare = [(places: Int, bytes: Int)](repeating: (0, 0), count: count)
        for (index, entry) in operations.enumerated() {
            let share = usedByShare[entry.share.rawValue]
            guard share.places < places / count, share.bytes + entry.size <= Block.operationBytes / count else {
                continue
            }
            usedByShare[entry.share.rawValue] = (share.places + 1, share.bytes + entry.size)
            used = (used.places + 1, used.bytes + entry.size)
            ranks[index] = entry.share == .verdicts ? 0 : 1
        }
        for (index, entry) in operations.enumerated() where ranks[index] == 2 {
            guard used.places < places, used.bytes + entry.size <= Block.operationBytes else { continue }
            used = (used.places + 1, used.bytes + entry.size)
            ranks[index] = 1
        }
        let order = (0...2).flatMap { rank in operations.indices.filter { ranks[$0] == rank } }
        return order.map { operations[$0].operation }
    }

    /// The key of an operation in the pool: the hash of its encoding.
    public static func hash(of operation: RegistryOperation) -> Bytes32 {
        let bytes = operation.encoded()
        return Blake2b.digest(bytes.rawSpan)
    }

    /// Adds an operation after the waiting ones; throws the rule that refuses it, or `blockFull` if there is no place.
    ///
    /// Adding one that already waits has no effect.
    public mutating func add(
        _ operation: RegistryOperation, to chain: LedgerChain, now: UInt64
    ) throws(RegistryRefusal) {
        let bytes = operation.encoded()
        let hash = Blake2b.digest(bytes.rawSpan)
        guard !hashes.contains(hash) else { return }
        if trial?.height != chain.height + 1 {
            rebuild(chain, now: now)
        } else if displaced >= Self.replayInterval {
            replay()
        }
        guard trial != nil else { throw .timeOutOfRange }
        guard !gaps.contains(operation.account) else { throw .blockFull }
        let entry = Entry(
            hash: hash, operation: operation, size: bytes.count + 2, share: operation.share, source: operation.source)
        let index = entry.share.rawValue
        switch shares[index].take(for: entry.source) {
        case .granted:
            do throws(RegistryRefusal) {
                try Self.apply(operation, to: &trial!)
            } catch {
                shares[index].release(entry.source)
                throw error
            }
            operations.append(entry)
            hashes.insert(hash)
        case .makeRoom(let largest):
            // Only an operation that the rules allow may replace another.
            try Self.apply(operation, to: &trial!)
            let last = operations.lastIndex { $0.share == entry.share && $0.source == largest }
            guard let last else { preconditionFailure("a source that holds places has operations") }
            displace(last)
            shares[index].add(entry.source)
            operations.append(entry)
            hashes.insert(hash)
        case .shareUsed, .full: throw .blockFull
        }
    }

    /// Removes the operation at `index`, without applying the later ones again.
    ///
    /// Later operations of its account in other shares stay until the next pass; a leader leaves them out of its block.
    private mutating func displace(_ index: Int) {
        let entry = operations.remove(at: index)
        shares[entry.share.rawValue].release(entry.source)
        hashes.remove(entry.hash)
        if entry.operation.account != RegistryOperation.nobody { gaps.insert(entry.operation.account) }
        displaced += 1
    }

    /// Applies an operation with all signatures checked; the limit of operations in a block does not apply.
    private static func apply(
        _ operation: RegistryOperation, to state: inout RegistryState
    ) throws(RegistryRefusal) {
        state.operationsInBlock = 0
        try state.apply(operation)
    }

    /// Follows the chain after a block and removes operations that can no longer be applied.
    public mutating func follow(_ chain: LedgerChain, now: UInt64) {
        if operations.isEmpty {
            base = nil
            trial = nil
        } else {
            rebuild(chain, now: now)
        }
    }

    private mutating func rebuild(_ chain: LedgerChain, now: UInt64) {
        base = chain.opened(at: now)
        replay()
    }

    /// Applies the operations again to the open block and removes those that fail.
    private mutating func replay() {
        replays += 1
        displaced = 0
        gaps = []
        trial = base
        guard var state = base else { return }
        // The state must have one owner, or each operation would copy it.
        trial = nil
        shares = Self.emptyShares
        operations = operations.filter { entry in
            state.operationsInBlock = 0
            do throws(RegistryRefusal) {
                try state.applyVerified(entry.operation)
            } catch {
                return false
            }
            return shares[entry.share.rawValue].take(for: entry.source) == .granted
        }
        hashes = Set(operations.map(\.hash))
        trial = state
    }
}

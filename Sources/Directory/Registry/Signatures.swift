public import Wire

/// A signature and its signer's place among the voters.
public struct SignatureItem: Hashable, Sendable {
    /// The size of an encoded item in bytes.
    public static let size = 2 + 64
    /// The signer's place among the voters.
    public let place: Int
    /// The signature, 64 bytes.
    public let bytes: [UInt8]

    /// The signature `bytes` (64) of the voter at `place`.
    public init(place: Int, bytes: [UInt8]) {
        precondition(bytes.count == 64, "a signature is 64 bytes long")
        self.place = place
        self.bytes = bytes
    }
}

/// The collected signatures of one snapshot.
public typealias SnapshotSignatures = Signatures<Snapshot>

/// The collected signatures of one snapshot or descriptor list, by its voters (protocol.md, section 10.3).
///
/// Check each signature before it is added.
public struct Signatures<Subject: Sendable>: Sendable {
    /// A signature and its signer's place among the voters.
    public typealias Item = SignatureItem

    /// The snapshot or list that is signed.
    public let subject: Subject
    /// Its number in messages: a snapshot's height or a list's round.
    public let height: UInt64
    /// The digest that the signed message contains.
    public let digest: Bytes32
    /// The voters, by ascending node id.
    public let voters: [NodeID]
    /// The message that each voter signs.
    let message: [UInt8]
    private var held: [[UInt8]?]
    /// The number of collected signatures.
    public private(set) var count = 0

    /// No signatures of `subject` yet; `voters` sign `message`.
    init(_ subject: Subject, height: UInt64, digest: Bytes32, message: [UInt8], voters: [NodeID]) {
        self.subject = subject
        self.height = height
        self.digest = digest
        self.voters = voters
        self.message = message
        held = [[UInt8]?](repeating: nil, count: voters.count)
    }

    /// Whether more than two thirds of the voters have signed.
    public var isFinal: Bool { count >= SnapshotChain.quorum(of: voters.count) }
    /// Whether all voters have signed.
    public var isWhole: Bool { count == voters.count }

    /// One bit for each voter, the first in the lowest bit of the first byte; set if the voter's signature is held.
    public var bitmap: [UInt8] {
        var bits = [UInt8](repeating: 0, count: (voters.count + 7) / 8)
        for place in held.indices where held[place] != nil { bits[place / 8] |= 1 << UInt8(place % 8) }
        return bits
    }

    /// Whether the voter at `place` has signed.
    public func holds(_ place: Int) -> Bool { held.indices.contains(place) && held[place] != nil }

    /// The signatures that a node with `bitmap` lacks, as many as fit into `byteLimit`.
    public func missing(in bitmap: [UInt8], byteLimit: Int) -> [Item] {
        var list: [Item] = []
        for (place, bytes) in held.enumerated() {
            guard let bytes, place / 8 >= bitmap.count || bitmap[place / 8] >> UInt8(place % 8) & 1 == 0 else {
                continue
            }
            guard (list.count + 1) * Item.size <= byteLimit else { break }
            list.append(Item(place: place, bytes: bytes))
        }
        return list
    }

    /// The items worth checking: those of voters without a held signature, one for each voter.
    public func unknown(_ items: [Item]) -> [Item] {
        var seen: Set<Int> = []
        return items.filter { $0.place < held.count && held[$0.place] == nil && seen.insert($0.place).inserted }
    }

    /// The items with right signatures.
    public func checked(_ items: [Item], _ check: SignatureCheck = .ed25519) -> [Item] {
        items.filter { $0.place < voters.count && check.isGood($0.bytes, message, voters[$0.place]) }
    }

    /// The items with right signatures, and the neighbours that sent a wrong one.
    ///
    /// No more signatures of a neighbour are verified after its first wrong one, nor for a place after its first right
    /// one.
    public func checked(
        _ items: [SignatureInbox.Entry], _ check: SignatureCheck = .ed25519
    ) -> (good: [Item], liars: Set<NodeID>) {
        var good: [Item] = []
        var liars: Set<NodeID> = []
        var places: Set<Int> = []
        for (item, source) in items where !liars.contains(source) && item.place < voters.count {
            guard !places.contains(item.place) else { continue }
            if check.isGood(item.bytes, message, voters[item.place]) {
                good.append(item)
                places.insert(item.place)
            } else {
                liars.insert(source)
            }
        }
        return (good, liars)
    }

    /// Keeps a checked signature; returns whether it is new.
    mutating func add(_ item: Item) -> Bool {
        guard item.place < held.count, held[item.place] == nil else { return false }
        held[item.place] = item.bytes
        count += 1
        return true
    }

    /// The place of `node` among the voters; nil if it is not a voter.
    func place(of node: NodeID) -> Int? {
        var low = 0
        var high = voters.count
        while low < high {
            let middle = (low + high) / 2
            if voters[middle] < node { low = middle + 1 } else { high = middle }
        }
        return low < voters.count && voters[low] == node ? low : nil
    }

    /// The encoding of several items: place u16, signature 64.
    public static func encode(_ items: [Item]) -> [UInt8] {
        var writer = ByteWriter(capacity: items.count * Item.size)
        for item in items {
            writer.u16(UInt16(item.place))
            writer.raw(item.bytes)
        }
        return writer.bytes
    }

    /// Reads items up to the end of `reader`; throws if the last one is incomplete.
    public static func decode(from reader: inout ByteReader) throws(WireError) -> [Item] {
        guard reader.remaining % Item.size == 0 else { throw .truncated }
        guard reader.remaining / Item.size <= Snapshot.maximumNodes else { throw .outOfRange }
        var list: [Item] = []
        list.reserveCapacity(reader.remaining / Item.size)
        while reader.remaining > 0 {
            let place = Int(try reader.u16())
            list.append(Item(place: place, bytes: try reader.array(64)))
        }
        return list
    }
}

extension Signatures where Subject == Snapshot {
    /// The snapshot that is signed.
    public var snapshot: Snapshot { subject }

    /// No signatures of `snapshot` yet; `voters` are those of the snapshot before it.
    init(_ snapshot: Snapshot, voters: [NodeID]) {
        let digest = snapshot.digest
        self.init(
            snapshot, height: snapshot.height, digest: digest,
            message: Snapshot.message(digest: digest, network: snapshot.network, height: snapshot.height),
            voters: voters)
    }
}

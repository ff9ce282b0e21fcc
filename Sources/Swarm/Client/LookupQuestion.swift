public import Wire

/// A client's question for items that anyone may read, and what it takes of an answer (protocol.md, section 12.4).
public struct LookupQuestion: Hashable, Sendable {
    /// The key that names the box.
    public let box: Bytes32
    /// The kind, 1 or 2.
    public let kind: ItemKind
    /// The name; zeros: any.
    public let name: Bytes16
    /// How many items are wanted, 1 to 8.
    public let most: UInt8

    /// A question; nil for a kind that only readers with the box key get, and for a number that is not allowed.
    public init?(box: Bytes32, kind: ItemKind, name: Bytes16 = .zeros, most: Int) {
        guard kind == .descriptor || kind == .account, 1...SwarmLimits.lookups ~= most else { return nil }
        self.box = box
        self.kind = kind
        self.name = name
        self.most = UInt8(most)
    }

    /// The question as the arguments of LOOKUP.
    public var request: StoreRequest { .lookup(box: box, kind: kind, most: most, name: name) }

    /// The items of an answer that match the question and are authentic and valid at `minute`; of each name the newest.
    ///
    /// A replica can leave items out and show old ones, but none that the box's owner has not allowed.
    public func items(in answer: StoreAnswer, network: Bytes32, minute: UInt32) -> [StoredItem] {
        guard case .items(let all) = answer else { return [] }
        var found: [Bytes16: StoredItem] = [:]
        for bytes in all.prefix(Int(most)) {
            guard let item = try? StoredItem(decoding: bytes.rawSpan, network: network), let version = item.version,
                item.header.box == box, item.header.kind == kind, name.isZero || version.name == name,
                UInt64(item.header.created) <= UInt64(minute) + UInt64(SwarmLimits.copyAhead),
                item.header.expires > minute,
                found[version.name].map({ item.isNewer(than: $0) }) ?? true,
                item.isAuthentic(network: network, writers: WriteKeys(box: box, grant: nil))
            else { continue }
            found[version.name] = item
        }
        return found.sorted { $0.key < $1.key }.map(\.value)
    }
}

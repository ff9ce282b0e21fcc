internal import EventLoop
internal import Link
internal import Links
internal import Wire

/// Hears every datagram that honest ends send, and checks what can be told from outside.
///
/// Each has the network's size and goes to an address that has a reason to get it. No receiver index and link counter
/// repeat under one key, no ephemeral key and no nonce. An address that has proved nothing gets no more bytes than came
/// from it, and one from which only bytes came that must be dropped gets none.
struct Witness {
    private struct Place: Hashable {
        let from: Int
        let to: Int
        let index: UInt32
    }

    private struct Counter: Hashable {
        let place: Place
        let life: Int
        let counter: UInt64
    }

    /// The link to which a receiver index led when it was last seen, and how many it has led to.
    private struct Holder {
        var link: LinkID?
        var life: Int
    }

    struct Datagram {
        let bytes: [UInt8]
        let source: SocketAddress
        let target: SocketAddress
    }

    /// The newest datagrams.
    private(set) var seen: [Datagram] = []
    private var holders: [Place: Holder] = [:]
    private var counters: Set<Counter> = []
    private var unique: Set<[UInt8]> = []
    /// The bytes that came to honest ends from an address that is nobody's or the hostile one's, less those sent to it.
    private var credit: [SocketAddress: Int] = [:]
    /// Hostile addresses that have had a link.
    private var proven: Set<SocketAddress> = []
    private(set) var datagrams = 0

    mutating func sent(_ count: Int, from source: SocketAddress) { credit[source, default: 0] += count }
    mutating func proves(_ address: SocketAddress) { proven.insert(address) }

    /// Checks a datagram of honest end `from`; `to` is the honest end that has or had the target address, and
    /// `holder` its link with that receiver index.
    mutating func hear(
        _ bytes: [UInt8], from: Int, _ source: SocketAddress, to: Int?, _ target: SocketAddress, size: Int,
        holder: (UInt32) -> LinkID?
    ) {
        datagrams += 1
        precondition(bytes.count == size, "a datagram of another size")
        if seen.count >= 128 { seen.removeFirst() }
        seen.append(Datagram(bytes: bytes, source: source, target: target))
        if to == nil { checkTarget(bytes.count, target) }
        var reader = ByteReader(bytes.rawSpan)
        guard let index = try? reader.u32(), let counter = try? reader.u64() else { preconditionFailure("a header") }
        switch index {
        case 1, 2: once(bytes[8..<40])
        case 3:
            once(bytes[12..<44])
            // Its cookie has come from there, or it is a node's; what else goes there is the link's.
            if Hostile.own.contains(target) { proven.insert(target) }
        case 4: once(bytes[8..<32])
        default:
            precondition(index >= Wire.Packet.firstReceiverIndex, "a message of no type")
            let place = Place(from: from, to: to ?? -1, index: index)
            let link = holder(index)
            var known = holders[place] ?? Holder(link: link, life: 0)
            if let link {
                if let before = known.link, before != link { known.life += 1 }
                known.link = link
            }
            holders[place] = known
            let isNew = counters.insert(Counter(place: place, life: known.life, counter: counter)).inserted
            precondition(isNew, "a counter repeats under one key")
        }
    }

    private mutating func once(_ bytes: ArraySlice<UInt8>) {
        precondition(unique.insert(Array(bytes)).inserted, "an ephemeral key or a nonce repeats")
    }

    private mutating func checkTarget(_ count: Int, _ target: SocketAddress) {
        if proven.contains(target) || target == Hostile.endpoint || target == Hostile.void { return }
        precondition(!Hostile.isMute(target), "an answer to bytes that must be dropped")
        let left = credit[target, default: 0] - count
        precondition(left >= 0, "an address gets more bytes than came from it")
        credit[target] = left
    }
}

import Directory
import OnionCrypto
import Wire

let now = UnixTime(seconds: 1_800_000_000)
let network = bytes32(7, 7)

func bytes32(_ tag: UInt64, _ number: UInt64) -> Bytes32 {
    var writer = ByteWriter()
    writer.u64(number &* 0x9e37_79b9_7f4a_7c15 | 1)
    writer.u64(tag)
    writer.u64(number)
    writer.u64(0)
    return Bytes32(copying: writer.bytes.rawSpan)
}

func key(_ number: UInt64) -> SigningKey {
    SigningKey(seed: Secret(copying: bytes32(99, number).array.rawSpan))
}

func descriptor(
    of node: NodeID, at time: UnixTime = now, ipv4: Endpoint? = Endpoint("9.9.9.9:1090"), ipv6: Endpoint? = nil,
    exit: Bool = true, lifetime: UInt64 = DescriptorStore.lifetime, bandwidth: UInt32 = 0,
    software: String = "tunic/1.0"
) -> Descriptor {
    Descriptor(
        node: node, published: time, expires: UnixTime(seconds: time.seconds + lifetime), suites: .known,
        roles: exit ? [.exit] : [], exit: exit ? [.tcp, .ipv4] : [], bandwidth: bandwidth, ipv4: ipv4, ipv6: ipv6,
        onionKey: [UInt8](repeating: 5, count: Descriptor.onionKeySize), software: software)
}

func snapshot(keys numbers: Range<UInt64>, height: UInt64 = 1, time: UnixTime = now) -> Snapshot {
    let entries = numbers.map {
        Snapshot.Entry(node: NodeID(key($0).publicKey), operatorID: bytes32(1, $0), weight: 100, placement: $0)
    }
    return Snapshot(network: network, height: height, time: time, entries: entries)!
}

func signed(_ snapshot: Snapshot, by numbers: Range<UInt64>) -> SignedSnapshot {
    var result = SignedSnapshot(snapshot)
    for number in numbers { result.sign(with: key(number)) }
    return result
}

/// A network for path selection, whose descriptors have no valid signatures.
struct Town {
    var snapshot: Snapshot
    var descriptors: [SignedDescriptor]
    var operators: [NodeID: Bytes32] = [:]
    var ranges: [NodeID: UInt32] = [:]
    var exits: Set<NodeID> = []

    /// `count` nodes; node i belongs to operator i / perOperator, and to the /16 number i / perRange.
    init(
        count: Int, perOperator: Int = 1, perRange: Int = 1, exitEvery: Int = 3, suspended: Set<Int> = [],
        weight: (Int) -> UInt32 = { _ in 1_000 }
    ) {
        var entries: [Snapshot.Entry] = []
        descriptors = []
        for i in 0..<count {
            let node = NodeID(bytes32(2, UInt64(i)))
            let owner = bytes32(3, UInt64(i / perOperator))
            entries.append(
                Snapshot.Entry(
                    node: node, operatorID: owner, state: suspended.contains(i) ? .suspended : .staked,
                    weight: weight(i), placement: 0))
            let range = UInt32(0x0100 + i / perRange)
            let endpoint = Endpoint(address: IPAddress(v4: range << 16 | UInt32(i & 0xff)), port: 1090)
            let isExit = i % exitEvery == 0
            descriptors.append(
                SignedDescriptor(
                    descriptor(of: node, ipv4: endpoint, exit: isExit), signature: [UInt8](repeating: 0, count: 64)))
            operators[node] = owner
            ranges[node] = range
            if isExit { exits.insert(node) }
        }
        snapshot = Snapshot(network: network, height: 1, time: now, entries: entries)!
    }

    func selector(_ change: (inout PathSelector.Rules) -> Void = { _ in }) -> PathSelector {
        var rules = PathSelector.Rules()
        change(&rules)
        return PathSelector(snapshot: snapshot, descriptors: descriptors, rules: rules, at: now)
    }

    func node(_ i: Int) -> NodeID { NodeID(bytes32(2, UInt64(i))) }
}

internal import OnionCrypto
internal import Swarm
internal import Wire

/// One look-up: replicas of a service's two boxes are asked until one shows a good descriptor.
struct DescriptorLookup {
    /// A box of the service with its replicas.
    struct Place {
        let period: TimePeriod
        let reader: DescriptorReader
        let swarm: BoxSwarm
    }

    let places: [Place]
    private let keys: [ClientKey]
    private var order: ReplicaOrder
    private var ends: Instant
    /// Digests of descriptors that the client could not use.
    private let useless: Set<Bytes32>
    private let patience: TimeSpan
    /// The newest versions that are known of each name.
    private(set) var held: [Bytes16: DescriptorVersion]
    /// The newest descriptor of each instance.
    private var found: [InstanceID: FoundDescriptor] = [:]
    private var empty = 0
    private var fault: DescriptorFault?
    /// The fault of a descriptor that the service has made, for other clients.
    private var keyFault: LookupFailure?

    init(
        of places: [Place], keys: [ClientKey], held: [Bytes16: DescriptorVersion], useless: Set<Bytes32>,
        patience: TimeSpan, now: Instant, random: inout some RandomNumberGenerator
    ) {
        self.places = places
        self.keys = keys
        self.held = held
        self.useless = useless
        self.patience = patience
        ends = now + LookupTimes.most
        order = ReplicaOrder(
            places.map(\.swarm.members), most: LookupTimes.tries, atOnce: LookupTimes.tries,
            patience: patience, now: now, random: &random)
    }

    /// When `next` and `outcome` are to be called again.
    var deadline: Instant { order.deadline.map { min($0, ends) } ?? ends }

    /// The replicas to ask now, unless the look-up is over.
    mutating func next(_ now: Instant) -> [ReplicaOrder.Seat] { order.next(now) }

    /// The result; nil: the look-up goes on.
    func outcome(_ now: Instant, time: UnixTime) -> Result<[FoundDescriptor], LookupFailure>? {
        let usable = found.values.filter { !useless.contains($0.digest) && !$0.isExpired(at: time) }
        let isGood = usable.contains { !$0.isStale(at: time) }
        guard isGood || order.isOver || now >= ends else { return nil }
        guard usable.isEmpty else { return .success(usable.sorted { $0.version.id < $1.version.id }) }
        if !found.isEmpty { return .failure(.unchanged) }
        if let keyFault { return .failure(keyFault) }
        if isAbsent { return .failure(.absent) }
        if order.asked == 0 { return .failure(.notAsked) }
        return .failure(fault.map { .invalid($0) } ?? .noAnswer)
    }

    /// Whether as many replicas have answered that they have nothing as are needed, or all.
    private var isAbsent: Bool {
        empty >= LookupTimes.emptyAnswers || empty == Set(places.flatMap(\.swarm.members)).count
    }

    /// A question to a replica is over.
    mutating func answered(_ seat: ReplicaOrder.Seat, _ reply: ReplicaReply, _ now: Instant, time: UnixTime) {
        let answer: [UInt8]?
        switch reply {
        case .answer(let bytes): answer = bytes
        case .silence: answer = nil
        // The replica has not been asked, so this is no answer of it.
        case .notSent:
            _ = order.putBack(seat, now)
            return
        case .unknownReplica:
            _ = order.passOver(seat)
            return
        }
        var isOfUse = false
        defer {
            // A stale descriptor is better than none: a better one is waited for, but not long.
            let hasFallback = found.values.contains { !useless.contains($0.digest) }
            if !isOfUse, hasFallback { ends = min(ends, now + patience * 2) }
        }
        guard places.indices.contains(seat.box) else { return }
        isOfUse = answer.map { take($0, from: places[seat.box], time) } ?? false
        _ = order.ended(seat, isOfUse: isOfUse)
    }

    /// Takes what is good in an answer; true if it shows a descriptor that ends the look-up.
    private mutating func take(_ bytes: [UInt8], from place: Place, _ time: UnixTime) -> Bool {
        guard bytes.count <= ServiceLimits.longestAnswer,
            let answer = try? StoreAnswer(decoding: bytes.rawSpan, to: .lookup)
        else { return fails(.size) }
        guard case .items(let items) = answer else { return false }
        guard items.count <= ServiceLimits.descriptorsOfAnswer else { return fails(.size) }
        if items.isEmpty { empty += 1 }
        return items.map { take(item: $0, from: place, time) }.contains(true)
    }

    private mutating func take(item bytes: [UInt8], from place: Place, _ time: UnixTime) -> Bool {
        let opened: DescriptorReader.Opened
        do throws(DescriptorFault) {
            opened = try place.reader.open(bytes.rawSpan, at: time, held: held, keys: keys)
        } catch {
            switch error {
            case .clientKeyMissing: keyFault = keyFault ?? .clientKeyMissing
            case .clientKeyWrong: keyFault = keyFault ?? .clientKeyWrong
            default: break
            }
            return fails(error)
        }
        held[opened.name] = opened.version
        let new = FoundDescriptor(
            descriptor: opened.descriptor, period: place.period, name: opened.name, version: opened.version,
            digest: Blake2b.digest(opened.descriptor.content.rawSpan), expires: opened.expires)
        if let old = found[new.descriptor.instance], !old.isBehind(new) { return false }
        found[new.descriptor.instance] = new
        return !useless.contains(new.digest) && !new.isStale(at: time)
    }

    private mutating func fails(_ new: DescriptorFault) -> Bool {
        fault = fault ?? new
        return false
    }
}

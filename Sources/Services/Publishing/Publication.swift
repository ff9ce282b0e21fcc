internal import OnionCrypto
internal import Swarm
internal import Wire

/// The publishing of a service's descriptor under one period.
struct Publication {
    /// A round: the replicas are asked until a majority has signed.
    struct Round {
        var order: ReplicaOrder
        let ends: Instant
    }

    let key: PeriodKey
    /// The box's replicas by the newest snapshot; nil: there are none.
    var swarm: BoxSwarm?
    /// The replicas by the snapshot of the present round.
    var asked: BoxSwarm?
    var stamps = DescriptorStamps()
    /// The newest version.
    var item: StoredItem?
    /// The receipts for it by the swarm of the present round.
    var tally: StoreTally?
    var round: Round?
    /// When the next round begins.
    var due: Instant
    /// Whether the next round stores a new version.
    var isOutdated = true
    /// When the last version was made.
    var made: Instant?
    /// How many rounds have failed in a row, and how many times in a row a newer version was gone on from.
    var failures = 0
    var leads = 0
    var tests = ReplicaTests()
    var state = PublishingState()

    init(_ key: PeriodKey, swarm: BoxSwarm?, due: Instant) {
        self.key = key
        self.swarm = swarm
        self.due = due
    }

    /// The next time at which something is to be done.
    var deadline: Instant? {
        guard swarm != nil else { return nil }
        let round = round.map { min($0.ends, $0.order.deadline ?? $0.ends) } ?? due
        return tests.nextDeadline.map { min($0, round) } ?? round
    }

    /// Whether the next round may store the version of the last one: it is not outdated, and its time is still right.
    func canRepeat(at time: UnixTime) -> Bool {
        !isOutdated && item?.header.created == DescriptorStamp(created: time.minutes, counter: 0).created
    }

    /// Whether the version that replicas have signed for is older than any is before it is renewed.
    func isOld(at time: UnixTime) -> Bool {
        guard let item, !state.holders.isEmpty, swarm != nil else { return false }
        return time.minutes.after(item.header.created) > PublishingTimes.oldestMinutes
    }

    /// Makes a new version; false if that is not possible.
    mutating func renew(
        _ descriptor: ServiceDescriptor, _ stamp: DescriptorStamp, _ clients: [ClientKey]?, _ now: Instant
    ) -> Bool {
        guard let new = key.item(of: descriptor, stamp, clients: clients) else { return false }
        item = new
        isOutdated = false
        made = now
        tally = nil
        // The receipts were for the version before.
        state.holders = []
        tests.stop()
        return true
    }

    /// Begins a round; receipts of earlier ones count if they are for the same version and height.
    mutating func begin(_ order: ReplicaOrder, _ swarm: BoxSwarm, network: Bytes32, now: Instant) {
        guard let item else { return }
        if asked != swarm { tally = nil }
        asked = swarm
        tally = tally ?? StoreTally(of: item.id, in: swarm, network: network)
        round = Round(order: order, ends: now + PublishingTimes.roundTime)
        due = Instant(nanoseconds: .max)
    }

    /// The swarm has other members: those who left hold the version in vain, and the others may be no majority.
    mutating func keepHolders() {
        state.holders.formIntersection(swarm?.members ?? [])
        if state.holders.count < swarm?.majority ?? .max { state.holders = [] }
    }

    /// Gives up everything: there is nothing to publish.
    mutating func stop() {
        round = nil
        tally = nil
        item = nil
        isOutdated = true
        tests.stop()
        state = PublishingState()
        if swarm == nil { state.failure = .noStore }
    }

    /// A majority has signed: a new version follows in about an hour.
    mutating func succeeded(
        _ proof: StoreProof, _ now: Instant, _ random: inout some RandomNumberGenerator
    ) {
        round = nil
        failures = 0
        leads = 0
        isOutdated = true
        due = now + .drawn(PublishingTimes.renewal, using: &random)
        state = PublishingState()
        state.holders = Set(proof.receipts.keys)
        tests.begin(of: asked?.members ?? [], now, &random)
    }

    /// A round has failed: the next one follows after a pause.
    mutating func failed(
        _ failure: PublishingFailure, _ now: Instant, _ random: inout some RandomNumberGenerator
    ) {
        round = nil
        failures += 1
        due = now + PublishingTimes.pause(after: failures, using: &random)
        state.failure = failure
    }

    /// Has a new version stored, `wait` from now but not sooner than 10 s after the last one was made.
    ///
    /// What is being stored is given up: it is out of date.
    mutating func hasten(_ wait: TimeSpan, now: Instant) {
        let earliest = max(now + wait, made.map { $0 + PublishingTimes.apart } ?? now)
        // A change does not put off what an earlier one has asked for.
        due = isOutdated && round == nil && failures == 0 ? min(due, earliest) : earliest
        isOutdated = true
        round = nil
        tally = nil
        failures = 0
        tests.stop()
    }
}

/// The keys of a service and one instance.
final class InstanceKeys {
    private let identity: SigningKey
    let instance: ServiceInstance

    init(_ identity: consuming SigningKey, _ instance: consuming ServiceInstance) {
        self.identity = identity
        self.instance = instance
    }

    func key(of period: TimePeriod, network: Bytes32) -> PeriodKey {
        PeriodKey(DescriptorSigner(identity, instance: instance, in: period, network: network))
    }
}

/// The service's key in one period, which is made once.
final class PeriodKey {
    private let signer: DescriptorSigner

    init(_ signer: consuming DescriptorSigner) { self.signer = signer }

    var box: Bytes32 { signer.box }
    var name: Bytes16 { signer.name }

    /// A version of the descriptor; nil if it is not of this instance, or has too many clients.
    func item(
        of descriptor: ServiceDescriptor, _ stamp: DescriptorStamp, clients: [ClientKey]?
    ) -> StoredItem? { try? signer.item(of: descriptor, stamp, clients: clients) }
}

public import EventLoop
internal import Wire

/// The ways of worker 0's links to the other workers.
public struct LinkCrewWays {
    /// Sends an order to another worker; never lost.
    public var order: (UInt8, LinkOrder) -> Void
    /// The lanes for packets of other workers, by their numbers; nil for worker 0.
    public var lanes: [PacketLane?]
    /// What the workers have sent, and may send.
    public var shares: SendShares
    /// Limits the packets that wait in the kernel for each other worker, as ``Links/limitReceiveBuffer(to:)`` does.
    public var limitReceiveBuffers: (Int) -> Void

    /// These ways, of which `lanes` has one for each worker.
    public init(
        order: @escaping (UInt8, LinkOrder) -> Void, lanes: [PacketLane?], shares: SendShares,
        limitReceiveBuffers: @escaping (Int) -> Void
    ) {
        precondition(!lanes.isEmpty && lanes.count <= DatagramGroup.mostWorkers, "1 to 16 workers")
        precondition(shares.workers == lanes.count, "a share for each worker")
        self.order = order
        self.lanes = lanes
        self.shares = shares
        self.limitReceiveBuffers = limitReceiveBuffers
    }
}

/// What worker 0 keeps of the other workers: the receiver indices that it draws for them, and how busy each one is.
///
/// Without other workers it is empty, and worker 0 owns every link.
struct LinkCrew {
    /// The receiver indices of one other worker: as many as in that worker's own table, so that each fits there.
    private final class Indices {
        var table: IndexTable
        init(capacity: Int, worker: UInt8) { table = IndexTable(capacity: capacity, worker: worker) }
    }

    /// What is known of one worker.
    private struct Report {
        /// When it spoke last.
        var spoke: Instant
        var links = 0
        /// All packets received so far, and those of the present and the last period.
        var packets: UInt64 = 0
        var recent: UInt64 = 0
        var before: UInt64 = 0

        mutating func note(_ total: UInt64) {
            recent &+= total &- packets
            packets = total
        }

        /// A link counts as much as some packets: of a new one none has come yet.
        var load: UInt64 { recent &+ before &+ UInt64(clamping: links) &* LinkCrew.packetsPerLink }
    }

    /// The links of one address, all of one worker.
    private struct Holder {
        let worker: UInt8
        var links: Int
    }

    /// How many workers there are, with worker 0.
    let workers: UInt8
    /// The ways to them; nil where there are none.
    let ways: LinkCrewWays?
    private let indices: [Indices]
    private var reports: [Report]
    private var holders: [Endpoint: Holder] = [:]
    private var addresses: [LinkID: Endpoint] = [:]
    private var periodEnd: Instant

    /// Half of the time whose packets decide where a link goes.
    private static let period = TimeSpan.seconds(5)
    private static let packetsPerLink: UInt64 = 64
    /// What a control packet costs worker 0, in data packets.
    private static let packetsPerControl: UInt64 = 16
    /// A worker that has not spoken for so long does not run now.
    private static let silence = LinkWorker.pulseInterval * 4

    init(_ ways: LinkCrewWays?, _ configuration: LinksConfiguration, now: Instant) {
        let count = ways?.lanes.count ?? 1
        self.ways = ways
        workers = UInt8(truncatingIfNeeded: count)
        let capacity = LinkTable.indexCapacity(configuration.tableCapacity(workers: count))
        indices = (1..<max(1, count)).map {
            Indices(capacity: capacity, worker: UInt8(truncatingIfNeeded: $0))
        }
        reports = Array(repeating: Report(spoke: now), count: count)
        periodEnd = now + Self.period
    }

    /// Whether there are other workers.
    var hasOthers: Bool { workers > 1 }

    // MARK: Indices

    /// The worker of a receiver index; 0 where there are no others.
    func owner(of index: UInt32) -> UInt8 { hasOthers ? UInt8(truncatingIfNeeded: index >> 24) : 0 }

    /// A fresh index of another worker for `place`; nil if there is none.
    func takeIndex(of worker: UInt8, for place: UInt32) -> UInt32? { table(worker)?.table.take(for: place) }

    /// Lets an index of another worker lead to `place`.
    func move(_ index: UInt32, to place: UInt32) { table(owner(of: index))?.table.move(index, to: place) }

    /// The place of another worker's index.
    func find(_ index: UInt32) -> UInt32? { table(owner(of: index))?.table.find(index) }

    /// Frees an index that its worker has forgotten, or never had.
    func free(_ index: UInt32) { table(owner(of: index))?.table.free(index) }

    /// How many indices of other workers are in use.
    var indexCount: Int { indices.reduce(0) { $0 + $1.table.count } }

    private func table(_ worker: UInt8) -> Indices? {
        let number = Int(worker) - 1
        return indices.indices.contains(number) ? indices[number] : nil
    }

    // MARK: Owners

    /// The worker for a new link with one of these addresses: that of their present link, or the least busy one.
    ///
    /// `packets` and `control` are those of worker 0 so far.
    mutating func owner(at endpoints: [Endpoint], packets: UInt64, control: UInt64, now: Instant) -> UInt8 {
        for endpoint in endpoints {
            if let holder = holders[endpoint] { return holder.worker }
        }
        reports[0].note(packets &+ control &* Self.packetsPerControl)
        if now >= periodEnd {
            periodEnd = now + Self.period
            for number in reports.indices {
                (reports[number].before, reports[number].recent) = (reports[number].recent, 0)
            }
        }
        // Of equals worker 0 comes last.
        var best = 0
        for number in reports.indices.dropFirst().reversed() where reports[number].load <= reports[best].load {
            best = number
        }
        return UInt8(truncatingIfNeeded: best)
    }

    /// A link at `endpoint` has come, owned by `worker`.
    mutating func add(_ link: LinkID, at endpoint: Endpoint, owner worker: UInt8) {
        guard hasOthers else { return }
        addresses[link] = endpoint
        holders[endpoint, default: Holder(worker: worker, links: 0)].links += 1
        reports[Int(worker)].links += 1
    }

    /// A link has gone.
    mutating func remove(_ link: LinkID, owner worker: UInt8) {
        guard hasOthers, let endpoint = addresses.removeValue(forKey: link) else { return }
        reports[Int(worker)].links -= 1
        holders[endpoint]?.links -= 1
        if holders[endpoint]?.links == 0 { holders[endpoint] = nil }
    }

    /// How many links and addresses are known.
    var linkCount: Int { addresses.count + holders.values.reduce(0) { $0 + $1.links } }

    // MARK: Pulses

    /// Takes what a worker has told of itself.
    mutating func note(_ pulse: LinkPulse, now: Instant) {
        let number = Int(pulse.worker)
        reports[number].spoke = now
        reports[number].note(pulse.received)
    }

    /// Whether a worker runs: while one does not, the silence of its links says nothing of their peers.
    func runs(_ worker: UInt8, now: Instant) -> Bool {
        worker == 0 || now - reports[Int(worker)].spoke < Self.silence
    }

    /// Whether all workers run.
    func allRun(now: Instant) -> Bool { (0..<workers).allSatisfy { runs($0, now: now) } }
}

extension LinksConfiguration {
    /// The places in the tables of so many workers: more than links where a place waits until all have left it.
    func tableCapacity(workers: Int) -> Int {
        guard workers > 1 else { return maximumLinks }
        return min(maximumLinks + max(64, maximumLinks / 8), Int(1 << LinkID.placeBits) - 1)
    }
}

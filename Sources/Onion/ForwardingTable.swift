public import Wire

/// Names one path of a table for as long as it lives; the handle of a removed path finds nothing.
public struct PathHandle: Hashable, Sendable {
    @usableFromInline let index: UInt32
    @usableFromInline let generation: UInt32

    @usableFromInline
    init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    /// The handle with this raw value, which came from another one.
    public init(rawValue: UInt64) {
        index = UInt32(truncatingIfNeeded: rawValue)
        generation = UInt32(truncatingIfNeeded: rawValue >> 32)
    }

    /// A number from which the handle can be made again.
    public var rawValue: UInt64 { UInt64(generation) << 32 | UInt64(index) }
}

/// A neighbour on a path: the link to it, and the path id under which it expects packets.
public struct PathNeighbour: Hashable, Sendable {
    /// The link, as the caller numbers it.
    public var link: UInt32
    /// The neighbour's path id; 0 if it has not sent one.
    public var pathID: UInt64

    /// The neighbour at `link`, which chose `pathID`.
    public init(link: UInt32, pathID: UInt64) {
        self.link = link
        self.pathID = pathID
    }
}

/// A path that was removed from the table, with the data needed to tell its neighbours.
public struct RemovedPath: Hashable, Sendable {
    /// Its handle before the removal.
    public let path: PathHandle
    /// Towards the client.
    public let previous: PathNeighbour
    /// Towards the exit; nil at the terminal.
    public let next: PathNeighbour?
}

/// Why the table refuses a path.
public enum ForwardingTableError: Error, Equatable {
    /// The table is full.
    case full
    /// The link has its limit of paths.
    case linkFull
}

/// All paths that a node forwards or ends, found by link and path id (protocol.md, sections 4 and 5).
///
/// A path's two ids have places drawn independently from at least as many free places as used ones, so its neighbours
/// cannot tell from the ids that they share it. Finding a path costs no hash, and the packet path does not allocate.
/// Memory grows with the paths held, in chunks that never move.
///
/// This is worker 0's table. Its register has the state of all paths that packets do not touch. A packet touches one
/// half of its path, and each half is in the ``PathHalves`` of the worker that receives its packets: ``halves`` for
/// worker 0. The table sends orders to the other workers, which change theirs (``HalfOrder``).
public struct ForwardingTable: ~Copyable {
    /// How long a path lives.
    public static let lifetime = TimeSpan.seconds(Int64(BuildMessage.lifetime))
    /// How long a path waits for the answer of the next hop, unless the initializer sets another time.
    public static let answerTime = TimeSpan.seconds(30)
    /// The shortest time without packets after which a path may be replaced.
    public static let replaceable = TimeSpan.seconds(10)
    /// The longest time without packets while the table is more than half full.
    public static let quietLimit = TimeSpan.seconds(60)

    /// The halves whose packets this worker receives.
    public var halves: PathHalves
    var register: PathRegister
    private let answerTime: TimeSpan
    let workers: Int
    /// Sends an order to another worker.
    let order: (UInt8, HalfOrder) -> Void

    /// An empty table of worker `worker`, for at most `maximumPaths` paths (up to 2^21).
    ///
    /// Where there are several `workers`, `order` sends an order to one of the others. It must not use the table.
    public init(
        worker: UInt8, maximumPaths: Int, answerTime: TimeSpan = ForwardingTable.answerTime, workers: Int = 1,
        order: @escaping (UInt8, HalfOrder) -> Void = { _, _ in preconditionFailure("no other workers") }
    ) {
        precondition(maximumPaths > 0 && maximumPaths <= 1 << 21, "a path id names at most 2^23 places")
        halves = PathHalves(worker: worker, maximum: maximumPaths)
        register = PathRegister(maximumPaths: maximumPaths)
        self.answerTime = answerTime
        self.workers = workers
        self.order = order
    }

    /// How many paths the table holds.
    public var count: Int { register.count }
    /// How many places the table has for paths; a sweep of this many covers all of them once.
    public var capacity: Int { register.records.capacity }

    // MARK: Paths

    /// Adds a path whose keys the hop has agreed on.
    ///
    /// If both halves are this worker's, the path has its ids when this returns. Otherwise the caller waits until
    /// ``answered(_:)`` says that the path stands.
    ///
    /// - Parameters:
    ///   - previous: where backward packets go: the link of the BUILD message and the id in it.
    ///   - nextLink: the link to the next hop; nil at the terminal, whose slot is 4.
    ///   - linkLimit: how many paths the previous link may have asked for.
    ///   - source: the caller's number of the source that the path counts for when the table is full; several links may
    ///     share a source. Nil: the previous link is its own source.
    ///   - owners: the workers that receive the packets of the two links; nil: this worker. At the terminal `next` is
    ///     ignored: this worker has the backward half.
    public mutating func insert(
        _ keys: consuming HopKeys, previous: PathNeighbour, nextLink: UInt32?, linkLimit: Int, source: UInt64? = nil,
        owners: (previous: UInt8, next: UInt8)? = nil, now: Instant
    ) throws(ForwardingTableError) -> PathHandle {
        precondition((keys.slot == Packet.slotCount) == (nextLink == nil), "the terminal alone has no next hop")
        guard count < register.maximumPaths else { throw .full }
        guard pathsAsked(by: previous.link) < linkLimit else { throw .linkFull }
        let next = nextLink.map { PathNeighbour(link: $0, pathID: 0) }
        let source = source ?? UInt64(previous.link)
        let path = register.insert(
            PathRecord(
                previous: previous, next: next, expires: now + Self.lifetime, mustAnswerBy: now + answerTime,
                source: source, quietSince: now))
        let slot = keys.slot
        let ends = keys.hopEnds(now: now)
        let forward = ForwardHalf(
            path: path, slot: slot, opener: ends.opener, next: next ?? PathNeighbour(link: 0, pathID: 0))
        let backward = BackwardHalf(
            path: path, slot: slot, sealer: ends.sealer, previous: previous, isReady: next == nil)
        let record = unsafe register.records.pointer(path.index)
        if let owner = owners?.previous, owner != halves.worker {
            order(owner, HalfOrder(kind: .addForward(Parcel(forward), link: previous.link)))
        } else {
            unsafe record.pointee.forward = halves.insert(forward, link: previous.link)
        }
        if let owner = owners?.next, let nextLink, owner != halves.worker {
            order(owner, HalfOrder(kind: .addBackward(Parcel(backward), link: nextLink)))
        } else {
            unsafe record.pointee.backward = halves.insert(backward, link: nextLink)
        }
        return path
    }

    /// The id for the previous neighbour's packets, sent in BUILT.
    ///
    /// Nil if the path is gone, or its forward half does not stand yet.
    public func forwardID(of path: PathHandle) -> UInt64? {
        guard let record = unsafe register.find(path), unsafe record.pointee.forward.state != .asked else { return nil }
        return unsafe record.pointee.forward.id
    }

    /// The id for the next neighbour's packets, sent in BUILD.
    ///
    /// Nil at the terminal, and if the path is gone or its backward half does not stand yet.
    public func backwardID(of path: PathHandle) -> UInt64? {
        guard let record = unsafe register.find(path), unsafe !record.pointee.isTerminal,
            unsafe record.pointee.backward.state != .asked
        else { return nil }
        return unsafe record.pointee.backward.id
    }

    /// Whether the path is not gone.
    public func isLive(_ path: PathHandle) -> Bool { register.isLive(path) }

    /// Whether both halves of a path stand.
    public func stands(_ path: PathHandle) -> Bool { unsafe register.find(path)?.pointee.stands ?? false }

    /// Whether both halves of a path know that it is complete, so that packets may come.
    public func isConnected(_ path: PathHandle) -> Bool { unsafe register.find(path)?.pointee.isConnected ?? false }

    /// Completes a path with the id in the next hop's BUILT.
    ///
    /// Returns false if the path is gone, complete, or ends here, if its halves do not stand, or if the id is 0.
    ///
    /// Where other workers have halves, packets may come once ``answered(_:)`` has told that it is connected.
    public mutating func connect(_ path: PathHandle, nextPathID: UInt64) -> Bool {
        guard nextPathID != 0, let record = unsafe register.find(path), unsafe !record.pointee.isReady,
            unsafe record.pointee.stands
        else { return false }
        unsafe record.pointee.next?.pathID = nextPathID
        let (forward, backward) = unsafe (record.pointee.forward, record.pointee.backward)
        if forward.worker == halves.worker {
            halves.connectForward(forward.place, nextPathID: nextPathID)
            unsafe record.pointee.forward.state = .ready
        } else {
            order(
                forward.worker, HalfOrder(kind: .connectForward(path, place: forward.place, nextPathID: nextPathID)))
        }
        if backward.worker == halves.worker {
            halves.connectBackward(backward.place)
            unsafe record.pointee.backward.state = .ready
        } else {
            order(backward.worker, HalfOrder(kind: .connectBackward(path, place: backward.place)))
        }
        return true
    }

    /// The path that has the id `pathID` on `link`, for control messages.
    public func handle(link: UInt32, pathID: UInt64) -> PathHandle? { halves.path(link: link, pathID: pathID) }

    /// Removes a path and wipes its keys; nil if it is gone already.
    public mutating func remove(_ path: PathHandle) -> RemovedPath? {
        guard let record = register.remove(path) else { return nil }
        // The answer about a half that does not stand yet will find the path gone.
        if record.forward.state != .asked { removeForward(record.forward) }
        if record.backward.state != .asked { removeBackward(record.backward) }
        return RemovedPath(path: path, previous: record.previous, next: record.next)
    }

    /// Removes all paths of a link that is gone.
    public mutating func removeAll(link: UInt32) -> [RemovedPath] {
        var removed: [RemovedPath] = []
        for path in register.paths(on: link) {
            if let path = remove(path) { removed.append(path) }
        }
        return removed
    }

    /// Examines the next `limit` places: wipes keys past their lifetime and removes paths that have expired or were not
    /// answered.
    ///
    /// While the table is more than half full, it also removes paths over which nothing passes, unless `isNeeded`
    /// returns true for them. Call it every second with a limit that covers the table in a few seconds.
    public mutating func sweep(
        now: Instant, limit: Int, isNeeded: (PathHandle) -> Bool = { _ in false }
    ) -> [RemovedPath] {
        var removed: [RemovedPath] = []
        let isCrowded = register.isCrowded
        for _ in 0..<min(limit, capacity) {
            guard let path = register.nextPath() else { continue }
            let record = unsafe register.records.pointer(path.index)
            let passing = unsafe passing(record.pointee)
            if unsafe passing != record.pointee.passed {
                unsafe record.pointee.passed = passing
                unsafe record.pointee.quietSince = now
            }
            let isOver =
                unsafe now >= record.pointee.expires
                || (!record.pointee.isReady && now >= record.pointee.mustAnswerBy)
                || (isCrowded && now - record.pointee.quietSince >= Self.quietLimit && !isNeeded(path))
            if isOver {
                if let path = remove(path) { removed.append(path) }
            } else if unsafe record.pointee.forward.isAt(halves.worker) {
                unsafe halves.forwards.pointer(record.pointee.forward.place).pointee.opener.forgetPrevious(now)
            }
        }
        return removed
    }

    /// A number that grows with each packet, except the first one towards the exit, whose answer counts instead.
    func passing(_ record: PathRecord) -> UInt64 {
        var passed = record.reported
        if record.forward.isAt(halves.worker) {
            unsafe passed &+= halves.forwards.pointer(record.forward.place).pointee.opener.highest
        }
        if record.backward.isAt(halves.worker) {
            unsafe passed &+= halves.backwards.pointer(record.backward.place).pointee.sealer.nextNumber
        }
        return passed
    }

    // MARK: Shares

    /// How many paths `link` has asked for.
    public func pathsAsked(by link: UInt32) -> Int { register.pathsAsked(by: link) }

    /// The path that a new one of `source` replaces when the table is full.
    ///
    /// It belongs to the source with the most paths, and is the one that has been quiet longest among a sample, which
    /// is another one each time; nil if that is less than ``replaceable``. A `source` with at most one path fewer than
    /// that one replaces a path of its own.
    public mutating func pathToReplace(for source: UInt64, now: Instant) -> PathHandle? {
        register.pathToReplace(for: source, now: now)
    }

    /// The path of `source` over the link `next` that another's new one may replace.
    ///
    /// It has been quiet for longest among a sample, which is another one each time; nil if that is less than
    /// ``replaceable``.
    public mutating func quietPath(of source: UInt64, over next: UInt32, now: Instant) -> PathHandle? {
        register.quietPath(of: source, over: next, now: now)
    }
}

// One file: the packet path's tables, whose memory is private to it.

internal import OnionCrypto
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
}

/// A neighbour on a path: the link to it, and the id that it wants packets under.
public struct PathNeighbour: Hashable, Sendable {
    /// The link; what it means is the caller's.
    public var link: UInt32
    /// The neighbour's path id; 0 if it has not sent one.
    public var pathID: UInt64

    /// The neighbour at `link`, which told `pathID`.
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

/// The result of a look-up of a path id on a link.
public enum Passage: Equatable, Sendable {
    /// No path has this id on this link.
    case unknown
    /// Towards the exit, along the path at this place; valid until the table changes.
    case forward(UInt32)
    /// Towards the client, along the path at this place; valid until the table changes.
    case backward(UInt32)
}

/// One path as a hop holds it.
@usableFromInline
struct HopState: ~Copyable {
    @usableFromInline let slot: Int
    @usableFromInline var layers: HopLayers
    @usableFromInline let previous: PathNeighbour
    @usableFromInline var next: PathNeighbour
    /// Places in the id table: what the previous neighbour sends to, and the next one (none at the terminal).
    let forwardPlace: UInt32
    let backwardPlace: UInt32
    let expires: Instant
    /// When the path is removed if no answer has come.
    let mustAnswerBy: Instant
    /// The source that the path is counted for.
    let source: UInt64
    /// The value of `passing` when the table last checked, and since when it has not changed.
    var passed: UInt64 = 0
    var quietSince: Instant

    /// A number that grows with each packet, except the first one towards the exit, which is answered.
    var passing: UInt64 { layers.opener.highest &+ layers.sealer.nextNumber }
    @inlinable var isTerminal: Bool { slot == Packet.slotCount }
    @inlinable var isReady: Bool { isTerminal || next.pathID != 0 }
}

/// All paths that a node forwards or ends, found by link and path id (protocol.md, sections 4 and 5).
///
/// A path's two ids have places drawn independently from at least as many free places as used ones, so its neighbours
/// cannot tell from the ids that they share it. Finding a path costs no hash, and the packet path does not allocate.
/// Memory grows with the paths held, in chunks that never move.
@safe public struct ForwardingTable: ~Copyable {
    /// How long a path lives.
    public static let lifetime = TimeSpan.seconds(Int64(BuildMessage.lifetime))
    /// How long a path waits for the answer of the next hop, unless the initializer sets another time.
    public static let answerTime = TimeSpan.seconds(30)

    @usableFromInline
    struct IDRecord {
        @usableFromInline var random: UInt32 = 0
        @usableFromInline var link: UInt32 = 0
        /// The path's place times two, plus 1 for backward; `noPath` if the place is free.
        @usableFromInline var target: UInt32 = noPath
    }
    @usableFromInline static let noPath = UInt32.max
    @usableFromInline static let idsPerChunk = 4_096
    @usableFromInline static let pathsPerChunk = 64
    /// The most places for ids, limited by the index in a path id: four for each of 2^21 paths.
    private static let maximumIDs: UInt32 = 1 << 23

    @usableFromInline let worker: UInt8
    private let maximumPaths: Int
    private let answerTime: TimeSpan
    private var sequence = PathIDSequence()
    /// The address of each chunk of ids; allocated for the largest number, so that finding one is a shift and a load.
    @usableFromInline let idChunks: UnsafeMutablePointer<UnsafeMutablePointer<IDRecord>>
    @usableFromInline var idCount: UInt32 = 0
    private var freeIDs: [UInt32] = []
    /// The same for paths.
    @usableFromInline let pathChunks: UnsafeMutablePointer<UnsafeMutablePointer<HopState>>
    /// For each path's place: odd while it holds one.
    @usableFromInline let generations: UnsafeMutablePointer<UInt32>
    /// How many places the table has for paths; a sweep of this many covers all of them once.
    public private(set) var capacity = 0
    private var freePaths: [UInt32] = []
    /// The places of the paths on each link.
    private var links: [UInt32: Set<UInt32>] = [:]
    /// How many paths each link has asked for.
    private var asked: [UInt32: Int] = [:]
    /// How many paths each source has asked for, and the source with the most.
    private var shares: Shares<UInt64>
    /// The places of the paths that each source has asked for.
    private var sources: [UInt64: Set<UInt32>] = [:]
    private var sweepCursor = 0
    /// How many paths the table holds.
    public private(set) var count = 0

    /// An empty table of worker `worker`, for at most `maximumPaths` paths (up to 2^21).
    public init(worker: UInt8 = 0, maximumPaths: Int, answerTime: TimeSpan = ForwardingTable.answerTime) {
        precondition(maximumPaths > 0 && maximumPaths <= 1 << 21, "a path id names at most 2^23 places")
        self.worker = worker
        self.maximumPaths = maximumPaths
        self.answerTime = answerTime
        shares = Shares(capacity: maximumPaths, most: maximumPaths)
        let chunks = (maximumPaths + Self.pathsPerChunk - 1) / Self.pathsPerChunk
        unsafe idChunks = .allocate(capacity: Int(Self.maximumIDs) / Self.idsPerChunk)
        unsafe pathChunks = .allocate(capacity: chunks)
        // Neither is initialized before its use, so unused parts take no memory.
        unsafe generations = .allocate(capacity: chunks * Self.pathsPerChunk)
    }

    deinit {
        for index in 0..<UInt32(capacity) where isLive(index) { unsafe pathPointer(index).deinitialize(count: 1) }
        for chunk in 0..<capacity / Self.pathsPerChunk { unsafe pathChunks[chunk].deallocate() }
        for chunk in 0..<Int(idCount) / Self.idsPerChunk { unsafe idChunks[chunk].deallocate() }
        unsafe generations.deallocate()
        unsafe pathChunks.deallocate()
        unsafe idChunks.deallocate()
    }

    // MARK: Paths

    /// Adds a path whose keys the hop has agreed on.
    ///
    /// - Parameters:
    ///   - previous: where backward packets go: the link of the BUILD message and the id in it.
    ///   - nextLink: the link to the next hop; nil at the terminal, whose slot is 4.
    ///   - linkLimit: how many paths the previous link may have asked for.
    ///   - source: the source that the path counts for when the table is full, as the caller numbers them; several links may
    ///     share one. Nil: the previous link is its own source.
    public mutating func insert(
        _ keys: consuming HopKeys, previous: PathNeighbour, nextLink: UInt32?, linkLimit: Int, source: UInt64? = nil,
        now: Instant
    ) throws(ForwardingTableError) -> PathHandle {
        precondition((keys.slot == Packet.slotCount) == (nextLink == nil), "the terminal alone has no next hop")
        guard count < maximumPaths else { throw .full }
        guard pathsAsked(by: previous.link) < linkLimit else { throw .linkFull }
        if freePaths.isEmpty { addPathChunk() }
        let index = freePaths.removeLast()
        let forwardPlace = takeID(link: previous.link, target: index << 1)
        let backwardPlace = nextLink.map { takeID(link: $0, target: index << 1 | 1) } ?? 0
        let slot = keys.slot
        let source = source ?? UInt64(previous.link)
        let state = HopState(
            slot: slot, layers: keys.hopEnds(now: now), previous: previous,
            next: PathNeighbour(link: nextLink ?? 0, pathID: 0), forwardPlace: forwardPlace,
            backwardPlace: backwardPlace, expires: now + Self.lifetime, mustAnswerBy: now + answerTime, source: source,
            quietSince: now)
        let pointer = unsafe pathPointer(index)
        unsafe pointer.initialize(to: state)
        let generation = enterNextGeneration(index)
        count += 1
        asked[previous.link, default: 0] += 1
        shares.add(source)
        sources[source, default: []].insert(index)
        links[previous.link, default: []].insert(index)
        if let nextLink { links[nextLink, default: []].insert(index) }
        return PathHandle(index: index, generation: generation)
    }

    /// The id for the previous neighbour's packets, sent in BUILT; nil for a path that is gone.
    public func forwardID(of path: PathHandle) -> UInt64? {
        guard isLive(path) else { return nil }
        return unsafe id(at: pathPointer(path.index).pointee.forwardPlace)
    }

    /// The id for the next neighbour's packets, sent in BUILD; nil at the terminal or for a path that is gone.
    public func backwardID(of path: PathHandle) -> UInt64? {
        guard isLive(path), unsafe !pathPointer(path.index).pointee.isTerminal else { return nil }
        return unsafe id(at: pathPointer(path.index).pointee.backwardPlace)
    }

    /// Completes a path with the id in the next hop's BUILT; false if the path is gone, complete or a terminal's, or
    /// the id is 0.
    public mutating func connect(_ path: PathHandle, nextPathID: UInt64) -> Bool {
        guard nextPathID != 0, isLive(path) else { return false }
        let pointer = unsafe pathPointer(path.index)
        guard unsafe !pointer.pointee.isReady else { return false }
        unsafe pointer.pointee.next.pathID = nextPathID
        return true
    }

    /// The path that has the id `pathID` on `link`, for control messages.
    public func handle(link: UInt32, pathID: UInt64) -> PathHandle? {
        switch find(link: link, pathID: pathID) {
        case .unknown: nil
        case .forward(let index), .backward(let index): handle(index)
        }
    }

    /// Removes a path and wipes its keys; nil if it is gone already.
    public mutating func remove(_ path: PathHandle) -> RemovedPath? {
        guard isLive(path) else { return nil }
        let state = unsafe pathPointer(path.index).move()
        enterNextGeneration(path.index)
        freePaths.append(path.index)
        count -= 1
        release(id: state.forwardPlace)
        shares.release(state.source)
        sources[state.source]?.remove(path.index)
        if sources[state.source]?.isEmpty == true { sources[state.source] = nil }
        let left = pathsAsked(by: state.previous.link) - 1
        asked[state.previous.link] = left > 0 ? left : nil
        leave(state.previous.link, path.index)
        if !state.isTerminal {
            release(id: state.backwardPlace)
            leave(state.next.link, path.index)
        }
        return RemovedPath(path: path, previous: state.previous, next: state.isTerminal ? nil : state.next)
    }

    /// Removes all paths of a link that is gone.
    public mutating func removeAll(link: UInt32) -> [RemovedPath] {
        guard let paths = links[link] else { return [] }
        var removed: [RemovedPath] = []
        removed.reserveCapacity(paths.count)
        for index in paths {
            if let path = remove(handle(index)) { removed.append(path) }
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
        let isCrowded = count > maximumPaths / 2
        for _ in 0..<min(limit, capacity) {
            if sweepCursor >= capacity { sweepCursor = 0 }
            let index = UInt32(sweepCursor)
            sweepCursor += 1
            guard isLive(index) else { continue }
            let pointer = unsafe pathPointer(index)
            let passing = unsafe pointer.pointee.passing
            if unsafe passing != pointer.pointee.passed {
                unsafe pointer.pointee.passed = passing
                unsafe pointer.pointee.quietSince = now
            }
            let isOver =
                unsafe now >= pointer.pointee.expires
                || (!pointer.pointee.isReady && now >= pointer.pointee.mustAnswerBy)
                || (isCrowded && now - pointer.pointee.quietSince >= Self.quietLimit && !isNeeded(handle(index)))
            if isOver {
                if let path = remove(handle(index)) {
                    removed.append(path)
                }
            } else {
                unsafe pointer.pointee.layers.opener.forgetPrevious(now)
            }
        }
        return removed
    }

    /// How many paths `link` has asked for.
    public func pathsAsked(by link: UInt32) -> Int { asked[link] ?? 0 }

    /// The path that a new one of `source` replaces when the table is full.
    ///
    /// It is a path of the source with the most, the one over which nothing has passed for longest among a sample; nil
    /// if that time is too short. If `source` has as many as any other, it is one of its own.
    public func pathToReplace(for source: UInt64, now: Instant) -> PathHandle? {
        guard let largest = shares.largest else { return nil }
        let loser = shares.places(of: largest) >= shares.places(of: source) + 2 ? largest : source
        guard let paths = sources[loser] else { return nil }
        var quietest: (index: UInt32, since: Instant)?
        for index in paths.prefix(Self.replacementSample) {
            let since = unsafe pathPointer(index).pointee.quietSince
            if quietest.map({ since < $0.since }) ?? true { quietest = (index, since) }
        }
        guard let quietest, now - quietest.since >= Self.replaceable else { return nil }
        return handle(quietest.index)
    }

    /// How many paths are sampled for the one to replace.
    private static let replacementSample = 64
    /// The shortest time without packets after which a path may be replaced.
    public static let replaceable = TimeSpan.seconds(10)
    /// The longest time without packets while the table is more than half full.
    public static let quietLimit = TimeSpan.seconds(60)

    // MARK: Finding

    /// The result for `pathID` on `link`, by one table look-up.
    @inlinable @inline(__always)
    public func find(link: UInt32, pathID: UInt64) -> Passage {
        let place = PathID.index(of: pathID)
        guard place < idCount, PathID.worker(of: pathID) == worker else { return .unknown }
        let record = unsafe idPointer(place).pointee
        guard record.target != Self.noPath, record.link == link, record.random == PathID.random(of: pathID) else {
            return .unknown
        }
        return record.target & 1 == 0 ? .forward(record.target >> 1) : .backward(record.target >> 1)
    }

    func isLive(_ path: PathHandle) -> Bool {
        path.generation & 1 == 1 && isLive(path.index) && generation(path.index) == path.generation
    }

    @inlinable
    func isLive(_ index: UInt32) -> Bool { index < UInt32(truncatingIfNeeded: capacity) && generation(index) & 1 == 1 }

    @inlinable
    func handle(_ index: UInt32) -> PathHandle { PathHandle(index: index, generation: generation(index)) }

    /// The generation of a place, which must be within the table.
    @inlinable @inline(__always)
    func generation(_ index: UInt32) -> UInt32 {
        precondition(index < UInt32(truncatingIfNeeded: capacity), "no such place")
        return unsafe generations[Int(index)]
    }

    @discardableResult
    private func enterNextGeneration(_ index: UInt32) -> UInt32 {
        let next = generation(index) &+ 1
        unsafe generations[Int(index)] = next
        return next
    }

    /// The path at a place, which must hold one.
    @inlinable @inline(__always)
    func pathPointer(_ index: UInt32) -> UnsafeMutablePointer<HopState> {
        unsafe pathChunks[Int(index / UInt32(Self.pathsPerChunk))] + Int(index % UInt32(Self.pathsPerChunk))
    }

    // MARK: Places

    @inlinable @inline(__always)
    func idPointer(_ place: UInt32) -> UnsafeMutablePointer<IDRecord> {
        unsafe idChunks[Int(place / UInt32(Self.idsPerChunk))] + Int(place % UInt32(Self.idsPerChunk))
    }

    private func id(at place: UInt32) -> UInt64 {
        PathID.make(worker: worker, index: place, random: unsafe idPointer(place).pointee.random)
    }

    /// Takes a place at random, with random bits that were not used before.
    private mutating func takeID(link: UInt32, target: UInt32) -> UInt32 {
        if freeIDs.count <= max(2 * count, 2), idCount < Self.maximumIDs { addIDChunk() }
        freeIDs.swapAt(Int(SecureRandom.u64() % UInt64(freeIDs.count)), freeIDs.count - 1)
        let place = freeIDs.removeLast()
        var random = sequence.next()
        if PathID.make(worker: worker, index: place, random: random) == 0 { random = sequence.next() }
        unsafe idPointer(place).pointee = IDRecord(random: random, link: link, target: target)
        return place
    }

    private mutating func release(id place: UInt32) {
        unsafe idPointer(place).pointee = IDRecord()
        freeIDs.append(place)
    }

    private mutating func leave(_ link: UInt32, _ index: UInt32) {
        // A path may have both ends on one link; the second removal has no effect.
        links[link]?.remove(index)
        if links[link]?.isEmpty == true { links[link] = nil }
    }

    private mutating func addIDChunk() {
        let number = Int(idCount) / Self.idsPerChunk
        precondition(idCount < Self.maximumIDs, "a path id names no more places")
        let chunk = UnsafeMutablePointer<IDRecord>.allocate(capacity: Self.idsPerChunk)
        unsafe chunk.initialize(repeating: IDRecord(), count: Self.idsPerChunk)
        unsafe (idChunks + number).initialize(to: chunk)
        freeIDs.append(contentsOf: idCount..<idCount + UInt32(Self.idsPerChunk))
        idCount += UInt32(Self.idsPerChunk)
    }

    private mutating func addPathChunk() {
        let first = UInt32(capacity)
        let chunk = UnsafeMutablePointer<HopState>.allocate(capacity: Self.pathsPerChunk)
        unsafe (pathChunks + capacity / Self.pathsPerChunk).initialize(to: chunk)
        unsafe (generations + capacity).initialize(repeating: 0, count: Self.pathsPerChunk)
        capacity += Self.pathsPerChunk
        freePaths.append(contentsOf: (first..<first + UInt32(Self.pathsPerChunk)).reversed())
    }
}

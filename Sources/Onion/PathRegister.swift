internal import Wire

/// Where a half of a path is, and the id that leads to it: 0 if none does.
struct HalfPlace: Sendable {
    enum State: UInt8, Sendable {
        /// Its worker has not answered yet, and the rest is not known.
        case asked
        case stands
        /// It knows that the path is complete.
        case ready
    }

    /// What is known before its worker has answered.
    static let asked = HalfPlace(place: 0, worker: 0, state: .asked, id: 0)

    var place: UInt32
    var worker: UInt8
    var state: State
    var id: UInt64

    /// Whether it stands with `worker`.
    func isAt(_ worker: UInt8) -> Bool { self.worker == worker && state != .asked }
}

/// The part of a path's state at a hop that packets do not touch.
struct PathRecord {
    let previous: PathNeighbour
    /// The next hop; nil at the terminal.
    var next: PathNeighbour?
    var forward = HalfPlace.asked
    var backward = HalfPlace.asked
    let expires: Instant
    /// When the path is removed if no answer has come.
    let mustAnswerBy: Instant
    /// The source that the path is counted for.
    let source: UInt64
    /// How much had passed when the table last checked, and since when that has not changed.
    var passed: UInt64 = 0
    var quietSince: Instant
    /// The path's index among those of its source.
    fileprivate(set) var number = 0
    /// How much has passed over halves of other workers, as they have told.
    var reported: UInt64 = 0

    /// Whether both halves stand.
    var stands: Bool { forward.state != .asked && backward.state != .asked }
    /// Whether both halves know that the path is complete.
    var isConnected: Bool { forward.state == .ready && backward.state == .ready }
    var isTerminal: Bool { next == nil }
    var isReady: Bool { next?.pathID != 0 }
}

/// The paths of a node by handle, link and source, with the counts that limits and replacement need.
struct PathRegister: ~Copyable {
    var records: PlaceStore<PathRecord>
    let maximumPaths: Int
    /// The places of the paths on each link.
    private var links: [UInt32: Set<UInt32>] = [:]
    /// How many paths each link has asked for.
    private var asked: [UInt32: Int] = [:]
    /// How many paths each source has asked for, and the source with the most.
    private var shares: Shares<UInt64>
    /// The paths that each source has asked for.
    private var sources: [UInt64: SourcePaths] = [:]
    private var sweepCursor = 0
    /// How many paths there are.
    private(set) var count = 0

    /// The paths of a source.
    private struct SourcePaths {
        /// Their places, in no order.
        var places: [UInt32] = []
        /// Where the next look for a path to replace begins.
        var nextLook = 0
    }

    /// No paths yet, and at most `maximumPaths`.
    init(maximumPaths: Int) {
        self.maximumPaths = maximumPaths
        records = PlaceStore(maximum: maximumPaths)
        shares = Shares(capacity: maximumPaths, most: maximumPaths)
    }

    // MARK: Paths

    mutating func insert(_ record: PathRecord) -> PathHandle {
        let place = records.insert(record)
        count += 1
        asked[record.previous.link, default: 0] += 1
        shares.add(record.source)
        unsafe records.pointer(place).pointee.number = sources[record.source]?.places.count ?? 0
        sources[record.source, default: SourcePaths()].places.append(place)
        links[record.previous.link, default: []].insert(place)
        if let next = record.next { links[next.link, default: []].insert(place) }
        return handle(place)
    }

    /// Removes a path; nil if it is gone already.
    mutating func remove(_ path: PathHandle) -> PathRecord? {
        guard isLive(path) else { return nil }
        let record = records.remove(path.index)
        count -= 1
        shares.release(record.source)
        leave(record.source, number: record.number)
        let left = pathsAsked(by: record.previous.link) - 1
        asked[record.previous.link] = left > 0 ? left : nil
        leave(record.previous.link, path.index)
        if let next = record.next { leave(next.link, path.index) }
        return record
    }

    /// Removes a path from those of its source; the last of them takes its index.
    private mutating func leave(_ source: UInt64, number: Int) {
        guard let last = sources[source]?.places.popLast(), let count = sources[source]?.places.count else { return }
        if count == 0 { sources[source] = nil }
        guard number < count else { return }
        sources[source]?.places[number] = last
        unsafe records.pointer(last).pointee.number = number
    }

    private mutating func leave(_ link: UInt32, _ place: UInt32) {
        // A path may have both ends on one link; the second removal has no effect.
        links[link]?.remove(place)
        if links[link]?.isEmpty == true { links[link] = nil }
    }

    func isLive(_ path: PathHandle) -> Bool {
        path.generation & 1 == 1 && records.isLive(path.index) && records.generation(path.index) == path.generation
    }

    func handle(_ place: UInt32) -> PathHandle { PathHandle(index: place, generation: records.generation(place)) }

    /// The record of a path, valid until the register changes; nil if the path is gone.
    @unsafe func find(_ path: PathHandle) -> UnsafeMutablePointer<PathRecord>? {
        isLive(path) ? unsafe records.pointer(path.index) : nil
    }

    var paths: [PathHandle] {
        var found: [PathHandle] = []
        found.reserveCapacity(count)
        for place in 0..<UInt32(records.capacity) where records.isLive(place) { found.append(handle(place)) }
        return found
    }

    /// All paths of a link.
    func paths(on link: UInt32) -> [PathHandle] { (links[link] ?? []).map { handle($0) } }

    /// The path at the next place, after the last the first again; nil if it holds none.
    mutating func nextPath() -> PathHandle? {
        if sweepCursor >= records.capacity { sweepCursor = 0 }
        let place = UInt32(sweepCursor)
        sweepCursor += 1
        return records.isLive(place) ? handle(place) : nil
    }

    // MARK: Shares

    /// How many paths `link` has asked for.
    func pathsAsked(by link: UInt32) -> Int { asked[link] ?? 0 }

    /// Whether quiet paths are to be removed: more than half of the places are taken.
    var isCrowded: Bool { count > maximumPaths / 2 }

    /// The path that a new one of `source` replaces in a full table; see ``ForwardingTable/pathToReplace(for:now:)``.
    mutating func pathToReplace(for source: UInt64, now: Instant) -> PathHandle? {
        guard let largest = shares.largest else { return nil }
        let loser = shares.places(of: largest) >= shares.places(of: source) + 2 ? largest : source
        return quietPath(of: loser, over: nil, now: now)
    }

    /// The path of `source` that has been quiet for longest among a sample; see
    /// ``ForwardingTable/quietPath(of:over:now:)``.
    mutating func quietPath(of source: UInt64, over next: UInt32?, now: Instant) -> PathHandle? {
        var quietest: (place: UInt32, since: Instant)?
        for place in nextPaths(of: source) {
            let record = unsafe records.pointer(place)
            guard unsafe next == nil || record.pointee.next?.link == next else { continue }
            let since = unsafe record.pointee.quietSince
            if quietest.map({ since < $0.since }) ?? true { quietest = (place, since) }
        }
        guard let quietest, now - quietest.since >= ForwardingTable.replaceable else { return nil }
        return handle(quietest.place)
    }

    /// The next places of a source to examine, after the last the first again: busy paths at some do not hide idle ones
    /// at others.
    private mutating func nextPaths(of source: UInt64) -> [UInt32] {
        guard let paths = sources[source] else { return [] }
        let (places, start) = (paths.places, paths.nextLook % paths.places.count)
        sources[source]?.nextLook = start + Self.replacementSample
        return (0..<min(places.count, Self.replacementSample)).map { places[(start + $0) % places.count] }
    }

    /// How many paths are examined to find the one to replace.
    private static let replacementSample = 64
}

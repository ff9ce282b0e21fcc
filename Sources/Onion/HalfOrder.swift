public import Wire

/// What worker 0 orders of another worker that has halves of paths (docs/architecture/workers.md).
///
/// Orders must reach a worker in the order in which they were given. The keys of a half travel in its order.
public struct HalfOrder: Sendable {
    enum Kind: Sendable {
        case addForward(Parcel<ForwardHalf>, link: UInt32)
        case addBackward(Parcel<BackwardHalf>, link: UInt32)
        case connectForward(PathHandle, place: UInt32, nextPathID: UInt64)
        case connectBackward(PathHandle, place: UInt32)
        case removeForward(HalfPlace)
        case removeBackward(HalfPlace)
        case find(link: UInt32, pathID: UInt64)
    }

    let kind: Kind

    /// Whether it is a question, which may be lost.
    ///
    /// A peer's DESTROY leads to it, and a lane must not fill with what peers cause. The path then ends because it is
    /// quiet.
    public var isQuestion: Bool { if case .find = kind { true } else { false } }
}

/// What a worker answers to an order; removals have no answer.
public struct HalfAnswer: Sendable {
    enum Kind: Sendable {
        /// The half stands at its place, or the worker has none.
        case addedForward(PathHandle, HalfPlace?)
        case addedBackward(PathHandle, HalfPlace?)
        case connectedForward(PathHandle)
        case connectedBackward(PathHandle)
        case found(PathHandle, link: UInt32)
    }

    let kind: Kind
}

/// How much has passed over one half of a path since its worker's last report.
public struct HalfReport: Sendable {
    let path: PathHandle
    let passed: UInt64
}

/// What an answer means for a path.
public enum PathProgress: Equatable, Sendable {
    /// Nothing yet, or the path is gone.
    case none
    /// Both halves stand, so that their ids may be told.
    case stands(PathHandle)
    /// Both halves know that the path is complete, so that packets may come.
    case connected(PathHandle)
    /// A worker has no place for its half: the path must be removed.
    case refused(PathHandle)
    /// The id of ``ForwardingTable/ask(link:pathID:)`` is one of this path's on `link`.
    case found(PathHandle, link: UInt32)
}

/// A worker's side: what it does with orders.
extension PathHalves {
    /// Carries out an order; returns what worker 0 must be told.
    public mutating func take(_ order: HalfOrder) -> HalfAnswer? {
        switch order.kind {
        case .addForward(let parcel, let link):
            let half = parcel.take()
            let path = half.path
            // Worker 0 counts a path as gone before its halves are.
            guard !forwards.isFull else { return HalfAnswer(kind: .addedForward(path, nil)) }
            return HalfAnswer(kind: .addedForward(path, insert(half, link: link)))
        case .addBackward(let parcel, let link):
            let half = parcel.take()
            let path = half.path
            guard !backwards.isFull else { return HalfAnswer(kind: .addedBackward(path, nil)) }
            return HalfAnswer(kind: .addedBackward(path, insert(half, link: link)))
        case .connectForward(let path, let place, let nextPathID):
            connectForward(place, nextPathID: nextPathID)
            return HalfAnswer(kind: .connectedForward(path))
        case .connectBackward(let path, let place):
            connectBackward(place)
            return HalfAnswer(kind: .connectedBackward(path))
        case .removeForward(let half): removeForward(half)
        case .removeBackward(let half): removeBackward(half)
        case .find(let link, let pathID):
            return path(link: link, pathID: pathID).map { HalfAnswer(kind: .found($0, link: link)) }
        }
        return nil
    }

    /// Examines the next `limit` places of each direction: wipes keys past their lifetime, and returns what has passed
    /// over the halves there since they were examined last.
    ///
    /// To be called every second, with a limit that covers the places in a few seconds.
    public mutating func report(now: Instant, limit: Int) -> [HalfReport] {
        var reports: [HalfReport] = []
        for _ in 0..<min(limit, forwards.capacity) {
            guard let place = forwardCursor.next(in: forwards.capacity), forwards.isLive(place) else { continue }
            let half = unsafe forwards.pointer(place)
            unsafe half.pointee.opener.forgetPrevious(now)
            let highest = unsafe half.pointee.opener.highest
            let passed = unsafe highest &- half.pointee.reported
            guard passed > 0 else { continue }
            unsafe half.pointee.reported = highest
            reports.append(HalfReport(path: unsafe half.pointee.path, passed: passed))
        }
        for _ in 0..<min(limit, backwards.capacity) {
            guard let place = backwardCursor.next(in: backwards.capacity), backwards.isLive(place) else { continue }
            let half = unsafe backwards.pointer(place)
            let next = unsafe half.pointee.sealer.nextNumber
            let passed = unsafe next &- half.pointee.reported
            guard passed > 0 else { continue }
            unsafe half.pointee.reported = next
            reports.append(HalfReport(path: unsafe half.pointee.path, passed: passed))
        }
        return reports
    }
}

/// Goes over the places of a table again and again.
struct PlaceCursor {
    private var position = 0

    /// The next of `count` places; nil if there is none.
    mutating func next(in count: Int) -> UInt32? {
        guard count > 0 else { return nil }
        if position >= count { position = 0 }
        defer { position += 1 }
        return UInt32(truncatingIfNeeded: position)
    }
}

public import Wire

/// A path's half for packets towards the exit; they come over the previous link.
@usableFromInline
struct ForwardHalf: ~Copyable {
    @usableFromInline let path: PathHandle
    @usableFromInline let slot: Int
    @usableFromInline var opener: LayerOpener
    /// The next hop; its path id is 0 until its answer has come.
    @usableFromInline var next: PathNeighbour
    /// The hop counter up to which worker 0 was told of packets.
    var reported: UInt64 = 0

    @inlinable var isTerminal: Bool { slot == Packet.slotCount }
    @inlinable var isReady: Bool { isTerminal || next.pathID != 0 }
}

/// A path's half for packets towards the client; they come over the next link, or are made at the terminal.
@usableFromInline
struct BackwardHalf: ~Copyable {
    @usableFromInline let path: PathHandle
    @usableFromInline let slot: Int
    @usableFromInline var sealer: LayerSealer
    @usableFromInline let previous: PathNeighbour
    /// Whether the next hop has answered; always true at the terminal.
    @usableFromInline var isReady: Bool
    /// The hop counter up to which worker 0 was told of packets.
    var reported: UInt64 = 0
}

/// The halves of paths whose packets one worker receives, found by path id (protocol.md, sections 4 and 5).
///
/// A packet touches one half, and a half does not refer to the other half of its path, so two workers may have them.
public struct PathHalves: ~Copyable {
    @usableFromInline var ids: PathIDTable
    @usableFromInline var forwards: PlaceStore<ForwardHalf>
    @usableFromInline var backwards: PlaceStore<BackwardHalf>
    var forwardCursor = PlaceCursor()
    var backwardCursor = PlaceCursor()

    /// No halves yet, for `worker`; the caller inserts at most `maximum` of each kind.
    public init(worker: UInt8, maximum: Int) {
        ids = PathIDTable(worker: worker)
        forwards = PlaceStore(maximum: maximum)
        backwards = PlaceStore(maximum: maximum)
    }

    /// The worker whose packets these are.
    public var worker: UInt8 { ids.worker }
    /// How many halves there are of both kinds.
    public var count: Int { forwards.count + backwards.count }
    /// The number of places, used or free, of the kind that has more.
    public var capacity: Int { max(forwards.capacity, backwards.capacity) }

    // MARK: Halves

    /// Adds a half whose packets come over `link`, and draws their path id; traps if there are `maximum` already.
    mutating func insert(_ half: consuming ForwardHalf, link: UInt32) -> HalfPlace {
        let state: HalfPlace.State = half.isReady ? .ready : .stands
        let place = forwards.insert(half)
        return HalfPlace(place: place, worker: worker, state: state, id: ids.take(link: link, target: place << 1))
    }

    /// Adds a half whose packets come over `link`, and draws their path id.
    ///
    /// At the terminal, which makes its packets itself, `link` is nil and the id is 0.
    mutating func insert(_ half: consuming BackwardHalf, link: UInt32?) -> HalfPlace {
        let state: HalfPlace.State = half.isReady ? .ready : .stands
        let place = backwards.insert(half)
        let id = link.map { ids.take(link: $0, target: place << 1 | 1) } ?? 0
        return HalfPlace(place: place, worker: worker, state: state, id: id)
    }

    /// The next hop has answered: forward packets go on under `nextPathID`.
    mutating func connectForward(_ place: UInt32, nextPathID: UInt64) {
        unsafe forwards.pointer(place).pointee.next.pathID = nextPathID
    }

    /// The next hop has answered: its packets are taken.
    mutating func connectBackward(_ place: UInt32) { unsafe backwards.pointer(place).pointee.isReady = true }

    /// Removes a half and its id, and wipes its keys.
    mutating func removeForward(_ half: HalfPlace) {
        _ = forwards.remove(half.place)
        ids.release(half.id)
    }

    /// Removes a half and its id, which is 0 at the terminal, and wipes its keys.
    mutating func removeBackward(_ half: HalfPlace) {
        _ = backwards.remove(half.place)
        if half.id != 0 { ids.release(half.id) }
    }

    /// The path of the half for packets with `pathID` on `link`.
    func path(link: UInt32, pathID: UInt64) -> PathHandle? {
        switch find(link: link, pathID: pathID) {
        case .unknown: nil
        case .forward(let place): unsafe forwards.pointer(place).pointee.path
        case .backward(let place): unsafe backwards.pointer(place).pointee.path
        }
    }

    // MARK: Packets

    /// The half for packets with `pathID` on `link`, by one table look-up.
    @inlinable @inline(__always)
    public func find(link: UInt32, pathID: UInt64) -> Passage {
        let target = ids.find(link: link, id: pathID)
        guard target != PathIDTable.none else { return .unknown }
        return target & 1 == 0 ? .forward(target >> 1) : .backward(target >> 1)
    }

    /// As ``ForwardingTable/forward(_:_:now:)`` does.
    @inlinable @inline(__always)
    public mutating func forward(_ place: UInt32, _ packet: inout MutableRawSpan, now: Instant) -> ForwardingStep {
        precondition(forwards.isLive(place), "the place of a path that is gone")
        let half = unsafe forwards.pointer(place)
        guard unsafe half.pointee.isReady else { return .drop(.notReady) }
        let slot = unsafe half.pointee.slot
        switch unsafe half.pointee.opener.open(&packet, slot: slot, now: now) {
        case .dropped(let reason): return .drop(reason)
        case .opened(let number):
            unsafe half.pointee.opener.commit(number)
            packet.zeroSlots(1...slot)
            if slot == Packet.slotCount { return .deliver(path: unsafe half.pointee.path, number: number) }
            let next = unsafe half.pointee.next
            packet.pathID = next.pathID
            return .send(link: next.link, pathID: next.pathID)
        }
    }

    /// As ``ForwardingTable/backward(_:_:now:)`` does.
    @inlinable @inline(__always)
    public mutating func backward(_ place: UInt32, _ packet: inout MutableRawSpan, now: Instant) -> ForwardingStep {
        precondition(backwards.isLive(place), "the place of a path that is gone")
        let half = unsafe backwards.pointer(place)
        guard unsafe half.pointee.isReady else { return .drop(.notReady) }
        return unsafe Self.seal(half, &packet, now).verdict
    }

    @inlinable @inline(__always)
    static func seal(
        _ half: UnsafeMutablePointer<BackwardHalf>, _ packet: inout MutableRawSpan, _ now: Instant
    ) -> (verdict: ForwardingStep, number: UInt64) {
        let slot = unsafe half.pointee.slot
        if slot > 1 { packet.zeroSlots(1...slot - 1) }
        guard let number = unsafe half.pointee.sealer.seal(&packet, slot: slot, now: now) else {
            return (.drop(.exhausted), 0)
        }
        let previous = unsafe half.pointee.previous
        packet.pathID = previous.pathID
        return (.send(link: previous.link, pathID: previous.pathID), number)
    }
}

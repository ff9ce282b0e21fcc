public import Wire

/// The receiving side of a link: three generations of keys, each with a replay window, and the window of control
/// packets (protocol.md, sections 3.7 and 4).
///
/// The generations are the current one, the previous one, and one that waits for its first packet. The receiving side
/// belongs to the worker that receives the link's packets. ``LinkKeyring`` makes the keys and is told the results of
/// commits.
public struct LinkReceiver: ~Copyable {
    /// The effect of committing a packet.
    public enum Commit: Equatable, Sendable {
        /// Another packet with this counter was committed first: this one must be dropped.
        case duplicate
        /// Only the window has changed.
        case committed
        /// The peer has begun to use new keys: ``LinkKeyring/switched()`` follows.
        case switched
        /// The link's first packet, so that it is no longer half-open: ``LinkKeyring/confirmed()`` follows.
        case confirmed
    }

    /// When keys end; to be set only right after the handshake.
    public var timing = LinkKeyring.Timing()
    @usableFromInline var current: ReceivingKeys
    private var previous: ReceivingKeys?
    /// When the previous keys end; nil until a packet under the current ones has come.
    private var previousEndsAt: Instant?
    private var next: ReceivingKeys?
    /// Local indices that have no keys any more and that `takeRetired` has not returned yet.
    private var retired: [UInt32] = []
    private var isLinkConfirmed = false
    private let controlStart: UInt64
    /// Counters of control packets, relative to the start.
    private var controlWindow = ReplayWindow()

    init(_ keys: consuming ReceivingKeys, controlStart: UInt64) {
        current = keys
        self.controlStart = controlStart
        previous = nil
        next = nil
    }

    /// The local index of the current keys.
    public var localIndex: UInt32 { current.localIndex }

    // MARK: Packets

    /// Opens the header of a packet in place with the keys that its receiver index names; commits nothing.
    ///
    /// Returns why it was dropped, or nil.
    @inlinable @inline(__always)
    public mutating func openHeader(_ packet: inout MutableRawSpan) -> LinkDropReason? {
        let index = packet.receiverIndex
        return index == current.localIndex ? current.openHeader(&packet) : openOtherHeader(&packet, index)
    }

    /// The same with keys other than the current ones.
    ///
    /// A separate function because access to these optionals costs a copy, and almost no packet needs it.
    @usableFromInline @inline(never)
    mutating func openOtherHeader(_ packet: inout MutableRawSpan, _ index: UInt32) -> LinkDropReason? {
        if let reason = next?.openHeader(&packet, ifFor: index) { return reason.asDrop }
        if let reason = previous?.openHeader(&packet, ifFor: index) { return reason.asDrop }
        return .unknownIndex
    }

    /// A fast `commit` for almost all packets: those that come next under the current keys.
    ///
    /// For any other packet it changes nothing and returns false.
    @inlinable @inline(__always)
    public mutating func commitNext(index: UInt32, counter: UInt64) -> Bool {
        index == current.localIndex && current.isConfirmed && current.window.commitNext(counter)
    }

    /// Commits a packet that `openHeader` accepted and that has passed its last check.
    ///
    /// `index` and `counter` are the packet's receiver index and link counter as received. The first packet under new
    /// keys makes them the current ones.
    public mutating func commit(index: UInt32, counter: UInt64, now: Instant) -> Commit {
        if index == current.localIndex {
            let isFirst = !current.isConfirmed
            guard current.commit(counter) else { return .duplicate }
            guard isFirst else { return .committed }
            if previous != nil, previousEndsAt == nil { previousEndsAt = now + timing.overlap }
            if isLinkConfirmed { return .committed }
            isLinkConfirmed = true
            return .confirmed
        }
        if let isNew = next?.commit(counter, ifFor: index) {
            guard isNew else { return .duplicate }
            if let keys = next.take() { renew(keys) }
            previousEndsAt = now + timing.overlap
            return .switched
        }
        if let isNew = previous?.commit(counter, ifFor: index) { return isNew ? .committed : .duplicate }
        return .duplicate
    }

    // MARK: Control packets

    /// The result of opening a control packet.
    public enum ControlOpening: Equatable, Sendable {
        /// The payload is decrypted; the packet number is the control connection's.
        case opened(packetNumber: UInt64)
        /// The packet is dropped; its payload may have been wiped.
        case drop(LinkDropReason)
    }

    /// Opens the payload of a packet with path id 0 whose header `openHeader` has opened; commits nothing.
    public mutating func openControl(_ packet: inout MutableRawSpan) -> ControlOpening {
        let counter = packet.hopCounter(4)
        // The start is below 2^47, so a counter 2^62 above it is invalid even with a right tag.
        guard counter >= controlStart, counter - controlStart < 1 << 62, controlWindow.check(counter - controlStart)
        else { return .drop(.replayedControl) }
        let index = packet.receiverIndex
        let isGood: Bool
        if index == current.localIndex {
            isGood = current.openControl(&packet, counter: counter)
        } else if let result = next?.openControl(&packet, counter: counter, ifFor: index) {
            isGood = result
        } else if let result = previous?.openControl(&packet, counter: counter, ifFor: index) {
            isGood = result
        } else {
            return .drop(.unknownIndex)
        }
        return isGood ? .opened(packetNumber: counter - controlStart) : .drop(.badControl)
    }

    /// Commits an opened control packet; call it before `commit`.
    ///
    /// Returns false if another with its number was first.
    public mutating func commitControl(packetNumber: UInt64) -> Bool {
        controlWindow.commit(packetNumber)
    }

    // MARK: Keys

    /// Makes `keys`, which the peer already has, the current ones, and keeps the old ones for packets under way.
    public mutating func renew(_ keys: consuming ReceivingKeys) {
        if let index = Self.index(of: previous) { retired.append(index) }
        var keys: ReceivingKeys = keys
        swap(&current, &keys)
        previous = consume keys
        previousEndsAt = nil
    }

    /// Keeps `keys` until the first packet under them makes them current; they replace others that wait.
    public mutating func expect(_ keys: consuming ReceivingKeys) {
        if let index = Self.index(of: next) { retired.append(index) }
        next = consume keys
    }

    /// Whether keys wait for the first packet under them.
    public var isWaiting: Bool { Self.index(of: next) != nil }

    /// Wipes previous and waiting keys whose time is over.
    public mutating func expire(now: Instant) {
        if let keys = previous.take() {
            if keys.isOver(timing.keyLifetime, now) || previousEndsAt.map({ now >= $0 }) ?? false {
                retired.append(keys.localIndex)
                previousEndsAt = nil
            } else {
                previous = consume keys
            }
        }
        if let keys = next.take() {
            if keys.isOver(timing.keyLifetime, now) {
                retired.append(keys.localIndex)
            } else {
                next = consume keys
            }
        }
    }

    /// Local indices that no key uses any more; each is returned once.
    public mutating func takeRetired() -> [UInt32] {
        guard !retired.isEmpty else { return [] }
        let result = retired
        retired = []
        return result
    }

    /// All local indices of keys, to be released with the link.
    public func localIndices() -> [UInt32] {
        var result = [current.localIndex] + retired
        if let index = Self.index(of: previous) { result.append(index) }
        if let index = Self.index(of: next) { result.append(index) }
        return result
    }

    private static func index(of keys: borrowing ReceivingKeys?) -> UInt32? {
        switch keys {
        case .some(let keys): keys.localIndex
        case .none: nil
        }
    }
}

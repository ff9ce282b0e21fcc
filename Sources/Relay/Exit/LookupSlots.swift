internal import DequeModule
internal import Link

/// The look-ups on which the resolver works, including cancelled ones, because c-ares cannot end a single one.
///
/// A look-up at a name server that never answers holds its slot for many seconds. Slots can therefore not be taken back
/// from a source that has too many. Instead the more slots are in use, the fewer a source may have; the last quarter is
/// for sources that have none. The sessions of a source share its part. A session without a slot may get one beyond the
/// part.
struct LookupSlots {
    /// The number of slots.
    static let capacity = 8_192
    /// The most slots of a source while fewer than `below` are in use; a source gets one in the rest of the table.
    private static let tiers: [(below: Int, most: Int)] = [(4_096, 2_048), (5_632, 64), (6_144, 4)]
    /// The most sessions of a source whose only slot is beyond the source's part, while fewer than `firstsBelow` slots
    /// are in use.
    private static let firsts = 64
    private static let firstsBelow = 6_144

    /// A slot, which must be given back to ``release(_:)``.
    struct Slot {
        fileprivate let share: StreamShare
        fileprivate let isFirst: Bool
    }

    private struct Held {
        /// The slots in the source's part, and those beyond it.
        var own = 0, firsts = 0
        var isNone: Bool { own == 0 && firsts == 0 }
    }

    private var groups: [LinkSource.Group: Held] = [:]
    private var sessions: [StreamShare: Int] = [:]
    /// The number of slots taken.
    private(set) var count = 0

    /// The number of slots that `group` has.
    func count(of group: LinkSource.Group) -> Int { groups[group].map { $0.own + $0.firsts } ?? 0 }

    /// Takes a slot; nil if none is left for `share`.
    mutating func take(for share: StreamShare) -> Slot? {
        guard count < Self.capacity else { return nil }
        var held = groups[share.group] ?? Held()
        let session = sessions[share] ?? 0
        let most = Self.tiers.first { count < $0.below }?.most ?? 1
        let isFirst: Bool
        // A session may have half of the slots that are left of its source's part.
        if held.own < most, session < (most - held.own + 1) / 2 {
            held.own += 1
            isFirst = false
        } else if session == 0, held.firsts < Self.firsts, count < Self.firstsBelow {
            held.firsts += 1
            isFirst = true
        } else {
            return nil
        }
        groups[share.group] = held
        sessions[share] = session + 1
        count += 1
        return Slot(share: share, isFirst: isFirst)
    }

    /// Gives a slot back.
    mutating func release(_ slot: Slot) {
        guard var held = groups[slot.share.group], let session = sessions[slot.share] else {
            return assertionFailure("a slot is given back once")
        }
        if slot.isFirst { held.firsts -= 1 } else { held.own -= 1 }
        groups[slot.share.group] = held.isNone ? nil : held
        sessions[slot.share] = session == 1 ? nil : session - 1
        count -= 1
    }
}

/// The look-ups of one source that wait for a slot: its sessions take turns, each with its oldest look-up first.
struct LookupQueue {
    private var turns: Deque<ObjectIdentifier> = []
    private var waiting: [ObjectIdentifier: Deque<UInt64>] = [:]

    /// Whether no look-up waits.
    var isEmpty: Bool { turns.isEmpty }
    /// The number of sessions with look-ups that wait.
    var sessions: Int { turns.count }

    /// Whether look-ups of `session` wait.
    func holds(_ session: ObjectIdentifier) -> Bool { waiting[session] != nil }

    /// Adds a look-up of `session` after its others.
    mutating func add(_ number: UInt64, of session: ObjectIdentifier) {
        if waiting[session] == nil { turns.append(session) }
        waiting[session, default: []].append(number)
    }

    /// The session whose turn it is, and its oldest look-up; the session moves to the end.
    mutating func next() -> (session: ObjectIdentifier, number: UInt64)? {
        guard let session = turns.popFirst() else { return nil }
        turns.append(session)
        return waiting[session]?.first.map { (session, $0) }
    }

    /// Removes a look-up of `session`; has no effect if it does not wait.
    mutating func remove(_ number: UInt64, of session: ObjectIdentifier) {
        waiting[session]?.removeAll { $0 == number }
        guard waiting[session]?.isEmpty == true else { return }
        waiting[session] = nil
        turns.removeAll { $0 == session }
    }
}

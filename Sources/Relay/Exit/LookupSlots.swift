internal import DequeModule
internal import Link

/// The look-ups that the resolver works on, with those that nobody waits for any more: c-ares cannot end a single one.
///
/// A name server that never answers holds a slot for many seconds, so slots cannot be taken back from those that have
/// too many. Parts of the table are kept instead: the more slots are taken, the fewer a source may have, and the last
/// quarter is for sources that have none. Sessions share their source's part; a session without a slot may have one
/// beyond it.
struct LookupSlots {
    /// The number of slots.
    static let capacity = 8_192
    /// How many slots a source may have while fewer than `below` are taken, and so on; one in the rest of the table.
    private static let tiers: [(below: Int, most: Int)] = [(4_096, 2_048), (5_632, 64), (6_144, 4)]
    /// How many sessions of a source may have their only slot beyond the source's part, while fewer than `firstsBelow`
    /// are taken.
    private static let firsts = 64
    private static let firstsBelow = 6_144

    /// A slot, to be given back.
    struct Slot {
        fileprivate let share: StreamShare
        fileprivate let isFirst: Bool
    }

    private struct Held {
        /// The slots in the source's part, and those beyond it.
        var own = 0, firsts = 0
        var isNone: Bool { own == 0 && firsts == 0 }
    }

    private var sources: [LinkSource: Held] = [:]
    private var sessions: [StreamShare: Int] = [:]
    /// The number of slots taken.
    private(set) var count = 0

    /// The number of slots that `source` has.
    func count(of source: LinkSource) -> Int { sources[source].map { $0.own + $0.firsts } ?? 0 }

    /// Takes a slot; nil if none is left for `share`.
    mutating func take(for share: StreamShare) -> Slot? {
        guard count < Self.capacity else { return nil }
        var held = sources[share.source] ?? Held()
        let session = sessions[share] ?? 0
        let most = Self.tiers.first { count < $0.below }?.most ?? 1
        let isFirst: Bool
        // A session may have half of what is left of its source's part.
        if held.own < most, session < (most - held.own + 1) / 2 {
            held.own += 1
            isFirst = false
        } else if session == 0, held.firsts < Self.firsts, count < Self.firstsBelow {
            held.firsts += 1
            isFirst = true
        } else {
            return nil
        }
        sources[share.source] = held
        sessions[share] = session + 1
        count += 1
        return Slot(share: share, isFirst: isFirst)
    }

    /// Gives a slot back.
    mutating func release(_ slot: Slot) {
        guard var held = sources[slot.share.source], let session = sessions[slot.share] else {
            return assertionFailure("a slot is given back once")
        }
        if slot.isFirst { held.firsts -= 1 } else { held.own -= 1 }
        sources[slot.share.source] = held.isNone ? nil : held
        sessions[slot.share] = session == 1 ? nil : session - 1
        count -= 1
    }
}

/// The look-ups of one source that wait for a slot: its sessions take turns, and each keeps its order.
struct LookupLine {
    private var turns: Deque<ObjectIdentifier> = []
    private var waiting: [ObjectIdentifier: Deque<UInt64>] = [:]

    /// Whether none wait.
    var isEmpty: Bool { turns.isEmpty }
    /// How many sessions have look-ups that wait.
    var sessions: Int { turns.count }

    /// Whether look-ups of `session` wait.
    func holds(_ session: ObjectIdentifier) -> Bool { waiting[session] != nil }

    /// Adds a look-up of `session`, behind its others.
    mutating func add(_ number: UInt64, of session: ObjectIdentifier) {
        if waiting[session] == nil { turns.append(session) }
        waiting[session, default: []].append(number)
    }

    /// The session whose turn it is, which is the last one from now on, and its oldest look-up.
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

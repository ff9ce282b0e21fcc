/// Hosts, and the ways between them: what becomes of each packet, and when it arrives.
///
/// No clock and no I/O. Packets are slots, whose bytes the caller holds: `take()` gives a slot to fill, `receive` puts it on
/// its way, `next` tells where it comes out, and `release` gives it back. A dropped packet's slot is free at once.
///
/// Memory is bounded: `slots` packets at most are on their way, `share` of them on one route.
public struct Emulation {
    struct Host {
        let name: String
        var isCut = false
    }

    enum Element: Equatable {
        case segment(Int)
        case line(Int)
    }

    struct Route {
        let from: Int
        let to: Int
        var elements: [Element]
        /// For the segments that begin at each element: when the latest packet of those in order comes out.
        var latest: [Nanoseconds]
        var chance: Chance
        var held = 0
        var delivered = 0
        var bytes = 0
        var lost = 0
        /// At a line's queue.
        var dropped = 0
        /// Because an end was cut off.
        var cut = 0
        /// Because the route had its share of slots already.
        var full = 0
    }

    private struct Packet {
        var length = 0
        var route = 0
        /// The element that the packet enters next.
        var stage = 0
        /// The packet behind this one in a line, or the next free slot; -1 is none.
        var next = -1
    }

    /// A packet that has come out.
    public struct Delivery: Equatable, Sendable {
        /// Where its bytes are.
        public let slot: Int
        /// Bytes.
        public let length: Int
        /// The number of the host that gets it.
        public let host: Int
    }

    /// Packets that no route has taken.
    struct Strays: Equatable {
        /// No IP packet.
        var malformed = 0
        /// The source is not an address of the host.
        var foreign = 0
        /// No host has the destination, or no route leads there.
        ///
        /// The kernel's own multicasts are among them.
        var unknown = 0
    }

    let seed: UInt64
    let share: Int
    var hosts: [Host] = []
    var routes: [Route] = []
    /// Whose each address is.
    var owners: [(address: Address, host: Int)] = []
    /// The route from each host to each other, at `from * hosts.count + to`; -1 is none.
    var table: [Int] = []
    var segments: [Segment] = []
    var lines: [Line] = []
    var segmentNames: [String] = []
    var lineNames: [String] = []
    private(set) var strays = Strays()
    /// How many slots are in use.
    private(set) var used = 0
    private var packets: [Packet]
    private var firstFree = 0
    private var schedule = Schedule()

    /// No hosts yet; the seed decides what is lost, late and overtaken.
    public init(slots: Int, share: Int, seed: UInt64) {
        self.seed = seed
        self.share = share
        packets = (0..<slots).map { Packet(next: $0 + 1 < slots ? $0 + 1 : -1) }
        firstFree = slots > 0 ? 0 : -1
    }

    /// A free slot, or nil when all are in use.
    public mutating func take() -> Int? {
        guard firstFree >= 0 else { return nil }
        let slot = firstFree
        firstFree = packets[slot].next
        used += 1
        return slot
    }

    /// Gives a slot back that was taken or delivered.
    public mutating func release(_ slot: Int) {
        packets[slot].next = firstFree
        firstFree = slot
        used -= 1
    }

    /// A host sends the packet whose bytes are in `slot`; `ends` are its addresses, nil where it is no IP packet.
    public mutating func receive(
        _ slot: Int, length: Int, from host: Int, ends: (source: Address, destination: Address)?, at time: Nanoseconds
    ) {
        guard let ends else { return stray(slot, \.malformed) }
        guard owner(of: ends.source) == host else { return stray(slot, \.foreign) }
        guard let to = owner(of: ends.destination) else { return stray(slot, \.unknown) }
        let route = table[host * hosts.count + to]
        guard route >= 0 else { return stray(slot, \.unknown) }
        packets[slot] = Packet(length: length, route: route)
        routes[route].held += 1
        if hosts[host].isCut || hosts[to].isCut { return drop(slot, \.cut) }
        if routes[route].held > share { return drop(slot, \.full) }
        proceed(slot, at: time)
    }

    /// When `next` has something to do at the earliest.
    public var deadline: Nanoseconds? { schedule.first?.time }

    /// A packet that has come out by `now`, or nil when there is none.
    ///
    /// Its slot is the caller's until `release`.
    public mutating func next(by now: Nanoseconds) -> Delivery? {
        while let event = schedule.first, event.time <= now {
            schedule.removeFirst()
            if event.subject < 0 {
                leaveLine(-1 - event.subject, at: event.time)
                continue
            }
            let slot = event.subject
            let route = packets[slot].route
            if packets[slot].stage < routes[route].elements.count {
                proceed(slot, at: event.time)
                continue
            }
            let to = routes[route].to
            if hosts[to].isCut {
                drop(slot, \.cut)
                continue
            }
            routes[route].held -= 1
            routes[route].delivered += 1
            routes[route].bytes += packets[slot].length
            return Delivery(slot: slot, length: packets[slot].length, host: to)
        }
        return nil
    }

    /// Changes a line's rate.
    mutating func change(line: Int, rate: Double, at time: Nanoseconds) {
        if lines[line].change(rate: rate, at: time), let finish = lines[line].finish {
            schedule.add(-1 - line, at: finish)
        }
    }

    private func owner(of address: Address) -> Int? {
        for owner in owners where owner.address == address { return owner.host }
        return nil
    }

    // MARK: On the way

    /// A packet enters the next element of its route: a line, or all segments up to the next line.
    private mutating func proceed(_ slot: Int, at time: Nanoseconds) {
        let index = packets[slot].route
        let begin = packets[slot].stage
        var stage = begin
        var due = time
        var overtaken = false
        way: while stage < routes[index].elements.count {
            switch routes[index].elements[stage] {
            case .line(let line):
                if stage > begin { break way }
                packets[slot].stage = stage + 1
                return enterLine(line, slot, at: time)
            case .segment(let segment):
                switch segments[segment].pass(&routes[index].chance) {
                case .lost: return drop(slot, \.lost)
                case .passes(let taken, let late):
                    due += taken
                    overtaken = overtaken || late
                }
                stage += 1
            }
        }
        if !overtaken, stage > begin {
            due = max(due, routes[index].latest[begin])
            routes[index].latest[begin] = due
        }
        packets[slot].stage = stage
        schedule.add(slot, at: due)
    }

    private mutating func enterLine(_ line: Int, _ slot: Int, at time: Nanoseconds) {
        let length = packets[slot].length
        guard lines[line].admits(length) else { return drop(slot, \.dropped) }
        packets[slot].next = -1
        if lines[line].tail >= 0 { packets[lines[line].tail].next = slot } else { lines[line].head = slot }
        lines[line].tail = slot
        if lines[line].add(length, at: time), let finish = lines[line].finish { schedule.add(-1 - line, at: finish) }
    }

    /// The first packet of a line has left, unless its rate has changed since the event was made.
    private mutating func leaveLine(_ line: Int, at time: Nanoseconds) {
        guard lines[line].finish == time, lines[line].head >= 0 else { return }
        let slot = lines[line].head
        let next = packets[slot].next
        lines[line].head = next
        if next < 0 { lines[line].tail = -1 }
        lines[line].remove(packets[slot].length, next: next < 0 ? nil : packets[next].length)
        if let finish = lines[line].finish { schedule.add(-1 - line, at: finish) }
        proceed(slot, at: time)
    }

    private mutating func drop(_ slot: Int, _ reason: WritableKeyPath<Route, Int>) {
        let route = packets[slot].route
        routes[route][keyPath: reason] += 1
        routes[route].held -= 1
        release(slot)
    }

    private mutating func stray(_ slot: Int, _ reason: WritableKeyPath<Strays, Int>) {
        strays[keyPath: reason] += 1
        release(slot)
    }
}

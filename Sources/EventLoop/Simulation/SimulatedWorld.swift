/// Simulated time, and an in-memory network between any number of hosts, controlled by one seed.
///
/// Time stands still while code runs, and jumps to the next event when no code is left to run. Each host has one
/// ``Loop``. Its turns have the same order as on a real loop: arrivals, timers, ``Loop/addAtTurnEnd(_:)``, flush.
/// Everything runs on one thread. The loops retain the world, and the world its hosts.
///
/// It has more members than most types: all that lies between the machines of one network.
package final class SimulatedWorld {
    /// The monotonic time of all hosts, in nanoseconds.
    package private(set) var now: UInt64 = 1_000_000_000_000
    /// The correct wall clock at the world's start, in nanoseconds since 1970.
    package let wallClockAtStart: UInt64
    private let start: UInt64
    /// Decides about packets; tests may draw from it too.
    package var random: SimulatedRandom
    /// The hosts, in the order in which they were added.
    package private(set) var hosts: [SimulatedHost] = []
    /// The addresses that the name servers return, by name.
    package var names: [String: [SocketAddress]] = [:]
    /// Whether the name servers answer at all.
    package var answersNames = true
    /// The names that they do not answer for; nil: they answer for all.
    package var silentNames: ((String) -> Bool)?
    /// Whether packets pass from one host to another; nil: between all hosts.
    package var passes: ((SimulatedHost, SimulatedHost) -> Bool)?
    /// A test's hook: called for each datagram from one host to another or to nobody, with its source and target,
    /// before the network loses or carries it; a host's turn is under way.
    package var overhear: (([UInt8], SocketAddress, SocketAddress) -> Void)?
    /// A test's hook: called for each event, with its time, host, kind and number of bytes.
    package var trace: ((UInt64, Int, StaticString, Int) -> Void)?
    /// A hash over all events so far: equal for equal runs.
    package private(set) var digest: UInt64 = 0
    /// How many events there were.
    package private(set) var eventCount: UInt64 = 0
    /// The counts of datagrams.
    package internal(set) var traffic = SimulatedTraffic()

    private var events = SimulatedEvents()
    private var byAddress: [SocketAddress: SimulatedHost] = [:]
    private var ready: [SimulatedHost] = []
    private var isStopping = false

    /// Arrival times are multiples of this many nanoseconds, so that several share a turn.
    package var grain: UInt64 = 20_000
    /// The shortest duration of a loop's turn, in nanoseconds.
    static let turnTime: UInt64 = 1_000

    /// A world without hosts; `wallClock` is in nanoseconds since 1970.
    package init(seed: UInt64, wallClock: UInt64 = 1_800_000_000_000_000_000) {
        random = SimulatedRandom(seed: seed)
        wallClockAtStart = wallClock
        start = now
    }

    /// Nanoseconds since the world's start.
    package var elapsed: UInt64 { now - start }

    /// Adds a host with these addresses, at most one of each family; their ports are ignored.
    package func addHost(at addresses: [SocketAddress], line: SimulatedLine = SimulatedLine()) -> SimulatedHost {
        let host = SimulatedHost(world: self, number: hosts.count, line: line)
        hosts.append(host)
        host.move(to: addresses)
        return host
    }

    /// The host at an address, whatever the port.
    func host(at address: SocketAddress) -> SimulatedHost? { byAddress[address.with(port: 0)] }

    func register(_ host: SimulatedHost, leaving old: [SocketAddress]) {
        for address in old where byAddress[address] === host { byAddress[address] = nil }
        for address in host.addresses { byAddress[address] = host }
    }

    // MARK: - Running

    /// Runs until ``stop()``, or until no event is left.
    package func run() {
        isStopping = false
        review()
        while !isStopping, advance(until: .max) {}
    }

    /// Ends ``run()`` after the current instant.
    package func stop() { isStopping = true }

    /// Runs for `span` nanoseconds, or until `condition` is true, which is checked after each instant; returns whether
    /// it became true.
    @discardableResult
    package func run(for span: UInt64, until condition: () -> Bool = { false }) -> Bool {
        let end = now + span
        review()
        if condition() { return true }
        while advance(until: end) {
            if condition() { return true }
        }
        now = end
        return false
    }

    /// Runs the next event; without `waiting` only if it is due now.
    package func step(waiting: Bool) {
        review()
        _ = advance(until: waiting ? .max : now)
    }

    /// Calls `action` after `span` nanoseconds, outside of all hosts.
    package func after(_ span: UInt64, _ action: @escaping () -> Void) {
        post(.action(action), at: now + span)
    }

    /// Handles timers and packets that were set and queued on the loops from outside.
    private func review() { for host in hosts { host.review() } }

    /// Runs all events of the next instant, if that is not after `end`.
    private func advance(until end: UInt64) -> Bool {
        guard let time = events.firstTime, time <= end else { return false }
        now = max(now, time)
        while events.firstTime == time { happen(events.removeFirst()) }
        while !ready.isEmpty {
            let hosts = ready
            ready = []
            for host in hosts { host.turn() }
        }
        return true
    }

    private func happen(_ event: SimulatedEvent) {
        switch event {
        case .turn(let host):
            host.alarm(at: now)
        case .datagram(let bytes, let source, let target, let host):
            guard let receiver = host ?? self.host(at: target), !receiver.isCut || host != nil else {
                traffic.lost += 1
                return
            }
            note(receiver.number, "datagram", bytes.count)
            receiver.arrive(bytes, from: source, to: target)
        case .call(let host, let generation, let kind, let action):
            guard generation == nil || generation == host.generation else { return }
            note(host.number, kind, 0)
            host.calls.append(action)
            makeReady(host)
        case .action(let action):
            note(-1, "action", 0)
            action()
            review()
        }
    }

    func note(_ host: Int, _ kind: StaticString, _ size: Int) {
        eventCount += 1
        for value in [now, UInt64(truncatingIfNeeded: host), UInt64(kind.utf8CodeUnitCount), UInt64(size)] {
            digest = (digest ^ value) &* 0x9e37_79b9_7f4a_7c15
            digest ^= digest >> 29
        }
        trace?(now, host, kind, size)
    }

    /// Gives `host` a turn at this instant.
    func makeReady(_ host: SimulatedHost) {
        guard !host.isReady else { return }
        host.isReady = true
        ready.append(host)
    }

    func post(_ event: SimulatedEvent, at time: UInt64) { events.insert(event, at: max(time, now)) }

    // MARK: - The network

    /// Carries a datagram from `host`, or loses it.
    func carry(
        _ bytes: UnsafeRawBufferPointer, of host: SimulatedHost, from source: SocketAddress, to target: SocketAddress
    ) {
        traffic.sent += 1
        if host.owns(target) {
            let event = unsafe SimulatedEvent.datagram([UInt8](bytes), from: source, to: target, host)
            return post(event, at: now + SimulatedHost.localDelay)
        }
        if let overhear { unsafe overhear([UInt8](bytes), source, target) }
        guard let receiver = self.host(at: target), canPass(host, receiver),
            !random.happens(host.line.loss), !random.happens(receiver.line.loss),
            let departure = host.depart(bytes.count)
        else {
            traffic.lost += 1
            return
        }
        let event = unsafe SimulatedEvent.datagram([UInt8](bytes), from: source, to: target, nil)
        post(event, at: arrival(departure, host, receiver))
        if random.happens(host.line.duplication) {
            traffic.doubled += 1
            post(event, at: arrival(departure, host, receiver))
        }
    }

    /// Carries a datagram that no host has sent, with any source; it arrives after `delay` nanoseconds.
    package func inject(_ bytes: [UInt8], from source: SocketAddress, to target: SocketAddress, after delay: UInt64) {
        post(.datagram(bytes, from: source, to: target, nil), at: now + delay)
    }

    func canPass(_ host: SimulatedHost, _ other: SimulatedHost) -> Bool {
        host === other || !host.isCut && !other.isCut && (passes?(host, other) ?? true)
    }

    /// The arrival time of a packet that departs at `time`.
    func arrival(_ time: UInt64, _ host: SimulatedHost, _ other: SimulatedHost) -> UInt64 {
        guard host !== other else { return time + SimulatedHost.localDelay }
        let arrival =
            time + host.line.delay + other.line.delay + random.below(host.line.jitter) + random.below(other.line.jitter)
        return (arrival + grain - 1) / grain * grain
    }
}

/// The counts of a world's datagrams.
package struct SimulatedTraffic: Equatable, Sendable {
    /// Datagrams that were sent.
    package var sent: UInt64 = 0
    /// Datagrams that the network lost.
    package var lost: UInt64 = 0
    /// Datagrams that it delivered twice.
    package var doubled: UInt64 = 0
    /// Datagrams for which there was no socket, or one whose buffer was full.
    package var refused: UInt64 = 0
}

/// The properties of the line between a host and the middle of the network.
package struct SimulatedLine: Sendable {
    /// The delay of each packet, each way, in nanoseconds.
    package var delay: UInt64 = 10_000_000
    /// The largest additional delay in nanoseconds; it makes packets overtake one another.
    package var jitter: UInt64 = 0
    /// The share of packets that is lost, each way.
    package var loss = 0.0
    /// The share of sent packets that arrives twice.
    package var duplication = 0.0
    /// The most bytes sent a second; 0: no limit.
    package var rate: UInt64 = 0
    /// The length of the send queue in nanoseconds; packets beyond it are lost.
    package var queue: UInt64 = 200_000_000

    /// A line with a delay of 10 ms and no faults.
    package init() {}
}

/// An event at some time.
enum SimulatedEvent {
    /// A host's timer may be due.
    case turn(SimulatedHost)
    /// A datagram arrives, at its own host or at the host that has the address at that time.
    case datagram([UInt8], from: SocketAddress, to: SocketAddress, SimulatedHost?)
    /// A call in a turn of a host's loop; only of that loop, if a generation is given.
    case call(SimulatedHost, generation: Int?, StaticString, () -> Void)
    /// A call outside of all hosts.
    case action(() -> Void)
}

/// Events by time, and at equal times in the order of insertion.
struct SimulatedEvents {
    private struct Entry {
        var time: UInt64
        var sequence: UInt64
        var place: Int

        func isBefore(_ other: Entry) -> Bool { time != other.time ? time < other.time : sequence < other.sequence }
    }

    private var heap: [Entry] = []
    private var places: [SimulatedEvent?] = []
    private var free: [Int] = []
    private var sequence: UInt64 = 0

    var firstTime: UInt64? { heap.first?.time }

    mutating func insert(_ event: SimulatedEvent, at time: UInt64) {
        let place: Int
        if let last = free.popLast() {
            place = last
            places[place] = event
        } else {
            place = places.count
            places.append(event)
        }
        let entry = Entry(time: time, sequence: sequence, place: place)
        sequence += 1
        var index = heap.count
        heap.append(entry)
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry.isBefore(heap[parent]) else { break }
            heap[index] = heap[parent]
            index = parent
        }
        heap[index] = entry
    }

    mutating func removeFirst() -> SimulatedEvent {
        let first = heap[0]
        let last = heap.removeLast()
        if !heap.isEmpty {
            var index = 0
            while true {
                var child = 2 * index + 1
                guard child < heap.count else { break }
                if child + 1 < heap.count && heap[child + 1].isBefore(heap[child]) { child += 1 }
                guard heap[child].isBefore(last) else { break }
                heap[index] = heap[child]
                index = child
            }
            heap[index] = last
        }
        free.append(first.place)
        guard let event = places[first.place] else { preconditionFailure("an event in the heap has a place") }
        places[first.place] = nil
        return event
    }
}

/// A time or a duration in nanoseconds.
public typealias Nanoseconds = Int64

/// Events by time; those of one time come out in the order in which they went in.
struct Schedule {
    struct Event {
        let time: Nanoseconds
        let number: UInt64
        /// A packet's slot, or `-1 - line`.
        let subject: Int

        func isBefore(_ other: Event) -> Bool { time != other.time ? time < other.time : number < other.number }
    }

    /// A binary heap, the earliest event first.
    private var events: [Event] = []
    private var added: UInt64 = 0

    var first: Event? { events.first }

    mutating func add(_ subject: Int, at time: Nanoseconds) {
        added &+= 1
        let event = Event(time: time, number: added, subject: subject)
        var place = events.count
        events.append(event)
        while place > 0 {
            let parent = (place - 1) / 2
            guard event.isBefore(events[parent]) else { break }
            events[place] = events[parent]
            place = parent
        }
        events[place] = event
    }

    mutating func removeFirst() {
        let event = events.removeLast()
        guard !events.isEmpty else { return }
        var place = 0
        while true {
            var child = 2 * place + 1
            guard child < events.count else { break }
            if child + 1 < events.count, events[child + 1].isBefore(events[child]) { child += 1 }
            guard events[child].isBefore(event) else { break }
            events[place] = events[child]
            place = child
        }
        events[place] = event
    }
}

import Testing

@testable import Emulation

let millisecond: Nanoseconds = 1_000_000

/// Two hosts, a and b, in simulated time.
struct Lab {
    var emulation: Emulation
    var time: Nanoseconds = 0

    init(_ commands: String..., slots: Int = 4_096, share: Int = 2_048, seed: UInt64 = 1) throws {
        emulation = Emulation(slots: slots, share: share, seed: seed)
        for text in ["host a", "host b", "address a 10.0.0.1", "address a fd00::1", "address b 10.0.0.2"] + commands {
            try command(text)
        }
    }

    mutating func command(_ text: String) throws {
        let answer = try emulation.command(text, at: time)
        #expect(answer == "ok")
    }

    mutating func take() throws -> Int {
        let slot = emulation.take()
        return try #require(slot)
    }

    /// Sends from a to b; the slot, which tells packets apart.
    @discardableResult
    mutating func send(_ length: Int = 1_000) throws -> Int {
        let slot = try take()
        emulation.receive(
            slot, length: length, from: 0, ends: (Address(v4: 0x0a00_0001), Address(v4: 0x0a00_0002)), at: time)
        return slot
    }

    /// What comes out until then, with the times at which it does.
    mutating func arrivals(by end: Nanoseconds) -> [(time: Nanoseconds, slot: Int)] {
        var arrived: [(Nanoseconds, Int)] = []
        while let deadline = emulation.deadline, deadline <= end {
            time = max(time, deadline)
            guard let delivery = emulation.next(by: time) else { continue }
            arrived.append((time, delivery.slot))
            emulation.release(delivery.slot)
        }
        time = end
        return arrived
    }

    var route: Emulation.Route { emulation.routes[0] }
}

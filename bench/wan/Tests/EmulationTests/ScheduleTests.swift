import Testing

@testable import Emulation

@Suite struct Schedules {
    @Test func comesOutInOrder() {
        var chance = Chance(seed: 3)
        var schedule = Schedule()
        var times: [(Nanoseconds, Int)] = []
        for subject in 0..<500 {
            let time = Nanoseconds(chance.next() % 50)
            schedule.add(subject, at: time)
            times.append((time, subject))
        }
        var out: [Int] = []
        while let first = schedule.first {
            out.append(first.subject)
            schedule.removeFirst()
        }
        #expect(out == times.sorted { $0 < $1 }.map(\.1))
    }
}

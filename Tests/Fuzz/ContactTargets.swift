import Directory
import Link
import Wire

/// Actions of hostile sources on a client's first contact, clock and kept guards, in any order.
///
/// An inquiry ends, bounds hold, and no guard's time runs backwards.
func contact(_ input: RawSpan) {
    var reader = ByteReader(input)
    func node(_ number: UInt8) -> NodeID {
        NodeID(Bytes32(copying: ([UInt8](repeating: 3, count: 31) + [number]).rawSpan))
    }
    func owner(_ number: UInt8) -> Bytes32 { node(number / 2).key }
    let entries = (UInt8(0)..<16).map {
        Snapshot.Entry(node: node($0), operatorID: owner($0), weight: UInt32($0), placement: 0)
    }
    guard let snapshot = Snapshot(network: Bytes32(), height: 1, time: UnixTime(seconds: 1), entries: entries) else {
        return
    }
    let store = DescriptorStore(network: Bytes32(), allowsPrivateAddresses: true, snapshot: snapshot)
    let coverage = Coverage(of: snapshot, descriptors: store, at: UnixTime(seconds: 1))
    var inquiry = Inquiry()
    var clock = ClockEstimate()
    clock.operators = 8
    var mostSources = 0
    var guards = Guards()
    var now = Instant(nanoseconds: 1)
    while let kind = try? reader.u8(), let number = try? reader.u8() {
        switch kind % 8 {
        case 0: inquiry.offer(node(number), owner: owner(number))
        case 1: if let asked = inquiry.next(at: now) { precondition(inquiry.next(at: now) != asked, "asked twice") }
        case 2: inquiry.answered(node(number))
        case 3: inquiry.failed(node(number))
        case 4: now = now + .seconds(Int64(number))
        case 5:
            guard let time = try? reader.u64(), let own = try? reader.u64() else { return }
            clock.add(UnixTime(seconds: time), from: owner(number), own: UnixTime(seconds: own), at: now)
            mostSources = max(mostSources, clock.sources)
            let told = clock.time(own: UnixTime(seconds: own), at: now).seconds
            let error = told > own ? told - own : own - told
            precondition(error == 0 || mostSources >= 3, "fewer than three operators have moved the clock")
        case 6:
            let length = min(43, reader.remaining)
            guard let row = try? reader.array(length) else { return }
            guards = Guards(rows: [NodeRow(node: node(number), bytes: row)])
            let kept = Guards(rows: guards.rows)
            precondition(kept.sample.map(\.left) == guards.sample.map(\.left), "rows do not come back")
        default:
            guard let seconds = try? reader.u64() else { return }
            let before = guards.sample.map(\.left)
            guards.age(by: seconds)
            guards.ageWhileOff(upTo: UnixTime(seconds: seconds))
            precondition(guards.sample.allSatisfy { $0.left <= before.max() ?? 0 }, "a guard is younger than it was")
        }
        precondition(inquiry.asked <= Inquiry.limit && inquiry.answers <= 8 + 120, "an inquiry without an end")
        _ = inquiry.outcome(coverage, operators: 8, wantsMany: number & 1 == 1, at: now)
    }
}

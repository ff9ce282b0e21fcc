// One file: the steps of the model share private state.

internal import Transport
internal import Wire

/// Two ends of a connection, or one end and a hostile peer, over a bad network with several legs.
///
/// The network loses, delays, reorders and repeats packets. The input decides which end is hostile, which configuration
/// is used and what the applications do; after its last byte, a generator that it seeds decides.
/// Every byte that arrives is right, memory stays bounded, events end, and honest ends do not close each other. At the
/// end of a run the network is good; then all data that was written and finished arrives whole.
public struct ConnectionModel {
    /// An expectation that did not hold.
    public struct Broken: Error, CustomStringConvertible {
        /// The expectation.
        public let description: String
    }

    /// The result of a run.
    public struct Report: Equatable {
        /// Packets that were delivered to an end.
        public var packets = 0
        /// Bytes that were read from streams, all of them right.
        public var bytesRead = 0
        /// Datagrams that arrived, all of them right.
        public var datagrams = 0
        /// Whether an end closed the connection, which only happens with a hostile peer.
        public var isClosed = false
    }

    /// A packet on its way.
    private struct Flight {
        var time: Instant
        var order: Int
        var toInitiator: Bool
        var leg: UInt8
        var number: UInt64
        var bytes: [UInt8]
    }

    private var choices: Choices
    private let ends: [End]
    private var hostile: Hostile?
    private var now = Instant(nanoseconds: 1_000_000_000)
    /// Latest arrivals first.
    private var flights: [Flight] = []
    private var order = 0
    private var legs: [UInt8: Int] = [:]
    private var nextLeg: UInt8 = 0
    private let isControl: Bool
    private let memoryLimit: Int
    private let loss: Int
    private let delay: UInt64
    private let eagerness: Int
    private var report = Report()

    /// Runs `steps` steps with the decisions of `input`.
    public static func run(_ input: [UInt8], steps: Int) throws(Broken) -> Report {
        var model = ConnectionModel(input)
        return try model.run(steps)
    }

    private init(_ input: [UInt8]) {
        choices = Choices(input)
        let kind = choices.below(256)
        isControl = kind & 3 == 0
        var near = isControl ? ConnectionConfiguration.control : ConnectionConfiguration()
        near.congestion = kind & 4 == 0 ? .model : .cubic
        if kind & 3 == 1 {
            near.maxConnectionWindow = 1 << 20
            near.maxSendBuffer = 1 << 20
            near.maxDatagramQueue = 100_000
            near.maxReassembly = 70_000
        }
        memoryLimit = isControl ? 16 << 20 : 100 << 20
        var far = near
        if kind & 3 == 2 { far.congestion = kind & 8 == 0 ? .model : .cubic }
        ends = [
            End(.initiator, near, seed: choices.anything(below: .max)),
            End(.responder, far, seed: choices.anything(below: .max)),
        ]
        switch kind >> 4 & 3 {
        case 0, 1: hostile = nil
        case let side:
            hostile = Hostile(isInitiator: side == 2, takesDatagrams: !isControl, lies: [0, 0, 1, 8][kind >> 6])
        }
        loss = [0, 2, 10, 30][choices.below(4)]
        delay = [200_000, 5_000_000, 40_000_000, 200_000_000][choices.below(4)]
        eagerness = [90, 50, 10, 100][choices.below(4)]
    }

    private func check(_ isTrue: Bool, _ promise: String) throws(Broken) {
        if !isTrue { throw Broken(description: promise) }
    }

    /// Whether the hostile end also sends wrong bytes.
    private var isLying: Bool { hostile.map { $0.lies > 0 } ?? false }

    /// The ends that keep to the protocol.
    private var honest: [End] {
        guard let hostile else { return ends }
        return [hostile.isInitiator ? ends[1] : ends[0]]
    }

    // MARK: The run

    private mutating func run(_ steps: Int) throws(Broken) -> Report {
        addLeg()
        var step = 0
        while step < steps, !report.isClosed {
            step += 1
            let end = honest[choices.below(honest.count)]
            try act(end)
            if hostile != nil { try lie() }
            now = now + TimeSpan(nanoseconds: Int64(choices.anything(below: delay / 2)))
            try deliver()
            try settle()
            let isAtLoss = hostile == nil && ends[1].connection.activeLeg == nil
            try check(!isAtLoss, "a responder with legs sends over none")
        }
        if hostile == nil { try finish() }
        return report
    }

    /// Lets both ends come to rest over a network without faults, and checks that all written bytes were read.
    private mutating func finish() throws(Broken) {
        var rounds = 0
        while !isAtRest {
            rounds += 1
            try check(rounds < 20_000, "what was written never arrives")
            for end in ends {
                for id in end.open {
                    finish(end, id)
                    try read(end, id, most: .max)
                }
            }
            now = now + .milliseconds(5)
            if let deadline = ends.compactMap({ $0.connection.nextDeadline }).min(), flights.isEmpty {
                now = max(now, deadline)
            }
            try deliver(isFaulty: false)
            try settle(isFaulty: false)
        }
        for (writer, reader) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            for id in writer.sent.keys.sorted() {
                guard let sent = writer.sent[id], !sent.isReset else { continue }
                let taken = reader.taken[id] ?? End.Taken()
                if taken.isCut { continue }
                try check(taken.count == sent.written && taken.hasEnded, "a stream did not come whole")
            }
        }
    }

    private var isAtRest: Bool {
        for (writer, reader) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            for (id, sent) in writer.sent where !sent.isReset {
                guard let taken = reader.taken[id] else { return false }
                if !taken.isCut, !taken.hasEnded { return false }
            }
        }
        return true
    }

    // MARK: Legs

    private mutating func addLeg() {
        guard legs.count < (isControl ? 1 : 4), legs[nextLeg] == nil else { return }
        let id = nextLeg
        nextLeg &+= 1
        let size = [1_260, 512, 256, 1_260][choices.below(4)]
        legs[id] = size
        let preamble = isControl ? [] : LegHello(leg: id, kind: .newSession).encoded
        let roundTrip = choices.chance(50) ? TimeSpan(nanoseconds: Int64(delay)) : nil
        ends[0].connection.addLeg(
            LegID(id), payloadSize: size, preamble: preamble, initialRTT: roundTrip, now: now)
        ends[1].connection.addLeg(LegID(id), payloadSize: size, now: now)
        ends[0].numbers[id] = 0
        ends[1].numbers[id] = 0
    }

    /// Removes a leg at both ends, as when its path ends; the initiator activates another.
    private mutating func removeLeg(_ id: UInt8) {
        guard legs.count > 1, legs.removeValue(forKey: id) != nil else { return }
        for end in ends { end.connection.removeLeg(LegID(id), now: now) }
        if let other = legs.keys.min() { ends[0].connection.activate(LegID(other), now: now) }
    }

    private var legIDs: [UInt8] { legs.keys.sorted() }

    // MARK: Applications

    private mutating func act(_ end: End) throws(Broken) {
        let id = end.open.isEmpty ? 0 : end.open[choices.below(end.open.count)]
        switch choices.below(20) {
        case 0, 1: open(end)
        case 2...6: write(end, id, [1, 100, 1_000, 10_000, 70_000][choices.below(5)])
        case 7:
            // Mostly the stream written last: its end then overtakes bytes that are late or lost.
            finish(end, choices.chance(70) ? end.lastWritten : id)
        case 8...12: try read(end, id, most: [1, 500, 3_000, 100_000, .max][choices.below(5)])
        case 13: if choices.chance(20) { reset(end, id) }
        case 14: if choices.chance(20) { stop(end, id) }
        case 15: sendDatagram(end, [10, 900, 3_000, 60_000][choices.below(4)])
        case 16: end.connection.ping(LegID(legIDs[choices.below(legs.count)]))
        case 17: end.connection.challenge(LegID(legIDs[choices.below(legs.count)]), data: 7)
        case 18: if choices.chance(30) { addLeg() }
        default:
            guard end.role == .initiator, choices.chance(30) else { return }
            let leg = legIDs[choices.below(legs.count)]
            if choices.chance(50) { end.connection.activate(LegID(leg), now: now) } else { removeLeg(leg) }
        }
    }

    private func open(_ end: End) {
        guard end.open.count < 300, let id = try? end.connection.openStream() else { return }
        end.open.append(id.value)
        end.sent[id.value] = End.Sent()
    }

    private func write(_ end: End, _ id: UInt64, _ count: Int) {
        guard end.connection.isSending(StreamID(id)) else { return }
        var sent = end.sent[id] ?? End.Sent()
        let room = end.connection.sendCapacity(StreamID(id))
        let bytes = Content.bytes(
            id, byInitiator: end.role == .initiator, at: sent.written, count: min(count, room + 1))
        sent.written += UInt64(end.connection.write(StreamID(id), bytes.rawSpan))
        end.sent[id] = sent
        end.lastWritten = id
    }

    private func finish(_ end: End, _ id: UInt64) {
        guard end.connection.isSending(StreamID(id)) else { return }
        end.sent[id, default: End.Sent()].isFinished = true
        end.connection.finish(StreamID(id))
    }

    private func reset(_ end: End, _ id: UInt64) {
        guard end.open.contains(id) else { return }
        end.sent[id, default: End.Sent()].isReset = true
        end.connection.reset(StreamID(id), code: 3)
    }

    private func stop(_ end: End, _ id: UInt64) {
        guard end.open.contains(id) else { return }
        end.taken[id, default: End.Taken()].isCut = true
        end.connection.stopSending(StreamID(id), code: 4)
    }

    private func sendDatagram(_ end: End, _ total: Int) {
        let flow = UInt64(total % 5)
        let bytes = Content.datagram(flow: flow, total: total, count: total)
        if end.connection.sendDatagram(flow: flow, bytes.rawSpan) { end.datagrams += 1 }
    }

    private mutating func read(_ end: End, _ id: UInt64, most: Int) throws(Broken) {
        let stream = StreamID(id)
        var left = most
        var isRight = true
        var offset = end.taken[id]?.count ?? 0
        while left > 0 {
            let count = end.connection.withReadable(stream) { bytes in
                let count = min(bytes.byteCount, left)
                isRight =
                    isRight
                    && Content.isRight(
                        bytes.extracting(first: count), id, byInitiator: end.role == .responder, at: offset)
                return count
            }
            if count == 0 { break }
            left -= count
            offset += UInt64(count)
            report.bytesRead += count
        }
        try check(isRight || isLying, "bytes of a stream are wrong")
        var taken = end.taken[id] ?? End.Taken()
        taken.count = offset
        switch end.connection.readState(stream) {
        case .finished: taken.hasEnded = true
        case .reset: taken.isCut = true
        case .open, .unknown: break
        }
        end.taken[id] = taken
    }

    // MARK: The hostile end

    private mutating func lie() throws(Broken) {
        guard var hostile else { return }
        let victim = honest[0]
        for _ in 0..<choices.below(4) {
            let leg = choices.chance(2) ? nextLeg : legIDs[choices.below(legs.count)]
            guard let size = legs[leg] else { continue }
            let own = victim.open.filter { ($0 & 1 == 0) == (victim.role == .initiator) }
            let bytes = hostile.packet(size: size, legs: legIDs, ownStreams: own, &choices)
            var number = ends[hostile.isInitiator ? 0 : 1].numbers[leg] ?? 0
            if choices.chance(5) { number &-= min(number, choices.anything(below: 40)) }
            if choices.chance(hostile.lies) { number = 1 << 62 - 1 - choices.anything(below: 3) }
            ends[hostile.isInitiator ? 0 : 1].numbers[leg] = min(number + 1, 1 << 40)
            send(toInitiator: !hostile.isInitiator, leg, number, bytes, isFaulty: true)
        }
        self.hostile = hostile
    }

    // MARK: The network

    private mutating func send(
        toInitiator: Bool, _ leg: UInt8, _ number: UInt64, _ bytes: [UInt8], isFaulty: Bool
    ) {
        if isFaulty, choices.chance(loss) { return }
        for _ in 0..<(isFaulty && choices.chance(loss) ? 2 : 1) {
            var late = isFaulty ? choices.anything(below: delay / 2) : 0
            if isFaulty, choices.chance(1) { late += delay * 8 }
            order += 1
            let flight = Flight(
                time: now + TimeSpan(nanoseconds: Int64(delay / 2 + late)), order: order, toInitiator: toInitiator,
                leg: leg, number: number, bytes: bytes)
            var place = flights.count
            while place > 0, flights[place - 1].time < flight.time { place -= 1 }
            flights.insert(flight, at: place)
        }
    }

    /// Delivers the packets that are due and runs timers.
    private mutating func deliver(isFaulty: Bool = true) throws(Broken) {
        while let flight = flights.last, flight.time <= now {
            flights.removeLast()
            let end = ends[flight.toInitiator ? 0 : 1]
            if let hostile, hostile.isInitiator == flight.toInitiator {
                var reader = hostile
                let isRight = (try? reader.read(leg: flight.leg, number: flight.number, flight.bytes.rawSpan)) ?? false
                try check(isRight, "an honest end sends what it should not")
                self.hostile = reader
                continue
            }
            report.packets += 1
            let verdict = end.connection.receive(
                leg: LegID(flight.leg), packetNumber: flight.number, payload: flight.bytes.rawSpan, now: now)
            if case .violation = verdict {
                try check(hostile != nil, "an honest end breaks the protocol")
                try check(end.connection.isClosed, "a violation is borne")
            }
            try takeEvents(end)
        }
        for end in honest {
            if let deadline = end.connection.nextDeadline, deadline <= now { end.connection.deadlineReached(now: now) }
        }
    }

    /// Takes events and sends the packets that may be sent.
    private mutating func settle(isFaulty: Bool = true) throws(Broken) {
        for end in honest {
            try takeEvents(end)
            for leg in legIDs {
                guard let size = legs[leg] else { continue }
                var packets = 0
                while end.connection.wantsToSend(leg: LegID(leg), now: now) {
                    var bytes = [UInt8](repeating: 0xee, count: size)
                    var span = bytes.mutableRawSpan
                    let number = (end.numbers[leg] ?? 0) + end.connection.numbersToSkip()
                    guard end.connection.writePacket(leg: LegID(leg), packetNumber: number, into: &span, now: now)
                    else {
                        break
                    }
                    end.numbers[leg] = number + 1
                    send(toInitiator: end.role == .responder, leg, number, bytes, isFaulty: isFaulty)
                    packets += 1
                    try check(packets < 50_000, "packets without end")
                }
            }
            try check(end.connection.memoryUse < memoryLimit, "memory without end")
            if end.connection.isClosed {
                try check(hostile != nil, "an honest end has closed")
                report.isClosed = true
            }
        }
    }

    private mutating func takeEvents(_ end: End) throws(Broken) {
        var events = 0
        while let event = end.connection.nextEvent() {
            events += 1
            try check(events < 100_000, "events without end")
            switch event {
            case .streamOpened(let id):
                try check(!end.open.contains(id.value), "a stream is opened twice")
                end.open.append(id.value)
                end.sent[id.value] = End.Sent()
            case .readable(let id): if choices.chance(eagerness) { try read(end, id.value, most: .max) }
            case .reset(let id, let code): try wasReset(end, id.value, code)
            case .stopSending(let id, _): end.sent[id.value, default: End.Sent()].isReset = true
            case .streamClosed(let id):
                end.open.removeAll { $0 == id.value }
                end.taken[id.value, default: End.Taken()].hasEnded = true
                if let index = end.sent[id.value], !index.isReset, !index.isFinished {
                    throw Broken(description: "a stream is closed that its writer has not ended")
                }
            case .datagram(let flow, let bytes):
                report.datagrams += 1
                let right = Content.datagram(flow: flow, total: bytes.count, count: bytes.count)
                try check(bytes == right || isLying, "bytes of a datagram are wrong")
            case .legClosed(let id):
                if hostile == nil { try check(legs[id.value] == nil, "a leg is closed that stands") }
            case .closed: try check(hostile != nil, "an honest end was closed")
            case .writable, .finished, .streamsAvailable, .legValidated, .legSuspect, .legActivated, .pathChallenge,
                .pathResponse:
                continue
            }
        }
    }

    private func wasReset(_ end: End, _ id: UInt64, _ code: UInt64) throws(Broken) {
        end.taken[id, default: End.Taken()].isCut = true
        guard hostile == nil, code != StreamCode.unread else { return }
        let writer = end.role == .initiator ? ends[1] : ends[0]
        try check(writer.sent[id]?.isReset ?? false, "a stream is reset that its writer has not given up")
    }
}

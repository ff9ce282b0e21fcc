import Transport
import Wire

/// A hostile end, which writes its frames itself and reads the honest end's packets.
struct Hostile {
    let isInitiator: Bool
    let takesDatagrams: Bool
    /// The percentage of frames that openly break the rules.
    let lies: Int
    /// The packet numbers that the honest end has used, by leg, ascending.
    private(set) var seen: [UInt8: [UInt64]] = [:]
    private var streamLimits: [UInt64: UInt64] = [:]
    private var dataLimit = UInt64(InitialLimits.data)
    private var streamLimit = UInt64(InitialLimits.streams)
    private var data: UInt64 = 0
    private var highest: [UInt64: UInt64] = [:]
    private var finals: [UInt64: UInt64] = [:]
    private var granted: UInt64 = 1 << 20
    private var sequence: UInt64 = 1
    private var message: UInt64 = 0

    init(isInitiator: Bool, takesDatagrams: Bool, lies: Int) {
        self.isInitiator = isInitiator
        self.takesDatagrams = takesDatagrams
        self.lies = lies
    }

    /// Reads a packet of the honest end; false if a stream byte in it is wrong.
    mutating func read(leg: UInt8, number: UInt64, _ payload: RawSpan) throws(WireError) -> Bool {
        if let last = seen[leg]?.last, last >= number { return true }
        seen[leg, default: []].append(number)
        var reader = FrameReader(payload)
        while let frame = try reader.next() {
            switch frame {
            case .maxData(let limit): dataLimit = max(dataLimit, limit)
            case .maxStreamData(let stream, let limit): streamLimits[stream] = max(streamLimits[stream] ?? 0, limit)
            case .maxStreams(let limit): streamLimit = max(streamLimit, limit)
            case .stream(let frame):
                guard Content.isRight(frame.data, frame.stream, byInitiator: !isInitiator, at: frame.offset) else {
                    return false
                }
            default: continue
            }
        }
        return true
    }

    /// The frames of one packet, padded with zeros.
    mutating func packet(size: Int, legs: [UInt8], ownStreams: [UInt64], _ choices: inout Choices) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0...choices.below(choices.chance(10) ? 40 : 4) {
            var writer = ByteWriter()
            frame(&writer, room: size - bytes.count, legs, ownStreams, &choices)
            guard bytes.count + writer.bytes.count <= size else { break }
            bytes += writer.bytes
        }
        return bytes + [UInt8](repeating: 0, count: size - bytes.count)
    }

    private mutating func frame(
        _ writer: inout ByteWriter, room: Int, _ legs: [UInt8], _ ownStreams: [UInt64], _ choices: inout Choices
    ) {
        if choices.chance(lies) { return lie(&writer, room, &choices) }
        switch choices.below(24) {
        case 0...8: stream(&writer, room, ownStreams, &choices)
        case 9...12: acknowledge(&writer, legs, &choices)
        case 13: reset(&writer, &choices)
        case 14:
            writer.u8(FrameType.stopSending)
            writer.varint(streamID(ownStreams, &choices))
            writer.varint(7)
        case 15:
            granted += choices.anything(below: 1 << 20)
            writer.u8(FrameType.maxData)
            writer.varint(granted)
        case 16:
            writer.u8(FrameType.maxStreamData)
            writer.varint(streamID(ownStreams, &choices))
            writer.varint(choices.chance(5) ? 1 << 62 - 1 : choices.anything(below: 1 << 22))
        case 17:
            writer.u8(FrameType.maxStreams)
            writer.varint(choices.chance(5) ? 1 << 62 - 1 : choices.anything(below: 1_000))
        case 18: writer.u8(FrameType.ping)
        case 19:
            writer.u8(choices.chance(50) ? FrameType.pathChallenge : FrameType.pathResponse)
            writer.u64(choices.anything(below: 4))
        case 20:
            writer.u8(choices.chance(80) ? FrameType.legActive : FrameType.legClose)
            writer.u8(legs.isEmpty ? 0 : legs[choices.below(legs.count)])
            sequence += choices.anything(below: 2)
            if writer.bytes[0] == FrameType.legActive { writer.varint(sequence) }
        case 21: writer.raw(LegHello(leg: 0, kind: .newSession).encoded)
        case 22, 23: if takesDatagrams { datagram(&writer, room, &choices) }
        default: writer.u8(FrameType.ping)
        }
    }

    /// One of its own streams, mostly one of the first few, or a stream that the honest end has opened.
    private func streamID(_ ownStreams: [UInt64], _ choices: inout Choices) -> UInt64 {
        if !ownStreams.isEmpty, choices.chance(20) { return ownStreams[choices.below(ownStreams.count)] }
        let count = choices.chance(5) ? streamLimit : min(streamLimit, 8)
        return UInt64(choices.below(Int(count))) * 2 + (isInitiator ? 0 : 1)
    }

    private mutating func stream(
        _ writer: inout ByteWriter, _ room: Int, _ ownStreams: [UInt64], _ choices: inout Choices
    ) {
        let id = streamID(ownStreams, &choices)
        let top = highest[id] ?? 0
        let limit = max(streamLimits[id] ?? 0, UInt64(InitialLimits.streamData))
        var offset: UInt64
        switch choices.below(8) {
        case 0...3: offset = top
        case 4: offset = top + choices.anything(below: 4_000)
        case 5: offset = choices.anything(below: top + 1)
        case 6: offset = choices.anything(below: limit)
        default: offset = limit - 1 - choices.anything(below: 2_000)
        }
        var count = choices.chance(20) ? 0 : Int(choices.anything(below: UInt64(max(1, min(room - 24, 1_200)))))
        let end = finals[id] ?? min(limit, top + (dataLimit - data))
        offset = min(offset, end)
        count = min(count, Int(end - offset))
        var fin = choices.chance(12) && finals[id] == nil && offset + UInt64(count) >= top
        if let final = finals[id], final == offset + UInt64(count) { fin = choices.chance(50) }
        let high = offset + UInt64(count)
        if fin { finals[id] = high }
        if high > top {
            data += high - top
            highest[id] = high
        }
        Self.stream(&writer, id, offset, Content.bytes(id, byInitiator: isInitiator, at: offset, count: count), fin)
    }

    private static func stream(_ writer: inout ByteWriter, _ id: UInt64, _ offset: UInt64, _ data: [UInt8], _ fin: Bool)
    {
        writer.u8(FrameType.stream | StreamFlags.offset | StreamFlags.length | (fin ? StreamFlags.fin : 0))
        writer.varint(id)
        writer.varint(offset)
        writer.varint(UInt64(data.count))
        writer.raw(data)
    }

    private mutating func reset(_ writer: inout ByteWriter, _ choices: inout Choices) {
        let id = streamID([], &choices)
        let size = finals[id] ?? highest[id] ?? 0
        finals[id] = size
        highest[id] = size
        writer.u8(FrameType.resetStream)
        writer.varint(id)
        writer.varint(5)
        writer.varint(size)
    }

    /// An ACK of some of the packets seen on a leg, with up to 32 ranges.
    private func acknowledge(_ writer: inout ByteWriter, _ legs: [UInt8], _ choices: inout Choices) {
        guard !legs.isEmpty else { return }
        let leg = legs[choices.below(legs.count)]
        guard let numbers = seen[leg], !numbers.isEmpty else { return }
        var index = choices.chance(70) ? numbers.count - 1 : Int(choices.anything(below: UInt64(numbers.count)))
        let holes = Int(choices.anything(below: 40))
        var ranges: [(low: UInt64, high: UInt64)] = [(numbers[index], numbers[index])]
        index -= 1
        while index >= 0, ranges.count < 32 {
            let number = numbers[index]
            index -= 1
            if choices.chance(holes) { continue }
            if number + 1 == ranges[ranges.count - 1].low {
                ranges[ranges.count - 1].low = number
            } else {
                ranges.append((number, number))
            }
        }
        let delay = choices.chance(5) ? 1 << 62 - 1 : choices.anything(below: 30_000)
        Self.acknowledgement(&writer, leg, ranges, delay: delay)
    }

    private static func acknowledgement(
        _ writer: inout ByteWriter, _ leg: UInt8, _ ranges: [(low: UInt64, high: UInt64)], delay: UInt64
    ) {
        writer.u8(FrameType.ack)
        writer.u8(leg)
        writer.varint(ranges[0].high)
        writer.varint(delay)
        writer.varint(UInt64(ranges.count - 1))
        writer.varint(ranges[0].high - ranges[0].low)
        for index in 1..<max(1, ranges.count) {
            writer.varint(ranges[index - 1].low - ranges[index].high - 2)
            writer.varint(ranges[index].high - ranges[index].low)
        }
    }

    private mutating func datagram(_ writer: inout ByteWriter, _ room: Int, _ choices: inout Choices) {
        let flow = choices.anything(below: 6)
        let most = max(1, min(room - 32, 1_100))
        if choices.chance(40) {
            let count = Int(choices.anything(below: UInt64(most)))
            writer.u8(FrameType.datagram)
            writer.varint(flow)
            writer.varint(UInt64(count))
            writer.raw(Content.datagram(flow: flow, total: count, count: count))
            return
        }
        if choices.chance(30) { message += 1 }
        // A message mostly keeps its size.
        let total = choices.chance(3) ? 65_507 : 1 + Int(message &* 797 % 5_000)
        let offset = Int(choices.anything(below: UInt64(total)))
        let count = max(1, min(total - offset, Int(choices.anything(below: UInt64(most)))))
        writer.u8(FrameType.datagramFragment)
        for value in [flow, message, UInt64(total), UInt64(offset), UInt64(count)] { writer.varint(value) }
        writer.raw(Content.datagram(flow: flow, total: total, from: offset, count: count))
    }

    /// A frame with impossible numbers, or bytes that are not a frame.
    private mutating func lie(_ writer: inout ByteWriter, _ room: Int, _ choices: inout Choices) {
        let extremes: [UInt64] = [0, 1, 2, 63, 16_384, 1 << 30, 1 << 61, 1 << 62 - 2, 1 << 62 - 1]
        func number() -> UInt64 {
            choices.chance(50) ? extremes[choices.below(extremes.count)] : choices.anything(below: 1 << 20)
        }
        let types: [UInt8] = [1, 2, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 26, 27, 32, 33, 34, 48, 49, 50, 28]
        writer.u8(types[choices.below(types.count)])
        for _ in 0..<choices.below(8) { writer.varint(number()) }
        for _ in 0..<min(room, choices.below(20)) { writer.u8(UInt8(choices.anything(below: 256))) }
    }
}

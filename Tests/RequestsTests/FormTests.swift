import Onion
import OnionCrypto
import Testing
import Wire

@testable import Requests

/// The bytes of requests: bytes that are written are read, and no others.
@Suite struct FormTests {
    private let target = NodeID(Bytes32(copying: [UInt8](repeating: 5, count: 32).rawSpan))
    private let envelope = [UInt8](repeating: 4, count: RequestClass.bytes1024.envelopeSize)

    /// Checks that `read` refuses changed bytes, or reads them as a value with exactly these bytes.
    ///
    /// The changes are prefixes, one byte more, and each changed bit of the first `head` bytes of `bytes`.
    private func strict(_ bytes: [UInt8], head: Int, _ read: ([UInt8]) -> [UInt8]?) {
        #expect(read(bytes) == bytes)
        for length in Set(Array(0..<min(bytes.count, 300)) + [bytes.count - 1]) {
            let part = Array(bytes.prefix(length))
            if let again = read(part) { #expect(again == part, "\(length) bytes") }
        }
        if let longer = read(bytes + [0]) { #expect(longer == bytes + [0]) }
        for bit in 0..<head * 8 {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            if let again = read(changed) { #expect(again == changed, "bit \(bit)") }
        }
    }

    @Test("RQ7: sizes of the classes, and nothing between them")
    func rq7Classes() {
        #expect(RequestClass.allCases.map(\.size) == [1_024, 2_304, 4_352, 8_448, 16_640, 33_024, 65_792])
        for size in RequestClass.allCases {
            #expect(RequestClass(holding: size.size) == size && RequestClass(holding: size.size + 1) != size)
            #expect(RequestClass(envelopeSize: size.envelopeSize) == size)
            #expect(RequestClass(envelopeSize: size.envelopeSize - 1) == nil)
            #expect(RequestClass(answerSize: size.answerSize + 1) == nil)
        }
        #expect(RequestClass(holding: 65_793) == nil && RequestClass(envelopeSize: 0) == nil)
        #expect(RequestMessage.forward.longestBody == 66_982 && RequestMessage.answer.longestBody == 65_833)
        #expect(RequestMessage.forward.longestAnswer == 65_825)
    }

    @Test("RQ7: an open request is read strictly")
    func rq7Open() throws {
        let read = { (bytes: [UInt8]) in (try? RequestOpen(decoding: bytes.rawSpan))?.encoded() }
        strict(RequestOpen.envelope(envelope, to: target).encoded(), head: RequestOpen.headSize, read)
        strict(RequestOpen.own(method: 8, arguments: [1, 2]).encoded(), head: RequestOpen.headSize + 1, read)
        strict(RequestOpen.own(method: 8, arguments: []).encoded(), head: RequestOpen.headSize + 1, read)
        let good = RequestOpen.envelope(envelope, to: target).encoded()
        // Version, kind and each byte of the puzzle have one valid value.
        for offset in [0, 1] + Array(34..<71) {
            var bytes = good
            bytes[offset] ^= 1
            #expect(read(bytes) == nil, "offset \(offset)")
        }
        // Lengths other than those of the classes.
        for length in [0, 1, 1_023, 1_144, envelope.count - 1, envelope.count + 1] {
            var writer = ByteWriter()
            writer.raw(good.prefix(71))
            writer.u32(UInt32(length))
            writer.zeros(length)
            #expect(read(writer.bytes) == nil, "length \(length)")
        }
        // An empty request for the terminal, and one that is longer than the maximum.
        for length in [0, RequestEnvelope.longestArguments + 2] {
            var writer = ByteWriter()
            writer.raw([1, 6] + [UInt8](repeating: 0, count: 69))
            writer.u32(UInt32(length))
            writer.zeros(length)
            #expect(read(writer.bytes) == nil)
        }
    }

    @Test("RQ7: FORWARD, ANSWER and RELAY are read strictly")
    func rq7Messages() {
        let forward = { (bytes: [UInt8]) in (try? ForwardMessage(decoding: bytes.rawSpan))?.encoded() }
        for isRelayed in [false, true] {
            let message = ForwardMessage(id: 7, isRelayed: isRelayed, envelope: envelope).encoded()
            strict(message, head: ForwardMessage.headSize, forward)
            for bit in 72 - 7..<46 * 8 {
                var bytes = message
                bytes[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(forward(bytes) == nil, "flags and puzzle, bit \(bit)")
            }
        }
        let answer = { (bytes: [UInt8]) in (try? AnswerMessage(decoding: bytes.rawSpan))?.encoded() }
        let answers: [OuterAnswer] = [
            .answer([UInt8](repeating: 1, count: 1_056)), .newKey([1, 2]), .busy(seconds: 9), .unreadable,
        ]
        for value in answers { strict(AnswerMessage(id: 9, answer: value).encoded(), head: 9, answer) }
        let relay = { (bytes: [UInt8]) in (try? RelayRequest(decoding: bytes.rawSpan))?.encoded() }
        let whole = RelayRequest(target: target, envelope: envelope).encoded()
        strict(whole, head: 69, relay)
        for offset in 32..<69 {
            var bytes = whole
            bytes[offset] = 0x80
            #expect(relay(bytes) == nil)
        }
        #expect(relay([UInt8](repeating: 0, count: 32) + whole.dropFirst(32)) == nil, "no target")
        let large = [UInt8](repeating: 1, count: RequestClass.bytes8448.envelopeSize)
        #expect(relay(Array(whole.prefix(69)) + large) == nil, "a class that is not relayed")
    }

    @Test("RQ7: each outer status is read only where it may stand, and with its length")
    func rq7OuterAnswers() {
        let sealed = [UInt8](repeating: 1, count: 1_056)
        let all: [OuterAnswer] = [
            .answer(sealed), .later, .newKey([3]), .busy(seconds: 1), .unknownTarget, .noLink, .noAnswer, .tooMany,
            .unreadable,
        ]
        let places: [(OuterAnswer.Place, Set<UInt8>)] = [
            (.stream, [0, 2, 3, 4, 5, 6, 7, 8]), (.ownStream, [0, 3, 6, 7, 8]), (.forward, [0, 1, 2, 3, 8]),
            (.message, [0, 2, 3, 8]),
        ]
        for (place, allowed) in places {
            let hasLength = place == .stream || place == .ownStream
            for raw in 0...UInt8.max {
                for content in [[], [3], sealed, [UInt8](repeating: 0, count: 3_000)] as [[UInt8]] {
                    var writer = ByteWriter()
                    writer.u8(raw)
                    if hasLength { writer.u32(UInt32(content.count)) }
                    writer.raw(content)
                    let bytes = writer.bytes
                    let read = try? OuterAnswer(decoding: bytes.rawSpan, at: place)
                    if let read {
                        #expect(allowed.contains(raw) && read.status.rawValue == raw)
                        #expect(read.encoded(for: place) == bytes)
                    } else if allowed.contains(raw), let value = all.first(where: { $0.status.rawValue == raw }) {
                        #expect(value.encoded(for: place) != bytes, "\(place), \(raw)")
                    }
                }
            }
            for value in all where allowed.contains(value.status.rawValue) {
                strict(value.encoded(for: place), head: 1) { bytes in
                    (try? OuterAnswer(decoding: bytes.rawSpan, at: place))?.encoded(for: place)
                }
            }
        }
    }

    @Test("RQ7: statuses of methods have their lengths; 5 is refused")
    func rq7Statuses() {
        let sizes: [UInt8: Int] = [1: 0, 2: 0, 3: 8, 4: 0, 6: 0, 7: 0, 8: 1, 9: 5]
        for raw in 0...UInt8.max {
            for size in 0..<12 {
                let bytes = [raw] + [UInt8](repeating: 0, count: size)
                let read = try? RequestAnswer(decoding: bytes.rawSpan)
                #expect((read != nil) == (raw == 0 || sizes[raw] == size))
                if let read { #expect(read.encoded() == bytes) }
            }
        }
        #expect(RequestMethod.allCases.map(\.rawValue) == [1, 2, 3, 4, 5, 8, 9, 10, 11])
    }

    @Test("RQ7: the state of a node: 10 bytes, 16 sixteenths at most, and unknown flags are ignored")
    func rq7State() throws {
        let state = NodeState(height: 0x0102, fill: 16, stores: true)
        #expect(state.encoded() == [0x02, 0x01, 0, 0, 0, 0, 0, 0, 16, 1])
        let flags = [UInt8](state.encoded().dropLast()) + [0xff]
        #expect(try NodeState(decoding: flags.rawSpan) == state)
        let others = [Array(flags.dropLast()), flags + [0], [0, 0, 0, 0, 0, 0, 0, 0, 17, 1], []]
        for bytes in others { #expect(throws: WireError.self) { try NodeState(decoding: bytes.rawSpan) } }
    }
}

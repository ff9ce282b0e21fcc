import DNSProtocol
import Testing
import Wire

private func message(
    _ name: String = "a.example", _ type: RecordType = .a, flags: UInt16 = 0x0100, counts: [UInt16] = [1, 0, 0, 0],
    class: UInt16 = 1, then more: [UInt8] = []
) -> [UInt8] {
    var maker = MessageMaker(flags: flags, counts: counts)
    maker.bytes += MessageMaker.labels(name)
    maker.u16(type.rawValue)
    maker.u16(`class`)
    return maker.bytes + more
}

private func decode(_ bytes: [UInt8]) -> DNSQuery.Message { DNSQuery.decode(from: bytes.rawSpan) }

private func code(_ bytes: [UInt8]) -> DNSQuery.Code? {
    switch decode(bytes) {
    case .answer(_, let code): code
    case .query, .none: nil
    }
}

private func edns(size: UInt16, version: UInt8 = 0, options: [UInt8] = []) -> [UInt8] {
    [0, 0, 41, UInt8(size >> 8), UInt8(truncatingIfNeeded: size), 0, version, 0, 0, 0, UInt8(options.count)] + options
}

@Suite struct DNSQueryTests {
    @Test func aQuestionAndItsAnswer() throws {
        guard case .query(let query) = decode(message("Www.Example")) else {
            Issue.record("not read")
            return
        }
        #expect(query.name == HostName("www.example") && query.type == .a && query.id == 0x1234)
        let answer = query.answer(.noError, records: [.init(timeToLive: 61, data: [192, 0, 2, 1])], overUDP: true)
        var wanted = MessageMaker(flags: 0x8180, counts: [1, 1, 0, 0])
        wanted.question("Www.Example", .a)
        wanted.record([0xc0, 12], .a, ttl: 61, [192, 0, 2, 1])
        #expect(answer == wanted.bytes, "the question is repeated as it came")
    }

    @Test func whatIsNoQuery() {
        for bytes in [[], message(flags: 0x8180), Array(message()[..<11]), [UInt8](repeating: 0, count: 5_000)] {
            #expect(decode(bytes) == .none)
        }
    }

    @Test func whatIsNotAnswered() {
        for (bytes, wanted) in [
            (message(flags: 0x2800), .notImplemented),  // UPDATE
            (message("version.bind", .txt, class: 3), .notImplemented),
            (message("a.example", RecordType(rawValue: 255)), .notImplemented),
            (message("a.example", RecordType(rawValue: 252)), .notImplemented),
            (message(counts: [2, 0, 0, 0]), .formatError),
            (message(counts: [0, 0, 0, 0]), .formatError),
            (message(then: [0]), .formatError),
            (Array(message().dropLast(2)), .formatError),
            (message(counts: [1, 0, 0, 1], then: Array(edns(size: 1232).dropLast())), .formatError),
            (message(counts: [1, 0, 0, 2], then: edns(size: 1232) + edns(size: 1232)), .formatError),
            (message(counts: [1, 0, 0, 1], then: edns(size: 1232, version: 1)), .badVersion),
            (message(""), .refused),
            (message("a b.example"), .refused),
            (message("1.2.3.4"), .refused),
            (message("\u{e4}.example"), .refused),
        ] as [([UInt8], DNSQuery.Code)] {
            #expect(code(bytes) == wanted)
        }
        // A pointer in a question, and a dot inside a label.
        #expect(code([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]) == .formatError)
        #expect(code([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 0x61, 0x2e, 0x62, 0, 0, 1, 0, 1]) == .refused)
    }

    @Test("A refusal repeats the opcode (RFC 1035, section 4.1.1), without which the asker waits for another")
    func opcodes() {
        for (opcode, code) in [(UInt16(0x2000), UInt8(4)), (0x2800, 4), (0x7800, 4), (0, 5)] {
            let bytes = opcode == 0 ? message("1.2.3.4", flags: 0x0100) : message(flags: 0x0100 | opcode)
            guard case .answer(let query, let why) = decode(bytes) else {
                Issue.record("no answer")
                continue
            }
            let answer = query.answer(why, overUDP: true)
            #expect(answer[2] == UInt8((0x8100 | opcode) >> 8) && answer[3] == 0x80 | code)
        }
    }

    @Test("an answer that is too long for a datagram is cut, and whole over TCP")
    func truncation() {
        let records = (0..<10).map {
            RecordsReply.Record(timeToLive: 9, data: [99] + [UInt8](repeating: $0, count: 99))
        }
        for (bytes, limit) in [
            (message("a.example", .txt), 512),
            (message("a.example", .txt, counts: [1, 0, 0, 1], then: edns(size: 100)), 512),
            (message("a.example", .txt, counts: [1, 0, 0, 1], then: edns(size: 4_096)), 1_232),
        ] {
            guard case .query(let query) = decode(bytes) else {
                Issue.record("not read")
                continue
            }
            for count in 0...10 {
                let whole = query.answer(.noError, records: Array(records[..<count]), overUDP: false)
                let answer = query.answer(.noError, records: Array(records[..<count]), overUDP: true)
                #expect(answer.count <= limit)
                #expect(whole[2] & 2 == 0 && whole[7] == UInt8(count))
                if whole.count <= limit {
                    #expect(answer == whole)
                } else {
                    #expect(answer[2] & 2 == 2 && answer[7] == 0, "cut, without records")
                }
            }
        }
    }

    @Test("a failure has its reason for who speaks EDNS")
    func reasons() {
        guard case .query(let plain) = decode(message()),
            case .query(let query) = decode(message(counts: [1, 0, 0, 1], then: edns(size: 1_232)))
        else {
            Issue.record("not read")
            return
        }
        #expect(plain.answer(.refused, reason: .nodeName, overUDP: true) == message(flags: 0x8185))
        let answer = query.answer(.refused, reason: .nodeName, overUDP: true)
        let text = Array("names that end in .snode are not served".utf8)
        let option = [0, 15, 0, UInt8(2 + text.count), 0, 18] + text
        #expect(answer == message(flags: 0x8185, counts: [1, 0, 0, 1], then: edns(size: 1_232, options: option)))
    }

    @Test func everyCutAndEveryByteIsSurvived() {
        let whole = message(counts: [1, 0, 0, 1], then: edns(size: 1_232, options: [0, 10, 0, 1, 7]))
        for length in whole.indices { _ = decode(Array(whole[..<length])) }
        for index in whole.indices {
            for value in 0...UInt8.max {
                var changed = whole
                changed[index] = value
                switch decode(changed) {
                case .query(let query): #expect(query.answer(.noError, overUDP: true).count <= 512)
                case .answer(let query, let code): #expect(query.answer(code, overUDP: true).count <= 512)
                case .none: break
                }
            }
        }
    }
}

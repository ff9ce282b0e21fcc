import DNSProtocol
import Testing
import Wire

/// A DNS message, written by hand.
struct MessageMaker {
    var bytes: [UInt8]

    init(flags: UInt16 = 0x8180, counts: [UInt16]) {
        bytes = [0x12, 0x34]
        u16(flags)
        for count in counts { u16(count) }
    }

    mutating func u16(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }

    static func labels(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    mutating func question(_ name: String, _ type: RecordType) {
        bytes += Self.labels(name)
        u16(type.rawValue)
        u16(1)
    }

    mutating func record(_ owner: [UInt8], _ type: RecordType, ttl: UInt16 = 60, class: UInt16 = 1, _ data: [UInt8]) {
        bytes += owner
        u16(type.rawValue)
        u16(`class`)
        u16(0)
        u16(ttl)
        u16(UInt16(data.count))
        bytes += data
    }
}

private func records(_ name: String, _ type: RecordType, _ message: MessageMaker) -> [RecordsReply.Record]? {
    NameServerAnswer.records(of: HostName(name)!, type: type, in: message.bytes.rawSpan)
}

@Suite struct NameServerAnswerTests {
    private static let question: [UInt8] = [0xc0, 12]

    @Test func addresses() {
        var message = MessageMaker(counts: [1, 2, 0, 0])
        message.question("A.Example", .a)
        message.record(Self.question, .a, [192, 0, 2, 1])
        message.record(MessageMaker.labels("a.EXAMPLE"), .a, ttl: 7, [192, 0, 2, 2])
        #expect(
            records("a.example", .a, message) == [
                .init(timeToLive: 60, data: [192, 0, 2, 1]), .init(timeToLive: 7, data: [192, 0, 2, 2]),
            ])
        #expect(records("a.example", .aaaa, message) == [])
        #expect(records("b.example", .a, message) == [])
    }

    @Test func aliasesAreFollowedAndLeftOut() {
        var message = MessageMaker(counts: [1, 3, 0, 0])
        message.question("www.example", .a)
        message.record(MessageMaker.labels("host.example"), .a, ttl: 300, [192, 0, 2, 1])
        message.record(Self.question, .cname, ttl: 20, MessageMaker.labels("alias.Example"))
        message.record(MessageMaker.labels("alias.example"), .cname, ttl: 90, MessageMaker.labels("host.example"))
        #expect(records("www.example", .a, message) == [.init(timeToLive: 20, data: [192, 0, 2, 1])])
        #expect(records("www.example", .cname, message)?.map(\.data) == [MessageMaker.labels("alias.Example")])
    }

    @Test("E2: a chain of aliases ends at a name of which nothing may be told", arguments: ["lan", "l n", "x.lan"])
    func e2_aliases(label: String) {
        func labels(_ last: [UInt8]) -> [UInt8] { [UInt8(last.count)] + last + [3] + Array("lan".utf8) + [0] }
        var message = MessageMaker(counts: [1, 3, 0, 0])
        message.question("www.example", .txt)
        message.record(Self.question, .cname, labels(Array(label.utf8)))
        message.record(labels(Array(label.utf8)), .cname, MessageMaker.labels("b.example"))
        message.record(MessageMaker.labels("b.example"), .txt, [1, 7])
        let name = HostName("www.example")!
        func found(_ mayTell: (HostName) -> Bool) -> Int? {
            NameServerAnswer.records(of: name, type: .txt, in: message.bytes.rawSpan, mayTell: mayTell)?.count
        }
        #expect(found { _ in true } == 1)
        #expect(found { !$0.text.hasSuffix(".lan") } == 0)
    }

    @Test(arguments: ["192.0.2.1", "2001:db8::12", "::ffff:10.0.0.255"]) func reverseNames(_ text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(RecordData.address(named: RecordData.reverseName(of: address)) == address)
    }

    @Test func anAliasOfItselfEnds() {
        var message = MessageMaker(counts: [1, 1, 0, 0])
        message.question("a.example", .a)
        message.record(Self.question, .cname, Self.question)
        #expect(records("a.example", .a, message) == [])
    }

    @Test func compressedNamesAreWrittenOut() {
        let name = MessageMaker.labels("a.example")
        for (type, data, plain) in [
            (RecordType.mx, [0, 10] + Self.question, [0, 10] + name),
            (.srv, [0, 1, 0, 2, 0x1f, 0x90] + Self.question, [0, 1, 0, 2, 0x1f, 0x90] + name),
            (.ns, [2] + "ns".utf8 + Self.question, [2] + "ns".utf8 + name),
            (.ptr, Self.question, name),
        ] as [(RecordType, [UInt8], [UInt8])] {
            var message = MessageMaker(counts: [1, 1, 0, 0])
            message.question("a.example", type)
            message.record(Self.question, type, data)
            #expect(records("a.example", type, message) == [.init(timeToLive: 60, data: plain)])
            #expect(RecordData.isValid(plain, of: type))
            #expect(!RecordData.isValid(data, of: type), "compressed")
        }
    }

    @Test(
        "malformed messages are of no use: lengths, loops, types that lie",
        arguments: [
            (RecordType.a, [1, 2, 3]), (.aaaa, [1, 2, 3, 4]), (.mx, [0]), (.mx, [0, 1, 0xc0, 255]), (.ns, [0xc0, 50]),
            (.ns, [0x40]), (.txt, []), (.txt, [5, 1]), (.https, [0, 1, 0xc0, 12]), (.https, [0, 1, 0, 0, 1, 0, 5, 1]),
            (.https, [0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0]), (.srv, [0, 0, 0, 0, 0, 80]), (.caa, [0]),
            (.ns, [1, 0x61, 0, 0]),
        ] as [(RecordType, [UInt8])])
    func malformed(type: RecordType, data: [UInt8]) {
        var message = MessageMaker(counts: [1, 1, 0, 0])
        message.question("a.example", type)
        message.record(Self.question, type, data)
        #expect(records("a.example", type, message) == nil)
        #expect(!RecordData.isValid(data, of: type))
    }

    @Test func recordsOfOtherClassesAndTypesAreLeftOut() {
        var message = MessageMaker(counts: [1, 2, 0, 0])
        message.question("a.example", .txt)
        message.record(Self.question, .txt, class: 3, [1, 0x61])
        message.record(Self.question, RecordType(rawValue: 99), [])
        #expect(records("a.example", .txt, message) == [])
    }

    @Test func everyCutAndEveryByteIsSurvived() {
        var message = MessageMaker(counts: [1, 2, 0, 0])
        message.question("a.example", .https)
        message.record(Self.question, .https, [0, 1, 0, 0, 1, 0, 3, 2, 0x68, 0x32, 0, 4, 0, 4, 192, 0, 2, 1])
        message.record(Self.question, .mx, [0, 10] + Self.question)
        #expect(records("a.example", .https, message)?.count == 1)
        for length in message.bytes.indices {
            var cut = message
            cut.bytes = Array(message.bytes[..<length])
            #expect(records("a.example", .https, cut) == nil)
        }
        for index in message.bytes.indices {
            for value in [0, 1, 0x3f, 0x40, 0xc0, 0xff] as [UInt8] {
                var changed = message
                changed.bytes[index] = value
                for record in records("a.example", .https, changed) ?? [] {
                    #expect(RecordData.isValid(record.data, of: .https))
                }
            }
        }
    }

    @Test func addressesOfEachType() {
        #expect(RecordData.addresses([1, 2, 3, 4], of: .a) == [IPAddress("1.2.3.4")])
        #expect(RecordData.addresses([1, 2, 3, 4], of: .txt).isEmpty)
        let six: [UInt8] = [0x20, 1, 0xd, 0xb8] + Array(repeating: 0, count: 11) + [1]
        let hints: [UInt8] = [0, 1, 1, 0x61, 0, 0, 1, 0, 3, 2, 0x68, 0x32, 0, 4, 0, 8, 127, 0, 0, 1, 9, 9, 9, 9]
        #expect(
            RecordData.addresses(hints + [0, 6, 0, 16] + six, of: .https)
                == [IPAddress("127.0.0.1"), IPAddress("9.9.9.9"), IPAddress("2001:db8::1")])
        // A truncated hint is left out, and no length reads beyond the data.
        for length in 0...hints.count {
            #expect(RecordData.addresses(Array(hints[..<length]), of: .svcb).count == (length == hints.count ? 2 : 0))
        }
        #expect(RecordData.addresses([0, 1, 0, 0, 4, 0, 3, 127, 0, 0], of: .svcb).isEmpty)
    }

    @Test func namesOfAddresses() {
        #expect(RecordData.address(named: HostName("4.3.2.1.in-addr.arpa")!) == IPAddress("1.2.3.4"))
        #expect(RecordData.address(named: HostName("3.2.1.in-addr.arpa")!) == nil)
        let six = HostName("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa")!
        #expect(RecordData.address(named: six) == IPAddress("2001:db8::1"))
        #expect(RecordData.of(IPAddress("1.2.3.4")!) == [1, 2, 3, 4])
        #expect(RecordData.address(RecordData.of(IPAddress("2001:db8::1")!), of: .aaaa) == IPAddress("2001:db8::1"))
    }
}

public import Wire

/// Reads the records of one name and type from a name server's message.
public enum NameServerAnswer {
    /// The longest chain of aliases that is followed.
    private static let aliasLimit = 16
    /// A message with more answers is not used.
    private static let answerLimit = 512

    private struct Answer {
        let owner: [UInt8]
        let type: RecordType
        let timeToLive: UInt32
        let data: [UInt8]
    }

    /// The records of `type` of `name`, through its aliases; nil for a malformed message.
    ///
    /// Times to live are those of the message, the shortest in the chain to a record. Records of other names, and the
    /// sections after the answers, are ignored. A chain ends without records at a name for which `mayTell` is false; it
    /// gets bytes that host names do not have as underscores.
    public static func records(
        of name: HostName, type: RecordType, in message: RawSpan, mayTell: (HostName) -> Bool = { _ in true }
    ) -> [RecordsReply.Record]? {
        guard let answers = try? answers(in: message) else { return nil }
        var owner = name.labels
        var timeToLive = UInt32.max
        for _ in 0..<aliasLimit {
            let found = answers.filter { $0.type == type && $0.owner == owner }
            if !found.isEmpty {
                return found.map {
                    RecordsReply.Record(timeToLive: min($0.timeToLive, timeToLive), data: $0.data)
                }
            }
            guard let alias = answers.first(where: { $0.type == .cname && $0.owner == owner }) else { break }
            timeToLive = min(timeToLive, alias.timeToLive)
            owner = lowercased(alias.data)
            guard let next = hostName(owner), mayTell(next) else { break }
        }
        return []
    }

    /// The name with these labels; nil for the root, and for a name whose last label is a number.
    private static func hostName(_ labels: [UInt8]) -> HostName? {
        var text: [UInt8] = []
        var rest = labels[...]
        while let length = rest.popFirst(), length > 0 {
            let label = rest.prefix(Int(length))
            rest = rest.dropFirst(label.count)
            text += label.map { HostName(ascii: [$0, UInt8(ascii: "a")]) == nil ? UInt8(ascii: "_") : $0 }
            text.append(UInt8(ascii: "."))
        }
        return HostName(ascii: text)
    }

    private static func answers(in message: RawSpan) throws(DNSReader.Malformed) -> [Answer] {
        var reader = DNSReader(message)
        _ = try reader.u16()
        let flags = try reader.u16()
        let questions = try reader.u16()
        let count = try reader.u16()
        _ = try reader.u32()
        guard flags & 0x8000 != 0, questions == 1, count <= answerLimit else { throw DNSReader.Malformed() }
        _ = try reader.name()
        _ = try reader.u32()
        var answers: [Answer] = []
        for _ in 0..<count {
            let owner = lowercased(try reader.name())
            let type = RecordType(rawValue: try reader.u16())
            let isInternet = try reader.u16() == 1
            let timeToLive = try reader.u32()
            let length = Int(try reader.u16())
            let start = reader.offset
            guard length <= message.byteCount - start else { throw DNSReader.Malformed() }
            reader.offset += length
            guard isInternet, type.isCarried else { continue }
            guard let data = RecordData.plain(type, message, start..<start + length, mayPoint: true) else {
                throw DNSReader.Malformed()
            }
            // A value of more than 31 bits counts as zero (RFC 2181, section 8).
            answers.append(
                Answer(owner: owner, type: type, timeToLive: timeToLive >> 31 == 0 ? timeToLive : 0, data: data))
        }
        return answers
    }
}

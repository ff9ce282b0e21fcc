public import Wire

extension DNSQuery {
    /// The reason for a failure, for people (RFC 8914); sent to apps that support EDNS.
    public struct Reason: Hashable, Sendable {
        /// The number in the IANA registry.
        let number: UInt16
        let text: String

        /// Names of nodes cannot be looked up.
        public static let nodeName = Reason(number: 18, text: "names that end in .snode are not served")
        /// There is no path to an exit, or the exit does not answer.
        public static let noExit = Reason(number: 23, text: "no exit of the network has answered")
        /// The exit's name servers do not answer.
        public static let noServer = Reason(number: 22, text: "the name servers of the exit have not answered")
        /// The exit's policy forbids the answer.
        public static let forbidden = Reason(number: 18, text: "the exit does not answer for this name or address")
    }

    /// The answer as a message; over UDP it is truncated if it is too long for the app, which then asks again over TCP.
    public func answer(
        _ code: Code, records: [RecordsReply.Record] = [], reason: Reason? = nil, overUDP: Bool
    ) -> [UInt8] {
        let limit = overUDP ? min(ednsSize ?? 512, Self.datagramSize) : 65_535
        let whole = encoded(code, records, reason, isCut: false)
        return whole.count <= limit ? whole : encoded(code, [], nil, isCut: true)
    }

    private func encoded(
        _ code: Code, _ records: [RecordsReply.Record], _ reason: Reason?, isCut: Bool
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        func u16(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }
        u16(id)
        // Flags: an answer, recursion available.
        u16(0x8080 | repeatedFlags | (isCut ? 0x0200 : 0) | code.rawValue & 0xf)
        u16(question.isEmpty ? 0 : 1)
        u16(UInt16(records.count))
        u16(0)
        u16(ednsSize == nil ? 0 : 1)
        bytes += question
        for record in records {
            // A pointer to the name of the question, which follows the header.
            u16(0xc00c)
            u16(type.rawValue)
            u16(1)
            u16(UInt16(record.timeToLive >> 16))
            u16(UInt16(truncatingIfNeeded: record.timeToLive))
            u16(UInt16(record.data.count))
            bytes += record.data
        }
        if ednsSize != nil {
            bytes.append(0)
            u16(RecordType.opt.rawValue)
            u16(UInt16(Self.datagramSize))
            u16((code.rawValue >> 4) << 8)
            u16(0)
            let text = reason.map { Array($0.text.utf8) } ?? []
            u16(reason == nil ? 0 : UInt16(6 + text.count))
            if let reason {
                // The option of extended errors.
                u16(15)
                u16(UInt16(2 + text.count))
                u16(reason.number)
                bytes += text
            }
        }
        return bytes
    }
}

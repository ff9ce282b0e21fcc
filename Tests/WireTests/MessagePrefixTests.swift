import Testing
import Wire

@Suite struct MessagePrefixTests {
    /// So a message with one prefix can never be read as one with another.
    @Test func noneIsTheBeginningOfAnother() {
        let all = MessagePrefix.allCases.map(\.bytes)
        for (place, prefix) in all.enumerated() {
            for (other, longer) in all.enumerated() where other != place { #expect(!longer.starts(with: prefix)) }
        }
    }

    @Test func eachIsTextAndAZeroByte() {
        for prefix in MessagePrefix.allCases {
            #expect(prefix.rawValue.hasPrefix("tunic ") && prefix.rawValue.utf8.allSatisfy { 0x20...0x7a ~= $0 })
            #expect(prefix.bytes == Array(prefix.rawValue.utf8) + [0])
            var writer = ByteWriter()
            writer.prefix(prefix)
            #expect(writer.bytes == prefix.bytes)
        }
    }
}

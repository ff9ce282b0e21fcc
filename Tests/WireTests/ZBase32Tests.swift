import Testing
import Wire

@Suite struct ZBase32Tests {
    /// The examples of the specification (Zooko, 2002) whose bits are whole bytes.
    @Test(
        arguments: [
            ([], ""), ([0], "yy"), ([255], "9h"), ([0xf0, 0xbf, 0xc7], "6n9hq"), ([0xd4, 0x7a, 0x04], "4t7ye"),
        ] as [([UInt8], String)])
    func examples(bytes: [UInt8], text: String) {
        #expect(ZBase32.encode(bytes) == text)
        #expect(ZBase32.decode(text.utf8) == bytes)
    }

    @Test func eachRunOfBytesHasOneText() {
        for count in 0..<40 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 97 &+ count &* 31) }
            let text = ZBase32.encode(bytes)
            #expect(text.utf8.count == (8 * count + 4) / 5)
            #expect(ZBase32.decode(text.utf8) == bytes)
            // A change of the last character is another run or none.
            for character in "ybndrfg8ejkmcpqxot1uwisza345h769".utf8 where count > 0 {
                let other = Array(text.utf8.dropLast()) + [character]
                guard let read = ZBase32.decode(other) else { continue }
                #expect(ZBase32.encode(read).utf8.elementsEqual(other))
            }
        }
    }

    @Test(arguments: ["y", "yyy", "yyyyyy", "yn", "9H", "0y", "ly", "vy", "2y", "y ", "y.", "ýy", "y\0"])
    func otherTextIsRefused(text: String) { #expect(ZBase32.decode(text.utf8) == nil) }
}

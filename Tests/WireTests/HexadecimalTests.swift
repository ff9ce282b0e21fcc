import Testing
import Wire

@Test(
    arguments: [
        ("", []), ("00ff", [0, 255]), ("aBcD", [0xab, 0xcd]), ("0", nil), ("0g", nil), ("+1", nil), (" 1", nil),
        ("٣٣", nil), ("é", nil),
    ] as [(String, [UInt8]?)])
func hexadecimalDigitsComeInPairs(text: String, value: [UInt8]?) {
    #expect(bytes(hexadecimal: text) == value)
    if let value { #expect(hexadecimal(value) == text.lowercased()) }
}

@Test func thirtyTwoBytesHaveSixtyFourDigits() {
    let text = String(repeating: "0f", count: 32)
    #expect(bytes32(hexadecimal: text)?.array == [UInt8](repeating: 15, count: 32))
    for wrong in [String(text.dropLast(2)), text + "00", String(text.dropLast()), String(text.dropLast()) + "g"] {
        #expect(bytes32(hexadecimal: wrong) == nil)
    }
}

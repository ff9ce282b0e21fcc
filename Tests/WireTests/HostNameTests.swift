import Testing
import Wire

@Suite struct HostNameTests {
    private static let label63 = String(repeating: "a", count: 63)
    /// 63 + 63 + 63 + 61 letters and three dots.
    private static let name253 = "\(label63).\(label63).\(label63).\(String(repeating: "b", count: 61))"

    @Test(arguments: [
        ("example", "example"), ("Example.COM", "example.com"), ("example.com.", "example.com"), ("a", "a"),
        ("_dmarc.example.com", "_dmarc.example.com"), ("a-b.c", "a-b.c"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1.example", "1.example"), ("1.2.3.4.example", "1.2.3.4.example"), ("4chan", "4chan"),
        ("a.b.c.d.e.onion", "a.b.c.d.e.onion"),
        ("0xyz", "0xyz"), ("0xfg", "0xfg"), ("cafe", "cafe"), (label63, label63), (name253, name253),
        (name253 + ".", name253),
    ])
    func accepts(text: String, plain: String) {
        #expect(HostName(text)?.text == plain)
    }

    @Test(arguments: [
        "", ".", "..", ".a", "a..b", "a..", ".example.com", "a b", "a\0b", "a\0", "a\n", "a/b", "a:80", "a@b", "[::1]",
        "::1",
        "bücher.example", "a\u{7f}", "*", "a,b", "a'b", "1.2.3.4", "1.2.3.4.", "127.1", "1", "2130706433", "0x7f.1",
        "a.0x7f",
        "a.123", "0x", "0x7f000001", "0177.0.0.1", label63 + "a", "x.\(label63)a.y", name253 + "c", name253 + "..",
    ])
    func refuses(text: String) {
        #expect(HostName(text) == nil)
    }

    @Test func refusesEveryOtherByte() {
        for byte in UInt8.min...UInt8.max {
            let allowed =
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
                default: false
                }
            #expect((HostName(ascii: [0x61, byte, 0x61]) != nil) == allowed, "byte \(byte)")
        }
    }
}

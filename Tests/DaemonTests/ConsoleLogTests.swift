import Testing

@testable import Daemon

@Suite struct ConsoleLogTests {
    @Test(
        "U6: characters that act on the terminal, or on the order of a line, are escaped in the log",
        arguments: [
            ("\n2026-01-01T00:00:00Z error x", #"\u{a}2026-01-01T00:00:00Z error x"#),
            ("\u{1b}[2J", #"\u{1b}[2J"#), ("\u{9b}2J\u{7f}\0", #"\u{9b}2J\u{7f}\u{0}"#),
            ("a\u{202e}b\u{202c}", #"a\u{202e}b\u{202c}"#), ("\u{2066}\u{2069}\u{200f}", #"\u{2066}\u{2069}\u{200f}"#),
            ("\u{61c}\u{2028}\u{2029}", #"\u{61c}\u{2028}\u{2029}"#), ("\u{feff}\u{200b}", #"\u{feff}\u{200b}"#),
            ("\u{e0041}\u{e000}\u{378}", #"\u{e0041}\u{e000}\u{378}"#),
            ("name — Büro, 事務所, مكتب, e\u{301}", "name — Büro, 事務所, مكتب, e\u{301}"),
        ])
    func escapes(text: String, shown: String) { #expect(ConsoleLog.shown(text) == shown) }

    @Test("U6: of a long text the log has the beginning") func longTexts() {
        #expect(ConsoleLog.shown(String(repeating: "x", count: 5_000)) == String(repeating: "x", count: 1_000))
        #expect(ConsoleLog.shown(String(repeating: "\u{202e}", count: 5_000)).unicodeScalars.count == 8_000)
    }
}

import Testing

@testable import Oxen

/// The examples in oxend's documentation of `ons_resolve`.
struct NameTests {
    @Test func aNameIsHashedInLowerCase() throws {
        // Base64: "IeynFEjyxigd0Lcmo5FWYaGp/uVXsa5grK8Jml0ai3o=".
        let expected = "21eca71448f2c6281dd0b726a3915661a1a9fee557b1ae60acaf099a5d1a8b7a"
        #expect(try #require(OxenName("blocks.loki")).hash == expected)
        #expect(try #require(OxenName("Blocks.LOKI")).hash == expected)
    }

    @Test func whatADaemonAnswersOpensWithTheName() throws {
        let value = "b52c088ae51171a9e2e44cc98c10006547e2981d4cbe196525c948fa2fa48a11e8712eccd0ba20e4b93fb3989361df8a"
        let nonce = "6e3e80c7927108612475a0eeddf472af6177c9776d6943ed"
        let name = try #require(OxenName("blocks.loki"))
        #expect(name.open(value: value, nonce: nonce) == "kcpyawm9se7trdbzncimdi5t7st4p5mh9i1mg7gkpuubi4k4ku1y.loki")
        #expect(try #require(OxenName("block.loki")).open(value: value, nonce: nonce) == nil)
        #expect(name.open(value: String(value.dropLast(2)), nonce: nonce) == nil)
        #expect(name.open(value: value, nonce: "6e") == nil)
        #expect(name.open(value: "zz", nonce: nonce) == nil)
    }

    @Test func whatIsNoNameIsRefused() {
        #expect(OxenName("") == nil)
        #expect(OxenName("two words.loki") == nil)
        #expect(OxenName(String(repeating: "a", count: 254)) == nil)
        #expect(OxenName("ünï.loki") == nil)
        // The Kelvin sign, whose lower case is a k.
        #expect(OxenName("bloc\u{212a}s.loki") == nil)
    }
}

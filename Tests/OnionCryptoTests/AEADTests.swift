import OnionCrypto
import Testing
import Wire

@Suite struct AEADTests {
    /// RFC 8439, appendix A.5; its nonce begins with four zero bytes, as Tunic's nonces do.
    @Test func rfc8439() throws {
        let key = AEADKey(
            .chacha20poly1305, try secret("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"))
        let sealed = try hex(
            "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0"
                + "bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
                + "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e9"
                + "9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
                + "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130"
                + "305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38")
        let associated = try hex("f33388860000000000004e91")
        let plain = key.open(sealed.rawSpan, associated: associated.rawSpan, counter: 0x0807_0605_0403_0201)
        let message = plain ?? []
        let text = String(decoding: message, as: UTF8.self)
        #expect(text.hasPrefix("Internet-Drafts are draft documents valid for a maximum of six months"))
        let again = key.seal(message.rawSpan, associated: associated.rawSpan, counter: 0x0807_0605_0403_0201)
        #expect(again == sealed)
    }

    /// The GCM specification's test cases 13 and 14, and one with a counter and associated data from another library.
    @Test(.enabled(if: Suite.aes256gcm.isAvailable)) func aes256gcm() throws {
        let zero = AEADKey(.aes256gcm, try secret(String(repeating: "00", count: 32)))
        #expect(
            zero.seal(RawSpan(), associated: RawSpan(), counter: 0) == (try hex("530f8afbc74536b9a963b4f1c4cb738b")))
        let block = [UInt8](repeating: 0, count: 16)
        let expected = try hex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
        #expect(zero.seal(block.rawSpan, associated: RawSpan(), counter: 0) == expected)

        let key = AEADKey(.aes256gcm, try secret("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"))
        let message = [UInt8](0..<50)
        let header = [UInt8]("header".utf8)
        let other = try hex(
            "1cf9fd46662ace499d7af438922334a5ade425db4ca13f5fb17dcaab62159d3b28780d5c2cf5ed5332a8b913a865540"
                + "46de5977313d5aeff1f0c578cadaf9e89bc90")
        #expect(key.seal(message.rawSpan, associated: header.rawSpan, counter: 0x0102_0304_0506_0708) == other)
        #expect(key.open(other.rawSpan, associated: header.rawSpan, counter: 0x0102_0304_0506_0708) == message)
    }

    @Test(arguments: Suite.allCases.filter(\.isAvailable)) func anyChangeFails(suite: Suite) throws {
        let key = AEADKey(suite, .random())
        let message = [UInt8](0..<40)
        let header = [UInt8](0..<9)
        let sealed = key.seal(message.rawSpan, associated: header.rawSpan, counter: 7)
        #expect(key.open(sealed.rawSpan, associated: header.rawSpan, counter: 7) == message)
        #expect(key.open(sealed.rawSpan, associated: header.rawSpan, counter: 8) == nil)
        #expect(key.open(sealed.rawSpan, associated: RawSpan(), counter: 7) == nil)
        #expect(AEADKey(suite, .random()).open(sealed.rawSpan, associated: header.rawSpan, counter: 7) == nil)
        for bit in 0..<sealed.count * 8 {
            var changed = sealed
            changed[bit / 8] ^= 1 << (bit % 8)
            #expect(key.open(changed.rawSpan, associated: header.rawSpan, counter: 7) == nil)
        }
        for count in 0..<sealed.count {
            let short = [UInt8](sealed.prefix(count))
            #expect(key.open(short.rawSpan, associated: header.rawSpan, counter: 7) == nil)
        }
    }

    /// Sealing in place gives the same bytes as sealing a message, at every length; the tag is before the message.
    @Test(arguments: Suite.allCases.filter(\.isAvailable)) func inPlaceIsTheSame(suite: Suite) throws {
        let key = AEADKey(suite, .random())
        for length in [0, 1, 15, 16, 17, 63, 64, 65, 255, 1_260, 1_332] {
            let message = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            let sealed = key.seal(message.rawSpan, associated: RawSpan(), counter: UInt64(length))
            let from = 19
            var packet = [UInt8](repeating: 0xcc, count: from + length + 5)
            packet.replaceSubrange(from..<from + length, with: message)
            var span = packet.mutableRawSpan
            key.seal(&span, from: from, to: from + length, counter: UInt64(length))
            #expect([UInt8](packet[from..<from + length]) == [UInt8](sealed.prefix(length)))
            #expect([UInt8](packet[3..<from]) == [UInt8](sealed.suffix(16)))
            #expect(packet[0..<3].allSatisfy { $0 == 0xcc } && packet.suffix(5).allSatisfy { $0 == 0xcc })
            span = packet.mutableRawSpan
            let isGood = key.open(&span, from: from, to: from + length, counter: UInt64(length))
            #expect(isGood)
            #expect([UInt8](packet[from..<from + length]) == message)
        }
    }

    @Test(arguments: Suite.allCases.filter(\.isAvailable)) func aFailedOpenWipesAndTouchesNothingElse(suite: Suite) {
        let key = AEADKey(suite, .random())
        var packet = [UInt8](repeating: 9, count: 100)
        var span = packet.mutableRawSpan
        key.seal(&span, from: 30, to: 90, counter: 1)
        let before = packet
        span = packet.mutableRawSpan
        let isGood = key.open(&span, from: 30, to: 90, counter: 2)
        #expect(!isGood)
        #expect(packet[30..<90].allSatisfy { $0 == 0 })
        #expect(packet[..<30] == before[..<30] && packet[90...] == before[90...])
    }

    /// RFC 8439, appendix A.1, test vectors 1 and 2: the keystream of the zero key.
    @Test func chacha20Stream() throws {
        var text = [UInt8](repeating: 0, count: 130)
        var span = text.mutableRawSpan
        ChaCha20.xor(&span, from: 2, key: try secret(String(repeating: "00", count: 32)))
        let expected = try hex(
            "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43"
                + "b8f41518a11cc387b669b2ee65869f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b7"
                + "21769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f")
        #expect([UInt8](text[2...]) == expected)
        #expect(text[0] == 0 && text[1] == 0)
    }

    @Test func xchacha20Poly1305() throws {
        // draft-irtf-cfrg-xchacha, appendix A.3.1.
        let key = try secret("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")
        let nonce = try hex("404142434445464748494a4b4c4d4e4f5051525354555657")
        let associated = try hex("50515253c0c1c2c3c4c5c6c7")
        let message = [UInt8](
            ("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
                + "sunscreen would be it.").utf8)
        let sealed = XChaCha20Poly1305.seal(
            message.rawSpan, associated: associated.rawSpan, nonce: nonce.rawSpan, key: key)
        #expect(sealed.suffix(16) == (try hex("c0875924c1c7987947deafd8780acf49"))[...])
        #expect([UInt8](sealed.prefix(16)) == (try hex("bd6d179d3e83d43b9576579493c0e939")))
        let opened = XChaCha20Poly1305.open(
            sealed.rawSpan, associated: associated.rawSpan, nonce: nonce.rawSpan, key: key)
        #expect(opened == message)
        var changed = sealed
        changed[5] ^= 1
        let refused = XChaCha20Poly1305.open(
            changed.rawSpan, associated: associated.rawSpan, nonce: nonce.rawSpan, key: key)
        #expect(refused == nil)
    }
}
